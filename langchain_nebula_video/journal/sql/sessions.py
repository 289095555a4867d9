"""Sessions: they run statements on one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError

__all__ = ["POSTGRES_BEGIN", "Session", "SqliteSession"]

POSTGRES_BEGIN = (
    # A decision that waited for a lock must see what was committed meanwhile; elsewhere another level is the default.
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    # A process that hangs inside a transaction must not block the others.
    "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '30s'; "
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
"""Begins a transaction. Settings of a session would reach other programs behind a pool such as PgBouncer."""


class Session:
    """Runs statements on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def fetch(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Run a statement and return all its rows. SQLite commits, or fails to commit, after the last row."""
        return [*self.connection.execute(statement, values)]

    def execute(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Run a statement and return the number of rows that it changed."""
        return self.connection.execute(statement, values).rowcount

    def run_text(self, text: str) -> None:
        """Run SQL text without parameters."""
        self.connection.exec_driver_sql(text, execution_options={"no_parameters": True})

    def roll_back(self) -> None:
        """Undo the transaction if it is still open."""
        if self.connection.invalidated:
            return
        try:
            self.run_text("ROLLBACK")
        except DBAPIError as error:
            self.connection.invalidate(error)


class SqliteSession(Session):
    """A session on the driver itself, because SQLAlchemy's execution takes twice as long as SQLite's statement."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self._full = False
        self._wait: float | None = None

    def fetch(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Any]:
        """See `Session.fetch`."""
        return self._execute(*_compile(statement, self.connection.dialect, tuple(values or ())), values)[0]

    def execute(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """See `Session.execute`."""
        return self._execute(*_compile(statement, self.connection.dialect, tuple(values)), values)[1]

    def run_text(self, text: str) -> None:
        """See `Session.run_text`."""
        self._execute(text, (), None)

    def set_sync(self, *, full: bool) -> None:
        """Choose how a commit is synced: a power cut may undo the last commits under NORMAL, and none under FULL."""
        if self._full is not full:
            self.run_text(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full

    def set_wait(self, seconds: float) -> None:
        """Choose how long SQLite waits for another process's transaction."""
        if self._wait != seconds:
            self.run_text(f"PRAGMA busy_timeout={round(seconds * 1000)}")
            self._wait = seconds

    def roll_back(self) -> None:
        """See `Session.roll_back`."""
        if self._driver.in_transaction:  # after some faults SQLite has rolled back by itself
            self.run_text("ROLLBACK")

    def _execute(
        self, text: str, names: tuple[tuple[str, Any], ...], values: Mapping[str, Any] | None
    ) -> tuple[list[Any], int]:
        """Return the rows and the number of changed rows. A full disk may not show before the last row's commit."""
        given = values or {}
        try:
            cursor = self._driver.execute(text, [given.get(name, default) for name, default in names])
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise _wrap(text, error) from error


@lru_cache(maxsize=256)
def _compile(statement: Any, dialect: Dialect, names: tuple[str, ...]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Return a statement's text, and the name and default of each positional parameter."""
    compiled = statement.compile(dialect=dialect, column_keys=names, compile_kwargs={"render_postcompile": True})
    defaults = compiled.construct_params(_check=False)
    return str(compiled), tuple((name, defaults.get(name)) for name in compiled.positiontup)


def _wrap(text: str, error: sqlite3.Error) -> BaseException:
    return DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True)
