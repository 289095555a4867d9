"""How a request leaves on the short path and its answer comes: the interface, and httpcore's connections."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ssl

__all__ = ["HttpcoreConnection", "Incoming", "Outgoing", "Sender", "Trace"]


Trace = Callable[[str, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One look, or one submit, as it is sent. It has the key, so nothing keeps it."""

    url: str
    target: bytes
    headers: list[tuple[str, str]] = field(repr=False)
    connect: float
    """Seconds for opening a connection."""
    stall: float
    """Seconds between two pieces of the answer."""
    method: str = "GET"
    content: bytes = field(default=b"", repr=False)
    trace: Trace | None = None
    """Called with httpcore's trace events."""


class Incoming(Protocol):
    """The answer to a request. Its body is still to be read."""

    status: int
    headers: list[tuple[bytes, bytes]]

    async def read(self) -> bytes:
        """Return the next piece of the body; nothing: that was all."""
        ...

    async def aclose(self) -> None:
        """Give the connection back, or close it if something is left to read."""
        ...


class Sender(Protocol):
    """Sends requests. What it raises is httpx's."""

    async def send(self, outgoing: Outgoing) -> Incoming:
        """Send a request, and return its answer as soon as its head is there."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class HttpcoreConnection:
    """A `Sender` for one place: a connection, opened anew if the server has closed it or it was idle for long.

    Args:
        library: httpx, whose errors are raised.
        origin: Scheme, host and port.
        context: Which certificates to trust.
        keepalive_seconds: How long the connection may be idle.
    """

    def __init__(
        self, library: Any, origin: tuple[bytes, bytes, int], context: ssl.SSLContext, *, keepalive_seconds: float
    ) -> None:
        import httpcore  # noqa: PLC0415 with the HTTP library, not with this module

        self._httpcore = httpcore
        self._library = library
        self._scheme, self._host, self._port = origin
        self._context = context
        self._keepalive_seconds = keepalive_seconds
        self._connection: Any = None

    async def send(self, outgoing: Outgoing) -> Incoming:
        """See `Sender`."""
        httpcore = self._httpcore
        url = httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=outgoing.target)
        timeout = {"connect": outgoing.connect, "read": outgoing.stall, "write": outgoing.stall}
        extensions: dict[str, Any] = {"timeout": timeout}
        if outgoing.trace is not None:
            extensions["trace"] = outgoing.trace
        request = httpcore.Request(
            outgoing.method, url, headers=outgoing.headers, content=outgoing.content or None, extensions=extensions
        )
        try:
            connection = self._connection
            if connection is None or not _is_clean(connection):
                await self.aclose()
                connection = self._connection = httpcore.AsyncHTTPConnection(
                    url.origin, ssl_context=self._context, keepalive_expiry=self._keepalive_seconds
                )
            response = await connection.handle_async_request(request)
        except _httpcore_errors() as error:
            raise _as_httpx(self._library, error) from error
        return _HttpcoreAnswer(self._library, response)

    async def aclose(self) -> None:
        """See `Sender`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()


class _HttpcoreAnswer:
    """See `Incoming`."""

    def __init__(self, library: Any, response: Any) -> None:
        self._library = library
        self._response = response
        self.status: int = response.status
        self.headers: list[tuple[bytes, bytes]] = response.headers
        self._pieces = aiter(response.stream)

    async def read(self) -> bytes:
        """See `Incoming`."""
        try:
            return bytes(await anext(self._pieces, b""))
        except _httpcore_errors() as error:
            raise _as_httpx(self._library, error) from error

    async def aclose(self) -> None:
        """See `Incoming`."""
        await self._response.aclose()


def _is_clean(connection: Any) -> bool:
    """Whether a connection is open, and nothing came on it after the last answer.

    httpcore looks into the socket only. What it has read already would be taken for the next answer, which is another
    task's; only the parser beneath has it (httpcore 1.0, h11 0.16).
    """
    if not connection.is_available() or connection.has_expired():
        return False
    parser = getattr(getattr(connection, "_connection", None), "_h11_state", None)
    return parser is None or not parser.trailing_data[0]


@functools.cache
def _httpcore_errors() -> tuple[type[Exception], ...]:
    import httpcore  # noqa: PLC0415 with the HTTP library, not with this module

    return httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol


def _as_httpx(library: Any, error: Exception) -> Exception:
    """Return the error of httpx that has the same name."""
    kind: type[Exception] = getattr(library, type(error).__name__, library.TransportError)
    return kind(str(error))
