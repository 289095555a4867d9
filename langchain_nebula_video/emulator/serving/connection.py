"""The TCP connection below HTTP, for faults that no HTTP server can produce."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle


class Connection:
    """One TCP connection."""

    def __init__(self, number: int, protocol: EmulatorH11Protocol, transport: asyncio.Transport) -> None:
        """Wrap a connection that was just accepted."""
        self.number = number
        self._protocol = protocol
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send raw bytes past the HTTP server. The connection cannot carry HTTP afterwards."""
        self._transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        """How many written bytes are still in this process."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close the connection (FIN) after all written bytes are sent."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection (RST): the client gets ECONNRESET."""
        # A linger time of zero makes the kernel send RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def close_when_idle(self, delay: float) -> None:
        """Close after `delay` seconds if idle, as a server with a short keep-alive does."""
        asyncio.get_running_loop().call_later(delay, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._protocol.idle:
            self.close()


class EmulatorH11Protocol(H11Protocol):
    """uvicorn's HTTP protocol, extended: each request's scope has its `Connection` as ``state["connection"]``."""

    def __init__(self, *args: Any, connection_numbers: Iterator[int], **kwargs: Any) -> None:
        """Take uvicorn's arguments; `connection_numbers` numbers the connections."""
        super().__init__(*args, **kwargs)
        self._connection_numbers = connection_numbers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the new connection."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {
            **self.app_state,
            "connection": Connection(next(self._connection_numbers), self, transport),
        }

    @property
    def idle(self) -> bool:
        """Whether no request is in progress."""
        # uvicorn's annotation is wrong: this is None before the first request.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete
