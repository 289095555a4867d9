"""The record of paid tasks; budgets are enforced in it.

A row stands before the POST leaves, with the estimated cost reserved by the same step that checks the
budget; the task id is written before anything else happens. So whatever dies in between, nothing that may
have been paid for is forgotten, and the same key never pays twice.

```text
reserve ──► submitting ──► submitted ──► running ──► succeeded   (settled: what was billed)
                │                              ├──► failed       (nothing is billed)
                │                              └──► canceled     (nothing is billed)
                ├──► unconfirmed    keeps its reservation; where the gateway lists its tasks, it may become submitted
                └──► forgotten      refused or never sent: the key is free again
```
"""

from __future__ import annotations

import threading
import typing
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from langchain_nebula_video.errors import BudgetExceededError
from langchain_nebula_video.schema import Budget, dollars

__all__ = ["Entry", "EntryState", "Journal", "MemoryJournal"]


class EntryState(StrEnum):
    """Where an entry stands."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNCONFIRMED = "unconfirmed"


_FREE = frozenset({EntryState.FAILED, EntryState.CANCELED})
_REMEMBERED = timedelta(hours=24)  # as long as gateways remember a task
_UNFINISHED = frozenset({EntryState.SUBMITTED, EntryState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One task on record."""

    id: str
    """The journal's own name for it: there is one before the gateway has given the task's."""
    gateway: str
    model: str
    request: Mapping[str, Any]
    """What was asked for, as plain data; images by digest, never by content."""
    created_at: datetime
    state: EntryState = EntryState.SUBMITTING
    key: str | None = None
    task_id: str | None = None
    reserved_usd: Decimal = Decimal(0)
    billed_usd: Decimal | None = None
    video: Mapping[str, Any] | None = field(default=None, repr=False)
    """The finished video as plain data."""
    reason: str | None = None
    """Why it failed."""
    sent_at: datetime | None = None
    """When the POST left whose answer was lost."""
    lost_at: datetime | None = None
    """When it was given up."""
    abandoned: bool = False
    """Whoever asked for it was told of an error, and got no video."""

    @property
    def spent_usd(self) -> Decimal:
        """What counts against a budget: the bill, else the reservation, nothing once it is known to be free."""
        if self.billed_usd is not None:
            return self.billed_usd
        return Decimal(0) if self.state in _FREE else self.reserved_usd

    @property
    def unfinished(self) -> bool:
        """Whether the gateway has accepted it and its end is not known."""
        return self.state in _UNFINISHED

    def is_like(self, other: Entry) -> bool:
        """Whether the other is a repetition: the very same request to the same gateway, within a day."""
        same = self.gateway == other.gateway and self.request == other.request
        return same and other.created_at - self.created_at < _REMEMBERED


class Journal(typing.Protocol):
    """What the lifecycle asks of a journal. Each method is one transaction, safe across threads."""

    blocking: bool
    """Whether its methods may wait for a disk or a network, and must be kept off an event loop."""

    def reserve(self, entry: Entry, budget: Budget | None, *, adopt: bool = False) -> Entry:
        """Write the entry and reserve its cost, or give back the one that has its key already.

        With `adopt`, an abandoned entry of the very same request is given back too, and has the key from now on:
        what is repeated by itself, or by a language model, goes on with what may have been paid for. It is no
        longer abandoned then, unless it is unconfirmed.

        Raises:
            BudgetExceededError: the budget does not hold it; nothing is written.
        """
        ...

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """Change fields of an entry and give it back.

        Raises:
            KeyError: there is no such entry.
        """
        ...

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """Give an unconfirmed entry the task that was found to be its own, and give it back.

        `None`: another entry has that task by now, or this one is gone.
        """
        ...

    def forget(self, entry_id: str) -> None:
        """Take an entry out whose task was provably not accepted; its key and its reservation are free again."""
        ...

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """The entry with this key, or of this gateway's task."""
        ...

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        ...

    def spent(self, since: datetime | None = None) -> Decimal:
        """US dollars billed or reserved by entries made after that moment, or ever."""
        ...


