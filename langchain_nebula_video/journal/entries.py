"""The entries of a journal: one for each task that was paid for, or may have been.

An entry is written before the POST leaves. The same transaction checks the budget and reserves the estimated cost. The
task id is written before anything else happens. So a crash at any point loses no task that may have been paid for, and
the same key never pays twice.

```text
reserve ──► submitting ──► submitted ──► running ──► succeeded   (settled: what was billed)
                │                              ├──► failed       (nothing is billed)
                │                              └──► canceled     (nothing is billed)
                ├──► unconfirmed    keeps its reservation; if the gateway lists its tasks, it may become submitted
                └──► forgotten      refused or never sent: the entry is deleted and the key is free again
```

Several processes may share a journal. A process takes a lease on each entry that it works on, and records the moment
before a POST leaves. So an entry left in mid-submit by a process that died differs from one under way:

| `submitting`, and                      |                                                         |
|----------------------------------------|---------------------------------------------------------|
| the lease is valid, or there is none   | under way: another call with the same key waits         |
| the lease has expired, nothing sent    | forgotten: free to repeat                               |
| the lease has expired, the POST left   | unconfirmed, with its reservation                       |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from langchain_nebula_video.catalog.models import MODELS

__all__ = [
    "FORGETTABLE_STATES",
    "KEPT_STATES",
    "MAX_REUSE_AGE",
    "UNBILLED_STATES",
    "Entry",
    "EntryState",
    "Repeats",
    "Summary",
]


class EntryState(StrEnum):
    """The state of an entry."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNCONFIRMED = "unconfirmed"
    UNKNOWN = "unknown"
    """A newer version wrote the state. This version reads the entry and counts it, and does not change it."""


UNBILLED_STATES = frozenset({EntryState.FAILED, EntryState.CANCELED})
"""States in which nothing is billed."""
FORGETTABLE_STATES = frozenset({EntryState.SUBMITTING, EntryState.UNCONFIRMED})
"""States in which it may turn out that there is no task, so the entry may be forgotten."""
KEPT_STATES = FORGETTABLE_STATES | {EntryState.UNKNOWN}
"""States in which a repetition joins an entry and does not take it over."""
_DAY = timedelta(days=1)
"""How long gateways remember a task that takes minutes."""
_ENDED = UNBILLED_STATES | {EntryState.SUCCEEDED}
_UNFINISHED = frozenset({EntryState.SUBMITTED, EntryState.RUNNING})


