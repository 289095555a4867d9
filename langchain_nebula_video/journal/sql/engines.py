"""Engines of SQLAlchemy, and how each new connection is set up."""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["create_postgres_engine", "create_private_file", "create_sqlite_engine"]

_SQLITE_WAIT = 5.0
"""Seconds for which SQLite itself waits for another process's transaction, which takes milliseconds."""
# A firewall that silently drops a connection must not block this process.
_LINK = {"connect_timeout": "10", "keepalives_idle": "30", "tcp_user_timeout": "30000"}


def create_sqlite_engine(url: URL, patience: float) -> Engine:
    """Return an engine with one connection, which threads may share under a lock."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": min(_SQLITE_WAIT, patience), "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def create_postgres_engine(url: URL, patience: float) -> Engine:
    """Return an engine with up to 20 connections. Parameters of the URL win over the defaults."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_size=5,
        max_overflow=15,
        pool_timeout=patience,
        connect_args={**{name: value for name, value in _LINK.items() if name not in url.query}},
    )
    event.listen(engine, "connect", _set_up_postgres)
    return engine


def create_private_file(path: str) -> None:
    """Create the file for its owner alone, because it holds prompts and signed URLs. SQLite's other files follow it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError:  # it exists, or SQLite will report what is wrong
        return


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    if sqlite3.sqlite_version_info < (3, 35):
        raise InvalidRequestError(
            f"SQLite {sqlite3.sqlite_version} is too old for a journal.", hint="Use Python with SQLite 3.35 or newer."
        )
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    if sys.platform == "darwin":  # where an ordinary sync leaves data in the drive's cache
        connection.execute("PRAGMA fullfsync=ON")


def _set_up_postgres(connection: Any, _: Any) -> None:
    connection.autocommit = True  # `Database` begins and ends transactions