class MemoryJournal:
    """A journal in this process's memory: keys and budgets hold as long as the process lives.

    Safe across threads and coroutines. Copies share it, and unpickled within the process it is the same
    journal again; in another process it begins with the entries that it had.
    """

    blocking = False

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._by_key: dict[str, str] = {}
        self._by_task: dict[tuple[str, str], str] = {}
        self._abandoned: set[str] = set()
        _LIVE[self._name] = self

    def reserve(self, entry: Entry, budget: Budget | None, *, adopt: bool = False) -> Entry:
        """See `Journal.reserve`."""
        with self._lock:
            if entry.key is not None and entry.key in self._by_key:
                return self._entries[self._by_key[entry.key]]
            like = self._abandoned_like(entry) if adopt else None
            if like is not None:
                if entry.key is not None:
                    self._by_key[entry.key] = like.id
                if like.state is not EntryState.UNCONFIRMED:
                    like = replace(like, abandoned=False)
                    self._put(like)
                return like
            if budget is not None:
                since = entry.created_at - budget.per if budget.per else None
                check_budget(budget, self._spent(since), entry.reserved_usd)
            self._put(entry)
            return entry

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """See `Journal.update`."""
        with self._lock:
            entry = replace(self._entries[entry_id], **changes)
            self._put(entry)
            return entry

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """See `Journal.claim`."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is None or self._by_task.get((entry.gateway, task_id), entry_id) != entry_id:
                return None
            entry = replace(entry, task_id=task_id, state=EntryState.SUBMITTED, abandoned=False)
            self._put(entry)
            return entry

    def forget(self, entry_id: str) -> None:
        """See `Journal.forget`."""
        with self._lock:
            entry = self._entries.pop(entry_id, None)
            self._abandoned.discard(entry_id)
            if entry is not None and entry.key is not None:
                self._by_key.pop(entry.key, None)

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """See `Journal.find`."""
        with self._lock:
            found = self._by_key.get(key) if key is not None else self._by_task.get((gateway or "", task_id or ""))
            return self._entries.get(found) if found else None

    def entries(self) -> list[Entry]:
        """See `Journal.entries`."""
        with self._lock:
            return list(self._entries.values())

    def spent(self, since: datetime | None = None) -> Decimal:
        """See `Journal.spent`."""
        with self._lock:
            return self._spent(since)

    def _spent(self, since: datetime | None) -> Decimal:
        counted = (e.spent_usd for e in self._entries.values() if since is None or e.created_at > since)
        return sum(counted, Decimal(0))

    def _abandoned_like(self, entry: Entry) -> Entry | None:
        found = (self._entries[id_] for id_ in self._abandoned)
        return next((other for other in found if other.is_like(entry) and other.state not in _FREE), None)

    def _put(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        (self._abandoned.add if entry.abandoned else self._abandoned.discard)(entry.id)
        if entry.key is not None:
            self._by_key[entry.key] = entry.id
        if entry.task_id is not None:
            self._by_task[(entry.gateway, entry.task_id)] = entry.id

    def __copy__(self) -> MemoryJournal:
        return self

    def __deepcopy__(self, memo: object) -> MemoryJournal:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            return _restored, (self._name, list(self._entries.values()), dict(self._by_key))


_LIVE: weakref.WeakValueDictionary[str, MemoryJournal] = weakref.WeakValueDictionary()


def _restored(name: str, entries: list[Entry], keys: dict[str, str]) -> MemoryJournal:
    living = _LIVE.get(name)
    if living is not None:
        return living
    journal = MemoryJournal()
    _LIVE[name] = journal
    for entry in entries:
        journal._put(entry)  # noqa: SLF001 a constructor of its own
    journal._by_key.update(keys)  # noqa: SLF001
    return journal


def check_budget(budget: Budget, spent: Decimal, wanted: Decimal) -> None:
    """The one rule of budgets: spent and reserved so far, and this one, stay within the ceiling.

    Raises:
        BudgetExceededError: they do not.
    """
    if spent + wanted > budget.usd:
        left = max(budget.usd - spent, Decimal(0))
        raise BudgetExceededError(
            f"This video would cost {dollars(wanted)}, and {dollars(left)} is left of the budget of {budget}."
        )
