"""The blocking runtime."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
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

__all__ = ["BlockingRuntime"]

T = TypeVar("T")


class BlockingRuntime:
    """Runs in the calling thread. Its coroutines never suspend.

    Each thread has its own connections. So a watchdog can end a request that takes too long by shutting down the
    thread's own socket. A read timeout cannot do that: it restarts with each byte.
    """

    can_await = False

    def __init__(self, endpoint: Endpoint, *, client: Any = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._exchange = Exchange(endpoint, client, self._clock)
        self._thread = threading.local()
        self._submits = threading.BoundedSemaphore(MAX_SUBMITS)
        self._requests = threading.BoundedSemaphore(MAX_REQUESTS)

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

    async def acquire(self, limiter: RateLimiter) -> None:
        """See `Runtime.acquire`."""
        limiter.acquire(blocking=True)

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Runtime.run_to_completion`."""
        return await flow

    @asynccontextmanager
    async def submit_slot(self) -> AsyncGenerator[None]:
        """See `Runtime.submit_slot`."""
        with self._submits:
            yield

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

    async def send(self, request: WireRequest, *, timeout: float) -> Reply:
        """See `Runtime.send`."""
        async with self.stream(request, timeout=timeout) as answer:
            return await self._exchange.read_all(answer, request)

    @asynccontextmanager
    async def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> AsyncGenerator[Stream]:
        """See `Runtime.stream`."""
        exchange = self._exchange
        async with self.session():
            end = time.monotonic() + timeout
            with self._requests, self._watchdog(request, timeout) as timed_out:
                maybe_sent = exchange.new_sent_event()
                for destination in (destinations := await exchange.destinations(request, _getaddrinfo)):
                    client, built, options = exchange.prepare(
                        "Client",
                        self._connections(),
                        request,
                        destination,
                        min(stall or timeout, end - time.monotonic()),
                    )
                    with exchange.capture_failure(request, timeout, timed_out, maybe_sent) as capture:
                        if exchange.custom_client is None:
                            built.extensions["trace"] = functools.partial(
                                self._trace, _connection_slot(request), maybe_sent, timed_out
                            )
                        response = client.send(built, **options)
                    if not capture.not_connected or destination is destinations[-1] or timed_out.is_set():
                        break
                capture.raise_failure()
                try:
                    yield Stream(
                        response.status_code,
                        exchange.headers(response),
                        self._chunks(response, request, timeout, timed_out, maybe_sent),
                    )
                finally:
                    response.close()

    async def _chunks(
        self,
        response: Any,
        request: WireRequest,
        timeout: float,
        timed_out: threading.Event,
        maybe_sent: threading.Event,
    ) -> AsyncIterator[bytes]:
        exchange = self._exchange
        with exchange.capture_failure(request, timeout, timed_out, maybe_sent) as capture:
            decoder = body_decoder(response, request)
            for piece in getattr(response, exchange.body_method(response))():
                for chunk in decoder.decode(piece):
                    yield chunk
                if timed_out.is_set():
                    break
            if timed_out.is_set():  # without a length, a shut-down socket looks like the end of the body
                raise TimeoutError
            decoder.flush()
        capture.raise_failure()

    def _connections(self) -> Connections:
        if not hasattr(self._thread, "connections"):
            self._thread.connections = Connections()
        found: Connections = self._thread.connections
        return found

    def _trace(
        self, slot: str, maybe_sent: threading.Event, timed_out: threading.Event, event: str, info: dict[str, Any]
    ) -> None:
        if event in REQUEST_STARTED_EVENTS:
            maybe_sent.set()
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            connected = self._connections().sockets[slot] = info["return_value"].get_extra_info("socket")
            if timed_out.is_set():  # the watchdog fired before the socket existed
                _shut_down(connected)

    @contextmanager
    def _watchdog(self, request: WireRequest, timeout: float) -> Iterator[threading.Event]:
        """End the exchange after `timeout` seconds, even if data still trickles in.

        The sockets of a caller's client may be in use by other threads, so they are left alone. Then the timeout is
        checked between two pieces of the body only.
        """
        timed_out = threading.Event()
        sockets, slot = self._connections().sockets, _connection_slot(request)
        if request.paid:
            sockets.pop(slot, None)  # it opens a new connection

        def on_timeout() -> None:
            timed_out.set()
            if slot in sockets:
                _shut_down(sockets[slot])

        timer = threading.Timer(timeout, on_timeout)
        timer.daemon = True
        timer.start()
        try:
            yield timed_out
        finally:
            timer.cancel()


def _shut_down(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


async def _getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
    return socket.getaddrinfo(*args, **kwargs)


def _connection_slot(request: WireRequest) -> str:
    """Return the key of a connection: a thread has at most one for each key at a time."""
    if request.paid:
        return "submit"
    return "gateway" if request.target.startswith("/") else "/".join(request.target.split("/", 3)[:3])
