"""The async runtime."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.decoding import body_decoder
from langchain_nebula_video.transport.exchange import (
    KEEPALIVE_SECONDS,
    MAX_CALLS,
    MAX_REQUESTS,
    MAX_SUBMITS,
    MAX_TRANSFERS,
    SHARED,
    Connections,
    Exchange,
    no_place_error,
)
from langchain_nebula_video.transport.first_byte import FirstByte
from langchain_nebula_video.transport.keeping import AsyncKeeper
from langchain_nebula_video.transport.places import AsyncPlaces
from langchain_nebula_video.transport.redaction import signed_request
from langchain_nebula_video.transport.runtime import (
    Clock,
    Endpoint,
    KeepAlive,
    KeepAliveAction,
    Line,
    OnWait,
    RateLimiter,
    SendWindow,
    Stream,
    SystemClock,
    missed_turn_error,
)
from langchain_nebula_video.transport.short_path import ShortPath

__all__ = ["AsyncRuntime"]

T = TypeVar("T")

_NEVER = threading.Event()
"""In place of the event of a watchdog, where the event loop's own timer watches."""


@dataclass(slots=True, weakref_slot=True)
class _LoopState:
    """The connections and places of one event loop. They cannot be used in another loop."""

    keeper: AsyncKeeper
    connections: Connections = field(default_factory=Connections)
    calls: AsyncPlaces = field(default_factory=lambda: AsyncPlaces(MAX_CALLS))
    submits: AsyncPlaces = field(default_factory=lambda: AsyncPlaces(MAX_SUBMITS))
    requests: AsyncPlaces = field(default_factory=lambda: AsyncPlaces(MAX_REQUESTS))
    transfers: AsyncPlaces = field(default_factory=lambda: AsyncPlaces(MAX_TRANSFERS))
    sending: set[int] = field(default_factory=set)
    """Numbers of the paid requests under way."""
    next_cleanup: float = 0.0


