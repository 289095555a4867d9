"""Addresses: which strings are one, and which of them stay on this machine."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

__all__ = ["is_loopback", "split_url", "without_signature"]

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


# What signing adds to an address: OSS, S3, GCS, Azure and CDNs. It changes with every signature.
_SIGNATURE = re.compile(
    r"(x-(amz|oss|goog|ms|cos)-.*|ossaccesskeyid|awsaccesskeyid|googleaccessid|(security-)?token|sign(ature)?|policy|"
    r"key-pair-id|expires?|auth_key|e|s[aeprtv]|sig|se|sks|skoid|sktid|skt|ske|skv|spr)",
    re.IGNORECASE,
)


def without_signature(url: str) -> str:
    """What names the thing behind an address: less what changes when it is signed anew, and less what is secret.

    Of the other parameters a hash is left: they may tell one picture from another, and they may be secret too.
    """
    address, _, query = url.split("#", 1)[0].partition("?")
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    told = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
    others = [part for part in query.split("&") if part and not _SIGNATURE.fullmatch(part.partition("=")[0])]
    return f"{told}?{hashlib.sha256('&'.join(others).encode()).hexdigest()[:16]}" if others else told
