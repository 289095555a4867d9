"""Which requests may be repeated, and after how long.

| outcome                                      | fetch (GET)  | paid submit (POST)     |
|----------------------------------------------|--------------|------------------------|
| the answer names a task, whatever its status | done         | accepted: done         |
| the connection never opened                  | repeat       | repeat: not sent       |
| HTTP 429, or a code that says the same       | repeat       | repeat: not accepted   |
| sent; the answer was lost or unreadable      | repeat       | never: may be accepted |
| HTTP 5xx                                     | repeat       | never: may be accepted |
| a code that proves a passing fault, no task  | repeat       | repeat: not accepted   |
| refused                                      | never        | never                  |
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from langchain_nebula_video.errors import (
    RateLimitError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from langchain_nebula_video.transport import Runtime

__all__ = ["backoff", "is_retryable", "retry"]

T = TypeVar("T")

_ATTEMPTS = 4
"""For short faults. A rate limit (429) is retried until the deadline."""
_FIRST_WAIT = 0.5
_MAX_WAIT = 20.0


def is_retryable(error: BaseException) -> bool:
    """Whether a request that ended in this error may be sent again."""
    if isinstance(error, SubmissionUnconfirmedError):
        return False
    if isinstance(error, RefusedError):
        return error.repeatable or isinstance(error, RateLimitError)
    return isinstance(error, RequestError)


def backoff(attempt: int, error: BaseException | None) -> float:
    """Seconds to wait after attempt number `attempt`: the gateway's Retry-After, else exponential with jitter."""
    delay = min(_MAX_WAIT, _FIRST_WAIT * 2.0 ** min(attempt - 1, 10)) * random.uniform(0.5, 1.5)  # noqa: S311
    asked = getattr(error, "retry_after", None) or 0.0
    return max(delay, float(asked) * random.uniform(1.0, 1.1))  # noqa: S311 jitter needs no cryptography


async def retry(runtime: Runtime, attempt: Callable[[], Awaitable[T]], *, deadline: float | Callable[[], float]) -> T:
    """Run `attempt` until it succeeds, its error is not retryable, or time or attempts are used up.

    Args:
        runtime: Whose clock and sleep to use.
        attempt: Sends the request once.
        deadline: On the runtime's clock; no attempt begins after it. A function: it may be moved.

    Raises:
        RequestError: the error of the last attempt.
    """
    try:
        return await attempt()
    except RequestError as error:
        if not is_retryable(error):
            raise
        return await _retry_after(error, runtime, attempt, deadline)


async def _retry_after(
    error: RequestError, runtime: Runtime, attempt: Callable[[], Awaitable[T]], deadline: float | Callable[[], float]
) -> T:
    """Go on after the first attempt, which ended in this error. Most requests never get here."""
    from tenacity import AsyncRetrying, retry_if_exception  # noqa: PLC0415 it takes its time, and is seldom needed

    first: list[RequestError] = [error]

    def wait(state: RetryCallState) -> float:
        return backoff(state.attempt_number, _failure(state))

    def stop(state: RetryCallState) -> bool:
        end = deadline() if callable(deadline) else deadline
        if runtime.now() + state.upcoming_sleep >= end:
            return True
        return state.attempt_number >= _ATTEMPTS and not isinstance(_failure(state), RateLimitError)

    async def call() -> T:
        if first:
            raise first.pop()
        return await attempt()

    retrying = AsyncRetrying(
        sleep=runtime.sleep, wait=wait, stop=stop, retry=retry_if_exception(is_retryable), reraise=True
    )
    return await retrying(call)


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
