"""The database under a `SqlJournal`: connections, transactions, what is repeated, and what its faults mean.

| fault                                           |                                                             |
|-------------------------------------------------|-------------------------------------------------------------|
| locked, busy, restarting, connection lost       | repeated on a fresh connection, as long as patience lasts   |
| a full disk, while a task's id is to be written | the same: it is paid for, and nobody else knows it          |
| anything else, and when patience is over        | a `JournalError` that says what it means for the money      |

Every transaction can be repeated, also if it was committed and only the answer was lost: it is told that it is run
again, and looks for its own traces then.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Executable, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from langchain_nebula_video.errors import InvalidRequestError, JournalError, Money
from langchain_nebula_video.journal.sql.schema import prepare

__all__ = ["Database", "Session", "parse_url"]

T = TypeVar("T")

_SERVERS = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_FILES = frozenset({"sqlite", "sqlite+pysqlite"})
_SQLITE_WAIT = 5.0
"""Seconds for which SQLite itself waits for another process's transaction, which takes milliseconds."""
_LOCK = 0x6E6562756C61  # "nebula": advisory locks are numbers that everyone in the database shares
# A process that hangs in mid-transaction must not hold up all others; a firewall that drops a silent connection
# must not hold up this one.
_SESSION = (
    "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '30s'; "
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_LINK = {"connect_timeout": "10", "keepalives_idle": "30", "tcp_user_timeout": "30000"}

# https://www.sqlite.org/rescode.html: BUSY, LOCKED, PROTOCOL (a race while locking)
_PASSING_SQLITE = frozenset({5, 6, 15})
# https://www.postgresql.org/docs/current/errcodes-appendix.html: too many connections, a lock that was not available,
# a deadlock, a serialization failure, and a server that goes down or comes up
_PASSING_POSTGRES = frozenset({"53300", "55P03", "40P01", "40001", "57P01", "57P02", "57P03", "25P03"})
# A disk that is full, or fails: nothing else is waited for then, but a task's id that nobody else knows.
_FULL = frozenset({10, 13, "53100"})
# What libpq says when it cannot connect has no code.
_LASTING_WORDS = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")

_HINTS: dict[int | str, str] = {
    8: "Give the journal a file, and a folder, that this user may write to; then repeat.",
    11: "Keep the file, and begin a new journal elsewhere; the gateway's console shows what was paid for. "
    'What can be saved of it: sqlite3 FILE ".recover".',
    13: "Make room on the disk, then repeat.",
    14: "Give the journal a file in a folder that exists and that this user may write to; then repeat.",
    26: "Give the journal a file of its own, or a new one.",
    "53100": "Make room on the database server's disk, then repeat.",
    "25006": "Give the journal the primary server, not a standby; then repeat.",
}


def parse_url(url: str | URL) -> URL:
    """The URL of a database that can hold a journal; a file by its absolute path.

    Raises:
        InvalidRequestError: it is none.
    """
    hint = "Give sqlite:///path/to/file.db, or postgresql+psycopg://user:password@host/database."
    try:
        made = make_url(url)
    except ArgumentError:
        raise InvalidRequestError("A journal's URL cannot be read.", hint=hint) from None
    if made.drivername in _SERVERS:
        return made.set(drivername="postgresql+psycopg")
    if made.drivername not in _FILES:
        raise InvalidRequestError(f"A journal cannot be kept in {made.drivername!r}.", hint=hint)
    if made.database in {None, "", ":memory:"} or made.query:
        raise InvalidRequestError("A SqlJournal in SQLite is a file.", hint=f"{hint} In memory: MemoryJournal().")
    return made.set(drivername="sqlite", database=str(Path(str(made.database)).expanduser().resolve()))


class Session:
    """Says things to the database on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def fetch(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Run a statement to its end, and give its rows: SQLite commits, or says that it cannot, after the last."""
        return [*self.connection.execute(statement, values)]

    def execute(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Run a statement, and tell how many rows it changed."""
        return self.connection.execute(statement, values).rowcount

    def run_text(self, text: str) -> None:
        """Run a text as it is."""
        self.connection.exec_driver_sql(text, execution_options={"no_parameters": True})

    def roll_back(self) -> None:
        """Undo the transaction, if there is still one."""
        if self.connection.invalidated:
            return
        try:
            self.run_text("ROLLBACK")
        except DBAPIError as error:
            self.connection.invalidate(error)


class SqliteSession(Session):
    """The same for SQLite, where SQLAlchemy's way of running a statement takes twice as long as the statement."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self._full = False

    def fetch(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Any]:
        """See `Session.fetch`."""
        return self._execute(*_compiled(statement, self.connection.dialect, tuple(values or ())), values)[0]

    def execute(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """See `Session.execute`."""
        return self._execute(*_compiled(statement, self.connection.dialect, tuple(values)), values)[1]

    def run_text(self, text: str) -> None:
        """See `Session.run_text`."""
        self._execute(text, (), None)

    def sync(self, *, full: bool) -> None:
        """Set how a transaction ends: after a power cut NORMAL may have lost the last ones, FULL has all."""
        if self._full is not full:
            self.run_text(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full

    def roll_back(self) -> None:
        """See `Session.roll_back`."""
        if self._driver.in_transaction:  # SQLite ends it by itself on some faults
            self.run_text("ROLLBACK")

    def _execute(
        self, text: str, names: tuple[tuple[str, Any], ...], values: Mapping[str, Any] | None
    ) -> tuple[list[Any], int]:
        """Its rows, and how many it changed; a full disk may show at the last row only, with the commit."""
        given = values or {}
        try:
            cursor = self._driver.execute(text, [given.get(name, fixed) for name, fixed in names])
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise _wrapped(text, error) from error


@lru_cache(maxsize=256)
def _compiled(statement: Any, dialect: Dialect, names: tuple[str, ...]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """A statement's text, and the names of its values in their order, each with what it is if it is not given."""
    compiled = statement.compile(dialect=dialect, column_keys=names, compile_kwargs={"render_postcompile": True})
    fixed = compiled.construct_params(_check=False)
    return str(compiled), tuple((name, fixed.get(name)) for name in compiled.positiontup)


def _wrapped(text: str, error: sqlite3.Error) -> BaseException:
    return DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True)


class Database:
    """One database, from this process.

    Args:
        url: Where it is; see `parse_url`.
        patience: Seconds for which passing faults are repeated.
    """

    def __init__(self, url: URL, patience: float) -> None:
        self.url = url
        self.sqlite = url.drivername == "sqlite"
        self._patience = patience
        self._open()
        _DATABASES.add(self)

    def _open(self) -> None:
        # One connection and one lock for a file: its writers have to take turns, and threads wait for a lock more
        # cheaply than for a busy file.
        self._lock = threading.RLock()
        self._ready = False
        self._sessions: list[SqliteSession] = []
        self._engine = self._file() if self.sqlite else self._server()
        self._finalizer = weakref.finalize(self, _close_all, self._sessions, self._engine)

    def _file(self) -> Engine:
        engine = create_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            connect_args={"timeout": min(_SQLITE_WAIT, self._patience), "check_same_thread": False},
        )
        event.listen(engine, "connect", _set_up_file)
        return engine

    def _server(self) -> Engine:
        engine = create_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            pool_size=5,
            max_overflow=15,
            pool_timeout=self._patience,
            connect_args={**{name: value for name, value in _LINK.items() if name not in self.url.query}},
        )
        event.listen(engine, "connect", _set_up_session)
        return engine

    # --- transactions ---

    def run(
        self, work: Callable[[bool], T], *, money: Money = Money.NOT_SENT, hint: str = "", task_id: str | None = None
    ) -> T:
        """Do a piece of work, and do it again after a passing fault; it is told whether it is done again.

        Raises:
            JournalError: it cannot be done.
        """

        def transient(error: BaseException) -> bool:
            return is_transient(error) or (task_id is not None and error_code(error) in _FULL)

        def once(*, retried: bool) -> T:
            with self._lock if self.sqlite else nullcontext():
                if not self._ready:
                    self._prepare()
                return work(retried)

        try:
            try:
                return once(retried=False)
            except SQLAlchemyError as error:
                if not transient(error):
                    raise
            retrying = Retrying(
                stop=stop_after_delay(self._patience),
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                retry=retry_if_exception(transient),
                reraise=True,
            )
            return retrying(once, retried=True)
        except SQLAlchemyError as error:
            raise self._fault(error, money, hint, task_id) from getattr(error, "orig", None)

    @contextmanager
    def statement(self, *, synced: bool = False) -> Iterator[Session]:
        """A session for a single statement, which is a transaction of its own.

        Args:
            synced: Whether it must be on disk before this returns.
        """
        if not self.sqlite:
            with self._engine.connect() as connection:
                yield Session(connection)
            return
        if not self._sessions:
            self._sessions.append(SqliteSession(self._engine.connect()))
        session = self._sessions[0]
        try:
            session.sync(full=synced)
            yield session
        except BaseException:
            _close_all(self._sessions)
            raise

    @contextmanager
    def transaction(self, lock: int, *, synced: bool = False) -> Iterator[Session]:
        """A transaction among those with the same lock, of which there is one at a time, in all processes."""
        with self.statement(synced=synced) as session:
            session.run_text(
                "BEGIN IMMEDIATE" if self.sqlite else f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK + lock})"
            )
            try:
                yield session
                session.run_text("COMMIT")
            except BaseException:
                session.roll_back()
                raise

    def _prepare(self) -> None:
        if self.sqlite:
            _create_private(str(self.url.database))
        with self.transaction(0) as session:
            prepare(session.connection)
        self._ready = True

    # --- faults ---

    def _fault(self, error: SQLAlchemyError, money: Money, hint: str, task_id: str | None) -> JournalError:
        where = self.url.database if self.sqlite else self.url.set(password=None, query={}).render_as_string()
        code = error_code(error)
        said = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        tried = f" for {self._patience:g} seconds" if is_transient(error) else ""
        named = f" Task {task_id} was accepted, and its id may not be on record." if task_id else ""
        return JournalError(
            f"The journal {where} did not work{tried}: {said[0].rstrip('.')}.{named}",
            money=money,
            hint=" ".join(filter(None, [hint, _HINTS.get(code) or JournalError.default_hint])),
            task_id=task_id,
        )

    # --- its end, and forks ---

    def close(self) -> None:
        """Close all connections; the next piece of work opens new ones."""
        with self._lock:
            _close_all(self._sessions, self._engine)
            self._ready = False

    def before_fork(self) -> None:
        """Close SQLite's file: what a child inherits of it makes the locks of both worthless.

        https://www.sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork".
        """
        if self.sqlite:
            self._lock.acquire()
            _close_all(self._sessions, self._engine)

    def after_fork_here(self) -> None:
        """Go on in the parent."""
        if self.sqlite:
            self._lock.release()

    def after_fork_there(self) -> None:
        """Begin anew in the child; the parent's connections are neither used nor closed."""
        self._finalizer.detach()
        _inherited_engines.append(self._engine)
        self._open()


