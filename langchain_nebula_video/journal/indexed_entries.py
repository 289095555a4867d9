"""The entries of a `MemoryJournal`, with the indexes that find them and the sums of what they count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from langchain_nebula_video.journal.budget import to_trillionths
from langchain_nebula_video.journal.entries import Entry, EntryState
from langchain_nebula_video.journal.running_sums import RunningSums
from langchain_nebula_video.journal.stretches import to_microseconds

__all__ = ["IndexedEntries"]

_K = TypeVar("_K")
_SAME_MOMENT = timedelta(hours=1)
"""Two submits further apart than this cannot be taken for each other: see `lifecycle.listing`."""


class IndexedEntries:
    """Entries by their ids, keys, tasks, requests, scopes and states. No look-up reads all of them."""

    def __init__(self) -> None:
        self.by_id: dict[str, Entry] = {}
        self.submitting: dict[str, None] = {}
        """The entries in mid-submit, oldest first."""
        self._by_key: dict[str, str] = {}
        self._adopted_keys: dict[str, list[str]] = {}
        """More keys of an entry: those of the calls that adopted it."""
        self._by_task: dict[tuple[str, str], tuple[str, ...]] = {}
        self._by_request: dict[bytes, tuple[str, ...]] = {}
        self._by_scope: dict[str, list[str]] = {}
        self._begun: dict[str, set[str]] = {}
        """Of each gateway, the entries in mid-submit whose POST has left."""
        self._lost: set[str] = set()
        """The entries of submits whose answer was lost."""
        self._done: dict[str, None] = {}
        """The entries that nothing but a repetition needs, in the order in which they got so far."""
        self._sums = RunningSums()
        self._evicted: dict[str, list[tuple[int, int]]] = {}
        """Of each scope, the moments and the amounts of the entries that were evicted."""

    # --- find ---

    def with_key(self, key: str | None) -> Entry | None:
        """Return the entry of a key."""
        found = None if key is None else self._by_key.get(key)
        return None if found is None else self.by_id[found]

    def with_task(self, gateway: str, task_id: str) -> list[Entry]:
        """Return the entries of a task, oldest first."""
        return self._all(self._by_task.get((gateway, task_id), ()))

    def with_request(self, other: Entry) -> list[Entry]:
        """Return the entries that may have the same request as another one."""
        return self._all(self._by_request.get(_request_digest(other), ()))

    def with_scope(self, scope: str | None) -> list[Entry]:
        """Return the entries that have a scope; `None`: all entries."""
        return [*self.by_id.values()] if scope is None else self._all(self._by_scope.get(scope, ()))

    def begun(self, gateway: str) -> list[Entry]:
        """Return the entries in mid-submit whose POST has left."""
        return self._all(self._begun.get(gateway, ()))

    def spent(self, since: datetime | None, scope: str | None) -> int:
        """Return what the entries made after a moment, with a scope, count, in trillionths of a dollar."""
        after = None if since is None else to_microseconds(since)
        if scope is None:
            return self._sums.total(after)
        amounts = [*map(_amount, self.with_scope(scope)), *self._evicted.get(scope, ())]
        return sum(amount for moment, amount in amounts if after is None or moment > after)

    def _all(self, ids: Iterable[str]) -> list[Entry]:
        return [self.by_id[id_] for id_ in ids]

    # --- change ---

    def store(self, entry: Entry) -> None:
        """Add an entry, or a changed one. Its request, scopes, moment and gateway never change."""
        if entry.id not in self.by_id:
            _add(self._by_request, _request_digest(entry), entry.id)
            for scope in entry.scopes:
                self._by_scope.setdefault(scope, []).append(entry.id)
            if entry.key is not None:
                self._by_key[entry.key] = entry.id
        self.by_id[entry.id] = entry
        self._sums.set(entry.id, *_amount(entry))
        begun = self._begun.setdefault(entry.gateway, set())
        if entry.state is EntryState.SUBMITTING:
            self.submitting[entry.id] = None
            (begun.discard if entry.sent_at is None else begun.add)(entry.id)
        else:
            self.submitting.pop(entry.id, None)
            begun.discard(entry.id)
        (self._lost.add if entry.state is EntryState.UNCONFIRMED else self._lost.discard)(entry.id)
        if entry.is_done:
            self._done[entry.id] = None
        if entry.task_id is not None:
            _add(self._by_task, (entry.gateway, entry.task_id), entry.id)

    def adopt(self, key: str, entry: Entry) -> None:
        """Give an entry one more key."""
        self._by_key[key] = entry.id
        self._adopted_keys.setdefault(entry.id, []).append(key)

    def remove(self, entry_id: str) -> None:
        """Remove an entry, if it is there, with its keys and what it counts."""
        entry = self.by_id.get(entry_id)
        if entry is not None:
            self._sums.remove(entry_id, to_microseconds(entry.created_at))
            self._forget(entry)

    def evict_outdated(self, now: datetime) -> None:
        """Remove the entries that are of no more use. What they count stays.

        One made when another submit was lost stays: its task, without an owner, would be taken for that one's.
        """
        while self._done and (entry := self.by_id[next(iter(self._done))]).is_outdated(now):
            del self._done[entry.id]
            if entry.is_done and entry.id not in self._adopted_keys and not self._is_near_lost(entry):
                moment = to_microseconds(entry.created_at)
                amount = self._sums.evict(entry.id, moment)
                for scope in entry.scopes:
                    self._evicted.setdefault(scope, []).append((moment, amount))
                self._forget(entry)

    def _is_near_lost(self, entry: Entry) -> bool:
        moment = _submitted_at(entry)
        return any(abs(_submitted_at(self.by_id[id_]) - moment) < _SAME_MOMENT for id_ in self._lost)

    def _forget(self, entry: Entry) -> None:
        """Remove an entry from everything but the sums."""
        del self.by_id[entry.id]
        _discard(self._by_request, _request_digest(entry), entry.id)
        for scope in entry.scopes:
            self._by_scope[scope].remove(entry.id)
            if not self._by_scope[scope]:
                del self._by_scope[scope]
        if entry.task_id is not None:
            _discard(self._by_task, (entry.gateway, entry.task_id), entry.id)
        for key in (*self._adopted_keys.pop(entry.id, ()), entry.key):
            if key is not None:
                del self._by_key[key]
        self.submitting.pop(entry.id, None)
        self._begun[entry.gateway].discard(entry.id)
        self._lost.discard(entry.id)
        self._done.pop(entry.id, None)

    # --- pickles ---

    def __getstate__(self) -> tuple[Any, ...]:
        adopted = {id_: [*keys] for id_, keys in self._adopted_keys.items()}
        scopes = {scope: [*amounts] for scope, amounts in self._evicted.items()}
        return [*self.by_id.values()], adopted, self._sums.evicted(), scopes

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__()  # type: ignore[misc]
        entries, self._adopted_keys, evicted, self._evicted = state
        for moment, amount in evicted:
            self._sums.add_evicted(moment, amount)
        for entry in entries:
            self.store(entry)
        self._by_key |= {key: id_ for id_, keys in self._adopted_keys.items() for key in keys}


def _submitted_at(entry: Entry) -> datetime:
    return entry.sent_at or entry.created_at


def _amount(entry: Entry) -> tuple[int, int]:
    """Return when an entry was made, in microseconds, and what it counts, in trillionths of a dollar."""
    return to_microseconds(entry.created_at), to_trillionths(entry.spent_usd)


def _request_digest(entry: Entry) -> bytes:
    """Return what tells requests apart, in few bytes."""
    request = json.dumps([entry.gateway, entry.request], sort_keys=True, default=str)
    return hashlib.blake2b(request.encode(), digest_size=16).digest()


def _add(index: dict[_K, tuple[str, ...]], name: _K, entry_id: str) -> None:
    """Add an entry under a name, most of which have one. Python's garbage collector looks at no tuple of text."""
    known = index.get(name, ())
    if entry_id not in known:
        index[name] = (*known, entry_id)


def _discard(index: dict[_K, tuple[str, ...]], name: _K, entry_id: str) -> None:
    left = tuple(known for known in index[name] if known != entry_id)
    if left:
        index[name] = left
    else:
        del index[name]