def _nobody_is_dead(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Which entries a new entry of the same request may join, besides abandoned ones. For entries without a key."""

    since: datetime | None = None
    """Any entry made after this moment, whoever works on it or has its video; `None`: none."""
    is_dead: Callable[[str], bool] = _nobody_is_dead
    """Whether the process of a holder is known to be gone. Its entries are joined, whenever they were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One task, or one attempt to submit a task."""

    id: str
    """The journal's own id; it exists before the gateway has given the task an id."""
    gateway: str
    model: str
    request: Mapping[str, Any]
    """The request as plain data. Images are digests, never their content."""
    created_at: datetime
    state: EntryState = EntryState.SUBMITTING
    key: str | None = None
    task_id: str | None = None
    reserved_usd: Decimal = Decimal(0)
    billed_usd: Decimal | None = None
    video: Mapping[str, Any] | None = field(default=None, repr=False)
    """The finished video as plain data."""
    reason: str | None = None
    """Why the task failed. While the submit is unconfirmed: the request id that an incomplete answer had. While the
    task is under way: a warning about its money, if the answer to the submit gave cause for one."""
    sent_at: datetime | None = None
    """When the POST left; written before it leaves."""
    lost_at: datetime | None = None
    """When the submit was given up as lost."""
    abandoned: bool = False
    """Whether the caller got an error instead of a video."""
    holder: str | None = None
    """The call that has the lease."""
    held_until: datetime | None = None
    """When the lease expires; `None`: there is no lease, and the entry counts as under way."""
    updated_at: datetime | None = None
    """When a field other than the lease last changed; `None`: never since it was made."""
    account: str | None = None
    """Distinguishes the accounts of a gateway without naming them; `None`: an older version wrote the entry."""
    host: str | None = None
    """Host and port of the gateway's address; `None`: an older version wrote the entry."""
    play_money: bool = False
    """An emulator took the task: nothing was really paid. It counts against a budget all the same."""
    scopes: tuple[str, ...] = ()
    """The budgets that it counts for besides the journal's: hashes of an agent's run and thread, sorted."""

    def __post_init__(self) -> None:
        if self.scopes:
            object.__setattr__(self, "scopes", tuple(sorted(set(self.scopes))))

    @property
    def spent_usd(self) -> Decimal:
        """What counts against a budget: the bill, else the reservation, and nothing once it is known to be unbilled."""
        if self.billed_usd is not None:
            return self.billed_usd
        return Decimal(0) if self.state in UNBILLED_STATES else self.reserved_usd

    @property
    def unfinished(self) -> bool:
        """Whether the gateway has accepted the task and its end is not known."""
        return self.state in _UNFINISHED

    def is_orphaned(self, now: datetime) -> bool:
        """Return whether a process that is gone left the entry in mid-submit."""
        return self.state is EntryState.SUBMITTING and self.held_until is not None and self.held_until <= now

    def is_joined_by(self, other: Entry, repeats: Repeats) -> bool:
        """Return whether the other entry, a new one, continues with this one's task instead of paying for its own.

        Both have the very same request, and `can_serve`. Without keys, that is the only thing that tells them apart.
        """
        # In this order: of thousands of calls with the same request, nearly all are at work and open to nobody.
        return (
            self.state not in UNBILLED_STATES
            and self._is_open_to(other, repeats)
            and self.request == other.request
            and self.can_serve(other)
        )

    def _is_open_to(self, other: Entry, repeats: Repeats) -> bool:
        """Whether its caller has given up or is gone, or repetitions of it are wanted."""
        if self.abandoned or self.is_orphaned(other.created_at):
            return True
        if self.key is not None or other.key is not None:
            return False
        recent = repeats.since is not None and self.created_at > repeats.since
        return (recent or self.is_deserted(other.created_at, repeats)) and self._has_usable_video(other.created_at)

    def is_deserted(self, now: datetime, repeats: Repeats) -> bool:
        """Return whether the process that works on the entry is gone: its lease has expired, or it is known dead."""
        if self.holder is None or self.held_until is None:
            return False
        return self.held_until <= now or repeats.is_dead(self.holder)

    def _has_usable_video(self, now: datetime) -> bool:
        """Return `False` for a finished video that was not saved and whose URL has expired."""
        if self.state is not EntryState.SUCCEEDED or self.video is None or self.video.get("path"):
            return True
        try:
            return datetime.fromisoformat(self.video["expires_at"]) > now
        except (KeyError, TypeError, ValueError):  # a newer version may write it otherwise
            return True

    def can_serve(self, other: Entry) -> bool:
        """Return whether the other entry may use this task: the same account, while the gateway remembers it."""
        same = self.gateway == other.gateway and self.account in {None, other.account}
        return same and not self.is_outdated(other.created_at)

    def is_outdated(self, now: datetime) -> bool:
        """Return whether the gateway has forgotten the task."""
        return now - self.created_at >= _reuse_age(self.model)

    @property
    def is_done(self) -> bool:
        """Whether the task has ended, its caller has the result, and no key stands for it."""
        return self.state in _ENDED and self.key is None and not self.abandoned and self.holder is None


@dataclass(slots=True)
class Summary:
    """How many entries there are, and what they have cost. Sums are rounded up, see `round_up`."""

    states: dict[EntryState, int] = field(default_factory=dict)
    """The number of entries in each state that occurs."""
    billed_usd: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)
    """What counts against a budget: what was billed, and what is reserved."""

    def add(self, state: EntryState, count: int, billed_usd: Decimal, spent_usd: Decimal) -> None:
        """Add entries of a state."""
        self.states[state] = self.states.get(state, 0) + count
        self.billed_usd += billed_usd
        self.spent_usd += spent_usd

    @property
    def count(self) -> int:
        """The number of all entries."""
        return sum(self.states.values())


def _reuse_age(model: str) -> timedelta:
    """Return the whole days in which a task of this model ends: one, and three for off-peak models."""
    row = MODELS.get(model)
    return _DAY * math.ceil(row.timeout / _DAY.total_seconds()) if row else _DAY


MAX_REUSE_AGE = max(map(_reuse_age, MODELS))
"""The longest time for which a repetition may reuse a task."""
