"""`MemoryJournal`: a journal in the memory of this process."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.journal.budget import (
    Budget,
    Ceiling,
    check_budget,
    check_ceilings,
    from_trillionths,
    round_up,
)
from langchain_nebula_video.journal.entries import FORGETTABLE_STATES, KEPT_STATES, Entry, EntryState, Repeats, Summary
from langchain_nebula_video.journal.forks import ForkLock
from langchain_nebula_video.journal.indexed_entries import IndexedEntries
from langchain_nebula_video.journal.protocol import lease_lost_error, missing_entry_error

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """A journal in the memory of this process: keys and budgets hold as long as the process lives.

    An entry without a key goes once its task has ended, its caller has the video, and the gateway has forgotten the
    task: after a day, or three for off-peak models. Its cost stays in all sums.

    Safe across threads and coroutines. A copy is the same journal, and so is a pickle that is loaded in this process.
    Loaded in another process, a pickle becomes a new journal with the entries that it contains.
    """

    blocking = False

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex
        self._lock = ForkLock()
        self._entries = IndexedEntries()
        _INSTANCES[self._name] = self

    def reserve(
        self, entry: Entry, budget: Budget | None, *, repeats: Repeats | None = None, ceilings: Sequence[Ceiling] = ()
    ) -> Entry:
        """See `Journal.reserve`."""
        with self._lock:
            self._entries.evict_outdated(entry.created_at)
            owner = self._entries.with_key(entry.key)
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
            self._entries.store(entry)
            return entry

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """See `Journal.update`."""
        with self._lock:
            if entry_id not in self._entries.by_id:
                raise missing_entry_error(entry_id, changes)
            return self._change(entry_id, **changes)

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """See `Journal.begin`."""
        with self._lock:
            entry = self._entries.by_id.get(entry_id)
            if entry is None or entry.state is not EntryState.SUBMITTING or not _can_hold(entry, holder, now):
                raise lease_lost_error()
            begun = entry.sent_at == now and entry.holder == holder  # this very call has begun it, as in `SqlJournal`
            others = (other for other in self._entries.begun(entry.gateway) if other.id != entry_id)
            if not begun and sum(other.held_until is not None and other.held_until > now for other in others) >= cap:
                return False
            self._change(entry_id, sent_at=now, holder=holder, held_until=until, updated_at=now)
            return True

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """See `Journal.hold`."""
        with self._lock:
            entry = self._entries.by_id.get(entry_id)
            if entry is None or not _can_hold(entry, holder, now):
                return None
            entry = replace(entry, holder=holder, held_until=until)
            self._entries.store(entry)
            return entry

    def release(self, entry_id: str, holder: str) -> None:
        """See `Journal.release`."""
        with self._lock:
            entry = self._entries.by_id.get(entry_id)
            if entry is not None and entry.holder == holder:
                self._entries.store(replace(entry, holder=None, held_until=None))

    def sweep(self, now: datetime) -> list[Entry]:
        """See `Journal.sweep`."""
        with self._lock:
            submitting = [self._entries.by_id[id_] for id_ in self._entries.submitting]
            dead = [entry for entry in submitting if entry.is_orphaned(now)]
            lost = [entry for entry in (self._resolve_orphan(entry, now) for entry in dead) if entry is not None]
            return sorted(lost, key=lambda entry: (entry.created_at, entry.id))

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """See `Journal.claim`."""
        with self._lock:
            entry = self._entries.by_id.get(entry_id)
            if entry is None:
                return None
            if any(other.id != entry_id for other in self._entries.with_task(entry.gateway, task_id)):
                return None
            if entry.task_id is not None or entry.state is not EntryState.UNCONFIRMED:
                return entry if entry.task_id == task_id else None
            return self._change(entry_id, task_id=task_id, state=EntryState.SUBMITTED, reason=None, abandoned=False)

    def forget(self, entry_id: str) -> bool:
        """See `Journal.forget`."""
        with self._lock:
            entry = self._entries.by_id.get(entry_id)
            if entry is not None and (entry.task_id is not None or entry.state not in FORGETTABLE_STATES):
                return False
            self._entries.remove(entry_id)
            return True

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """See `Journal.find`."""
        with self._lock:
            if key is not None:
                return self._entries.with_key(key)
            found = self._entries.with_task(gateway or "", task_id or "")
            return found[-1] if found else None

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
        with self._lock:
            known = (
                self._entries.with_scope(scope) if same_request is None else self._entries.with_request(same_request)
            )
        matching = [
            entry
            for entry in known
            if (states is None or entry.state in states)
            and (gateway is None or entry.gateway == gateway)
            and (since is None or entry.created_at > since)
            and (scope is None or scope in entry.scopes)
            and (key_prefix is None or (entry.key or "").startswith(key_prefix))
        ]
        matching.sort(key=lambda entry: entry.created_at)
        return (matching[::-1] if newest_first else matching)[:limit]

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
        return from_trillionths(self._entries.spent(since, scope))

    def _join(self, entry: Entry, repeats: Repeats) -> Entry | None:
        """Return the oldest entry that this one joins, taken over if nobody works on it."""
        fitting = [other for other in self._entries.with_request(entry) if other.is_joined_by(entry, repeats)]
        for other in sorted(fitting, key=lambda other: (other.created_at, other.id)):
            found = self._resolve_orphan(other, entry.created_at) if other.is_orphaned(entry.created_at) else other
            if found is None:
                continue
            if entry.key is not None:
                self._entries.adopt(entry.key, found)
            deserted = found.is_deserted(entry.created_at, repeats)
            if found.state not in KEPT_STATES and (found.abandoned or deserted):
                lease: dict[str, Any] = {"holder": entry.holder, "held_until": entry.held_until} if deserted else {}
                found = replace(found, abandoned=False, updated_at=entry.created_at, **lease)
                self._entries.store(found)
            return found
        return None

    def _resolve_orphan(self, entry: Entry, now: datetime) -> Entry | None:
        """Return an entry left in mid-submit as unconfirmed, or delete it if nothing was sent."""
        if entry.sent_at is None:
            self._entries.remove(entry.id)
            return None
        lost = {"state": EntryState.UNCONFIRMED, "abandoned": True, "lost_at": entry.held_until, "updated_at": now}
        return self._change(entry.id, **lost)

    def _change(self, entry_id: str, **changes: Any) -> Entry:
        entry = replace(self._entries.by_id[entry_id], **{"updated_at": datetime.now(UTC), **changes})
        self._entries.store(entry)
        return entry

    def __copy__(self) -> MemoryJournal:
        return self

    def __deepcopy__(self, memo: object) -> MemoryJournal:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            return _unpickle, (self._name, self._entries.__getstate__())


_INSTANCES: weakref.WeakValueDictionary[str, MemoryJournal] = weakref.WeakValueDictionary()


def _unpickle(name: str, state: tuple[Any, ...]) -> MemoryJournal:
    living = _INSTANCES.get(name)
    if living is not None:
        return living
    journal = MemoryJournal()
    _INSTANCES[name] = journal
    journal._entries.__setstate__(state)  # noqa: SLF001 a constructor of its own
    return journal


def _can_hold(entry: Entry, holder: str, now: datetime) -> bool:
    return entry.holder in {None, holder} or entry.held_until is None or entry.held_until <= now
