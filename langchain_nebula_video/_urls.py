"""Addresses: which strings are one, and which of them stay on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

__all__ = ["is_loopback", "split_url", "without_query"]

_MAX_LENGTH = 8192  # longer ones are refused by common servers (nginx: 4 buffers of 8 KiB)


def split_url(text: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """The parts of an absolute web address with one of these schemes; `None` if it is none."""
    if len(text) > _MAX_LENGTH or any(char.isspace() or ord(char) < 32 for char in text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in schemes or not parts.hostname or port == 0:
        return None
    return parts


def is_loopback(host: str | None) -> bool:
    """Whether the host is this machine by its very name; nothing is resolved."""
    if not host:
        return False
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_query(url: str) -> str:
    """The address less what changes when it is signed anew, and less what is secret in it."""
    scheme, slashes, rest = url.split("#", 1)[0].split("?", 1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
