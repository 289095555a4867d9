"""The database of a `SqlJournal`: connections, transactions and retries.

| fault                                           |                                                            |
|-------------------------------------------------|------------------------------------------------------------|
| locked, busy, restarting, connection lost       | retried on a fresh connection until `patience` is used up  |
| any, while an accepted task's id is written     | the same: the task is paid for, and nobody else has the id |
| one that stays with a connection                | retried once on a fresh connection                         |
| any other fault, or `patience` is used up       | a `JournalError` that says what it means for the money     |

Every transaction can be retried, even if it was committed and only the answer was lost. The work gets a flag that says
whether this is a retry, and then looks for its own traces.
"""

from __future__ import annotations

import math
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TypeVar

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from langchain_nebula_video.errors import JournalError, Money
from langchain_nebula_video.journal.forks import watch_forks
from langchain_nebula_video.journal.line import asked_at
from langchain_nebula_video.journal.sql.engines import SQLITE_WAIT, create_postgres_engine, create_sqlite_engine
from langchain_nebula_video.journal.sql.faults import FileReplacedError, find_hint, is_stale, is_transient
from langchain_nebula_video.journal.sql.files import WatchedFile
from langchain_nebula_video.journal.sql.schema import prepare
from langchain_nebula_video.journal.sql.sessions import POSTGRES_BEGIN, Session, SqliteSession

__all__ = ["Database"]

T = TypeVar("T")

_LOCK_BASE = 0x6E6562756C61  # "nebula": advisory locks are numbers that all users of a database share
_MAX_PAUSE = 1.0
"""Seconds between two attempts."""
_MAX_GIVEN_UP = 1000
_inherited_engines: list[Engine] = []
"""In a child process: engines of the parent. Even to close one would close the parent's connections."""


