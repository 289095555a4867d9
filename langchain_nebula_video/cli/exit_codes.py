"""The exit codes of the command line, their meanings, and the code of each error."""

from __future__ import annotations

from enum import IntEnum

from langchain_nebula_video.errors import (
    BudgetExceededError,
    DownloadError,
    InvalidRequestError,
    NebulaVideoError,
    RefusedError,
    SubmissionUnconfirmedError,
    TaskError,
    TaskTimeoutError,
)

__all__ = ["EPILOG", "MEANINGS", "Exit", "exit_for"]


class Exit(IntEnum):
    """The exit code of a command."""

    OK = 0
    FAILURE = 1
    INVALID = 2
    REFUSED = 3
    BUDGET = 4
    TASK = 5
    TIMEOUT = 6
    UNCONFIRMED = 7
    DOWNLOAD = 8
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILURE: "another failure, or the price was declined",
    Exit.INVALID: "usage or request not valid: nothing was sent",
    Exit.REFUSED: "the gateway refused: key, balance, content, input or rate",
    Exit.BUDGET: "dearer than --max-cost: nothing was sent",
    Exit.TASK: "the task failed, was canceled or is not known",
    Exit.TIMEOUT: "time is up and the task is still running: go on with wait",
    Exit.UNCONFIRMED: "the submit is unconfirmed: money may have been spent",
    Exit.DOWNLOAD: "the video exists and could not be saved",
    Exit.INTERRUPTED: "Ctrl-C",
}

# The first match counts, so a class stands above its base classes.
_EXITS: tuple[tuple[type[BaseException], Exit], ...] = (
    (InvalidRequestError, Exit.INVALID),
    (BudgetExceededError, Exit.BUDGET),
    (SubmissionUnconfirmedError, Exit.UNCONFIRMED),
    (RefusedError, Exit.REFUSED),
    (TaskTimeoutError, Exit.TIMEOUT),
    (TaskError, Exit.TASK),
    (DownloadError, Exit.DOWNLOAD),
    (NebulaVideoError, Exit.FAILURE),
    (KeyboardInterrupt, Exit.INTERRUPTED),
)

EPILOG = "\n".join(["Exit codes:", *(f"{code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())])


def exit_for(error: BaseException) -> Exit:
    """Return the exit code of an error."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILURE)
