"""Engines of SQLAlchemy, and how each new connection is set up."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, ExceptionContext
from sqlalchemy.exc import ArgumentError

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal.sql.faults import PREPARED_FAULTS, error_code, is_stale
from langchain_nebula_video.journal.sql.url import check_query, split_prepare_threshold, unreadable_url_error

__all__ = ["SQLITE_WAIT", "create_postgres_engine", "create_sqlite_engine"]

SQLITE_WAIT = 5.0
"""Seconds, at most, for which SQLite itself waits for another process's transaction, which takes milliseconds."""
# A firewall that silently drops a connection must not block this process.
_LINK = {"connect_timeout": "10", "keepalives_idle": "30", "tcp_user_timeout": "30000"}


def create_sqlite_engine(url: URL, patience: float) -> Engine:
    """Return an engine with one connection, which threads may share under a lock.

    Raises:
        InvalidRequestError: this Python has too old an SQLite.
    """
    if sqlite3.sqlite_version_info < (3, 35):
        raise InvalidRequestError(
            f"SQLite {sqlite3.sqlite_version} is too old for a journal.", hint="Use Python with SQLite 3.35 or newer."
        )
    # Only an existing file: SQLite would make an empty one in the place of one that went, and delete the log beside it.
    address = f"{Path(str(url.database)).as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        wait = min(SQLITE_WAIT, patience)
        return sqlite3.connect(address, uri=True, timeout=wait, check_same_thread=False)

    engine = create_engine(
        url, creator=connect, isolation_level="AUTOCOMMIT", hide_parameters=True, pool_size=1, max_overflow=0
    )
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def create_postgres_engine(url: URL, patience: float) -> Engine:
    """Return an engine with up to 20 connections. Parameters of the URL win over the defaults.

    Raises:
        InvalidRequestError: the URL has a parameter that libpq does not know.
    """
    url, prepare_threshold = split_prepare_threshold(url)
    try:
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            pool_size=5,
            max_overflow=15,
            pool_timeout=patience,
            connect_args={name: value for name, value in _LINK.items() if name not in url.query},
        )
    except ArgumentError:  # hosts and ports that cannot be read, or do not fit together
        raise unreadable_url_error() from None
    prepare_thresholds = [prepare_threshold]

    def set_up(connection: Any, _: Any) -> None:
        connection.autocommit = True  # `Database` begins and ends transactions
        connection.prepare_threshold = prepare_thresholds[-1]

    def leave_stale_connections(context: ExceptionContext) -> None:
        if context.sqlalchemy_exception is not None and is_stale(context.sqlalchemy_exception):
            context.is_disconnect = True
            if error_code(context.sqlalchemy_exception) in PREPARED_FAULTS:
                prepare_thresholds.append(None)

    event.listen(engine, "connect", set_up)
    event.listen(engine, "handle_error", leave_stale_connections)
    options = engine.dialect.loaded_dbapi.pq.Conninfo.get_defaults()
    check_query(url, {option.keyword.decode() for option in options})
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    if sys.platform == "darwin":  # where an ordinary sync leaves data in the drive's cache
        connection.execute("PRAGMA fullfsync=ON")
