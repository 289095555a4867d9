"""One HTTP request and its response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from langchain_nebula_video.emulator.enums import Dialect, Status

    from .connection import Connection
    from .request_log import LogEntry
    from .responses import Response
    from .state import State

MAX_BODY = 32 * 1024 * 1024

Handler = Callable[["Exchange"], Awaitable["Response"]]


class ClientDisconnected(Exception):  # noqa: N818 - not an error of the emulator
    """Raised when the client disconnects before its request is complete."""


class Exchange:
    """One request, and the means to answer it."""

    def __init__(self, state: State, entry: LogEntry, scope: Scope, receive: Receive, send: Send) -> None:
        """Start with the head of the request."""
        self.state = state
        self.entry = entry
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers = headers_of(scope)
        self.path: str = scope["path"]
        self.request_id = state.new_request_id()
        self.status_override: Status | None = None
        """An earlier status that a fault makes the response report."""
        self._body: bytes | None = None

    @property
    def dialect(self) -> Dialect | None:
        """The API of the request, as far as it is known yet."""
        return self.entry.dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self.entry.dialect = dialect

    @property
    def connection(self) -> Connection | None:
        """The TCP connection; None without a socket."""
        return connection_of(self.scope)

    @property
    def query(self) -> dict[str, str]:
        """The fields of the query string."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def path_params(self) -> Mapping[str, str]:
        """The variable parts of the path."""
        params: Mapping[str, str] = self.scope["path_params"]
        return params

    @property
    def origin(self) -> str:
        """The server's origin as the client addresses it, so that URLs in responses reach the same server."""
        host = self.headers.get("host") or "{}:{}".format(*self.scope["server"])
        return f"{self.scope['scheme']}://{host}"

    async def body(self) -> bytes:
        """Return the whole body. It may be called again.

        Raises:
            Refusal: The body is too large.
            ClientDisconnected: The body did not arrive.
        """
        if self._body is not None:
            return self._body
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            piece = message.get("body", b"")
            size += len(piece)
            if size > MAX_BODY:
                raise Refusal(Reason.BODY_SIZE, "request body too large")
            pieces.append(piece)
            more = message.get("more_body", False)
        self._body = b"".join(pieces)
        return self._body

    async def respond(self, respond: Response) -> None:
        """Send a response through the HTTP server. It says that this is an emulator, and how fast it is."""
        self.entry.status = respond.status
        await respond.with_headers(x_emulator_speed=f"{self.state.engine.speed:g}").send(self.send)

    async def wait_disconnect(self) -> None:
        """Wait until the client disconnects."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def sleep(self, seconds: float) -> bool:
        """Sleep; return True if the client disconnected or the emulator stopped meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self.wait_disconnect()
        except TimeoutError:
            return False
        return True


def connection_of(scope: Scope) -> Connection | None:
    """Return the TCP connection of a request; None without a socket."""
    state: dict[str, Any] = scope.get("state", {})
    return state.get("connection")


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers with lower-case names. The last one of a repeated header wins."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
