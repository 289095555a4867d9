"""The short path of an async client to its gateway, for looks, which most requests are, and for submits.

It has no pool, no cookies, no redirects and no authentication flow, which are more than half of what a request costs.
Each place for looks has a connection of httpcore, on which httpx itself stands; with the extra `fast`, all places share
a session of aiohttp, unless that cannot read what the server writes. Each submit opens a connection of httpcore of its
own.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from dataclasses import replace
from typing import cast

from langchain_nebula_video.errors import NotSentError
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
from langchain_nebula_video.transport.proxies import find_gateway_proxy
from langchain_nebula_video.transport.senders import HttpcoreConnection, Outgoing, Sender, Trace

__all__ = ["ShortPath"]

logger = logging.getLogger("httpx")
"""What is sent here is logged as httpx logs all other requests."""

_PLAIN_TARGET = re.compile(r"/[\w\-.~!$&'()*+,;=:@/%?]*", re.ASCII)
"""Paths and queries that no library writes in another way."""
_PROXY_SECONDS = 1.0
"""How long it counts what proxies the environment has."""
_SESSION = ("aiohttp", "", SHARED)
"""Where `Connections` keeps the session of aiohttp."""
_PORTS = {b"http": 80, b"https": 443}


class ShortPath:
    """Sends looks and submits.

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
        """Whether a request is a look or a submit that can be sent here."""
        is_look = request.method == "GET" and request.json is None and not request.paid
        is_submit = request.method == "POST" and request.json is not None and request.paid
        return (
            self._usable
            and (is_look or is_submit)
            and request.key_parameter is None
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
        return await self._send_over(self.sender(connections, place), request, self._outgoing(request, stall))

    async def submit(self, request: WireRequest, stall: float, trace: Trace) -> Reply:
        """Send a paid request over a connection of its own, and read its answer.

        `trace` is called with httpcore's trace events.
        """
        built = replace(self._outgoing(request, stall), trace=trace)
        connection = self._connection()
        try:
            return await self._send_over(connection, request, built)
        finally:
            await connection.aclose()

    def _outgoing(self, request: WireRequest, stall: float) -> Outgoing:
        """Return a request as it is sent.

        Raises:
            NotSentError: what it says is no JSON.
        """
        key = self._exchange.endpoint.api_key.get_secret_value()
        headers = [*self._headers, *request.headers.items(), ("Authorization", f"Bearer {key}")]
        content = b""
        if request.json is not None:
            try:
                content = json.dumps(request.json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            except (TypeError, ValueError) as error:
                raise NotSentError(f"The request cannot be set up ({type(error).__name__}).") from None
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        return Outgoing(
            url=self._base_url + request.target,
            target=self._path + request.target.encode("ascii"),
            headers=headers,
            connect=min(CONNECT_SECONDS, 0.9 * stall),
            stall=stall,
            method=request.method,
            content=content,
        )

    async def _send_over(self, sender: Sender, request: WireRequest, built: Outgoing) -> Reply:
        exchange = self._exchange
        answer = await sender.send(built)
        try:
            if logger.isEnabledFor(logging.INFO):
                logger.info('HTTP Request: %s %s "HTTP/1.1 %d"', built.method, built.url, answer.status)
            headers = exchange.headers(answer.headers)
            decoder, body = body_decoder(headers.get("content-encoding"), request), BodyCollector(request)
            while piece := await answer.read():
                for chunk in decoder.decode(piece):
                    body.add(chunk)
            decoder.flush()
            return Reply(answer.status, headers, exchange.redact(body.whole()), exchange.clock.utcnow())
        finally:
            await answer.aclose()

    def sender(self, connections: Connections, place: int) -> Sender:
        """Return what sends the looks of a place, with its open connection if there is one."""
        if is_installed():
            session = connections.clients.get(_SESSION)
            if session is None:
                context = ssl_context(self._exchange.endpoint.verify)
                session = AiohttpSession(self._exchange.http, context, keepalive_seconds=KEEPALIVE_SECONDS)
                connections.clients[_SESSION] = session
            if not session.misreads:
                return cast("Sender", session)
        key = "pooled", "look", place
        if key not in connections.clients:
            connections.clients[key] = self._connection()
        return cast("Sender", connections.clients[key])

    def _connection(self) -> HttpcoreConnection:
        context = ssl_context(self._exchange.endpoint.verify)
        return HttpcoreConnection(self._exchange.http, self._origin, context, keepalive_seconds=KEEPALIVE_SECONDS)
