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

Several processes may share a journal. Each holds the entries that it works on for a while (a lease), and notes the
moment before a POST leaves. So an entry left at `submitting` by a process that died is told apart from one under way:

| `submitting`, and                      |                                                         |
|----------------------------------------|---------------------------------------------------------|
| held, or never held                    | under way: whoever wants the same waits                 |
| the lease has run out, nothing sent    | forgotten: free to repeat                               |
| the lease has run out, the POST left   | unconfirmed, with its reservation                       |
"""

from __future__ import annotations

import math
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any

from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.errors import BudgetExceededError, JournalError, Money
from langchain_nebula_video.journal.budget import Budget
from langchain_nebula_video.schema import dollars

__all__ = [
    "FORGETTABLE_STATES",
    "MAX_REUSE_AGE",
    "UNBILLED_STATES",
    "Entry",
    "EntryState",
    "Journal",
    "check_budget",
    "lease_lost_error",
    "missing_entry_error",
    "round_up",
]


class EntryState(StrEnum):
    """Where an entry stands."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNCONFIRMED = "unconfirmed"


UNBILLED_STATES = frozenset({EntryState.FAILED, EntryState.CANCELED})
"""States in which nothing is billed."""
FORGETTABLE_STATES = frozenset({EntryState.SUBMITTING, EntryState.UNCONFIRMED})
"""States in which it can turn out that there is no task."""
_DAY = timedelta(days=1)
"""How long gateways remember a task that takes minutes."""
_EXACT = Decimal("1e-12")
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
    """When the POST left; noted before it leaves."""
    lost_at: datetime | None = None
    """When it was given up."""
    abandoned: bool = False
    """Whoever asked for it was told of an error, and got no video."""
    holder: str | None = None
    """The process that works on it."""
    held_until: datetime | None = None
    """When its lease runs out; `None`: it has none, and counts as alive."""
    updated_at: datetime | None = None
    """When it was last changed, its lease aside; `None`: not since it was made."""
    account: str | None = None
    """Tells apart the accounts of a gateway, and names none; `None`: an older version wrote it and did not say."""

    @property
    def spent_usd(self) -> Decimal:
        """What counts against a budget: the bill, else the reservation, nothing once it is known to be free."""
        if self.billed_usd is not None:
            return self.billed_usd
        return Decimal(0) if self.state in UNBILLED_STATES else self.reserved_usd

    @property
    def unfinished(self) -> bool:
        """Whether the gateway has accepted it and its end is not known."""
        return self.state in _UNFINISHED

    def is_orphaned(self, now: datetime) -> bool:
        """Whether it was left in mid-submit by a process that is gone."""
        return self.state is EntryState.SUBMITTING and self.held_until is not None and self.held_until <= now

    def is_repeated_by(self, other: Entry) -> bool:
        """Whether the other is a repetition: the very same request, within reach."""
        return self.request == other.request and self.can_serve(other)

    def can_serve(self, other: Entry) -> bool:
        """Whether a repetition may still go on with it: by the same account, while the gateway remembers its task."""
        same = self.gateway == other.gateway and self.account in {None, other.account}
        return same and other.created_at - self.created_at < _reuse_age(self.model)


def _reuse_age(model: str) -> timedelta:
    """Whole days, in which a task of this model comes to its end: one, and three for what waits off-peak."""
    row = MODELS.get(model)
    return _DAY * math.ceil(row.timeout / _DAY.total_seconds()) if row else _DAY


MAX_REUSE_AGE = max(map(_reuse_age, MODELS))
"""How long a repetition goes on with a task, at the longest."""


class Journal(typing.Protocol):
    """What the lifecycle asks of a journal. Each method is one transaction, safe across threads."""

    blocking: bool
    """Whether its methods may wait for a disk or a network, and must be kept off an event loop."""

    def reserve(self, entry: Entry, budget: Budget | None, *, adopt: bool = False) -> Entry:
        """Write the entry and reserve its cost, or give back the one that has its key already.

        With `adopt`, an account's abandoned entry of the very same request is given back too, and has the key then:
        what is repeated by itself, or by a language model, goes on with what may have been paid for. It is no
        longer abandoned then, unless it has no task yet: the next repetition must find it too.

        An entry that was left in mid-submit (see above) is not given back as it is: if nothing was sent, it makes
        room for the new one; if the POST had left, it becomes unconfirmed first. `entry.created_at` is the present.

        Raises:
            BudgetExceededError: the budget does not hold it; it is not written.
        """
        ...

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """Change fields of an entry and give it back.

        Raises:
            KeyError: there is no such entry.
            JournalError: there is none, and the change was to give it a task, which the error names.
        """
        ...

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """Note that the POST leaves now, on disk before this returns; `False`: too many are under way, all over.

        Under way is what was begun at the same gateway, is `submitting` and held. If `cap` of them are, nothing is
        changed. An attempt that was provably not accepted is taken back with `update(entry_id, sent_at=None)`.

        Raises:
            JournalError: the entry is not there to be sent any more: its lease had run out, and another process
                saw to it.
        """
        ...

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """Take or prolong the lease, and give the entry back as it is; `None`: another one has it, or it is gone."""
        ...

    def release(self, entry_id: str, holder: str) -> None:
        """Give the lease back, if it is the holder's."""
        ...

    def sweep(self, now: datetime) -> list[Entry]:
        """See to all that was left in mid-submit; what has become unconfirmed, oldest first."""
        ...

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """Give an unconfirmed entry without a task the one that was found to be its own, and give it back.

        An entry that has that very task already is given back as it is. `None`: another entry has that task by now;
        or this one is gone, has another task, or is not unconfirmed.
        """
        ...

    def forget(self, entry_id: str) -> bool:
        """Take an entry out whose task was provably not accepted; its keys and its reservation are free again.

        Only one without a task that is `submitting` or `unconfirmed` goes: somebody else may have found its task
        meanwhile. Whether it is gone; `False`: it stays, unchanged.
        """
        ...

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """The entry with this key, or the newest of this gateway's task."""
        ...

    def entries(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        since: datetime | None = None,
        key_prefix: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """All entries, or those in one of these states, of this gateway, made after that moment, with such a key.

        Oldest first, unless said otherwise.
        """
        ...

    def spent(self, since: datetime | None = None) -> Decimal:
        """US dollars billed or reserved by entries made after that moment, or ever; see `counted`."""
        ...

    def close(self) -> None:
        """Close its connections; it can be used again."""
        ...


def round_up(usd: Decimal) -> Decimal:
    """An amount as budgets count it: in trillionths of a dollar, which SQL adds up exactly; the rest rounds up."""
    exponent = usd.as_tuple().exponent
    return usd.quantize(_EXACT, ROUND_CEILING) if isinstance(exponent, int) and exponent < -12 else usd


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


def lease_lost_error() -> JournalError:
    """What `begin` says of an entry that another process has seen to."""
    return JournalError(
        "This submit waited for its turn longer than it was held, and another process has seen to it.",
        hint="Repeat it.",
    )


def missing_entry_error(entry_id: str, changes: Mapping[str, Any]) -> Exception:
    """What `update` says of an entry that is not there: a task that is paid for is named."""
    task_id = changes.get("task_id")
    if task_id is None:
        return KeyError(entry_id)
    return JournalError(
        f"The journal entry of task {task_id} was forgotten meanwhile.",
        money=Money.RUNNING,
        hint=f"Note the task's id: wait({task_id!r}) fetches the video.",
        task_id=task_id,
    )
