"""Spend limits on running code: they cover everything that it pays for through tools, runnables and clients.

A limit reaches the code in two ways:

| way             | reaches                                                                                  |
|-----------------|------------------------------------------------------------------------------------------|
| `apply_limit`   | the body, by a context variable: also its tasks and the threads that get its context     |
| `watch_journal` | whatever this process reserves in a journal meanwhile, in threads without a context too   |

Each entry that is reserved under a limit has the limit's scopes. So its sums are right whatever key the entry has, and
whoever pays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from langchain_nebula_video.errors import BudgetExceededError
from langchain_nebula_video.journal.budget import Budget, Ceiling
from langchain_nebula_video.journal.entries import Entry, Repeats
from langchain_nebula_video.journal.forks import ForkLock
from langchain_nebula_video.journal.protocol import Journal

__all__ = ["SeenJournals", "SpendLimit", "add_scope", "apply_limit", "has_limits", "reserve", "watch_journal"]

_LOCK_TIMEOUT = 5.0
"""Seconds to wait for the lock: a database that hangs delays one call, and not all the calls after it."""
_MAX_SEEN = 1000


class SeenJournals:
    """The journals in which something was reserved under a scope, besides those that are known anyway.

    It keeps them alive, because a journal in memory is the only record of what it paid for: up to 1,000 scopes, and
    1,000 journals of a scope. The oldest go first.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._journals: OrderedDict[str, OrderedDict[Journal, None]] = OrderedDict()

    def add(self, scope: str, journal: Journal) -> None:
        """Remember a journal."""
        with self._lock:
            found = self._journals.pop(scope, OrderedDict())
            found.pop(journal, None)
            found[journal] = None
            self._journals[scope] = found
            if len(found) > _MAX_SEEN:
                found.popitem(last=False)
            if len(self._journals) > _MAX_SEEN:
                self._journals.popitem(last=False)

    def of(self, scope: str) -> list[Journal]:
        """The journals of a scope."""
        with self._lock:
            return list(self._journals.get(scope, ()))

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._journals.values()))

    def forget(self, scope: str) -> None:
        """Let the journals of a scope go: its run has ended."""
        with self._lock:
            self._journals.pop(scope, None)


@dataclass(frozen=True, slots=True, eq=False)
class SpendLimit:
    """An amount that running code may spend."""

    usd: Decimal
    scopes: tuple[str, ...]
    """What the entries of this code count for."""
    refusal: Callable[[Decimal, Decimal], BudgetExceededError]
    """Returns the error for a price and for what is left."""
    scope: str | None = None
    """The amount is for the entries of this scope; `None`: for all entries of the journals."""
    window: timedelta | None = None
    """The amount is for this time; `None`: without end."""
    journals: tuple[Journal, ...] = ()
    """The journals that are known to count."""
    seen: SeenJournals = field(default_factory=SeenJournals)
    """The other journals that count."""

    def counted(self, *more: Journal) -> list[Journal]:
        """All journals that count, without repetition."""
        found: list[Journal] = []
        for journal in (*self.journals, *self.seen.of(self._seen_name), *more):
            if journal not in found:
                found.append(journal)
        return found

    def spent(self, now: datetime, *more: Journal) -> Decimal:
        """What counts, in all journals together."""
        since = self._since(now)
        return sum((journal.spent(since, scope=self.scope) for journal in self.counted(*more)), Decimal(0))

    def remember(self, journal: Journal) -> None:
        """Count a journal from now on."""
        if journal not in self.journals:
            self.seen.add(self._seen_name, journal)

    def ceiling(self, now: datetime) -> Ceiling:
        """The limit, as one journal can decide it."""
        return Ceiling(self.usd, self.scope, self._since(now), self.refusal)

    def check(self, journal: Journal, entry: Entry) -> None:
        """Check an entry after it was written.

        Raises:
            BudgetExceededError: all journals together have more than the amount.
        """
        spent = self.spent(entry.created_at, journal)
        if spent > self.usd:
            raise self.refusal(entry.reserved_usd, self.usd - spent + entry.reserved_usd)

    def is_same(self, other: SpendLimit) -> bool:
        """Whether the other one is the same amount, for the same entries."""
        return self.seen is other.seen and self.scope == other.scope

    @property
    def _seen_name(self) -> str:
        return self.scope or ""

    def _since(self, now: datetime) -> datetime | None:
        return None if self.window is None else now - self.window


