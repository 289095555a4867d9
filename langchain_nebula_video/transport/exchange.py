"""What is the same in a blocking and an async exchange with a server: building, bounding, naming failures."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from langchain_nebula_video.errors import InvalidRequestError, NotSentError, RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.guard import Destination, SsrfGuard
from langchain_nebula_video.transport.runtime import Clock, Endpoint, Stream

if TYPE_CHECKING:
    import socket
    from types import ModuleType

    from pydantic import SecretStr

__all__ = ["MAX_REQUESTS", "MAX_SUBMITS", "REQUEST_STARTED_EVENTS", "Connections", "Exchange"]

MAX_SUBMITS = 4
MAX_REQUESTS = 32
_MAX_ANSWER_BYTES = 32 * 1024 * 1024  # some gateways answer with the video itself as a data: URI
_CHUNK_BYTES = 64 * 1024
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip's or zlib's
_GZIP = 0x1F
_KEEPALIVE_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
_MIN_KEY_LENGTH = 12

# The connection did not stand yet when these were raised.
_NOT_SENT_ERRORS = (
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "UnsupportedProtocol",
    "InvalidURL",
)


REQUEST_STARTED_EVENTS = ("http11.send_request_headers.started", "http2.send_request_headers.started")
"""What httpcore says before the first byte of a request is written."""
# Never through a proxy: this machine is not to be seen from there.
_LOOPBACK_PATTERNS = ("all://localhost", "all://127.0.0.1", "all://[::1]")


def _http_library(client: object | None) -> ModuleType:
    """httpx, or the library of its kind that the caller's client comes from (httpx2)."""
    for base in type(client).__mro__ if client is not None else ():
        library = sys.modules.get(base.__module__.partition(".")[0])
        if library is not None and all(hasattr(library, name) for name in ("ConnectError", "HTTPError", "Timeout")):
            return library
    return importlib.import_module("httpx")


