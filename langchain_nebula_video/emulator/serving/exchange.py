"""One request and its answer: logged, counted, and open to faults."""

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


class ClientDisconnected(Exception):  # noqa: N818 - nothing is wrong on this side
    """Raised when the client closes the connection before its request is complete."""


class Exchange:
    """What a handler and a fault know of the request they are for."""

    def __init__(self, state: State, entry: LogEntry, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin with the head of the request."""
        self.state = state
        self.entry = entry
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers = headers_of(scope)
        self.path: str = scope["path"]
        self.request_id = state.new_request_id()
        self.status_override: Status | None = None
        """An earlier status that a fault has the task shown in."""
        self._body: bytes | None = None

    @property
    def dialect(self) -> Dialect | None:
        """Whose words it is in, as far as is known yet."""
        return self.entry.dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self.entry.dialect = dialect

    @property
    def connection(self) -> Connection | None:
        """The connection below; None when the app is driven without a socket."""
        return connection_of(self.scope)

    @property
    def query(self) -> dict[str, str]:
        """The query string's fields."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def path_params(self) -> Mapping[str, str]:
        """The path's variable parts."""
        params: Mapping[str, str] = self.scope["path_params"]
        return params

    @property
    def origin(self) -> str:
        """This server as the client calls it, so that addresses in answers lead back the same way."""
        host = self.headers.get("host") or "{}:{}".format(*self.scope["server"])
        return f"{self.scope['scheme']}://{host}"

    async def body(self) -> bytes:
        """The whole body; may be asked for again.

        Raises:
            Refusal: It is larger than any request needs to be.
            ClientGone: It did not arrive.
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
        """Send an answer in the ordinary way."""
        self.entry.status = respond.status
        await respond.send(self.send)

    async def wait_disconnect(self) -> None:
        """Wait until the connection is closed, by either side."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def sleep(self, seconds: float) -> bool:
        """Wait; True if the connection was closed meanwhile, as it is when the emulator stops."""
        try:
            async with asyncio.timeout(seconds):
                await self.wait_disconnect()
        except TimeoutError:
            return False
        return True


def connection_of(scope: Scope) -> Connection | None:
    """The connection a request came on; None without a socket."""
    state: dict[str, Any] = scope.get("state", {})
    return state.get("connection")


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers, names in lower case; of a repeated one the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
