"""The `Runtime` that the lifecycle awaits, and `run_sync`, which drives it in a blocking client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_nebula_video.errors import NotSentError
from langchain_nebula_video.protocols import Reply, WireRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = [
    "FIRST_BYTE_SECONDS",
    "KEEP_ALIVE_PAUSE",
    "WAIT_BEAT",
    "Clock",
    "Endpoint",
    "KeepAlive",
    "KeepAliveAction",
    "Line",
    "OnWait",
    "Runtime",
    "SendWindow",
    "Stream",
    "SystemClock",
    "missed_turn_error",
    "run_sync",
]

T = TypeVar("T")

KEEP_ALIVE_PAUSE = 0.25
"""Seconds between two looks at which actions of `Runtime.keep_alive` are due."""
KeepAliveAction = Callable[[], Coroutine[Any, Any, "datetime | None"]]
"""Returns from when on it is to be run again; `None`: at once."""


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
    storage_hosts: tuple[str, ...] = ()
    """Domains of the storage that the gateway works with (see `guard`)."""
    verify: Any = field(default=None, repr=False)
    """Which certificates are trusted (see `certificates`)."""
    http2: bool = False
    """Whether HTTP/2 is offered to the gateway."""


FIRST_BYTE_SECONDS = 30.0
"""How long after `Journal.begin` the first byte of a paid request may leave. A connection takes 10 s at most, so a
later one was held up."""


@dataclass(frozen=True, slots=True)
class SendWindow:
    """Until when the first byte of a paid request may leave.

    Two clocks, because each misses something: the monotonic one may stand still while a machine sleeps, and the wall
    clock can be set back.
    """

    deadline: float
    """On the runtime's monotonic clock."""
    expires_at: datetime
    """On the wall clock, by which other processes judge the lease."""

    def is_over(self, clock: Clock) -> bool:
        """Whether it is too late to send."""
        return clock.monotonic() > self.deadline or clock.utcnow() >= self.expires_at


OnWait = Callable[[], Awaitable[object]]
"""Called while something waits for its turn."""
WAIT_BEAT = 3.0
"""Seconds between two calls of it."""


class KeepAlive(Protocol):
    """A background task of `Runtime.keep_alive`."""

    def paused(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Do not run the action inside. Waits for a run under way."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body arrives in chunks."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]
    redact: Callable[[bytes], bytes]
    """Removes the key from a piece of the body, before a person reads it."""


class RateLimiter(Protocol):
    """The interface of `langchain_core.rate_limiters.BaseRateLimiter`, without importing LangChain."""

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for permission to send."""
        ...

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for permission to send, without blocking the event loop."""
        ...


class Line(Protocol):
    """A thread that runs functions one after the other; see `journal.line`."""

    def submit(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of the running event loop for the result."""
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

    async def send(
        self, request: WireRequest, *, timeout: float, stall: float | None = None, window: SendWindow | None = None
    ) -> Reply:
        """Send a request once and read the whole answer, within `timeout` seconds in total.

        The wait for a free place counts too. `stall` limits the seconds between two chunks. A paid request takes no
        place here: it has one from `submit_slot`. It is broken off if its first byte would leave after the `window`.

        Raises:
            NotSentError: the connection never opened, no place was free in time, or the window was over.
            SubmissionUnconfirmedError: a paid request was sent, and no complete answer came.
            RequestError: any other request was sent, and no complete answer came.
        """
        ...

    def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Send a request and stream the answer's body. Raises as `send` does.

        Downloads and uploads have places of their own: no other request waits for them. `stall` limits the seconds
        between two chunks, `timeout` the total.
        """
        ...

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function that may block on a disk or a database; in an async runtime, in a thread."""
        ...

    async def call_in(self, line: Line, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function that may block; in an async runtime, in the thread of a line."""
        ...

    async def gather(self, calls: Sequence[Callable[[], Coroutine[Any, Any, None]]], *, limit: int) -> None:
        """Run the calls: at most `limit` at once in an async runtime, one after the other in a blocking one."""
        ...

    async def try_acquire(self, limiter: RateLimiter) -> bool:
        """Ask the caller's rate limiter for permission, without waiting."""
        ...

    def keep_alive(self, action: KeepAliveAction) -> contextlib.AbstractAsyncContextManager[KeepAlive]:
        """Run an action in the background whenever it is due, until the block is left."""
        ...

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end even if the caller is cancelled meanwhile; then raise the cancellation."""
        ...

    def turn(
        self, patience: float, on_wait: OnWait | None = None
    ) -> contextlib.AbstractAsyncContextManager[Callable[[], None]]:
        """Wait for one of `MAX_CALLS` places in which a submit is prepared and sent. A blocking runtime has no limit.

        So thousands of calls at once hold neither images nor journal entries, and do not all begin in one turn of the
        event loop. The block gets a function that gives the place back before its end.

        `on_wait` is called every few seconds meanwhile.

        Raises:
            NotSentError: for so many seconds no place was given back, to whomever.
        """
        ...

    def submit_slot(
        self, patience: float, on_wait: OnWait | None = None
    ) -> contextlib.AbstractAsyncContextManager[object]:
        """Wait for one of `MAX_SUBMITS` slots. They limit how many paid requests a crash can leave in doubt.

        `on_wait` is called every few seconds meanwhile.

        Raises:
            NotSentError: for so many seconds no slot was given back, to whomever.
        """
        ...

    def session(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Reuse connections inside. The last session to end closes them."""
        ...


def missed_turn_error(pause: float | None = None) -> NotSentError:
    """Return the error of a submit for which there is too little time left.

    Args:
        pause: For how many seconds nothing of the account leaves, if a 429 asked for that.
    """
    what = "The time was over before it was this submit's turn"
    if pause is not None:
        what = f"{what}: after HTTP 429, nothing of this account leaves for another {pause:.0f} s"
    return NotSentError(f"{what}.", hint="Give more time, or submit fewer at once.", retry_after=pause)


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
