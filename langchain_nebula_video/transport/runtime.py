"""The `Runtime` that the lifecycle awaits, and `run_sync`, which drives it in a blocking client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_nebula_video.protocols import Reply, WireRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["Clock", "Endpoint", "Runtime", "Stream", "SystemClock", "run_sync"]

T = TypeVar("T")


class Clock(Protocol):
    """The source of time. Tests inject their own."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def utcnow(self) -> datetime:
        """The present as an aware datetime in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the thread."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Suspend the coroutine."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def utcnow(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go and what they carry."""

    base_url: str
    api_key: SecretStr = field(repr=False)
    user_agent: str
    download_hosts: tuple[str, ...] = ()
    """Hosts outside the public internet that files may be fetched from (see `guard`)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body arrives in chunks."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


class RateLimiter(Protocol):
    """The interface of `langchain_core.rate_limiters.BaseRateLimiter`, without importing LangChain."""

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for permission to send."""
        ...

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for permission to send, without blocking the event loop."""
        ...


class Runtime(Protocol):
    """Everything that the lifecycle may await."""

    can_await: bool
    """Whether a caller's coroutines can be awaited."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def utcnow(self) -> datetime:
        """The present as an aware datetime in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        ...

    async def send(self, request: WireRequest, *, timeout: float) -> Reply:
        """Send a request once and read the whole answer, within `timeout` seconds in total.

        Raises:
            NotSentError: the connection never opened.
            SubmissionUnconfirmedError: a paid request was sent, and no complete answer came.
            RequestError: any other request was sent, and no complete answer came.
        """
        ...

    def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Send a request and stream the answer's body. Raises as `send` does.

        `stall` limits the seconds between two chunks, `timeout` the total.
        """
        ...

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function that may block on a disk or a database; in an async runtime, in a thread."""
        ...

    async def gather(self, calls: Sequence[Callable[[], Coroutine[Any, Any, None]]], *, limit: int) -> None:
        """Run the calls: at most `limit` at once in an async runtime, one after the other in a blocking one."""
        ...

    async def acquire(self, limiter: RateLimiter) -> None:
        """Wait for the caller's rate limiter."""
        ...

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end even if the caller is cancelled meanwhile; then raise the cancellation."""
        ...

    def submit_slot(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Wait for one of `MAX_SUBMITS` slots. They limit how many paid requests a crash can leave in doubt."""
        ...

    def session(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Reuse connections inside. The last session to end closes them."""
        ...


def run_sync(flow: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose runtime is blocking: its awaits never suspend."""
    try:
        flow.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
    raise RuntimeError("the flow awaited something outside its Runtime")
