"""The protocol that every journal implements, and the errors that its methods raise."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from langchain_nebula_video.errors import JournalError, Money
from langchain_nebula_video.journal.budget import Budget, Ceiling
from langchain_nebula_video.journal.entries import Entry, EntryState, Repeats, Summary

__all__ = ["Journal", "lease_lost_error", "missing_entry_error"]


class Journal(Protocol):
    """What the lifecycle needs of a journal. Each method is one transaction, safe across threads."""

    blocking: bool
    """Whether its methods may wait for a disk or a network, and so must not run on an event loop."""

    def reserve(
        self, entry: Entry, budget: Budget | None, *, repeats: Repeats | None = None, ceilings: Sequence[Ceiling] = ()
    ) -> Entry:
        """Write the entry and reserve its cost, or return the entry that has the same key.

        An entry left in mid-submit (see `entries`) is resolved first. If nothing was sent, the new entry replaces it.
        If the POST had left, it becomes unconfirmed and is returned.

        Args:
            entry: The new entry. Its `created_at` is the current time.
            budget: The ceiling that it must fit into; `None`: there is no ceiling.
            repeats: Whether an entry of the same account and the same request may be returned too; `None`: only the
                key counts. The oldest entry for which `Entry.is_joined_by` holds is returned. If it was abandoned, or
                its process is gone, the new entry's call takes it over: it gets the key and the lease, and is no
                longer abandoned, unless it has no task yet. Then the next repetition must find it too.
            ceilings: Limits that the entry must keep besides, decided in the same transaction.

        Raises:
            BudgetExceededError: the cost does not fit into the budget or under a ceiling; the entry is not written.
        """
        ...

    def update(self, entry_id: str, **changes: Any) -> Entry:
        """Change fields of an entry and return it.

        Raises:
            KeyError: there is no such entry.
            JournalError: there is no such entry, and the change has a task id, which the error names.
        """
        ...

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """Record that the POST leaves now; it is on disk before this returns.

        Returns `False`, and changes nothing, if `cap` submits to the same gateway are under way in all processes. A
        submit is under way if it was begun, is `submitting`, and its lease has not expired. To take back an attempt
        that was provably not accepted, call `update(entry_id, sent_at=None)`.

        Raises:
            JournalError: the lease of the entry had expired, and another process resolved the entry.
        """
        ...

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """Take or renew the lease, and return the entry; `None`: another holder has it, or the entry is gone."""
        ...

    def release(self, entry_id: str, holder: str) -> None:
        """Give up the lease, if this holder has it."""
        ...

    def sweep(self, now: datetime) -> list[Entry]:
        """Resolve all entries left in mid-submit, and return those that became unconfirmed, oldest first."""
        ...

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """Give an unconfirmed entry the task that was found for it, and return the entry.

        An entry that has this very task already is returned unchanged. `None` means that another entry has the task,
        or that this entry is gone, has another task, or is not unconfirmed.
        """
        ...

    def forget(self, entry_id: str) -> bool:
        """Delete an entry whose task was provably not accepted, with its keys and its reservation.

        Deletes only an entry that is `submitting` or `unconfirmed` and has no task, because another process may have
        found its task meanwhile. Returns whether the entry is gone; `False` means that it stays unchanged.
        """
        ...

    def find(self, *, key: str | None = None, gateway: str | None = None, task_id: str | None = None) -> Entry | None:
        """Return the entry with this key, or the newest entry of this task at this gateway."""
        ...

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
        """Return all entries that match every given filter, oldest first by default.

        Args:
            states: In one of these states.
            gateway: At this gateway.
            since: Made after this moment.
            key_prefix: With a key that begins so.
            scope: With this scope.
            same_request: With the gateway and the request of this entry, which need not be written. Found by an index.
            limit: At most so many.
            newest_first: Reverse the order.
        """
        ...

    def summarize(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        since: datetime | None = None,
    ) -> Summary:
        """Return how many entries match every given filter, and their sums. See `entries`."""
        ...

    def spent(self, since: datetime | None = None, *, scope: str | None = None) -> Decimal:
        """Return the US dollars billed or reserved by entries: made after that moment, with that scope, or by all.

        See `round_up`.
        """
        ...

    def close(self) -> None:
        """Close the connections. The journal can still be used; it opens new ones."""
        ...


def lease_lost_error() -> JournalError:
    """Return the error of `begin` for an entry that another process has resolved."""
    return JournalError(
        "This submit waited for its turn longer than it was held, and another process has seen to it.",
        hint="Repeat it.",
    )


def missing_entry_error(entry_id: str, changes: Mapping[str, Any]) -> Exception:
    """Return the error of `update` for an entry that is gone. It names a task that is paid for."""
    task_id = changes.get("task_id")
    if task_id is None:
        return KeyError(entry_id)
    return JournalError(
        f"The journal entry of task {task_id} was forgotten meanwhile.",
        money=Money.RUNNING,
        hint=f"Note the task's id: wait({task_id!r}) fetches the video.",
        task_id=task_id,
    )
