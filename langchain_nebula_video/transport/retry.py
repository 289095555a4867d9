"""What may be repeated, and after how long.

| what happened                                | a look (GET) | a paid submit (POST)   |
|----------------------------------------------|--------------|------------------------|
| the connection never connected                  | repeat       | repeat: not sent       |
| HTTP 429, or a code that says the same       | repeat       | repeat: not accepted   |
| sent, and the answer lost or not understood  | repeat       | never: may be accepted |
| HTTP 5xx                                     | repeat       | never: may be accepted |
| refused                                      | never        | never                  |
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from langchain_nebula_video.errors import (
    RateLimitError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
)

if TYPE_CHECKING:
    from langchain_nebula_video.transport import Runtime

__all__ = ["backoff", "is_retryable", "retry"]

T = TypeVar("T")

_ATTEMPTS = 4
"""For faults that a moment heals; what only time heals (429) is repeated until the deadline."""
_FIRST_WAIT = 0.5
_MAX_WAIT = 20.0


def is_retryable(error: BaseException) -> bool:
    """Whether the request that ended so may be sent retrying."""
    if isinstance(error, SubmissionUnconfirmedError):
        return False
    if isinstance(error, RefusedError):
        return isinstance(error, RateLimitError)
    return isinstance(error, RequestError)


def backoff(attempt: int, error: BaseException | None) -> float:
    """Seconds before the attempt after `attempt` (from 1): as the gateway asked, else doubling with jitter."""
    delay = min(_MAX_WAIT, _FIRST_WAIT * 2.0 ** min(attempt - 1, 10)) * random.uniform(0.5, 1.5)  # noqa: S311
    asked = getattr(error, "retry_after", None) or 0.0
    return max(delay, float(asked) * random.uniform(1.0, 1.1))  # noqa: S311 spreads a herd, guards nothing


async def retry(runtime: Runtime, attempt: Callable[[], Awaitable[T]], *, deadline: float) -> T:
    """Run `attempt` until it succeeds, must not be repeated, or time or attempts are used up.

    Args:
        runtime: Whose clock and sleep count.
        attempt: Sends the request call.
        deadline: On the runtime's clock; no attempt begins after it.

    Raises:
        RequestError: what the last attempt ended in.
    """

    def wait(state: RetryCallState) -> float:
        return backoff(state.attempt_number, _failure(state))

    def stop(state: RetryCallState) -> bool:
        if runtime.now() + state.upcoming_sleep >= deadline:
            return True
        return state.attempt_number >= _ATTEMPTS and not isinstance(_failure(state), RateLimitError)

    async def call() -> T:  # tenacity awaits only what it can see to be a coroutine function
        return await attempt()

    retrying = AsyncRetrying(
        sleep=runtime.sleep, wait=wait, stop=stop, retry=retry_if_exception(is_retryable), reraise=True
    )
    return await retrying(call)


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
