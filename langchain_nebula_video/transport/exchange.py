"""What the blocking and the async runtime share: building requests, limits, and translating failures."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from langchain_nebula_video.errors import InvalidRequestError, NotSentError, RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.media.urls import gateway_address, needs_key
from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.body import BodyCollector
from langchain_nebula_video.transport.certificates import ssl_context
from langchain_nebula_video.transport.connection_errors import HTTP2_HINT, connection_error
from langchain_nebula_video.transport.first_byte import FirstByte, WindowOverError
from langchain_nebula_video.transport.guard import Destination, SsrfGuard
from langchain_nebula_video.transport.proxies import (
    EnvironmentProxy,
    check_usable,
    find_gateway_proxy,
    redact_proxies,
)
from langchain_nebula_video.transport.redaction import KeyRedactor, redact_log
from langchain_nebula_video.transport.runtime import Clock, Endpoint, SendWindow, Stream

if TYPE_CHECKING:
    import socket
    from types import ModuleType

    from pydantic import SecretStr

__all__ = [
    "CONNECT_SECONDS",
    "KEEPALIVE_SECONDS",
    "MAX_CALLS",
    "MAX_REQUESTS",
    "MAX_SUBMITS",
    "MAX_TRANSFERS",
    "SHARED",
    "Connections",
    "Exchange",
    "no_place_error",
]

MAX_CALLS = 64
"""Submits of one client that are prepared at once. The others have read no image yet, and have no journal entry."""
MAX_SUBMITS = 4
MAX_REQUESTS = 100
"""Small requests to the gateway at once, of one client: as many as Alibaba's own client has (dashscope 2.0.2, by the
default of aiohttp)."""
SHARED = -1
"""In place of the number of a place: a pool that is shared."""
MAX_TRANSFERS = 32
"""Downloads and uploads at once, of one client."""
KEEPALIVE_SECONDS = 60.0
CONNECT_SECONDS = 10.0

# When these are raised, no connection was open yet.
_NOT_SENT_ERRORS = (
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "UnsupportedProtocol",
    "InvalidURL",
)


def _http_library(client: object | None) -> ModuleType:
    """Return httpx, or the compatible library of the caller's client (httpx2)."""
    for base in type(client).__mro__ if client is not None else ():
        library = sys.modules.get(base.__module__.partition(".")[0])
        if library is not None and all(hasattr(library, name) for name in ("ConnectError", "HTTPError", "Timeout")):
            return library
    return importlib.import_module("httpx")


@functools.cache
def _key_auth(library: ModuleType) -> type:
    class KeyAuth(library.Auth):  # type: ignore[misc, name-defined]
        """Adds the key to one request: a header, or in its URL. It is a `SecretStr` in every frame but this one."""

        def __init__(self, secret: SecretStr, parameter: str | None) -> None:
            self._secret = secret
            self._parameter = parameter

        def auth_flow(self, request: Any) -> Iterator[Any]:
            if self._parameter is None:
                request.headers["Authorization"] = f"Bearer {self._secret.get_secret_value()}"
            else:
                request.url = request.url.copy_set_param(self._parameter, self._secret.get_secret_value())
            yield request

    return KeyAuth


