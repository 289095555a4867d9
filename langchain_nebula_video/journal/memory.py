"""`MemoryJournal`: a journal in the memory of this process."""

from __future__ import annotations

import json
import uuid
import weakref
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from langchain_nebula_video.journal.budget import Budget, Ceiling, check_budget, check_ceilings, round_up
from langchain_nebula_video.journal.entries import FORGETTABLE_STATES, KEPT_STATES, Entry, EntryState, Repeats, Summary
from langchain_nebula_video.journal.forks import ForkLock
from langchain_nebula_video.journal.protocol import lease_lost_error, missing_entry_error

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """A journal in the memory of this process: keys and budgets hold as long as the process lives.

    Safe across threads and coroutines. A copy is the same journal, and so is a pickle that is loaded in this process.
    Loaded in another process, a pickle becomes a new journal with the entries that it contains.
    """

    blocking = False

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex
        self._lock = ForkLock()
        self._entries: dict[str, Entry] = {}
        self._by_key: dict[str, str] = {}
        self._by_task: dict[tuple[str, str], list[str]] = {}
        self._by_request: dict[str, set[str]] = {}
        self._submitting: set[str] = set()
        _INSTANCES[self._name] = self

    def reserve(
        self, entry: Entry, budget: Budget | None, *, repeats: Repeats | None = None, ceilings: Sequence[Ceiling] = ()
    ) -> Entry:
        """See `Journal.reserve`."""
        with self._lock:
            owner = self._entries[self._by_key[entry.key]] if entry.key in self._by_key else None
            if owner is not None and not owner.is_orphaned(entry.created_at):
                return owner
            if owner is not None and (lost := self._resolve_orphan(owner, entry.created_at)):
                return lost
            if repeats is not None and (joined := self._join(entry, repeats)):
                return joined
            if budget is not None:
                since = entry.created_at - budget.per if budget.per else None
                check_budget(budget, self._spent(since), entry.reserved_usd)
            check_ceilings(ceilings, self._spent, entry.reserved_usd)
            self._store(entry)
            return entry

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """See `Journal.update`."""
        with self._lock:
            if entry_id not in self._entries:
                raise missing_entry_error(entry_id, changes)
            return self._change(entry_id, **changes)

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """See `Journal.begin`."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is None or entry.state is not EntryState.SUBMITTING or not _can_hold(entry, holder, now):
                raise lease_lost_error()
            begun = entry.sent_at == now and entry.holder == holder  # this very call has begun it, as in `SqlJournal`
            others = (self._entries[id_] for id_ in self._submitting if id_ != entry_id)
            if not begun and sum(_in_flight(other, entry.gateway, now) for other in others) >= cap:
                return False
            self._change(entry_id, sent_at=now, holder=holder, held_until=until, updated_at=now)
            return True

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """See `Journal.hold`."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is None or not _can_hold(entry, holder, now):
                return None
            entry = replace(entry, holder=holder, held_until=until)
            self._store(entry)
            return entry

    def release(self, entry_id: str, holder: str) -> None:
        """See `Journal.release`."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is not None and entry.holder == holder:
                self._store(replace(entry, holder=None, held_until=None))

    def sweep(self, now: datetime) -> list[Entry]:
        """See `Journal.sweep`."""
        with self._lock:
            dead = [entry for id_ in self._submitting if (entry := self._entries[id_]).is_orphaned(now)]
            lost = [entry for entry in (self._resolve_orphan(entry, now) for entry in dead) if entry is not None]
            return sorted(lost, key=lambda entry: (entry.created_at, entry.id))

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """See `Journal.claim`."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is None or {*self._by_task.get((entry.gateway, task_id), ())} - {entry_id}:
                return None
            if entry.task_id is not None or entry.state is not EntryState.UNCONFIRMED:
                return entry if entry.task_id == task_id else None
            return self._change(entry_id, task_id=task_id, state=EntryState.SUBMITTED, reason=None, abandoned=False)

    def forget(self, entry_id: str) -> bool:
        """See `Journal.forget`."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is not None and (entry.task_id is not None or entry.state not in FORGETTABLE_STATES):
                return False
            self._remove(entry_id)
            return True

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """See `Journal.find`."""
        with self._lock:
            if key is not None:
                return self._entries[self._by_key[key]] if key in self._by_key else None
            found = self._by_task.get((gateway or "", task_id or ""))
            return self._entries[found[-1]] if found else None

    def entries(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        since: datetime | None = None,
        key_prefix: str | None = None,
        scope: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """See `Journal.entries`."""
        with self._lock:
            found = sorted(self._entries.values(), key=lambda entry: entry.created_at)
        chosen = (
            entry
            for entry in (reversed(found) if newest_first else found)
            if (states is None or entry.state in states)
            and (gateway is None or entry.gateway == gateway)
            and (since is None or entry.created_at > since)
            and (key_prefix is None or (entry.key or "").startswith(key_prefix))
            and (scope is None or scope in entry.scopes)
        )
        return list(islice(chosen, limit))

    def summarize(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        since: datetime | None = None,
    ) -> Summary:
        """See `Journal.summarize`."""
        summary = Summary()
        for entry in self.entries(states=states, gateway=gateway, since=since):
            billed = Decimal(0) if entry.billed_usd is None else round_up(entry.billed_usd)
            summary.add(entry.state, 1, billed, round_up(entry.spent_usd))
        return summary

    def spent(self, since: datetime | None = None, *, scope: str | None = None) -> Decimal:
        """See `Journal.spent`."""
        with self._lock:
            return self._spent(since, scope)

    def close(self) -> None:
        """See `Journal.close`: there is nothing to close."""

    def _spent(self, since: datetime | None, scope: str | None = None) -> Decimal:
        made = (e for e in self._entries.values() if since is None or e.created_at > since)
        return sum((round_up(e.spent_usd) for e in made if scope is None or scope in e.scopes), Decimal(0))

    def _join(self, entry: Entry, repeats: Repeats) -> Entry | None:
        """Return the oldest entry that this one joins, taken over if nobody works on it."""
        candidates = [self._entries[id_] for id_ in self._by_request.get(_request_key(entry), ())]
        for other in sorted(candidates, key=lambda other: (other.created_at, other.id)):
            if not other.is_joined_by(entry, repeats):
                continue
            found = self._resolve_orphan(other, entry.created_at) if other.is_orphaned(entry.created_at) else other
            if found is None:
                continue
            if entry.key is not None:
                self._by_key[entry.key] = found.id
            deserted = found.is_deserted(entry.created_at, repeats)
            if found.state not in KEPT_STATES and (found.abandoned or deserted):
                lease: dict[str, Any] = {"holder": entry.holder, "held_until": entry.held_until} if deserted else {}
                found = replace(found, abandoned=False, updated_at=entry.created_at, **lease)
                self._store(found)
            return found
        return None

    def _resolve_orphan(self, entry: Entry, now: datetime) -> Entry | None:
        """Return an entry left in mid-submit as unconfirmed, or delete it if nothing was sent."""
        if entry.sent_at is None:
            self._remove(entry.id)
            return None
        lost = {"state": EntryState.UNCONFIRMED, "abandoned": True, "lost_at": entry.held_until, "updated_at": now}
        return self._change(entry.id, **lost)

    def _change(self, entry_id: str, **changes: Any) -> Entry:
        entry = replace(self._entries[entry_id], **{"updated_at": datetime.now(UTC), **changes})
        self._store(entry)
        return entry

    def _store(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._by_request.setdefault(_request_key(entry), set()).add(entry.id)
        submitting = entry.state is EntryState.SUBMITTING
        (self._submitting.add if submitting else self._submitting.discard)(entry.id)
        if entry.key is not None:
            self._by_key[entry.key] = entry.id
        if entry.task_id is not None:
            known = self._by_task.setdefault((entry.gateway, entry.task_id), [])
            if entry.id not in known:
                known.append(entry.id)

    def _remove(self, entry_id: str) -> None:
        entry = self._entries.pop(entry_id, None)
        if entry is None:
            return
        self._by_request[_request_key(entry)].discard(entry_id)
        self._submitting.discard(entry_id)
        for key in [key for key, owner in self._by_key.items() if owner == entry_id]:
            del self._by_key[key]
        if entry.task_id is not None:
            self._by_task[(entry.gateway, entry.task_id)].remove(entry_id)

    def __copy__(self) -> MemoryJournal:
        return self

    def __deepcopy__(self, memo: object) -> MemoryJournal:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            return _unpickle, (self._name, list(self._entries.values()), dict(self._by_key))


_INSTANCES: weakref.WeakValueDictionary[str, MemoryJournal] = weakref.WeakValueDictionary()


def _unpickle(name: str, entries: list[Entry], keys: dict[str, str]) -> MemoryJournal:
    living = _INSTANCES.get(name)
    if living is not None:
        return living
    journal = MemoryJournal()
    _INSTANCES[name] = journal
    for entry in entries:
        journal._store(entry)  # noqa: SLF001 a constructor of its own
    journal._by_key.update(keys)  # noqa: SLF001
    return journal


def _request_key(entry: Entry) -> str:
    return json.dumps([entry.gateway, entry.request], sort_keys=True, default=str)


def _can_hold(entry: Entry, holder: str, now: datetime) -> bool:
    return entry.holder in {None, holder} or entry.held_until is None or entry.held_until <= now


def _in_flight(entry: Entry, gateway: str, now: datetime) -> bool:
    sent = entry.gateway == gateway and entry.sent_at is not None
    return sent and entry.held_until is not None and entry.held_until > now
