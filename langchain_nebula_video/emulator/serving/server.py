"""The HTTP server: uvicorn, in the calling thread or in a background thread."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from .connection import EmulatorH11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from starlette.types import ASGIApp

_BACKLOG = 2048
_TICK = 0.02


class Server(uvicorn.Server):
    """uvicorn without a graceful shutdown: it starts and stops at once."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        idle_close: float,
        connection_numbers: Iterator[int],
        on_stop: Callable[[], None],
    ) -> None:
        """Bind the port; `port` 0 takes a free one.

        Raises:
            OSError: The port is not available.
        """

        def protocol(*args: Any, **kwargs: Any) -> EmulatorH11Protocol:
            return EmulatorH11Protocol(*args, connection_numbers=connection_numbers, **kwargs)

        # uvicorn annotates whole seconds and a class, but its code accepts floats and callables.
        options: dict[str, Any] = {"http": protocol, "timeout_keep_alive": idle_close}
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
        super().__init__(uvicorn.Config(app, lifespan="off", ws="none", **quiet, **options))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._on_stop = on_stop
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve in a background thread; return once requests are answered."""
        self._thread = threading.Thread(target=self.serve_in_this_thread, name="nebula-emulator", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Stop the background thread; return once every connection is closed."""
        self.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def serve_in_this_thread(self, ready: Callable[[], object] = lambda: None) -> None:
        """Serve in this thread until `stop`, or until a signal in the main thread.

        `ready` is called before the first request is served. The port is already listening then.
        """
        try:
            with self._socket:
                ready()
                asyncio.run(self.serve(sockets=[self._socket]))
        finally:
            self._ready.set()

    async def main_loop(self) -> None:
        """Wait for the end, in shorter steps than uvicorn's."""
        self._ready.set()
        ticks = itertools.count()
        # Signal handlers and other threads set the flag. Neither may set an asyncio event.
        while not await self.on_tick(next(ticks)):  # noqa: ASYNC110
            await asyncio.sleep(_TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort every connection. This also ends requests that a fault holds."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self._on_stop()
        # The event loop closes the connections in its next iteration.
        await asyncio.sleep(0)
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Stop on a signal without raising it again: a requested stop is not a failure."""
        self.should_exit = True
