"""The states of items and batches, and what each error of a generation means for its item."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from langchain_nebula_video.errors import (
    AuthenticationError,
    BudgetExceededError,
    DownloadError,
    InvalidInputError,
    InvalidRequestError,
    JournalError,
    ModerationError,
    Money,
    NebulaVideoError,
    NotSentError,
    QuotaError,
    RateLimitError,
    RefusedError,
    RequestError,
    SetupError,
    SubmissionUnconfirmedError,
    TaskCanceledError,
    TaskError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
)

__all__ = ["ENDED_STATES", "NO_MONEY", "VERDICTS", "BatchState", "ItemState", "Outcome", "Stops", "Verdict", "judge"]


class ItemState(StrEnum):
    """The state of an item, which is one video."""

    WAITING = "waiting"
    """Nobody works on it."""
    DELAYED = "delayed"
    """It waits for a moment, after an error that passes."""
    QUEUED = "queued"
    """It is in the engine's queue: some worker takes it at once."""
    RUNNING = "running"
    """A worker submits it, waits for it or saves it."""
    DONE = "done"
    """Its video is made, and saved if that was asked for."""
    FAILED = "failed"
    """It ended in an error, which the item has."""
    UNCONFIRMED = "unconfirmed"
    """Its submit may have been accepted and billed. A person decides."""
    CANCELED = "canceled"
    """Its batch was canceled."""


ENDED_STATES = (ItemState.DONE, ItemState.FAILED, ItemState.UNCONFIRMED, ItemState.CANCELED)
"""States that an item leaves only if a person says so."""


class BatchState(StrEnum):
    """The state of a batch."""

    RUNNING = "running"
    PAUSED = "paused"
    """Nothing more of it is begun."""
    CANCELED = "canceled"
    """Nothing more of it is begun, and what had not begun is canceled."""


class Stops(StrEnum):
    """What an error stops besides its item."""

    NOTHING = "nothing"
    ACCOUNT = "account"
    """The account, until a person resumes it."""
    ACCOUNT_FOR_A_WHILE = "account for a while"
    """The account, for a time that grows with each such error in a row."""
    BATCH_FOR_A_WHILE = "batch for a while"
    """The batch, likewise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a class of errors means for an item: a row of the table."""

    state: ItemState
    stops: Stops = Stops.NOTHING
    most: int | None = None
    """So many errors that count, and the item has failed; `None`: it does not count."""
    local: bool = False
    """It may be this machine's fault alone. While other workers make videos, it stops nothing, and the item is delayed:
    another machine may take it."""


NO_MONEY = "The budget has "
"""How the reason of a batch begins whose next video does not fit into its budget."""
PATIENCE = 12
"""Errors that might pass. With the pauses between them they take two hours."""
PATIENCE_WITH_PAID = 100
"""The same for a video that is paid for: a day, and by then most addresses have expired."""

VERDICTS: dict[type[NebulaVideoError], Verdict] = {
    # Nobody knows whether it was paid for: never again by itself.
    SubmissionUnconfirmedError: Verdict(ItemState.UNCONFIRMED),
    # About the account: the next item would meet the same.
    RateLimitError: Verdict(ItemState.WAITING, Stops.ACCOUNT_FOR_A_WHILE),
    AuthenticationError: Verdict(ItemState.WAITING, Stops.ACCOUNT),
    QuotaError: Verdict(ItemState.WAITING, Stops.ACCOUNT),
    NotSentError: Verdict(ItemState.WAITING, Stops.ACCOUNT_FOR_A_WHILE, local=True),
    # About the batch: its target, its options, the budget of the journal.
    SetupError: Verdict(ItemState.WAITING, Stops.BATCH_FOR_A_WHILE, local=True),
    BudgetExceededError: Verdict(ItemState.WAITING, Stops.BATCH_FOR_A_WHILE),
    # About this video: the same request would end the same way.
    ModerationError: Verdict(ItemState.FAILED),
    InvalidInputError: Verdict(ItemState.FAILED),
    InvalidRequestError: Verdict(ItemState.FAILED),
    TaskFailedError: Verdict(ItemState.FAILED),
    TaskCanceledError: Verdict(ItemState.FAILED),
    TaskNotFoundError: Verdict(ItemState.FAILED),
    # It may pass. The key finds the task again, if there is one.
    JournalError: Verdict(ItemState.DELAYED),
    DownloadError: Verdict(ItemState.DELAYED, most=PATIENCE_WITH_PAID),
    TaskTimeoutError: Verdict(ItemState.DELAYED, most=PATIENCE),
    TaskError: Verdict(ItemState.DELAYED, most=PATIENCE),
    RefusedError: Verdict(ItemState.DELAYED, most=PATIENCE),
    RequestError: Verdict(ItemState.DELAYED, most=PATIENCE),
    NebulaVideoError: Verdict(ItemState.DELAYED, most=PATIENCE),
}
"""Each class of the error tree. A class that is not here has its parent's verdict."""

_SAYS_NOTHING_OF_THE_KEY = (InvalidRequestError, JournalError)
"""They may come before the journal was asked whether the key has a task."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an error means for one item."""

    state: ItemState
    stops: Stops
    counts: bool
    """Whether it counts as an error of the item."""
    frees: bool
    """Whether the item's money is free again: it is known that its key has no task that is or may be billed."""
    local: bool = False


def judge(error: NebulaVideoError, errors: int, *, first: bool = True) -> Outcome:
    """Return what an error means for its item.

    Args:
        error: What `generate` raised.
        errors: How many errors that count the item has had before.
        first: Whether nobody can have submitted the item before, such as a worker that died.
    """
    verdict = next(VERDICTS[kind] for kind in type(error).__mro__ if kind in VERDICTS)
    state, stops, local = verdict.state, verdict.stops, verdict.local
    if isinstance(error, NotSentError) and error.spent is not False:  # another call is submitting this very video
        state, stops, local = ItemState.DELAYED, Stops.NOTHING, False
    if isinstance(error, NotSentError) and error.retry_after is not None:  # the gateway wants it so
        local = False
    counts = verdict.most is not None
    if verdict.most is not None and errors + 1 >= verdict.most:
        state = ItemState.FAILED
    return Outcome(state, stops, counts, _frees(error, first=first), local)


def _frees(error: NebulaVideoError, *, first: bool) -> bool:
    if error.money is Money.FREE:
        return True
    if (
        error.spent is not False or error.task_id is not None
    ):  # with an id: the key has a task, which is not this call's
        return False
    return first or not isinstance(error, _SAYS_NOTHING_OF_THE_KEY)
