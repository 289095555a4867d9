"""The blocking runtime."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar

from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.decoding import body_decoder
from langchain_nebula_video.transport.exchange import (
    MAX_REQUESTS,
    MAX_SUBMITS,
    MAX_TRANSFERS,
    Connections,
    Exchange,
    no_place_error,
)
from langchain_nebula_video.transport.first_byte import FirstByte
from langchain_nebula_video.transport.keeping import Alarms, BlockingKeeper
from langchain_nebula_video.transport.places import BlockingPlaces
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

__all__ = ["BlockingRuntime", "flow_connections"]

T = TypeVar("T")

flow_connections: ContextVar[dict[object, Connections] | None] = ContextVar("nebula_video_connections", default=None)
"""The connections of a flow that may change its thread between two steps, by runtime and process. `None`: each thread
has its own."""


class _ProcessState:
    """The connections and places of one process. A child of a fork has its own."""

    def __init__(self, utcnow: Callable[[], datetime]) -> None:
        self.thread = threading.local()
        self.submits = BlockingPlaces(MAX_SUBMITS)
        self.requests = BlockingPlaces(MAX_REQUESTS)
        self.transfers = BlockingPlaces(MAX_TRANSFERS)
        self.timeouts = Alarms("nebula-video-timeouts")
        self.keeper = BlockingKeeper(utcnow)


class BlockingRuntime:
    """Runs in the calling thread. Its coroutines never suspend.

    Each thread has its own connections, in each process. So a watchdog can end a request that takes too long by
    shutting down the thread's own socket. A read timeout cannot do that: it restarts with each byte.
    """

    can_await = False

    def __init__(self, endpoint: Endpoint, *, client: Any = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._exchange = Exchange(endpoint, client, self._clock)
        self._states = {os.getpid(): _ProcessState(self.utcnow)}
        """By process id. The parent's state is kept, so that nothing closes its sockets."""

    def now(self) -> float:
        """See `Runtime.now`."""
        return self._clock.monotonic()

    def utcnow(self) -> datetime:
        """See `Runtime.utcnow`."""
        return self._clock.utcnow()

    async def sleep(self, seconds: float) -> None:
        """See `Runtime.sleep`."""
        self._clock.sleep(seconds)

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """See `Runtime.call`."""
        return func(*args, **kwargs)

    async def call_in(self, line: Line, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:  # noqa: ARG002
        """See `Runtime.call_in`."""
        return func(*args, **kwargs)

    async def try_acquire(self, limiter: RateLimiter) -> bool:
        """See `Runtime.try_acquire`."""
        return limiter.acquire(blocking=False) is not False

    def keep_alive(self, action: KeepAliveAction) -> AbstractAsyncContextManager[KeepAlive]:
        """See `Runtime.keep_alive`."""
        return self._state().keeper.keep(action)

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Runtime.run_to_completion`."""
        return await flow

    def turn(self, patience: float, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Callable[[], None]]:
        """See `Runtime.turn`: each call has a thread of its caller's, and these are few."""
        del patience, on_wait
        return nullcontext(lambda: None)

    @asynccontextmanager
    async def submit_slot(self, patience: float, on_wait: OnWait | None = None) -> AsyncGenerator[None]:
        """See `Runtime.submit_slot`."""
        places = self._state().submits
        if not await places.acquire_in_line(patience, on_wait):
            raise missed_turn_error()
        try:
            yield
        finally:
            places.release()

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[None]:
        """See `Runtime.session`."""
        connections = self._connections()
        connections.sessions += 1
        try:
            yield
        finally:
            connections.sessions -= 1
            if connections.sessions == 0:
                for client in connections.pop_clients():
                    client.close()

    async def gather(self, calls: Sequence[Callable[[], Coroutine[Any, Any, None]]], *, limit: int) -> None:  # noqa: ARG002
        """See `Runtime.gather`."""
        for call in calls:
            await call()

    async def send(
        self, request: WireRequest, *, timeout: float, stall: float | None = None, window: SendWindow | None = None
    ) -> Reply:
        """See `Runtime.send`."""
        state = self._state()
        places = None if request.paid else state.transfers if request.file else state.requests
        async with self._respond(request, places, timeout, stall, window) as answer:
            return await self._exchange.read_all(answer, request)

    @asynccontextmanager
    async def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> AsyncGenerator[Stream]:
        """See `Runtime.stream`."""
        async with self._respond(request, self._state().transfers, timeout, stall, None) as answer:
            yield answer

    @contextmanager
    def _place(self, places: BlockingPlaces | None, request: WireRequest, timeout: float) -> Iterator[None]:
        """Wait for a place, which a paid request has already."""
        if places is None:
            yield
            return
        if not places.acquire(timeout=max(0.0, timeout)):
            raise no_place_error(self._exchange.host(request), timeout)
        try:
            yield
        finally:
            places.release()

    @asynccontextmanager
    async def _respond(
        self,
        request: WireRequest,
        places: BlockingPlaces | None,
        timeout: float,
        stall: float | None,
        window: SendWindow | None,
    ) -> AsyncGenerator[Stream]:
        exchange = self._exchange
        end = time.monotonic() + timeout
        async with self.session():
            with self._place(places, request, timeout), self._watchdog(request, end) as timed_out:
                first_byte = exchange.watch_first_byte(window)
                for destination in (destinations := await exchange.destinations(request, _getaddrinfo)):
                    client, built, options = exchange.prepare(
                        "Client",
                        self._connections(),
                        request,
                        destination,
                        min(stall or timeout, end - time.monotonic()),
                    )
                    with exchange.capture_failure(request, timeout, timed_out, first_byte, destination) as capture:
                        built.extensions["trace"] = self._tracer(request, first_byte, timed_out)
                        first_byte.check()
                        with signed_request(signed=exchange.has_secret_address(request)):
                            response = client.send(built, **options)
                    if not capture.not_connected or destination is destinations[-1] or timed_out.is_set():
                        break
                capture.raise_failure()
                try:
                    yield Stream(
                        response.status_code,
                        exchange.headers(response.headers.raw),
                        self._chunks(response, request, timeout, timed_out, first_byte),
                        exchange.redact,
                    )
                finally:
                    response.close()

    async def _chunks(
        self,
        response: Any,
        request: WireRequest,
        timeout: float,
        timed_out: threading.Event,
        first_byte: FirstByte,
    ) -> AsyncIterator[bytes]:
        exchange = self._exchange
        with exchange.capture_failure(request, timeout, timed_out, first_byte) as capture:
            decoder = body_decoder(exchange.coding(response), request)
            for piece in getattr(response, exchange.body_method(response))():
                for chunk in decoder.decode(piece):
                    yield chunk
                if timed_out.is_set():
                    break
            if timed_out.is_set():  # without a length, a shut-down socket looks like the end of the body
                raise TimeoutError
            decoder.flush()
        capture.raise_failure()

    def _state(self) -> _ProcessState:
        return self._states.get(os.getpid()) or self._states.setdefault(os.getpid(), _ProcessState(self.utcnow))

    def _connections(self) -> Connections:
        of_flow = flow_connections.get()
        if of_flow is not None:
            return of_flow.setdefault((self, os.getpid()), Connections())
        thread = self._state().thread
        if not hasattr(thread, "connections"):
            thread.connections = Connections()
        found: Connections = thread.connections
        return found

    def _tracer(
        self, request: WireRequest, first_byte: FirstByte, timed_out: threading.Event
    ) -> Callable[[str, dict[str, Any]], None]:
        """Return the callback for httpcore's trace events. It notes the sockets of our own clients."""
        if self._exchange.custom_client is not None:
            return first_byte.on_event
        sockets, slot = self._connections().sockets, _connection_slot(self._exchange, request)

        def trace(event: str, info: dict[str, Any]) -> None:
            first_byte.on_event(event, info)
            # Of `connection`, `proxy` or `socks`: a proxy's tunnel is wrapped in TLS by another part of httpcore.
            if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
                connected = sockets[slot] = info["return_value"].get_extra_info("socket")
                if timed_out.is_set():  # the watchdog fired before the socket existed
                    _shut_down(connected)

        return trace

    @contextmanager
    def _watchdog(self, request: WireRequest, end: float) -> Iterator[threading.Event]:
        """End the exchange at `end`, even if data still trickles in.

        The sockets of a caller's client may be in use by other threads, so they are left alone. Then the timeout is
        checked between two pieces of the body only.
        """
        timed_out = threading.Event()
        sockets, slot = self._connections().sockets, _connection_slot(self._exchange, request)
        if request.paid:
            sockets.pop(slot, None)  # it opens a new connection

        def on_timeout() -> None:
            timed_out.set()
            if slot in sockets:
                _shut_down(sockets[slot])

        alarm = self._state().timeouts.call_at(end, on_timeout)
        try:
            yield timed_out
        finally:
            alarm.cancel()


def _shut_down(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


async def _getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
    return socket.getaddrinfo(*args, **kwargs)


def _connection_slot(exchange: Exchange, request: WireRequest) -> str:
    """Return the key of a connection: a thread has at most one for each key at a time."""
    if request.paid:
        return "submit"
    return "gateway" if exchange.is_to_gateway(request) else "/".join(request.target.split("/", 3)[:3])
