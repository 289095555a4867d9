"""The transport of the extra `fast`: aiohttp beneath httpx, for looks and other free requests of an async client.

It is never used for a paid request. httpx-aiohttp 0.2.0 reports an answer that was lost after the request was sent as
`httpx.ConnectTimeout`, as if the connection had never opened: a submit would be repeated and paid for twice. It tells
nothing of the moment at which the first byte leaves, either. A free request may be repeated in any case.

Files go by httpx too: the SSRF guard pins addresses there. So do requests through a proxy or with HTTP/2.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

__all__ = ["fast_transport", "is_fast_path"]


@functools.cache
def _is_installed() -> bool:
    return importlib.util.find_spec("httpx_aiohttp") is not None


def is_fast_path(url: str) -> bool:
    """Whether the extra is installed, and takes an address to where it leads.

    yarl, which parses addresses for aiohttp, decodes escaped dots, and a segment of dots alone leads elsewhere.
    """
    return _is_installed() and "%2e" not in url.lower()


def fast_transport(context: ssl.SSLContext, *, keepalive_seconds: float) -> Any:
    """Return a transport for `httpx.AsyncClient`. Whoever sends limits how many requests are under way."""
    import aiohttp  # noqa: PLC0415 an extra

    def make_session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive_seconds, ssl=context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    return _transport_type()(verify=context, client=make_session)


@functools.cache
def _transport_type() -> type:
    import aiohttp  # noqa: PLC0415 an extra
    import httpx  # noqa: PLC0415 with the HTTP library, not with this module
    from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415 an extra

    class Transport(AiohttpTransport):
        """Tells that a request may have been sent, and that an answer was lost."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.extensions["trace"]("http11.send_request_headers.started", {})
            try:
                return await super().handle_async_request(request)
            except httpx.ConnectTimeout as error:
                if isinstance(error.__cause__, aiohttp.ServerDisconnectedError):
                    raise httpx.RemoteProtocolError(str(error)) from error
                raise

    return Transport
