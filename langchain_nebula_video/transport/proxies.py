"""Secrets in the addresses of the environment's proxies: users, passwords, tokens."""

from __future__ import annotations

import re
import urllib.request

__all__ = ["redact_proxies"]

_SEPARATORS = re.compile(r"[/:?#@&=\\]")
_MIN_LENGTH = 3
"""Characters. Shorter pieces are parts of ordinary words."""


def redact_proxies(text: str) -> str:
    """Remove all but the hosts of the environment's proxies from a text.

    An address that cannot be read may be quoted in pieces: a password with a slash is taken for a port.
    """
    for proxy in urllib.request.getproxies().values():
        rest = proxy.rpartition("://")[2]
        host = _SEPARATORS.split(rest.rpartition("@")[2])[0]
        for piece in sorted({*_SEPARATORS.split(rest)} - {host}, key=len, reverse=True):
            text = text.replace(piece, "…") if len(piece) >= _MIN_LENGTH else text
    return text
