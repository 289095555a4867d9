"""Looks of an async client: free GETs to the gateway, which most requests are.

They go without the layers that other requests need: no pool, no cookies, no redirects, no authentication flow. These
are more than half of what a request costs. Each place has a connection of httpcore, on which httpx itself stands; with
the extra `fast`, all places share a session of aiohttp.
"""

from __future__ import annotations

import logging
import math
import re
import time

from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport.body import BodyCollector
from langchain_nebula_video.transport.certificates import ssl_context
from langchain_nebula_video.transport.decoding import body_decoder
from langchain_nebula_video.transport.exchange import (
    CONNECT_SECONDS,
    KEEPALIVE_SECONDS,
    SHARED,
    Connections,
    Exchange,
)
from langchain_nebula_video.transport.fast import AiohttpSession, is_installed
from langchain_nebula_video.transport.look_connections import HttpcoreConnection, Look, LookSender
from langchain_nebula_video.transport.proxies import find_gateway_proxy

__all__ = ["Looks"]

logger = logging.getLogger("httpx")
"""Looks are logged as httpx logs all other requests."""

_PLAIN_TARGET = re.compile(r"/[\w\-.~!$&'()*+,;=:@/%?]*", re.ASCII)
"""Paths and queries that no library writes in another way."""
_PROXY_SECONDS = 1.0
"""How long it counts what proxies the environment has."""
_PORTS = {b"http": 80, b"https": 443}


class Looks:
    """Sends the looks of an async client.

    Args:
        exchange: What all requests of the client share.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        url = exchange.http.URL(exchange.endpoint.base_url)
        self._base_url = str(url).rstrip("/")
        self._origin: tuple[bytes, bytes, int] = (url.raw_scheme, url.raw_host, url.port or _PORTS[url.raw_scheme])
        self._path: bytes = url.raw_path.rstrip(b"/")
        self._headers = [
            ("Host", url.netloc.decode("ascii")),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "keep-alive"),
            ("User-Agent", exchange.endpoint.user_agent),
        ]
        self._proxy, self._proxy_until = False, -math.inf
        # A caller's client is the caller's choice, and httpx alone knows HTTP/2 and proxies.
        self._usable = exchange.custom_client is None and not exchange.endpoint.http2

    def takes(self, request: WireRequest) -> bool:
        """Whether a request is a look that can be sent here."""
        return (
            self._usable
            and request.method == "GET"
            and not request.paid
            and request.key_parameter is None
            and request.json is None
            and request.form is None
            and _PLAIN_TARGET.fullmatch(request.target) is not None
            and not self._has_proxy()
        )

    def _has_proxy(self) -> bool:
        """Whether the environment has a proxy for the gateway. To read it costs as much as half a look."""
        now = time.monotonic()
        if now >= self._proxy_until:
            self._proxy_until = now + _PROXY_SECONDS
            self._proxy = find_gateway_proxy(self._base_url) is not None
        return self._proxy

    async def send(self, request: WireRequest, connections: Connections, place: int, stall: float) -> Reply:
        """Send a look over the connection of a place, and read its answer."""
        exchange = self._exchange
        key = exchange.endpoint.api_key.get_secret_value()
        look = Look(
            url=self._base_url + request.target,
            target=self._path + request.target.encode("ascii"),
            headers=[*self._headers, *request.headers.items(), ("Authorization", f"Bearer {key}")],
            connect=min(CONNECT_SECONDS, 0.9 * stall),
            stall=stall,
        )
        del key
        answer = await self.sender(connections, place).send(look)
        try:
            if logger.isEnabledFor(logging.INFO):
                logger.info('HTTP Request: GET %s "HTTP/1.1 %d"', look.url, answer.status)
            headers = exchange.headers(answer.headers)
            decoder, body = body_decoder(headers.get("content-encoding"), request), BodyCollector(request)
            while piece := await answer.read():
                for chunk in decoder.decode(piece):
                    body.add(chunk)
            decoder.flush()
            return Reply(answer.status, headers, exchange.redact(body.whole()), exchange.clock.utcnow())
        finally:
            await answer.aclose()

    def sender(self, connections: Connections, place: int) -> LookSender:
        """Return what sends the looks of a place, with its open connection if there is one."""
        key = ("aiohttp", "", SHARED) if is_installed() else ("pooled", "look", place)
        if key not in connections.clients:
            context = ssl_context(self._exchange.endpoint.verify)
            if is_installed():
                sender: LookSender = AiohttpSession(self._exchange.http, context, keepalive_seconds=KEEPALIVE_SECONDS)
            else:
                sender = HttpcoreConnection(
                    self._exchange.http, self._origin, context, keepalive_seconds=KEEPALIVE_SECONDS
                )
            connections.clients[key] = sender
        found: LookSender = connections.clients[key]
        return found