class Connections:
    """The HTTP clients of one thread or one event loop, open while sessions are.

    They belong to one process. A child of a fork shares their sockets, so it neither uses nor closes them.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.clients: dict[tuple[str, str, int], Any] = {}
        self.sessions = 0
        self.sockets: dict[str, socket.socket] = {}

    def pop_places(self, places: list[int]) -> list[Any]:
        """Remove and return the clients of these places, to be closed."""
        return [self.clients.pop(key) for key in list(self.clients) if key[0] == "pooled" and key[2] in places]

    def pop_clients(self) -> list[Any]:
        """Remove and return all clients, to be closed after the last session. In a child of a fork: none."""
        if self.pid != os.getpid():
            return []
        clients = list(self.clients.values())
        self.clients.clear()
        self.sockets.clear()
        return clients


class Exchange:
    """Builds requests and translates failures for one endpoint."""

    def __init__(self, endpoint: Endpoint, client: object | None, clock: Clock) -> None:
        self.endpoint = endpoint
        self.custom_client = client
        self.http = _http_library(client)
        self.clock = clock
        self.ssrf_guard = SsrfGuard(
            endpoint.base_url,
            endpoint.download_hosts,
            storage=endpoint.storage_hosts,
            custom_client=client is not None,
        )
        self.redact = KeyRedactor(endpoint.api_key.get_secret_value()).redact
        redact_log(self.http.__name__)

    def watch_first_byte(self, window: SendWindow | None) -> FirstByte:
        """Return the watch of a new request, which may leave within the window."""
        return FirstByte(self.clock, window, traced=self.custom_client is None)

    async def destinations(self, request: WireRequest, getaddrinfo: Any) -> tuple[Destination, ...]:
        """Return where to connect, in order. The SSRF guard checks everything but the gateway itself."""
        if request.target.startswith("/") or self.is_to_gateway(request):
            base_url = self.endpoint.base_url
            path = request.target.startswith("/")
            url = base_url + request.target if path else gateway_address(request.target, base_url)
            proxy = None if self.custom_client else find_gateway_proxy(url)
            return (Destination(url, proxy=proxy, to_gateway=True),)
        return await self.ssrf_guard.destinations(request.target, getaddrinfo)

    def prepare(
        self,
        kind: str,
        connections: Connections,
        request: WireRequest,
        destination: Destination,
        timeout: float,
        place: int = SHARED,
    ) -> tuple[Any, ...]:
        """Return the client, the library's request, and the arguments of its `send`.

        Requests of different places share no connection. A pool checks each of its idle connections at each request,
        by a system call, so many pools of one cost less than one pool of many.

        Raises:
            NotSentError: whatever fails here, nothing was sent.
        """
        if getattr(self.custom_client, "is_closed", False):
            raise InvalidRequestError("The http client that was given is closed.", hint="Give an open one, or none.")
        try:
            client = self._client(kind, connections, request, destination, place)
            return client, *self._build(client, request, destination, timeout)
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 proxies, certificates, addresses: in any case nothing was sent
            why = redact_proxies(self._describe(error))
            raise NotSentError(f"The request cannot be set up ({why}).") from None

    def _client(
        self, kind: str, connections: Connections, request: WireRequest, destination: Destination, place: int
    ) -> Any:
        """Return the caller's client, else a cached one of the needed kind."""
        if self.custom_client is not None:
            return self.custom_client
        # Requests to the gateway reuse a connection, but a paid one gets a new one.
        name = "external" if not destination.to_gateway else "fresh" if request.paid else "pooled"
        proxy = destination.proxy
        http2 = self.endpoint.http2 and destination.to_gateway
        # A pool shares a connection of HTTP/2 while it is in use. Looks may do so. Submits may not: if it broke, nobody
        # would know of any of them whether it was accepted. A connection to a pinned address belongs to one name.
        own = "fresh" if http2 else "pooled"
        key = (name, proxy.url if proxy else "", place if name == own else SHARED)
        if key not in connections.clients:
            if proxy is not None:
                check_usable(proxy)
            limits = self.http.Limits(
                max_connections=None,
                max_keepalive_connections=1 if name == "pooled" else 0,
                keepalive_expiry=KEEPALIVE_SECONDS,
            )
            context = ssl_context(self.endpoint.verify, http2=http2)
            connections.clients[key] = getattr(self.http, kind)(
                verify=context, http2=http2, limits=limits, proxy=proxy and proxy.url, trust_env=False
            )
        return connections.clients[key]

    def is_to_gateway(self, request: WireRequest) -> bool:
        """Whether a request goes to the gateway itself, and so with the key."""
        if request.target.startswith("/"):
            return True
        return request.with_key and request.method == "GET" and needs_key(request.target, self.endpoint.base_url)

    def has_secret_address(self, request: WireRequest) -> bool:
        """Whether the URL of a request must not be written down: it is signed, or has the key."""
        return request.key_parameter is not None or not self.is_to_gateway(request)

    def host(self, request: WireRequest) -> str:
        """Return the host of a request, for error messages."""
        to_gateway = self.is_to_gateway(request)
        return urlsplit(self.endpoint.base_url if to_gateway else request.target).hostname or "nowhere"

    def _build(
        self, client: Any, request: WireRequest, destination: Destination, timeout: float
    ) -> tuple[Any, dict[str, Any]]:
        to_gateway = self.is_to_gateway(request)
        seconds = max(timeout, 0.001)
        headers = {"Accept-Encoding": "identity", "User-Agent": self.endpoint.user_agent, **request.headers}
        if destination.pinned:  # the connection belongs to one name, so it must not be reused for another one
            headers |= {"Host": destination.netloc, "Connection": "close"}
        # A little less than the total: the library cleans up after its own timeout, but not after our cancellation.
        limit = self.http.Timeout(seconds, connect=min(CONNECT_SECONDS, 0.9 * seconds))
        content = {"json": request.json, "files": _parts(request), "headers": headers}
        if to_gateway:
            built = client.build_request(request.method, destination.url, timeout=limit, **content)
        else:  # a signed or redirected URL must not get what a caller's client adds by itself
            built = self.http.Request(
                request.method, destination.url, extensions={"timeout": limit.as_dict()}, **content
            )
        if destination.pinned:
            built.extensions["sni_hostname"] = destination.host
        auth = _key_auth(self.http)(self.endpoint.api_key, request.key_parameter) if to_gateway else None
        return built, {"auth": auth, "stream": True, "follow_redirects": False}

    async def read_all(self, answer: Stream, request: WireRequest) -> Reply:
        """Read a whole answer, with the key redacted.

        Raises:
            AnswerTooLargeError: it is larger than 32 MB, or 64 MB for a look at a task.
            SubmissionUnconfirmedError: the same, for a paid request.
        """
        body = BodyCollector(request)
        async for chunk in answer.chunks:
            body.add(chunk)
        return Reply(answer.status, answer.headers, self.redact(body.whole()), self.clock.utcnow())

    def body_method(self, response: Any) -> str:
        """Return the name of the response's method that iterates over its body.

        A body that a mock or a caller's hook has read is decoded already.
        """
        return "iter_bytes" if response.is_stream_consumed else "iter_raw"

    def coding(self, response: Any) -> str | None:
        """Return how a response's body is packed, as `body_method` gives it; `None`: it is not."""
        return None if response.is_stream_consumed else response.headers.get("content-encoding")

    def capture_failure(
        self,
        request: WireRequest,
        timeout: float,
        timed_out: threading.Event,
        first_byte: FirstByte,
        destination: Destination | None = None,
    ) -> FailureCapture:
        """Return a context manager for calls into the HTTP library."""
        proxy = destination.proxy if destination else None
        return FailureCapture(self, request, timeout, timed_out, first_byte, proxy)

    def translate_error(
        self,
        request: WireRequest,
        error: Exception,
        timeout: float,
        first_byte: FirstByte,
        proxy: EnvironmentProxy | None,
    ) -> RequestError:
        """Translate the library's error, by whether the first byte of the request may have been sent."""
        host = self.host(request)
        if first_byte.too_late:
            return NotSentError(
                f"The request to {host} was broken off: its time was over before its first byte left.",
                hint="Repeat it: that is safe. If this happens often, give it more time.",
            )
        message = self._describe(error)
        if isinstance(error, WindowOverError):
            message = "its time was over before its body left"
        if isinstance(error, TimeoutError | self.http.TimeoutException):
            message = f"{type(error).__name__}: none within {timeout:.0f} s"
        if not first_byte.maybe_sent or isinstance(error, tuple(getattr(self.http, kind) for kind in _NOT_SENT_ERRORS)):
            return connection_error(error, message, host, proxy)
        kind = SubmissionUnconfirmedError if request.paid else RequestError
        hint = kind.default_hint or "Try again later."
        if isinstance(error, self.http.RemoteProtocolError) and self._may_want_http2(request):
            hint = f"{hint} {HTTP2_HINT}"
        return kind(f"The request to {host} was sent, and no whole answer came ({message}).", hint=hint)

    def _may_want_http2(self, request: WireRequest) -> bool:
        """Whether HTTP/2 is not offered to the gateway, and could be."""
        secure = self.endpoint.base_url[:6].lower() == "https:"
        return secure and self.is_to_gateway(request) and self.custom_client is None and not self.endpoint.http2

    def is_transport_failure(self, request: WireRequest, error: BaseException) -> bool:
        """Whether to translate an exception. For a paid request, every `Exception` that is not a `RequestError` is."""
        library = self.http
        kinds = (TimeoutError, library.HTTPError, library.InvalidURL, library.StreamError, OSError)
        if isinstance(error, RequestError):
            return False
        return isinstance(error, kinds) or (request.paid and isinstance(error, Exception))

    def _describe(self, error: Exception) -> str:
        words = self.redact(str(error).encode("utf-8", "replace")).decode()[:300]
        return f"{type(error).__name__}: {words}" if words else type(error).__name__

    def headers(self, raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        """Return headers with names in lower case, and with the key redacted."""
        return {_as_text(name).lower(): _as_text(self.redact(value)) for name, value in raw}


def _as_text(raw: bytes) -> str:
    """Decode a header. By its standard it is ASCII (RFC 9110, 5.5); some servers send UTF-8, and some Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


def _parts(request: WireRequest) -> list[tuple[str, Any]] | None:
    """Return the parts of a multipart form: its fields, then its file. A form without a file is multipart too."""
    if request.form is None:
        return None
    fields = [(name, (None, text)) for name, text in request.form.items()]
    return [*fields, (request.file_field, request.file)] if request.file else fields


class FailureCapture:
    """Captures a failure of the HTTP library until `raise_failure` raises ours.

    Ours is raised after the `except` block has ended: the library's traceback has frames that hold the request's
    headers, and so the key.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: WireRequest,
        timeout: float,
        timed_out: threading.Event,
        first_byte: FirstByte,
        proxy: EnvironmentProxy | None,
    ) -> None:
        self._proxy = proxy
        self._first_byte = first_byte
        self._exchange = exchange
        self._request = request
        self._timeout = timeout
        self._timed_out = timed_out
        self._failure: RequestError | None = None

    @property
    def not_connected(self) -> bool:
        """Whether the failure is that no connection opened."""
        return isinstance(self._failure, NotSentError)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None or not self._exchange.is_transport_failure(self._request, error):
            return False
        theirs = TimeoutError() if self._timed_out.is_set() else error
        assert isinstance(theirs, Exception)  # noqa: S101 for the type checker
        self._failure = self._exchange.translate_error(
            self._request, theirs, self._timeout, self._first_byte, self._proxy
        )
        return True

    def raise_failure(self) -> None:
        """Raise the captured failure, if there is one."""
        if self._failure is not None:
            raise self._failure


def no_place_error(host: str, seconds: float) -> NotSentError:
    """Return the error for a request that got no place in time."""
    return NotSentError(
        f"No place was free for a request to {host} within {seconds:.0f} s.", hint="Try again, or do less at once."
    )
