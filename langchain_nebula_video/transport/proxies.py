"""The environment's proxies: which requests pass them by, and the secrets in their addresses."""

from __future__ import annotations

import re
import urllib.request
from urllib.parse import urlsplit

from langchain_nebula_video.media.urls import is_loopback

__all__ = ["goes_direct", "redact_proxies"]

_SEPARATORS = re.compile(r"[/:?#@&=\\]")
_MIN_LENGTH = 3
"""Characters. Shorter pieces are parts of ordinary words."""


def goes_direct(url: str) -> bool:
    """Whether a request to the gateway passes by the environment's proxy, which would read the key.

    Over https a proxy only gets to see a tunnel. Plain http is for this machine, or for a gateway nearby
    (`allow_http`), where a proxy elsewhere would go astray too.
    """
    parts = urlsplit(url)
    return parts.scheme.lower() == "http" or is_loopback(parts.hostname)


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
