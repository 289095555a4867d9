"""Running the server: over stdin and stdout, or as an HTTP server behind its guards."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.mcp.guard import OriginGuard, TokenGuard
from langchain_nebula_video.mcp.settings import Http
from langchain_nebula_video.media.urls import is_loopback

__all__ = ["PATH", "http_app", "run_http", "run_stdio"]

PATH = "/mcp"
_GRACE_SECONDS = 5


def run_stdio(server: Any) -> None:
    """Serve until stdin ends."""
    asyncio.run(server.run_async("stdio", show_banner=False, log_level="WARNING"))


def http_app(server: Any, http: Http) -> Any:
    """Return the ASGI app: the server behind the checks of token, origin and name."""
    # fastmcp's own check of Host and Origin accepts any page of this machine; the guard here accepts none unasked.
    app = server.http_app(path=PATH, host_origin_protection=False)
    inner: Any = TokenGuard(app, http.token)
    if http.allow_origins:
        inner = CORSMiddleware(
            inner,
            allow_origins=list(http.allow_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["mcp-session-id"],
        )
    return OriginGuard(inner, hosts=[http.host, *http.allow_hosts], origins=http.allow_origins)


def run_http(server: Any, http: Http) -> None:
    """Serve until a signal ends it. The address goes to stderr.

    Raises:
        InvalidRequestError: the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((http.host, http.port))
    except OSError as error:
        listener.close()
        raise InvalidRequestError(
            f"The server cannot listen on {http.host}, port {http.port}: {error.strerror or error}.",
            hint="Try --port 0.",
        ) from None
    host = f"[{http.host}]" if family == socket.AF_INET6 else http.host
    sys.stderr.write(f"MCP server: http://{host}:{listener.getsockname()[1]}{PATH}\n")
    if not is_loopback(http.host):
        sys.stderr.write("Everybody on the network can read the token: put a proxy with TLS before it.\n")
    sys.stderr.flush()
    config = uvicorn.Config(
        http_app(server, http),
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listener])
