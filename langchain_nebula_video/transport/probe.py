"""Blocking looks at what lies between this machine and a host: names, proxies, certificates. They send no key.

The answers are for a person who asks why nothing arrives. No request depends on them.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from langchain_nebula_video.transport.certificates import ssl_context

__all__ = ["Certificate", "bounded", "peek_certificate", "resolve_name"]

T = TypeVar("T")


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
    context = ssl_context()
    with (
        socket.create_connection((host, port), timeout=seconds) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        found: dict[str, Any] = secured.getpeercert() or {}
    names = {key: value for part in found.get("issuer", ()) for key, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or "unknown"
    end = found.get("notAfter")
    return Certificate(issuer, datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None)