class AsyncRuntime:
    """Runs on the current event loop. Each loop has its own connections, in each process."""

    can_await = True

    def __init__(self, endpoint: Endpoint, *, client: Any = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._exchange = Exchange(endpoint, client, self._clock)
        self._short_path = ShortPath(self._exchange)
        self._sent = FirstByte(self._clock, None, traced=False)
        """Of all looks: whatever became of one, it may have been sent."""
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = weakref.WeakKeyDictionary()
        self._inherited: list[_LoopState] = []
        """In a child of a fork: the parent's, kept so that nothing closes its sockets."""

    def now(self) -> float:
        """See `Runtime.now`."""
        return self._clock.monotonic()

    def utcnow(self) -> datetime:
        """See `Runtime.utcnow`."""
        return self._clock.utcnow()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """See `Runtime.sleep`."""
        return self._clock.asleep(seconds)

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """See `Runtime.call`."""
        in_context = functools.partial(contextvars.copy_context().run, func, *args, **kwargs)
        return await _complete(asyncio.get_running_loop().run_in_executor(None, in_context))

    async def call_in(self, line: Line, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """See `Runtime.call_in`."""
        return await _complete(line.submit(functools.partial(func, *args, **kwargs)))

    async def try_acquire(self, limiter: RateLimiter) -> bool:
        """See `Runtime.try_acquire`."""
        return await limiter.aacquire(blocking=False) is not False

    def keep_alive(self, action: KeepAliveAction) -> AbstractAsyncContextManager[KeepAlive]:
        """See `Runtime.keep_alive`."""
        return self._state().keeper.keep(action, self.run_to_completion)

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Runtime.run_to_completion`."""
        return await _complete(asyncio.ensure_future(flow))

    def turn(self, patience: float, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Callable[[], None]]:
        """See `Runtime.turn`."""
        return _place_in_line(self._state().calls, patience, on_wait)

    def submit_slot(
        self, patience: float, on_wait: OnWait | None = None
    ) -> AbstractAsyncContextManager[Callable[[], None]]:
        """See `Runtime.submit_slot`."""
        return _place_in_line(self._state().submits, patience, on_wait)

    def session(self) -> AbstractAsyncContextManager[None]:
        """See `Runtime.session`."""
        return _Session(self._state().connections)

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

    async def send(
        self, request: WireRequest, *, timeout: float, stall: float | None = None, window: SendWindow | None = None
    ) -> Reply:
        """See `Runtime.send`."""
        state = self._state()
        if self._short_path.takes(request):
            if request.paid:
                return await self._submit(request, timeout, stall, window)
            return await self._look(request, state, timeout, stall)
        places = None if request.paid else state.transfers if request.file else state.requests
        async with self._respond(request, places, timeout, stall, window) as answer:
            return await self._exchange.read_all(answer, request)

    async def _look(self, request: WireRequest, state: _LoopState, timeout: float, stall: float | None) -> Reply:
        """Send a free GET to the gateway. One timer watches over its wait for a place and over its answer."""
        exchange, place = self._exchange, None
        state.connections.sessions += 1
        try:
            with exchange.capture_failure(request, timeout, _NEVER, self._sent) as capture:
                async with asyncio.timeout(timeout):
                    place = await state.requests.acquire()
                    return await self._short_path.send(request, state.connections, place, stall or timeout)
            if place is None:
                raise no_place_error(exchange.host(request), timeout)
            capture.raise_failure()
            raise AssertionError(request)
        finally:
            if place is not None:
                state.requests.release(place)
                if time.monotonic() >= state.next_cleanup:
                    await self._close_idle(state)
            await _end_session(state.connections)

    async def _submit(
        self, request: WireRequest, timeout: float, stall: float | None, window: SendWindow | None
    ) -> Reply:
        """Send a paid request to the gateway. It has a place already."""
        exchange = self._exchange
        first_byte = exchange.watch_first_byte(window)
        with exchange.capture_failure(request, timeout, _NEVER, first_byte) as capture:
            async with asyncio.timeout(timeout):
                first_byte.check()
                return await self._short_path.submit(request, stall or timeout, _tracer(first_byte))
        capture.raise_failure()
        raise AssertionError(request)

    @asynccontextmanager
    async def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> AsyncGenerator[Stream]:
        """See `Runtime.stream`."""
        async with self._respond(request, self._state().transfers, timeout, stall, None) as answer:
            yield answer

    @asynccontextmanager
    async def _place(self, places: AsyncPlaces | None, request: WireRequest, timeout: float) -> AsyncGenerator[int]:
        """Wait for a place, which a paid request has already. Return its number, by which requests have their pools."""
        if places is None:
            sending = self._state().sending
            number = next(free for free in itertools.count() if free not in sending)
            sending.add(number)
            try:
                yield number
            finally:
                sending.discard(number)
            return
        try:
            async with asyncio.timeout(timeout):
                place = await places.acquire()
        except TimeoutError:
            raise no_place_error(self._exchange.host(request), timeout) from None
        state = self._state()
        try:
            yield place if places is state.requests else SHARED
        finally:
            places.release(place)
        if time.monotonic() >= state.next_cleanup:
            await self._close_idle(state)

    async def _close_idle(self, state: _LoopState) -> None:
        """Close what a burst has left behind. A pool notices that a server has closed a connection when it is used."""
        state.next_cleanup = time.monotonic() + KEEPALIVE_SECONDS
        for client in state.connections.pop_places(state.requests.free_for(KEEPALIVE_SECONDS)):
            await client.aclose()

    @asynccontextmanager
    async def _respond(
        self,
        request: WireRequest,
        places: AsyncPlaces | None,
        timeout: float,
        stall: float | None,
        window: SendWindow | None,
    ) -> AsyncGenerator[Stream]:
        exchange, timed_out = self._exchange, threading.Event()
        end = asyncio.get_running_loop().time() + timeout
        async with self.session(), self._place(places, request, timeout) as place:
            state = self._state()
            first_byte = exchange.watch_first_byte(window)
            with exchange.capture_failure(request, timeout, timed_out, first_byte) as capture:
                async with asyncio.timeout_at(end):
                    destinations = await exchange.destinations(request, asyncio.get_running_loop().getaddrinfo)
            capture.raise_failure()
            for destination in destinations:
                client, built, options = exchange.prepare(
                    "AsyncClient", state.connections, request, destination, stall or timeout, place
                )
                with exchange.capture_failure(request, timeout, timed_out, first_byte, destination) as capture:
                    built.extensions["trace"] = _tracer(first_byte)
                    first_byte.check()
                    with signed_request(signed=exchange.has_secret_address(request)):
                        async with asyncio.timeout_at(end):
                            response = await client.send(built, **options)
                if not capture.not_connected or destination is destinations[-1]:
                    break
            capture.raise_failure()
            try:
                yield Stream(
                    response.status_code,
                    exchange.headers(response.headers.raw),
                    self._chunks(response, request, timeout, end, timed_out, first_byte),
                    exchange.redact,
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
        first_byte: FirstByte,
    ) -> AsyncIterator[bytes]:
        exchange = self._exchange
        pieces = getattr(response, f"a{exchange.body_method(response)}")()
        with exchange.capture_failure(request, timeout, timed_out, first_byte) as capture:
            decoder = body_decoder(exchange.coding(response), request)
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
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None or found.connections.pid != os.getpid():
            if found is not None:
                self._inherited.append(found)
            found = self._loops[loop] = _LoopState(AsyncKeeper(self.utcnow))
        return found


class _Session:
    """A session. No generator, which is larger: each task that waits is in one."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __aenter__(self) -> None:
        self._connections.sessions += 1

    async def __aexit__(self, *_: object) -> None:
        await _end_session(self._connections)


async def _end_session(connections: Connections) -> None:
    connections.sessions -= 1
    if connections.sessions == 0:
        for client in connections.pop_clients():
            await client.aclose()


@asynccontextmanager
async def _place_in_line(
    places: AsyncPlaces, patience: float, on_wait: OnWait | None
) -> AsyncGenerator[Callable[[], None]]:
    """Wait in line for a place. Yield what gives it back before the end."""
    try:
        place = await places.acquire_in_line(patience, on_wait)
    except TimeoutError:
        raise missed_turn_error() from None
    with ExitStack() as held:
        held.callback(places.release, place)
        yield held.close


def _tracer(first_byte: FirstByte) -> Callable[[str, dict[str, Any]], Coroutine[Any, Any, None]]:
    async def trace(event: str, info: dict[str, Any]) -> None:
        first_byte.on_event(event, info)

    return trace


async def _complete(future: asyncio.Future[T]) -> T:
    """Return the result of a future, which goes on if the caller is cancelled; then raise the cancellation."""
    canceled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            with nullcontext() if canceled is None else _anyio_shield():
                await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                raise
            canceled = error
        except Exception:  # noqa: BLE001 `future.result()` raises it below
            break
    if canceled is not None:
        future.exception()  # marks it as retrieved, or asyncio would log it
        raise canceled
    return future.result()


def _anyio_shield() -> AbstractContextManager[object]:
    """Return a shield against anyio's cancel scopes, which cancel again in each turn of the event loop.

    If nothing has imported anyio, there is no such scope.
    """
    anyio = sys.modules.get("anyio")
    if anyio is None:
        return nullcontext()
    shield: AbstractContextManager[object] = anyio.CancelScope(shield=True)
    return shield
