"""The blocking runtime."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.exchange import LEAVES, MAX_REQUESTS, MAX_SUBMITS, Connections, Exchange
from langchain_nebula_video.transport.runtime import Clock, Endpoint, RateLimiter, Stream, SystemClock

__all__ = ["BlockingRuntime"]

T = TypeVar("T")


class BlockingRuntime:
    """Everything happens in the calling thread; the coroutines never suspend.

    Each thread has its own connections: so a request that lasts too long can be broken off by shutting down
    that thread's own socket, which no timeout of a blocking read does (it begins anew with each byte).
    """

    can_wait = False

    def __init__(self, endpoint: Endpoint, *, client: Any = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._exchange = Exchange(endpoint, client, self._clock)
        self._thread = threading.local()
        self._submits = threading.BoundedSemaphore(MAX_SUBMITS)
        self._requests = threading.BoundedSemaphore(MAX_REQUESTS)

    def now(self) -> float:
        return self._clock.monotonic()

    def utcnow(self) -> datetime:
        return self._clock.utcnow()

    async def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    async def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return func(*args, **kwargs)

    async def acquire(self, limiter: RateLimiter) -> None:
        limiter.acquire(blocking=True)

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        return await flow

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        with self._submits:
            yield

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[None]:
        connections = self._connections()
        connections.sessions += 1
        try:
            yield
        finally:
            connections.sessions -= 1
            if connections.sessions == 0:
                for client in connections.taken():
                    client.close()

    async def send(self, request: WireRequest, *, timeout: float) -> Reply:
        async with self.stream(request, timeout=timeout) as answer:
            return await self._exchange.whole(answer, request)

    @asynccontextmanager
    async def stream(
        self, request: WireRequest, *, timeout: float, stall: float | None = None
    ) -> AsyncGenerator[Stream]:
        exchange = self._exchange
        async with self.session():
            end = time.monotonic() + timeout
            with self._requests, self._watchdog(request, timeout) as late:
                left = exchange.leaving()
                for place in (places := await exchange.places(request, _resolve)):
                    client, built, options = exchange.prepare(
                        "Client", self._connections(), request, place, min(stall or timeout, end - time.monotonic())
                    )
                    with exchange.guard(request, timeout, late, left) as guard:
                        if exchange.own_client is None:
                            built.extensions["trace"] = functools.partial(self._trace, _lane(request), left, late)
                        response = client.send(built, **options)
                    if not guard.missed or place is places[-1] or late.is_set():
                        break
                guard.check()
                try:
                    yield Stream(
                        response.status_code,
                        exchange.headers(response),
                        self._chunks(response, request, timeout, late, left),
                    )
                finally:
                    response.close()

    async def _chunks(
        self, response: Any, request: WireRequest, timeout: float, late: threading.Event, left: threading.Event
    ) -> AsyncIterator[bytes]:
        exchange = self._exchange
        with exchange.guard(request, timeout, late, left) as guard:
            unpacking = exchange.unpacking(response, request)
            for piece in getattr(response, exchange.pieces(response))():
                for chunk in unpacking.feed(piece):
                    yield chunk
                if late.is_set():
                    break
            if late.is_set():  # a body without a length ends as if it were whole when its socket is shut
                raise TimeoutError
            unpacking.end()
        guard.check()

    def _connections(self) -> Connections:
        if not hasattr(self._thread, "connections"):
            self._thread.connections = Connections()
        found: Connections = self._thread.connections
        return found

    def _trace(self, lane: str, left: threading.Event, late: threading.Event, event: str, info: dict[str, Any]) -> None:
        if event in LEAVES:
            left.set()
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            opened = self._connections().sockets[lane] = info["return_value"].get_extra_info("socket")
            if late.is_set():  # the watchdog has barked before there was anything to shut
                _shut(opened)

    @contextmanager
    def _watchdog(self, request: WireRequest, timeout: float) -> Iterator[threading.Event]:
        """Break the exchange off after `timeout` seconds, however busily it trickles.

        Connections of a caller's own client may be in use by other threads: those are left alone, and only
        the time between two pieces is looked at.
        """
        late = threading.Event()
        sockets, lane = self._connections().sockets, _lane(request)
        if request.paid:
            sockets.pop(lane, None)  # it will have a connection of its own

        def bark() -> None:
            late.set()
            if lane in sockets:
                _shut(sockets[lane])

        timer = threading.Timer(timeout, bark)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


async def _resolve(*args: Any, **kwargs: Any) -> list[Any]:
    return socket.getaddrinfo(*args, **kwargs)


def _lane(request: WireRequest) -> str:
    """A thread has at most one connection for each of these at a time."""
    if request.paid:
        return "submit"
    return "gateway" if request.target.startswith("/") else "/".join(request.target.split("/", 3)[:3])