def _close_all(sessions: list[SqliteSession], engine: Engine | None = None) -> None:
    """Close what is open; no method, as it also runs when the database itself is no more."""
    while sessions:
        sessions.pop().connection.close()
    if engine is not None:
        engine.dispose()


_DATABASES: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited_engines: list[Engine] = []
"""In a child: what must not even be closed there, as that would close the parent's connections."""
_forking: list[Database] = []


def _before_fork() -> None:
    _forking[:] = _DATABASES
    for database in _forking:
        database.before_fork()


def _after_fork_here() -> None:
    for database in _forking:
        database.after_fork_here()
    _forking.clear()


def _after_fork_there() -> None:
    for database in _forking:
        database.after_fork_there()
    _forking.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_here, after_in_child=_after_fork_there)


def _set_up_file(connection: sqlite3.Connection, _: Any) -> None:
    if sqlite3.sqlite_version_info < (3, 35):
        raise InvalidRequestError(
            f"SQLite {sqlite3.sqlite_version} is too old for a journal.", hint="Use Python with SQLite 3.35 or newer."
        )
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    if sys.platform == "darwin":  # where an ordinary sync leaves data in the drive's cache
        connection.execute("PRAGMA fullfsync=ON")


def _set_up_session(connection: Any, _: Any) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)


def _create_private(path: str) -> None:
    """Make the file for its owner alone: prompts and signed addresses are in it. SQLite's further files follow it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError:  # somebody else was quicker, or SQLite will say what is wrong
        return


def error_code(error: BaseException) -> int | str:
    orig = getattr(error, "orig", None)
    return getattr(orig, "sqlite_errorcode", 0) & 0xFF or getattr(orig, "sqlstate", None) or ""


def is_transient(error: BaseException) -> bool:
    """Whether it may work in a moment, or on another connection."""
    if isinstance(error, PoolTimeoutError):
        return False  # it has waited
    if not isinstance(error, DBAPIError):
        return False
    code = error_code(error)
    if isinstance(code, int):
        return code in _PASSING_SQLITE
    if code:
        return code in _PASSING_POSTGRES or code.startswith("08") or error.connection_invalidated
    lost = error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
    return lost and not any(word in str(error.orig) for word in _LASTING_WORDS)
