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
    NebulaVideoError,
    NotSentError,
    QuotaError,
    RateLimitError,
    SubmissionUnconfirmedError,
    TaskCanceledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
)

__all__ = ["ENDED_STATES", "BatchState", "ItemState", "Stops", "Verdict", "judge"]


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
    BATCH = "batch"
    """The batch, until a person resumes it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error means for its item."""

    state: ItemState
    stops: Stops = Stops.NOTHING
    counts: bool = False
    """Whether it counts towards `MAX_ERRORS`, after which the item has failed."""
    frees: bool = False
    """Whether the item's money is free again: it is known that nothing was accepted."""


MAX_ERRORS = 12
"""Errors of an item that might pass, after which it has failed. With the pauses between them, it takes two hours."""

# The first row that fits decides, so a class stands before its parents.
_VERDICTS: tuple[tuple[type[NebulaVideoError], Verdict], ...] = (
    (SubmissionUnconfirmedError, Verdict(ItemState.UNCONFIRMED)),
    (RateLimitError, Verdict(ItemState.WAITING, Stops.ACCOUNT_FOR_A_WHILE)),
    (AuthenticationError, Verdict(ItemState.WAITING, Stops.ACCOUNT)),
    (QuotaError, Verdict(ItemState.WAITING, Stops.ACCOUNT)),
    (BudgetExceededError, Verdict(ItemState.WAITING, Stops.BATCH)),
    (ModerationError, Verdict(ItemState.FAILED)),
    (InvalidInputError, Verdict(ItemState.FAILED)),
    (InvalidRequestError, Verdict(ItemState.FAILED)),
    (TaskFailedError, Verdict(ItemState.FAILED)),
    (TaskCanceledError, Verdict(ItemState.FAILED)),
    (TaskNotFoundError, Verdict(ItemState.FAILED)),
    (TaskTimeoutError, Verdict(ItemState.DELAYED)),
    (JournalError, Verdict(ItemState.DELAYED)),
    (NotSentError, Verdict(ItemState.WAITING, Stops.ACCOUNT_FOR_A_WHILE)),
    (DownloadError, Verdict(ItemState.DELAYED, counts=True)),
    (NebulaVideoError, Verdict(ItemState.DELAYED, counts=True)),
)


def judge(error: NebulaVideoError, errors: int) -> Verdict:
    """Return what an error means for its item.

    Args:
        error: What `generate` raised.
        errors: How many errors that count the item has had before.
    """
    verdict = next(verdict for kind, verdict in _VERDICTS if isinstance(error, kind))
    frees = error.spent is False
    if verdict.counts and errors + 1 >= MAX_ERRORS:
        return Verdict(ItemState.FAILED, counts=True, frees=frees)
    return Verdict(verdict.state, verdict.stops, verdict.counts, frees)
