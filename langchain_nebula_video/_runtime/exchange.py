"""What is the same in a blocking and an async exchange with a server: building, bounding, naming failures."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from langchain_nebula_video._runtime.base import Clock, Endpoint, Stream
from langchain_nebula_video.errors import InvalidRequestError, NotSentError, RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import Reply, WireRequest

if TYPE_CHECKING:
    import socket
    from types import ModuleType

    from pydantic import SecretStr

__all__ = ["LEAVES", "MAX_REQUESTS", "MAX_SUBMITS", "Connections", "Exchange"]

MAX_SUBMITS = 4
MAX_REQUESTS = 32
_MAX_ANSWER_BYTES = 32 * 1024 * 1024  # some gateways answer with the video itself as a data: URI
_KEEPALIVE = 60.0
_CONNECT_TIMEOUT = 10.0
_SHORTEST_KEY = 12

# The connection did not stand yet when these were raised.
_NOT_SENT = (
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ProxyError",
    "UnsupportedProtocol",
    "InvalidURL",
)


LEAVES = ("http11.send_request_headers.started", "http2.send_request_headers.started")
"""What httpcore says before the first byte of a request is written."""
# Never through a proxy: this machine is not to be seen from there.
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


def _library_of(client: object | None) -> ModuleType:
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
        self.pooled: Any = None
        """Keeps connections alive between polls."""
        self.fresh: Any = None
        """Opens a new one for each request."""
        self.sessions = 0
        self.sockets: dict[str, socket.socket] = {}

    def taken(self) -> list[Any]:
        """The clients to close, once the last session has ended."""
        clients = [client for client in (self.pooled, self.fresh) if client is not None]
        self.pooled = self.fresh = None
        self.sockets.clear()
        return clients


class Exchange:
    """What is the same in a blocking and an async exchange: building, naming, mapping failures."""

    def __init__(self, endpoint: Endpoint, client: object | None, clock: Clock) -> None:
        self.endpoint = endpoint
        self.own_client = client
        self.http = _library_of(client)
        self.clock = clock
        secret = endpoint.api_key.get_secret_value()
        # A short one is no real key, and cutting it out would cut up addresses and task ids.
        self._secret = secret.encode() if len(secret) >= _SHORTEST_KEY else b""

    def leaving(self) -> threading.Event:
        """Set once the request may be on its way. A client of the caller's own does not tell: it always may."""
        left = threading.Event()
        if self.own_client is not None:
            left.set()
        return left

    def prepare(self, kind: str, connections: Connections, request: WireRequest, timeout: float) -> tuple[Any, ...]:
        """The client, the library's request, and how to send it. What fails here has not been sent."""
        if getattr(self.own_client, "is_closed", False):
            raise InvalidRequestError("The http client that was given is closed.", hint="Give an open one, or none.")
        try:
            client = self._client(kind, connections, fresh=request.paid)
            return client, *self._build(client, request, timeout)
        except Exception as error:  # noqa: BLE001 proxies, certificates, addresses: whatever it is, nothing was sent
            raise NotSentError(f"The request cannot be set up ({self._said(error)}).") from None

    def _client(self, kind: str, connections: Connections, *, fresh: bool) -> Any:
        """The caller's own client; else ours of that kind."""
        if self.own_client is not None:
            return self.own_client
        name = "fresh" if fresh else "pooled"
        if getattr(connections, name) is None:
            setattr(connections, name, getattr(self.http, kind)(**self._client_options(fresh=fresh)))
        return getattr(connections, name)

    def _client_options(self, *, fresh: bool) -> dict[str, Any]:
        keep = 0 if fresh else MAX_REQUESTS
        return {
            "mounts": dict.fromkeys(_LOOPBACK),
            "verify": _ssl_context(self.http),
            "limits": self.http.Limits(
                max_connections=None, max_keepalive_connections=keep, keepalive_expiry=_KEEPALIVE
            ),
        }

    def host(self, request: WireRequest) -> str:
        own = request.target.startswith("/")
        return urlsplit(self.endpoint.base_url if own else request.target).hostname or "nowhere"

    def _build(self, client: Any, request: WireRequest, timeout: float) -> tuple[Any, dict[str, Any]]:
        own = request.target.startswith("/")
        seconds = max(timeout, 0.001)
        built = client.build_request(
            request.method,
            self.endpoint.base_url + request.target if own else request.target,
            json=request.json,
            data=request.form,
            files={"file": request.file} if request.file else None,
            headers={"Accept-Encoding": "identity", "User-Agent": self.endpoint.user_agent, **request.headers},
            # A little less than the whole: the library tidies up after its own time-out, not after our cancelling.
            timeout=self.http.Timeout(seconds, connect=min(_CONNECT_TIMEOUT, 0.9 * seconds)),
        )
        if not own:  # a signed address, or a redirect's: neither our key nor what a caller's client adds
            for name in ("authorization", "cookie"):
                built.headers.pop(name, None)
        auth = _bearer(self.http)(self.endpoint.api_key) if own else None
        return built, {"auth": auth, "stream": True, "follow_redirects": False}

    async def whole(self, answer: Stream, request: WireRequest) -> Reply:
        parts: list[bytes] = []
        size = 0
        async for chunk in answer.chunks:
            size += len(chunk)
            if size > _MAX_ANSWER_BYTES:
                raise _too_large(request)
            parts.append(chunk)
        return Reply(answer.status, answer.headers, self.redact(b"".join(parts)), self.clock.utcnow())

    def guard(self, request: WireRequest, timeout: float, late: threading.Event, left: threading.Event) -> Guard:
        """Around what may fail in the library."""
        return Guard(self, request, timeout, late, left)

    def translated(self, request: WireRequest, error: Exception, timeout: float, *, left: bool) -> RequestError:
        """Our error for theirs; `left`: the first byte of the request may have been sent."""
        host = self.host(request)
        told = self._said(error)
        if isinstance(error, TimeoutError | self.http.TimeoutException):
            told = f"{type(error).__name__}: none within {timeout:.0f} s"
        if not left or isinstance(error, tuple(getattr(self.http, kind) for kind in _NOT_SENT)):
            return NotSentError(f"The connection to {host} did not open ({told}).")
        lost = f"The request to {host} was sent, and no whole answer came ({told})."
        if request.paid:
            return SubmissionUnconfirmedError(lost)
        return RequestError(lost, hint="Try again later.")

    def is_failure(self, request: WireRequest, error: BaseException) -> bool:
        """Whether an exception is the exchange's own; of a paid request, everything that can be is."""
        library = self.http
        kinds = (TimeoutError, library.HTTPError, library.InvalidURL, library.StreamError, OSError)
        if isinstance(error, RequestError):
            return False
        return isinstance(error, kinds) or (request.paid and isinstance(error, Exception))

    def _said(self, error: Exception) -> str:
        words = self.redact(str(error).encode("utf-8", "replace")).decode()[:300]
        return f"{type(error).__name__}: {words}" if words else type(error).__name__

    def redact(self, body: bytes) -> bytes:
        return body.replace(self._secret, b"[key]") if self._secret else body

    def headers(self, response: Any) -> dict[str, str]:
        return {name.lower(): self.redact(value.encode()).decode() for name, value in response.headers.multi_items()}


class Guard:
    """Holds a failure of the library back, until `check` raises ours in its place.

    Ours is raised when theirs is over and forgotten: theirs drags along frames that hold the request's
    headers, and so the key.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: WireRequest,
        timeout: float,
        late: threading.Event,
        left: threading.Event,
    ) -> None:
        self._left = left
        self._exchange = exchange
        self._request = request
        self._timeout = timeout
        self._late = late
        self._failure: RequestError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None or not self._exchange.is_failure(self._request, error):
            return False
        theirs = TimeoutError() if self._late.is_set() else error
        assert isinstance(theirs, Exception)  # noqa: S101 for the type checker
        self._failure = self._exchange.translated(self._request, theirs, self._timeout, left=self._left.is_set())
        return True

    def check(self) -> None:
        """Raise the failure that was held back, if there was one."""
        if self._failure is not None:
            raise self._failure


def _too_large(request: WireRequest) -> RequestError:
    told = f"The answer is larger than {_MAX_ANSWER_BYTES // 1024 // 1024} MB and was not read further."
    if request.paid:
        return SubmissionUnconfirmedError(told)
    return RequestError(told, hint="Check base_url: this is not how the gateway answers.")
