"""The door of the HTTP server: Host, Origin and token, before anything else reads a request.

A web page may send requests to a server on this machine, and by DNS rebinding it may do so under a name of its own. So
a request of a page is refused unless its origin is allowed, and so is a request for a name that is not this server's.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

__all__ = ["OriginGuard", "TokenGuard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class OriginGuard:
    """Refuses requests for names that are not this server's (421), and of web pages that are not allowed (403).

    Args:
        app: The server.
        hosts: Names of the server. `localhost` and addresses in digits are always accepted: rebinding needs a name.
        origins: Origins of pages that may speak to it.
    """

    def __init__(self, app: App, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = {"localhost", *(host.lower().rstrip(".") for host in hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            headers = _headers(scope)
            if not self._is_own_name(headers.get("host", "")):
                await _refuse(send, 421, "This server does not answer to that name. Allow it with --allow-host.")
                return
            origin = headers.get("origin")
            if origin is not None and origin.lower().rstrip("/") not in self._origins:
                await _refuse(send, 403, "Web pages of this origin may not speak to this server: --allow-origin.")
                return
        await self._app(scope, receive, send)

    def _is_own_name(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower().rstrip(".")
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class TokenGuard:
    """Refuses requests without the token (401). The comparison takes the same time for every wrong token."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._expected = f"bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and not self._is_right(_headers(scope).get("authorization", "")):
            await _refuse(send, 401, "Send the token of this server as Authorization: Bearer …", _CHALLENGE)
            return
        await self._app(scope, receive, send)

    def _is_right(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        given = f"{scheme.lower()} {token.strip()}".encode()
        return hmac.compare_digest(given, self._expected)


_CHALLENGE = ((b"www-authenticate", b'Bearer realm="nebula-video"'),)


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers. A header that is sent twice counts as both values together, which no rule accepts."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


async def _refuse(send: Send, status: int, reason: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = reason.encode()
    plain = (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *headers]})
    await send({"type": "http.response.body", "body": body})
