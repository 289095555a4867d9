"""The environment's proxies: which one serves a URL, which hosts pass them by, and the secrets in their addresses.

This is the one reading for submits, polls, uploads, downloads and `doctor`: the HTTP library's own is switched off.
`HTTPS_PROXY` and `HTTP_PROXY` come before `ALL_PROXY`, so an unusable one that serves no request stops nothing.

| `NO_PROXY`                                            | which hosts pass by                        |
|-------------------------------------------------------|--------------------------------------------|
| `*`                                                   | all                                        |
| `example.test`, `.example.test`, `*.example.test`     | the domain and all below it                |
| `192.0.2.7`, `2001:db8::7`, `10.0.0.0/8`, `fd00::/8`  | addresses; names are not resolved for this |
| any of these with `:8443` behind it                   | the same, at this port                     |
| any of these with `https://` before it                | the same, for this scheme                  |
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import re
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from langchain_nebula_video.errors import NotSentError
from langchain_nebula_video.media.urls import is_loopback

__all__ = ["EnvironmentProxy", "check_usable", "find_gateway_proxy", "find_proxy", "redact_proxies"]

_SEPARATORS = re.compile(r"[/:?#@&=\\]")
_MIN_LENGTH = 3
"""Characters. Shorter pieces are parts of ordinary words."""
_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
_PORTS = {"http": 80, "https": 443}
_BETWEEN = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class EnvironmentProxy:
    """The proxy that requests to a host go through."""

    variable: str
    """The environment variable that names it, or "the system's settings"."""
    host: str
    """Its host and port, without user and password."""
    url: str = field(repr=False)

    @property
    def scheme(self) -> str:
        """The protocol that it speaks."""
        return self.url.partition("://")[0].lower()


def find_gateway_proxy(url: str) -> EnvironmentProxy | None:
    """Return the proxy for requests to the gateway; `None`: they go directly.

    Over https a proxy only gets to see a tunnel. Over plain http it would read the key, so none is used: plain http is
    for this machine, or for a gateway nearby (`allow_http`), where a proxy elsewhere would go astray too.
    """
    return None if urlsplit(url).scheme.lower() == "http" else find_proxy(url)


def find_proxy(url: str) -> EnvironmentProxy | None:
    """Return the environment's proxy for a URL; `None`: there is none, or the host passes it by."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    name = next((name for name in (parts.scheme.lower(), "all") if proxies.get(name)), None)
    if name is None or is_loopback(parts.hostname) or _passes_by(parts, proxies):
        return None
    proxy = proxies[name] if "://" in proxies[name] else f"http://{proxies[name]}"
    spellings = (f"{name}_proxy", f"{name}_proxy".upper())
    variable = next((spelling for spelling in spellings if os.environ.get(spelling)), "the system's settings")
    host = re.split(r"[/?#\\]", proxy.partition("://")[2].rpartition("@")[2])[0]
    return EnvironmentProxy(variable, host, proxy)


def check_usable(proxy: EnvironmentProxy) -> None:
    """Check that a proxy can be used.

    Raises:
        NotSentError: it cannot.
    """
    variable, scheme = proxy.variable, proxy.scheme
    if scheme not in _SCHEMES:
        raise NotSentError(
            f"The proxy of {variable} cannot be used: its address begins with {scheme[:20]}://.",
            hint=f"Write {variable}=http://HOST:PORT, or socks5://HOST:PORT for SOCKS. Variables of another scheme "
            "come first: HTTPS_PROXY before ALL_PROXY.",
        )
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise NotSentError(
            f"The proxy {proxy.host} of {variable} speaks SOCKS, which needs the package socksio.",
            hint='Run: pip install "langchain-nebula-video[socks]"',
        )
    with contextlib.suppress(ValueError):
        if urlsplit(proxy.url).hostname and urlsplit(proxy.url).port != 0:
            return
    raise NotSentError(
        f"The proxy of {variable} cannot be used: its address has no host, or no valid port.",
        hint=f"Write {variable}=http://USER:PASSWORD@HOST:PORT. In user and password, write @ as %40, : as %3A and / "
        "as %2F.",
    )


def _passes_by(parts: SplitResult, proxies: dict[str, str]) -> bool:
    """Whether the environment, or without a word of it the system, excepts a URL from its proxies."""
    if "no" in proxies:
        return any(_matches(entry, parts) for entry in _BETWEEN.split(proxies["no"].strip()) if entry)
    return bool(urllib.request.proxy_bypass(parts.hostname or ""))


def _matches(entry: str, parts: SplitResult) -> bool:
    scheme, _, rest = entry.lower().rpartition("://")
    if scheme and scheme != parts.scheme.lower():
        return False
    host = (parts.hostname or "").rstrip(".")
    if rest == "*":
        return True
    with contextlib.suppress(ValueError):
        network, address = ipaddress.ip_network(rest.strip("[]"), strict=False), ipaddress.ip_address(host)
        return address.version == network.version and address in network
    name, _, port = rest.rpartition(":")
    if name and port.isdigit():
        actual = parts.port or _PORTS.get(parts.scheme.lower(), 0)
        return int(port) == actual and _matches(name, parts)
    domain = rest.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


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