_limits: ContextVar[tuple[SpendLimit, ...]] = ContextVar("nebula_video_spend_limits", default=())
_scopes: ContextVar[tuple[str, ...]] = ContextVar("nebula_video_scopes", default=())
_watched: list[tuple[Journal, SpendLimit]] = []
"""Replaced, never changed, so that it can be read without a lock."""
_watched_lock = ForkLock()
_reserve_lock = ForkLock(taken=False)  # held while a database is waited for


@contextmanager
def apply_limit(limit: SpendLimit) -> Iterator[None]:
    """Apply a limit to the body, in addition to the limits in force."""
    token = _limits.set((*_limits.get(), limit))
    try:
        yield
    finally:
        _limits.reset(token)


@contextmanager
def add_scope(scope: str) -> Iterator[None]:
    """Add a scope to the entries that the body reserves, whether or not there is a limit."""
    token = _scopes.set((*_scopes.get(), scope))
    try:
        yield
    finally:
        _scopes.reset(token)


@contextmanager
def watch_journal(journals: Sequence[Journal], limit: SpendLimit) -> Iterator[None]:
    """Apply a limit to everything that this process reserves in these journals while the body runs."""
    global _watched  # noqa: PLW0603 one list for the process
    mine = [(journal, limit) for journal in journals]
    with _watched_lock:
        _watched = [*_watched, *mine]
    try:
        yield
    finally:
        with _watched_lock:
            _watched = [pair for pair in _watched if not any(pair is own for own in mine)]


def has_limits(journal: Journal) -> bool:
    """Return whether a limit is in force for what the current code reserves in this journal."""
    return bool(_limits_for(journal))


def reserve(journal: Journal, entry: Entry, budget: Budget | None, *, repeats: Repeats | None) -> Entry:
    """Call `Journal.reserve` with the limits in force; the entry gets their scopes.

    A limit that counts one journal is decided in the journal's transaction. A limit that counts several is checked
    when the entry is written: so two processes that reserve at the same moment count each other, and no limit is
    exceeded. Within a process a lock puts them in order, so the first is not refused because of the second. An entry
    that existed before is paid for already, so a replay is never refused.
    """
    limits = _limits_for(journal)
    scopes = (*_scopes.get(), *(scope for limit in limits for scope in limit.scopes))
    entry = replace(entry, scopes=scopes) if scopes else entry
    if not limits:
        return journal.reserve(entry, budget, repeats=repeats)
    locked = _reserve_lock.acquire(timeout=_LOCK_TIMEOUT)
    try:
        for limit in limits:
            limit.remember(journal)
        decided = [limit for limit in limits if limit.counted(journal) == [journal]]
        ceilings = [limit.ceiling(entry.created_at) for limit in decided]
        owner = journal.reserve(entry, budget, repeats=repeats, ceilings=ceilings)
        if owner.id == entry.id:
            try:
                for limit in limits:
                    if len(limit.counted(journal)) > 1:
                        limit.check(journal, entry)
            except BaseException:
                journal.forget(entry.id)
                raise
        return owner
    finally:
        if locked:
            _reserve_lock.release()


def _limits_for(journal: Journal) -> list[SpendLimit]:
    """The limits in force: those of the context, and those of the journal. Each counts once."""
    found: list[SpendLimit] = list(_limits.get())
    for watched, limit in _watched:
        if watched == journal and not any(limit.is_same(other) for other in found):
            found.append(limit)
    return found
