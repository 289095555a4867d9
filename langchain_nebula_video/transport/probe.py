"""Blocking looks at what lies between this machine and a host: names, proxies, certificates. They send no key.

The answers are for a person who asks why nothing arrives. No request depends on them.
"""

from __future__ import annotations

import importlib
import os
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from langchain_nebula_video.transport.exchange import ssl_context
from langchain_nebula_video.transport.proxies import goes_direct

__all__ = ["Certificate", "EnvironmentProxy", "bounded", "find_proxy", "peek_certificate", "resolve_name"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EnvironmentProxy:
    """The proxy that requests to a host go through."""

    variable: str
    """The environment variable that names it, or "the system's settings"."""
    host: str
    """Its host and port, without user and password."""
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate that this machine trusts."""

    issuer: str
    expires_at: datetime | None


def bounded(action: Callable[[], T], seconds: float, *, name: str) -> T:
    """Call it in a thread of that name and return its result: it may wait for very long and cannot be told a limit.

    Raises:
        TimeoutError: it did not end in time. Its thread goes on.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 raised again in the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, name=f"nebula-video-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


def find_proxy(url: str) -> EnvironmentProxy | None:
    """Return the environment's proxy for a URL; `None`: there is none, or the host is excepted."""
    parts = urlsplit(url)
    proxies, scheme, host = urllib.request.getproxies(), parts.scheme.lower(), parts.hostname or ""
    name = next((name for name in (scheme, "all") if proxies.get(name)), None)
    if name is None or goes_direct(url) or urllib.request.proxy_bypass(host):
        return None
    proxy = proxies[name] if "://" in proxies[name] else f"http://{proxies[name]}"
    spellings = (f"{name}_proxy", f"{name}_proxy".upper())
    variable = next((spelling for spelling in spellings if os.environ.get(spelling)), "the system's settings")
    return EnvironmentProxy(variable, proxy.partition("://")[2].rpartition("@")[2].rstrip("/"), proxy)


def resolve_name(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name.

    Raises:
        OSError: it has none, or no name server answers in time.
    """
    found = bounded(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), seconds, name="resolver")
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def peek_certificate(host: str, port: int, seconds: float) -> Certificate:
    """Open a TLS connection as requests do, and return the server's certificate.

    Raises:
        ssl.SSLCertVerificationError: this machine does not trust it.
        OSError: no connection opens.
    """
    with socket.create_connection((host, port), timeout=seconds) as plain:
        context = ssl_context(importlib.import_module("httpx"))
        with context.wrap_socket(plain, server_hostname=host) as secured:
            found: dict[str, Any] = secured.getpeercert() or {}
    names = {key: value for part in found.get("issuer", ()) for key, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or "unknown"
    end = found.get("notAfter")
    return Certificate(issuer, datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None)
