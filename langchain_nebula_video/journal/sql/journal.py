"""`SqlJournal`: a journal in a database, which several processes may share."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal.budget import Budget, Ceiling
from langchain_nebula_video.journal.entries import Entry, EntryState, Repeats, Summary
from langchain_nebula_video.journal.line import Line

if TYPE_CHECKING:
    from langchain_nebula_video.journal.sql.store import Store

__all__ = ["SqlJournal", "open_journal"]


class SqlJournal:
    """A journal in a database: keys and budgets hold across processes, machines and restarts.

    Safe across threads, processes and forks. A copy is the same journal. A pickle contains the URL and its password, so
    that a worker elsewhere opens the same database; a repr does not.

    Args:
        url: `sqlite:///path/to/file.db`, or a path: a file on a disk of this machine; or
            `postgresql+psycopg://user:password@host/database`.
        patience: Seconds for which a database that is locked, restarting or unreachable is retried.

    Raises:
        InvalidRequestError: the URL cannot be used; or the extra `journal`, for PostgreSQL the extra `postgres`, is not
            installed.
    """

    blocking = True

    def __init__(self, url: str | Path, *, patience: float = 30.0) -> None:
        try:
            from langchain_nebula_video.journal.sql.store import Store

            self._store: Store = Store(url, patience)
        except ImportError as error:
            if (explained := _explain_import(error)) is None:
                raise
            raise explained from None
        self.line = Line() if self._store.database.sqlite else None
        """The thread in which event loops call it; `None`: any, as PostgreSQL works for several at once."""
        # For a pickle: with the password, and with the absolute path of a file.
        self._arguments = (self._store.database.url.render_as_string(hide_password=False), patience)
        _INSTANCES[self._arguments] = self

    def __eq__(self, other: object) -> bool:
        """Two journals on one database are equal, so their costs are counted once."""
        return isinstance(other, SqlJournal) and self._arguments[0] == other._arguments[0]

    def __hash__(self) -> int:
        return hash(self._arguments[0])

    def reserve(
        self, entry: Entry, budget: Budget | None, *, repeats: Repeats | None = None, ceilings: Sequence[Ceiling] = ()
    ) -> Entry:
        """See `Journal.reserve`."""
        return self._store.reserve(entry, budget, repeats=repeats, ceilings=ceilings)

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """See `Journal.update`."""
        return self._store.update(entry_id, changes)

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """See `Journal.begin`."""
        return self._store.begin(entry_id, holder=holder, now=now, until=until, cap=cap)

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """See `Journal.hold`."""
        return self._store.hold(entry_id, holder=holder, now=now, until=until)

    def release(self, entry_id: str, holder: str) -> None:
        """See `Journal.release`."""
        self._store.release(entry_id, holder)

    def sweep(self, now: datetime) -> list[Entry]:
        """See `Journal.sweep`."""
        return self._store.sweep(now)

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """See `Journal.claim`."""
        return self._store.claim(entry_id, task_id)

    def forget(self, entry_id: str) -> bool:
        """See `Journal.forget`."""
        return self._store.forget(entry_id)

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """See `Journal.find`."""
        return self._store.find(key=key, gateway=gateway, task_id=task_id)

    def entries(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        since: datetime | None = None,
        key_prefix: str | None = None,
        scope: str | None = None,
        same_request: Entry | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """See `Journal.entries`."""
        return self._store.entries(
            states=states,
            gateway=gateway,
            since=since,
            key_prefix=key_prefix,
            scope=scope,
            same_request=same_request,
            limit=limit,
            newest_first=newest_first,
        )

    def summarize(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        since: datetime | None = None,
    ) -> Summary:
        """See `Journal.summarize`."""
        return self._store.summarize(states=states, gateway=gateway, since=since)

    def spent(self, since: datetime | None = None, *, scope: str | None = None) -> Decimal:
        """See `Journal.spent`."""
        return self._store.spent(since, scope)

    @property
    def printable_url(self) -> str:
        """The URL without its passwords."""
        return self._store.printable_url()

    def schema_version(self) -> int:
        """Return the version of its tables, which opening it has made current, unless a newer package wrote them."""
        return self._store.schema_version()

    def close(self) -> None:
        """Close its connections; it can be used again."""
        self._store.database.close()

    def __repr__(self) -> str:
        return f"SqlJournal({self.printable_url!r})"

    def __copy__(self) -> SqlJournal:
        return self

    def __deepcopy__(self, memo: object) -> SqlJournal:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, self._arguments


def open_journal(where: str | Path) -> SqlJournal:
    """Return the journal at a URL or a path: the one that this process has already, or a new one."""
    known = dict(_INSTANCES.items())  # dict(_INSTANCES) fails if one of them goes meanwhile
    made = SqlJournal(where if isinstance(where, Path) or "://" in where else Path(where))
    shared = known.get(made._arguments, made)  # noqa: SLF001 a constructor of its own
    _INSTANCES[made._arguments] = shared  # noqa: SLF001
    return shared


_EXTRAS = {"sqlalchemy": "journal", "psycopg": "postgres"}


def _explain_import(error: ImportError) -> InvalidRequestError | None:
    """Say which extra is missing, or that psycopg found no libpq; None: it is another fault."""
    if error.name in _EXTRAS:
        return InvalidRequestError(
            f"A SqlJournal needs {error.name}, which is not installed.",
            hint=f'Run: pip install "langchain-nebula-video[{_EXTRAS[error.name]}]"',
        )
    if error.name is None and "psycopg" in str(error):  # psycopg/pq/__init__.py names its three attempts
        return InvalidRequestError(
            "A SqlJournal in PostgreSQL needs libpq, PostgreSQL's client library, which was not found.",
            hint='Install it (apt-get install libpq5, brew install libpq), or run: pip install "psycopg[binary]"',
        )
    return None


_INSTANCES: weakref.WeakValueDictionary[tuple[str, float], SqlJournal] = weakref.WeakValueDictionary()


def _unpickle(url: str, patience: float) -> SqlJournal:
    return _INSTANCES.get((url, patience)) or SqlJournal(url, patience=patience)