def _ssl_context(library: ModuleType) -> Any:
    return _ssl_context_for(library, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _ssl_context_for(library: ModuleType, *trusted: str | None) -> Any:  # noqa: ARG001 the cache's key
    return library.create_ssl_context()  # some 20 ms: shared by all clients that trust the same


@functools.cache
def _bearer(library: ModuleType) -> type:
    class Bearer(library.Auth):  # type: ignore[misc, name-defined]
        """Puts the key on one request; the key stays a secret in every frame but the last."""

        def __init__(self, secret: SecretStr) -> None:
            self._secret = secret

        def auth_flow(self, request: Any) -> Iterator[Any]:
            request.headers["Authorization"] = f"Bearer {self._secret.get_secret_value()}"
            yield request

    return Bearer


class Connections:
    """The connections of one thread or one event loop; open while sessions are."""

    def __init__(self) -> None:
        self.clients: dict[tuple[str, str], Any] = {}
        self.sessions = 0
        self.sockets: dict[str, socket.socket] = {}

    def pop_clients(self) -> list[Any]:
        """The clients to close, once the last session has ended."""
        clients = list(self.clients.values())
        self.clients.clear()
        self.sockets.clear()
        return clients


class Exchange:
    """What is the same in a blocking and an async exchange: building, naming, mapping failures."""

    def __init__(self, endpoint: Endpoint, client: object | None, clock: Clock) -> None:
        self.endpoint = endpoint
        self.custom_client = client
        self.http = _http_library(client)
        self.clock = clock
        self.ssrf_guard = SsrfGuard(endpoint.base_url, endpoint.download_hosts, custom_client=client is not None)
        secret = endpoint.api_key.get_secret_value()
        # A short one is no real key, and cutting it out would cut up addresses and task ids.
        self._secret = secret.encode() if len(secret) >= _MIN_KEY_LENGTH else b""

    def new_sent_event(self) -> threading.Event:
        """Set once the request may be on its way. A client of the caller's own does not tell: it always may."""
        maybe_sent = threading.Event()
        if self.custom_client is not None:
            maybe_sent.set()
        return maybe_sent

    async def destinations(self, request: WireRequest, getaddrinfo: Any) -> tuple[Destination, ...]:
        """Where to connect, one after the other; anything but the gateway itself is looked at first."""
        if request.target.startswith("/"):
            return (Destination(self.endpoint.base_url + request.target),)
        return await self.ssrf_guard.destinations(request.target, getaddrinfo)

    def prepare(
        self, kind: str, connections: Connections, request: WireRequest, destination: Destination, timeout: float
    ) -> tuple[Any, ...]:
        """The client, the library's request, and how to send it. What fails here has not been sent."""
        if getattr(self.custom_client, "is_closed", False):
            raise InvalidRequestError("The http client that was given is closed.", hint="Give an open one, or none.")
        try:
            client = self._client(kind, connections, request, destination)
            return client, *self._build(client, request, destination, timeout)
        except Exception as error:  # noqa: BLE001 proxies, certificates, addresses: whatever it is, nothing was sent
            raise NotSentError(f"The request cannot be set up ({self._describe(error)}).") from None

    def _client(self, kind: str, connections: Connections, request: WireRequest, destination: Destination) -> Any:
        """The caller's own client; else ours of that kind."""
        if self.custom_client is not None:
            return self.custom_client
        options: dict[str, Any]
        if destination.pinned or destination.proxy:  # the environment has been asked, and has no further say
            name, options = "external", {"proxy": destination.proxy, "trust_env": False}
        else:  # a connection for a paid request is made for it alone
            name, options = "fresh" if request.paid else "pooled", {"mounts": dict.fromkeys(_LOOPBACK_PATTERNS)}
        key = (name, destination.proxy or "")
        if key not in connections.clients:
            keep = MAX_REQUESTS if name == "pooled" else 0
            limits = self.http.Limits(
                max_connections=None, max_keepalive_connections=keep, keepalive_expiry=_KEEPALIVE_SECONDS
            )
            connections.clients[key] = getattr(self.http, kind)(
                verify=_ssl_context(self.http), limits=limits, **options
            )
        return connections.clients[key]

    def host(self, request: WireRequest) -> str:
        to_gateway = request.target.startswith("/")
        return urlsplit(self.endpoint.base_url if to_gateway else request.target).hostname or "nowhere"

    def _build(
        self, client: Any, request: WireRequest, destination: Destination, timeout: float
    ) -> tuple[Any, dict[str, Any]]:
        to_gateway = request.target.startswith("/")
        seconds = max(timeout, 0.001)
        headers = {"Accept-Encoding": "identity", "User-Agent": self.endpoint.user_agent, **request.headers}
        if destination.pinned:  # a connection stands for one name: it is not kept for another at the same address
            headers |= {"Host": destination.netloc, "Connection": "close"}
        # A little less than the whole: the library tidies up after its own time-out, not after our cancelling.
        limit = self.http.Timeout(seconds, connect=min(_CONNECT_SECONDS, 0.9 * seconds))
        content: dict[str, Any] = {
            "json": request.json,
            "data": request.form,
            "files": {"file": request.file} if request.file else None,
            "headers": headers,
        }
        if to_gateway:
            built = client.build_request(request.method, destination.url, timeout=limit, **content)
        else:  # a signed address, or a redirect's: nothing that a caller's client adds by itself belongs there
            built = self.http.Request(
                request.method, destination.url, extensions={"timeout": limit.as_dict()}, **content
            )
        if destination.pinned:
            built.extensions["sni_hostname"] = destination.host
        auth = _bearer(self.http)(self.endpoint.api_key) if to_gateway else None
        return built, {"auth": auth, "stream": True, "follow_redirects": False}

    async def read_all(self, answer: Stream, request: WireRequest) -> Reply:
        parts: list[bytes] = []
        size = 0
        async for chunk in answer.chunks:
            size += len(chunk)
            if size > _MAX_ANSWER_BYTES:
                raise _too_large_error(request)
            parts.append(chunk)
        return Reply(answer.status, answer.headers, self.redact(b"".join(parts)), self.clock.utcnow())

    def body_method(self, response: Any) -> str:
        """The response's method that gives its body.

        Of one that was read on its way here, a mock's or by a hook of the caller's, it is unpacked already.
        """
        return "iter_bytes" if response.is_stream_consumed else "iter_raw"

    def body_decoder(self, response: Any, request: WireRequest) -> BodyDecoder:
        """What unpacks an answer's body, in pieces that are small however much is packed into one.

        Requests ask for nothing packed; some servers pack all the same.
        """
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding in {"", "identity"} or response.is_stream_consumed:
            return BodyDecoder(request, packed=False)
        if coding in {"gzip", "x-gzip", "deflate"}:
            return BodyDecoder(request, packed=True)
        raise _unreadable_body_error(f"The answer is packed with {coding[:40]!r}, which was not asked for.", request)

    def capture_failure(
        self, request: WireRequest, timeout: float, timed_out: threading.Event, maybe_sent: threading.Event
    ) -> FailureCapture:
        """Around what may fail in the library."""
        return FailureCapture(self, request, timeout, timed_out, maybe_sent)

    def translate_error(
        self, request: WireRequest, error: Exception, timeout: float, *, maybe_sent: bool
    ) -> RequestError:
        """Our error for theirs; `left`: the first byte of the request may have been sent."""
        host = self.host(request)
        message = self._describe(error)
        if isinstance(error, TimeoutError | self.http.TimeoutException):
            message = f"{type(error).__name__}: none within {timeout:.0f} s"
        if not maybe_sent or isinstance(error, tuple(getattr(self.http, kind) for kind in _NOT_SENT_ERRORS)):
            return NotSentError(f"The connection to {host} did not open ({message}).")
        lost = f"The request to {host} was sent, and no whole answer came ({message})."
        if request.paid:
            return SubmissionUnconfirmedError(lost)
        return RequestError(lost, hint="Try again later.")

    def is_transport_failure(self, request: WireRequest, error: BaseException) -> bool:
        """Whether an exception is the exchange's own; of a paid request, everything that can be is."""
        library = self.http
        kinds = (TimeoutError, library.HTTPError, library.InvalidURL, library.StreamError, OSError)
        if isinstance(error, RequestError):
            return False
        return isinstance(error, kinds) or (request.paid and isinstance(error, Exception))

    def _describe(self, error: Exception) -> str:
        words = self.redact(str(error).encode("utf-8", "replace")).decode()[:300]
        return f"{type(error).__name__}: {words}" if words else type(error).__name__

    def redact(self, body: bytes) -> bytes:
        return body.replace(self._secret, b"[key]") if self._secret else body

    def headers(self, response: Any) -> dict[str, str]:
        return {name.lower(): self.redact(value.encode()).decode() for name, value in response.headers.multi_items()}


class FailureCapture:
    """Holds a failure of the library back, until `check` raises ours in its place.

    Ours is raised when theirs is over and forgotten: theirs drags along frames that hold the request's
    headers, and so the key.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: WireRequest,
        timeout: float,
        timed_out: threading.Event,
        maybe_sent: threading.Event,
    ) -> None:
        self._maybe_sent = maybe_sent
        self._exchange = exchange
        self._request = request
        self._timeout = timeout
        self._timed_out = timed_out
        self._failure: RequestError | None = None

    @property
    def not_connected(self) -> bool:
        """Whether no connection came to stand."""
        return isinstance(self._failure, NotSentError)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None or not self._exchange.is_transport_failure(self._request, error):
            return False
        theirs = TimeoutError() if self._timed_out.is_set() else error
        assert isinstance(theirs, Exception)  # noqa: S101 for the type checker
        self._failure = self._exchange.translate_error(
            self._request, theirs, self._timeout, maybe_sent=self._maybe_sent.is_set()
        )
        return True

    def raise_failure(self) -> None:
        """Raise the failure that was held back, if there was one."""
        if self._failure is not None:
            raise self._failure


class BodyDecoder:
    """Unpacks one body, member by member (RFC 1952, 2.2)."""

    def __init__(self, request: WireRequest, *, packed: bool) -> None:
        self._request = request
        self._member: Any = zlib.decompressobj(_ANY_HEADER) if packed else None

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """What the next piece unpacks to."""
        if self._member is None:
            yield piece
            return
        try:
            while piece:
                if self._member.eof:
                    if piece[0] != _GZIP:  # not another member: whatever it is, it would only be piled up
                        raise _unreadable_body_error("The answer is packed, and something else follows.", self._request)
                    self._member = zlib.decompressobj(_ANY_HEADER)
                if unpacked := self._member.decompress(piece, _CHUNK_BYTES):
                    yield unpacked
                piece = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise _unreadable_body_error("The answer is packed, and broken.", self._request) from None

    def flush(self) -> None:
        """Nothing more comes."""
        if self._member is not None and not self._member.eof:
            raise _unreadable_body_error("The answer is packed, and cut off.", self._request)


def _too_large_error(request: WireRequest) -> RequestError:
    return _unreadable_body_error(
        f"The answer is larger than {_MAX_ANSWER_BYTES // 1024 // 1024} MB and was not read further.", request
    )


def _unreadable_body_error(message: str, request: WireRequest) -> RequestError:
    if request.paid:
        return SubmissionUnconfirmedError(message)
    return RequestError(message, hint="Check base_url: this is not how the gateway answers.")
