"""The extra `fast`: looks of an async client go by aiohttp, whose parser is written in C.

It is never used for a paid request: aiohttp does not tell when the first byte leaves. Files go by httpx too: the SSRF
guard pins addresses there. So do requests through a proxy or with HTTP/2.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.transport.senders import Outgoing

if TYPE_CHECKING:
    import ssl

__all__ = ["AiohttpSession", "is_installed"]


@functools.cache
def is_installed() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("aiohttp") is not None


class AiohttpSession:
    """A `Sender` for all places. Whoever sends limits how many looks are under way.

    Args:
        library: httpx, whose errors are raised.
        context: Which certificates to trust.
        keepalive_seconds: How long a connection may be idle.
    """

    def __init__(self, library: Any, context: ssl.SSLContext, *, keepalive_seconds: float) -> None:
        import aiohttp  # noqa: PLC0415 an extra
        import yarl  # noqa: PLC0415 comes with it

        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive_seconds, ssl=context)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
        )
        self._library = library
        self._aiohttp = aiohttp
        self._url = yarl.URL
        self.misreads = False
        """Whether the server writes what aiohttp does not read, although browsers and httpx do: headers longer than 8
        kB, more than 128 of them, or a length given twice (aiohttp 3.14.5)."""

    async def send(self, outgoing: Outgoing) -> _AiohttpAnswer:
        """See `Sender`."""
        # The total is the caller's to watch. An address that is called encoded is sent as it is.
        timeout = self._aiohttp.ClientTimeout(total=None, sock_connect=outgoing.connect, sock_read=outgoing.stall)
        url = self._url(outgoing.url, encoded=True)
        try:
            response = await self._session.get(url, headers=outgoing.headers, timeout=timeout, allow_redirects=False)
        except self._aiohttp.ClientError as error:
            self.misreads = self.misreads or isinstance(error, self._aiohttp.ClientResponseError)
            raise _as_httpx(self._library, error) from _cause(error)
        return _AiohttpAnswer(self._library, self._aiohttp.ClientError, response)

    async def aclose(self) -> None:
        """See `Sender`."""
        await self._session.close()


class _AiohttpAnswer:
    """See `Incoming`."""

    def __init__(self, library: Any, errors: type[Exception], response: Any) -> None:
        self._library = library
        self._errors = errors
        self._response = response
        self.status: int = response.status
        self.headers: list[tuple[bytes, bytes]] = response.raw_headers

    async def read(self) -> bytes:
        """See `Incoming`."""
        try:
            piece: bytes = await self._response.content.readany()
        except self._errors as error:
            raise _as_httpx(self._library, error) from error
        return piece

    async def aclose(self) -> None:
        """See `Incoming`."""
        self._response.release()


_ERRORS = {
    "ClientConnectorError": "ConnectError",
    "ConnectionTimeoutError": "ConnectTimeout",
    "ServerTimeoutError": "ReadTimeout",
    "ServerDisconnectedError": "RemoteProtocolError",
    "ClientResponseError": "RemoteProtocolError",
    "InvalidURL": "InvalidURL",
    "ClientError": "ReadError",
}
"""Errors of aiohttp by what httpx calls the same. The most special kind of an error counts."""


def _as_httpx(library: Any, error: Exception) -> Exception:
    name = next(_ERRORS[base.__name__] for base in type(error).__mro__ if base.__name__ in _ERRORS)
    kind: type[Exception] = getattr(library, name)
    return kind(str(error))


def _cause(error: Exception) -> BaseException:
    """Return why a certificate is not trusted, which aiohttp keeps beside its own words."""
    found = getattr(error, "certificate_error", None)
    return found if isinstance(found, BaseException) else error
