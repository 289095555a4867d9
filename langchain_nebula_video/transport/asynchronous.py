"""The async runtime."""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.decoding import body_decoder
from langchain_nebula_video.transport.exchange import (
    MAX_REQUESTS,
    MAX_SUBMITS,
    REQUEST_STARTED_EVENTS,
    Connections,
    Exchange,
)
from langchain_nebula_video.transport.runtime import Clock, Endpoint, RateLimiter, Stream, SystemClock

__all__ = ["AsyncRuntime"]

T = TypeVar("T")


@dataclass(slots=True, weakref_slot=True)
class _LoopState:
    """The connections and semaphores of one event loop. They cannot be used in another loop."""

    connections: Connections = field(default_factory=Connections)
    submits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SUBMITS))
    requests: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_REQUESTS))


class AsyncRuntime:
    """Runs on the current event loop. Each loop has its own connections."""

    can_await = True

    def __init__(self, endpoint: Endpoint, *, client: Any = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._exchange = Exchange(endpoint, client, self._clock)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = weakref.WeakKeyDictionary()

    def now(self) -> float:
        """See `Runtime.now`."""
        return self._clock.monotonic()

    def utcnow(self) -> datetime:
        """See `Runtime.utcnow`."""
        return self._clock.utcnow()

    async def sleep(self, seconds: float) -> None:
        """See `Runtime.sleep`."""
        await self._clock.asleep(seconds)

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """See `Runtime.call`."""
        return await self.run_to_completion(asyncio.to_thread(func, *args, **kwargs))

    async def acquire(self, limiter: RateLimiter) -> None:
        """See `Runtime.acquire`."""
        await limiter.aacquire(blocking=True)

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Runtime.run_to_completion`."""
        task = asyncio.ensure_future(flow)
        canceled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                if task.cancelled():
                    raise
                canceled = error
            except Exception:  # noqa: BLE001 `task.result()` raises it below
                break
        if canceled is not None:
            task.exception()  # marks it as retrieved, or asyncio would log it
            raise canceled
        return task.result()

    @asynccontextmanager
    async def submit_slot(self) -> AsyncGenerator[None]:
        """See `Runtime.submit_slot`."""
        async with self._state().submits:
            yield

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[None]:
        """See `Runtime.session`."""
        connections = self._state().connections
        connections.sessions += 1
        try:
            yield
        finally:
            connections.sessions -= 1
            if connections.sessions == 0:
                for client in connections.pop_clients():
                    await client.aclose()

    async def gather(self, calls: Sequence[Callable[[], Coroutine[Any, Any, None]]], *, limit: int) -> None:
        """See `Runtime.gather`."""
        places = asyncio.Semaphore(limit)

        async def run(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
            async with places:
                await call()

        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(run(call))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def send(self, request: WireRequest, *, timeout: float) -> Reply:
        """See `Runtime.send`."""
        async with self.stream(request, timeout=timeout) as answer:
            return await self._exchange.read_all(answer, request)

    @asynccontextmanager
    async def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> AsyncGenerator[Stream]:
        """See `Runtime.stream`."""
        exchange, timed_out = self._exchange, threading.Event()
        async with self.session():
            state = self._state()
            async with state.requests:
                end = asyncio.get_running_loop().time() + timeout
                maybe_sent = exchange.new_sent_event()
                with exchange.capture_failure(request, timeout, timed_out, maybe_sent) as capture:
                    async with asyncio.timeout_at(end):
                        destinations = await exchange.destinations(request, asyncio.get_running_loop().getaddrinfo)
                capture.raise_failure()
                for destination in destinations:
                    client, built, options = exchange.prepare(
                        "AsyncClient", state.connections, request, destination, stall or timeout
                    )
                    with exchange.capture_failure(request, timeout, timed_out, maybe_sent) as capture:
                        if exchange.custom_client is None:
                            built.extensions["trace"] = functools.partial(_trace, maybe_sent)
                        async with asyncio.timeout_at(end):
                            response = await client.send(built, **options)
                    if not capture.not_connected or destination is destinations[-1]:
                        break
                capture.raise_failure()
                try:
                    yield Stream(
                        response.status_code,
                        exchange.headers(response),
                        self._chunks(response, request, timeout, end, timed_out, maybe_sent),
                    )
                finally:
                    await response.aclose()

    async def _chunks(
        self,
        response: Any,
        request: WireRequest,
        timeout: float,
        end: float,
        timed_out: threading.Event,
        maybe_sent: threading.Event,
    ) -> AsyncIterator[bytes]:
        exchange = self._exchange
        pieces = getattr(response, f"a{exchange.body_method(response)}")()
        with exchange.capture_failure(request, timeout, timed_out, maybe_sent) as capture:
            decoder = body_decoder(response, request)
            while True:
                async with asyncio.timeout_at(end):
                    piece = await anext(pieces, None)
                if piece is None:
                    decoder.flush()
                    break
                for chunk in decoder.decode(piece):
                    yield chunk
        capture.raise_failure()

    def _state(self) -> _LoopState:
        return self._loops.setdefault(asyncio.get_running_loop(), _LoopState())


async def _trace(maybe_sent: threading.Event, event: str, info: dict[str, Any]) -> None:  # noqa: ARG001 httpcore's signature
    if event in REQUEST_STARTED_EVENTS:
        maybe_sent.set()
