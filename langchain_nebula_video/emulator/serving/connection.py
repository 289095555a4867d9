"""The TCP connection below HTTP, for what no HTTP server does by itself."""

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
    """One connection, as the faults see it."""

    def __init__(self, number: int, protocol: EmulatorH11Protocol, transport: asyncio.Transport) -> None:
        """Take hold of a connection that has just been accepted."""
        self.number = number
        self._protocol = protocol
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send bytes behind the HTTP server's back; the connection cannot be used for HTTP afterwards."""
        self._transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        """Bytes written that are still in this process."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close in an orderly way (FIN), once everything written has been sent."""
        self._transport.close()

    def reset(self) -> None:
        """Break the connection (RST): the other side gets ECONNRESET."""
        # Lingering for no time is what makes the kernel send RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def close_when_idle(self, delay: float) -> None:
        """Close in `delay` seconds, as a server does that keeps connections for a short time only."""
        asyncio.get_running_loop().call_later(delay, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._protocol.idle:
            self.close()


class EmulatorH11Protocol(H11Protocol):
    """uvicorn's HTTP protocol; it puts its `Wire` into each request's scope as ``state["connection"]``."""

    def __init__(self, *args: Any, connection_numbers: Iterator[int], **kwargs: Any) -> None:
        """As uvicorn's; `numbers` numbers the connections."""
        super().__init__(*args, **kwargs)
        self._connection_numbers = connection_numbers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {
            **self.app_state,
            "connection": Connection(next(self._connection_numbers), self, transport),
        }

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        # None before the first request, whatever uvicorn's annotation says.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete
