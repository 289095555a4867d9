"""What the lifecycle may wait for, and the ten lines that run it to its end in a blocking client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_nebula_video.protocols import Reply, WireRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["Clock", "Endpoint", "Runtime", "Stream", "SystemClock", "run_sync"]

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from; tests inject their own."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def utcnow(self) -> datetime:
        """The moment, aware, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, holding the thread."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Wait, giving way to other coroutines."""
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
    """Where videos may be fetched from though it is not public (see `reach`)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body comes piece by piece."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


class RateLimiter(Protocol):
    """What `langchain_core.rate_limiters.BaseRateLimiter` can do, without naming LangChain here."""

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for permission to send."""
        ...

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for permission to send, without blocking the event loop."""
        ...


class Runtime(Protocol):
    """All that the lifecycle may wait for."""

    can_await: bool
    """Whether a caller's own coroutines can be awaited."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def utcnow(self) -> datetime:
        """The moment, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def send(self, request: WireRequest, *, timeout: float) -> Reply:
        """Send a request once and read the whole answer, within `timeout` seconds altogether.

        Raises:
            NotSentError: the connection never connected.
            SubmissionUnconfirmedError: a paid request maybe_sent and no whole answer came.
            RequestError: any other request maybe_sent and no whole answer came.
        """
        ...

    def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Send a request; hand out the answer's body piece by piece. Raises as `send` does.

        `stall` bounds the seconds between two pieces, `timeout` the whole.
        """
        ...

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function that may wait for a disk or a database."""
        ...

    async def acquire(self, limiter: RateLimiter) -> None:
        """Wait for the caller's rate limiter."""
        ...

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """Bring a flow to its end even when the caller is cancelled meanwhile; then be cancelled."""
        ...

    def submit_slot(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Wait for one of the few destinations for a paid request: what a crash can leave in doubt is bounded."""
        ...

    def session(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Connections made inside are reused; the last session to end closes them."""
        ...


def run_sync(flow: Coroutine[Any, Any, T]) -> T:
    """Finish a flow whose Runtime is blocking: its awaits never suspend."""
    try:
        flow.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()
    raise RuntimeError("the flow awaited something outside its Runtime")