class Database:
    """One database, used from this process.

    Args:
        url: As `parse_url` returns it.
        patience: Seconds for which transient faults are retried.
    """

    def __init__(self, url: URL, patience: float) -> None:
        self.url = url
        self.sqlite = url.drivername == "sqlite"
        self._file = WatchedFile(str(url.database)) if self.sqlite else None
        self._patience = patience
        self._wait = 0.0
        self._worked_at = -math.inf
        """When an entry was changed last, on the machine's monotonic clock. Reading works in a locked file too."""
        self._given_up: dict[str, None] = {}
        """Entries on which a work used up the patience, while nothing has worked since."""
        self._open()
        watch_forks(self)

    def _open(self) -> None:
        # A file has one connection and one lock: its writers have to take turns anyway, and threads wait for a lock
        # more cheaply than for a busy file.
        self._lock = threading.RLock()
        self._ready = False
        self._sessions: list[SqliteSession] = []
        create = create_sqlite_engine if self.sqlite else create_postgres_engine
        self._engine = create(self.url, self._patience)
        self._finalizer = weakref.finalize(self, _close_all, self._sessions, self._engine)

    # --- transactions ---

    def run(
        self,
        work: Callable[[bool], T],
        *,
        money: Money = Money.LOOKED,
        hint: str = "",
        task_id: str | None = None,
        entry_id: str | None = None,
        unrecorded: bool = False,
    ) -> T:
        """Do a piece of work, and retry it after a transient fault until `patience` is used up.

        Args:
            work: Called with whether this is a retry.
            money: What a failure means for the money.
            hint: What to do after a failure.
            task_id: The task that it is about, for the error.
            entry_id: The entry that it is about. If the last work on it used up the patience, this one is tried once.
            unrecorded: Whether it writes the id of an accepted task, which nobody else has: any fault is waited out.

        Raises:
            JournalError: the work failed.
        """
        # The patience of a call that waits in line begins when it comes: else each would wait for a locked file after
        # the one before it. A change that works meanwhile begins it anew: else a long line would leave none.
        asked = asked_at.get()
        since = time.monotonic() if asked is None else max(asked, self._worked_at)
        deadline = since + (0 if entry_id in self._given_up else self._patience)
        attempts = 0
        while True:
            try:
                result = self._attempt(work, deadline, retried=attempts > 0)
            except SQLAlchemyError as error:
                attempts += 1
                if not self._may_retry(error, attempts, deadline, unrecorded=unrecorded):
                    if entry_id is not None and len(self._given_up) < _MAX_GIVEN_UP:
                        self._given_up[entry_id] = None
                    told = task_id if unrecorded else None
                    raise self._error(error, money, hint, task_id, unrecorded=told) from getattr(error, "orig", None)
            else:
                self._given_up.clear()
                if entry_id is not None:
                    self._worked_at = time.monotonic()
                return result
            if attempts > 1:
                left = max(0.0, deadline - time.monotonic())
                time.sleep(min(left, random.uniform(0, min(_MAX_PAUSE, 0.05 * 2**attempts))))  # noqa: S311 no secret

    def _attempt(self, work: Callable[[bool], T], deadline: float, *, retried: bool) -> T:
        with self._lock if self.sqlite else nullcontext():
            self._wait = min(SQLITE_WAIT, max(0.0, deadline - time.monotonic()))
            if not self._ready:
                self._prepare()
            return work(retried)

    def _may_retry(self, error: SQLAlchemyError, attempts: int, deadline: float, *, unrecorded: bool) -> bool:
        if not (unrecorded or is_transient(error)):
            return is_stale(error) and attempts == 1
        # A lost connection may take longer to notice than the patience, and a fresh one may work at once.
        fresh = attempts == 1 and getattr(error, "connection_invalidated", False)
        return fresh or time.monotonic() < deadline

    @contextmanager
    def statement(self, *, synced: bool = False) -> Iterator[Session]:
        """Return a session for a single statement, which is a transaction of its own.

        Args:
            synced: Whether the change must be on disk before this returns.
        """
        if not self.sqlite:
            with self._postgres_transaction(None) as session:
                yield session
            return
        self._check_file()
        if not self._sessions:
            try:
                self._sessions.append(SqliteSession(self._engine.connect()))
            finally:
                self._check_file(in_use=False)  # it may have gone, or been replaced, in between
        session = self._sessions[0]
        try:
            session.set_sync(full=synced)
            session.set_wait(self._wait)
            yield session
            if synced:  # else the file may have gone just before the change, and a POST would rely on it
                self._check_file()
        except BaseException:
            self._close_sessions()
            raise

    def _check_file(self, *, in_use: bool = True) -> None:
        """Check that the path still leads to the file that was opened."""
        if self._file is not None and not self._file.is_same(in_use=in_use and bool(self._sessions)):
            self._close_sessions()
            raise FileReplacedError

    def _close_sessions(self) -> None:
        """Close the connection to the file."""
        _close_all(self._sessions, self._engine)
        if self._file is not None:
            self._file.forget_log()

    @contextmanager
    def transaction(self, lock: int, *, synced: bool = False) -> Iterator[Session]:
        """Return a session in a transaction. Those with the same lock run one at a time, across all processes."""
        if not self.sqlite:
            with self._postgres_transaction(_LOCK_BASE + lock) as session:
                yield session
            return
        with self.statement(synced=synced) as session, _in_transaction(session, "BEGIN IMMEDIATE"):
            yield session

    @contextmanager
    def _postgres_transaction(self, lock: int | None) -> Iterator[Session]:
        """Begin a transaction, which states all that it relies on; PostgreSQL always syncs its changes."""
        begin = POSTGRES_BEGIN if lock is None else f"{POSTGRES_BEGIN}; SELECT pg_advisory_xact_lock({lock})"
        with self._engine.connect() as connection:
            session = Session(connection)
            with _in_transaction(session, begin):
                yield session

    def _prepare(self) -> None:
        if self._file is not None:
            self._file.open()
        with self.transaction(0) as session:
            prepare(session.connection)
        self._ready = True

    def _error(
        self, error: SQLAlchemyError, money: Money, hint: str, task_id: str | None, *, unrecorded: str | None
    ) -> JournalError:
        where = self.url.database if self.sqlite else self.url.set(password=None, query={}).render_as_string()
        lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
        tried = f" for {self._patience:g} seconds" if unrecorded or is_transient(error) else ""
        task = f" Task {unrecorded} was accepted, and its id may not be on record." if unrecorded else ""
        return JournalError(
            f"The journal {where} did not work{tried}: {lines[0].rstrip('.')}.{task}",
            money=money,
            hint=" ".join(filter(None, [hint, find_hint(error) or JournalError.default_hint])),
            task_id=task_id,
        )

    # --- closing and forks ---

    def close(self) -> None:
        """Close all connections; the next piece of work opens new ones."""
        with self._lock:
            self._close_sessions()
            if self._file is not None:
                self._file.forget()
            self._ready = False

    def before_fork(self) -> None:
        """Close SQLite's file: a connection that a child inherits breaks the locks of both processes."""
        if self.sqlite:
            self._lock.acquire()
            with suppress(SQLAlchemyError):  # the lock has to be released in any case
                self._close_sessions()

    def after_fork_in_parent(self) -> None:
        """Release the lock that `before_fork` took."""
        if self.sqlite:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Open new connections; those of the parent are neither used nor closed."""
        self._finalizer.detach()
        _inherited_engines.append(self._engine)
        self._open()


@contextmanager
def _in_transaction(session: Session, begin: str) -> Iterator[None]:
    try:
        session.run_text(begin)
        yield
        session.run_text("COMMIT")
    except BaseException:
        session.roll_back()
        raise


def _close_all(sessions: list[SqliteSession], engine: Engine | None = None) -> None:
    """Close all connections. A function, because it also runs after the database object is gone."""
    while sessions:
        sessions.pop().connection.close()
    if engine is not None:
        engine.dispose()
