"""The SSRF guard: which hosts a request outside the gateway may go to (video downloads, uploads, redirects).

Such a URL comes from an answer. A wrong or hostile one must not make this machine fetch what only this machine can
reach. So the host is resolved here, and all of its addresses must be public. The connection then goes to the checked
address, so DNS rebinding changes nothing.

| host                                                 | what happens                                      |
|------------------------------------------------------|---------------------------------------------------|
| the gateway's own host and port, if it is loopback   | used as it is                                     |
| a name listed in `download_hosts`                    | used as it is                                     |
| an address in a network listed there                 | connected to directly                             |
| any other address that is not public                 | refused, with a proxy too                         |
| any other for which the environment sets a proxy     | left to the proxy, which resolves names           |
| a name with a made-up address (198.18.0.0/15)        | only the gateway's own storage, over https; pinned |
| any other name                                       | resolved; all addresses must be public; pinned    |

Made-up addresses: a proxy program that takes in all traffic of a machine, such as Clash, mihomo, Surge or sing-box,
answers each name with an address of its own from 198.18.0.0/15 (RFC 2544: benchmarks), and later connects to the name.
Such an address says nothing about where a name leads. So it is taken only for names that the gateway's vendor alone
gives out, and whose server then has to prove its name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from langchain_nebula_video.errors import InvalidRequestError, NotSentError
from langchain_nebula_video.media.urls import IPAddress, is_loopback, is_public, split_url
from langchain_nebula_video.transport.proxies import EnvironmentProxy, find_gateway_proxy, find_proxy

__all__ = ["MADE_UP", "Destination", "SsrfGuard", "is_made_up"]

_MAX_DESTINATIONS = 4
MADE_UP = ipaddress.ip_network("198.18.0.0/15")
_MADE_UP_HINT = (
    "A proxy program on this machine or in its network, such as Clash, mihomo, Surge or sing-box, gives every name an "
    'address like this one. If you run one, set download_hosts=["198.18.0.0/15"], or allow the host alone: '
    'download_hosts=["{}"].'
)
_INTERNAL_HINT = 'If your gateway keeps its files there, allow it: download_hosts=["{}"].'
_GetAddrInfo = Callable[..., Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one attempt of a request connects to."""

    url: str
    """The URL to request. If pinned, its host is an address."""
    host: str = ""
    """If pinned: the host name for the `Host` header and the certificate."""
    netloc: str = ""
    """If pinned: `host` with its port."""
    proxy: EnvironmentProxy | None = None
    """The proxy that resolves the name and connects."""
    to_gateway: bool = False
    """Whether it is the gateway itself, not a place that an answer names."""

    @property
    def pinned(self) -> bool:
        """Whether the URL has an address that was checked here, in place of the name."""
        return bool(self.host)


def is_made_up(address: str) -> bool:
    """Whether a proxy program may have made up an address."""
    return ipaddress.ip_address(address) in MADE_UP


class SsrfGuard:
    """Decides where requests outside the gateway may go.

    Args:
        base_url: The gateway's URL.
        allowed: `download_hosts`, each checked by `media.urls.normalize_allowed_host`.
        storage: Domains of the gateway's storage, each with a dot before it.
        custom_client: Whether a client of the caller sends; its proxies are unknown here.
    """

    def __init__(
        self, base_url: str, allowed: Iterable[str], *, storage: tuple[str, ...] = (), custom_client: bool
    ) -> None:
        gateway = urlsplit(base_url)
        host = (gateway.hostname or "").rstrip(".")
        self._gateway = (host, _port(gateway))
        self._storage = storage
        self._loopback = (_canonical(host), _port(gateway)) if is_loopback(host) else None
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._custom_client = custom_client
        for entry in allowed:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._names.add(entry)

    async def destinations(self, url: str, getaddrinfo: _GetAddrInfo) -> tuple[Destination, ...]:
        """Return where to connect for a URL, to be tried in order until a connection opens.

        Args:
            url: A URL from an answer.
            getaddrinfo: `socket.getaddrinfo`, awaited.

        Raises:
            InvalidRequestError: the URL is malformed, or leads to a host that is not public.
            NotSentError: its host cannot be resolved.
        """
        parts = split_url(url, ("https", "http"))
        if parts is None or "@" in parts.netloc or "\\" in url:
            raise InvalidRequestError("What the gateway names is no plain web address.", hint="Nothing was fetched.")
        host = _ascii_host(parts)
        port = f":{parts.port}" if parts.port else ""
        netloc = f"[{host}]{port}" if ":" in host else host + port
        rest = url.partition("://")[2][len(parts.netloc) :]
        # The URL is rebuilt with the host as parsed here: libraries parse non-ASCII hosts in other ways.
        plain = f"{parts.scheme}://{netloc}{rest}"
        # Other ports of this machine are other services, which an answer must not reach.
        if (_canonical(host), _port(parts)) == self._loopback or self._is_allowed_name(host):
            return (Destination(plain, proxy=None if self._custom_client else find_gateway_proxy(plain)),)
        literal = _parse_address(host)
        if literal is not None:
            self._check([literal], host)
            bracketed = f"[{literal}]" if literal.version == 6 else str(literal)
            plain = f"{parts.scheme}://{bracketed}{port}{rest}"
        # A proxy is not asked for what is inside by its very spelling, nor for an address that is allowed by number.
        if not self._custom_client and (literal is None or is_public(literal)) and (proxy := find_proxy(plain)):
            return (Destination(plain, proxy=proxy),)
        found = [literal] if literal else await _resolve_host(host, parts, getaddrinfo)
        made_up = [address for address in found if address in MADE_UP]
        if made_up and self._is_storage(parts, host):
            found = made_up
        else:
            self._check(found, host)
        return tuple(
            Destination(
                url=f"{parts.scheme}://{f'[{address}]' if address.version == 6 else address}{port}{rest}",
                host=host,
                netloc=netloc,
            )
            for address in found[:_MAX_DESTINATIONS]
        )

    def _check(self, found: list[IPAddress], host: str) -> None:
        """Check that all addresses of a host are public or allowed. A resolver may return any of them first.

        Raises:
            InvalidRequestError: one is neither.
        """
        for address in found:
            allowed = (address in network for network in self._networks if network.version == address.version)
            if not is_public(address) and not any(allowed):
                at = f" ({address})" if str(address) != host else ""
                hint = _MADE_UP_HINT if address in MADE_UP and at else _INTERNAL_HINT
                raise InvalidRequestError(
                    f"The address leads to {host}{at}, which is not on the public internet.",
                    hint=f"Nothing was fetched. {hint.format(host)}",
                )

    def _is_storage(self, parts: SplitResult, host: str) -> bool:
        """Whether a URL leads to the gateway's storage or to the gateway itself, and its server has to prove it."""
        own = (host, _port(parts)) == self._gateway or host.endswith(self._storage)
        return own and parts.scheme.lower() == "https"

    def _is_allowed_name(self, host: str) -> bool:
        return host in self._names or any(name[0] == "." and host.endswith(name) for name in self._names)


def _canonical(host: str) -> str:
    """Return an address in its one usual spelling, and a name unchanged."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme.lower() == "https" else 80)


def _ascii_host(parts: SplitResult) -> str:
    """Return the host in ASCII (IDNA). Look-alike digits and dots become plain ones."""
    host = (parts.hostname or "").rstrip(".")
    with contextlib.suppress(UnicodeError):
        host = host if host.isascii() else host.encode("idna").decode().rstrip(".")
    if not host or not host.isascii():
        raise InvalidRequestError("What the gateway names is no plain web address.", hint="Nothing was fetched.")
    return host


def _parse_address(host: str) -> IPAddress | None:
    """Return a host as an address, in any notation that resolvers accept: decimal, octal, hexadecimal, short."""
    if host.rpartition(".")[2] == "localhost":  # whatever DNS or a proxy says (RFC 6761, 6.3)
        return ipaddress.IPv4Address("127.0.0.1")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    with contextlib.suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


async def _resolve_host(host: str, parts: SplitResult, getaddrinfo: _GetAddrInfo) -> list[IPAddress]:
    try:
        found = await getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotSentError(
            f"The name {host} cannot be resolved ({error.strerror or error}).",
            hint=f'If your own http client knows another way there, allow it: download_hosts=["{host}"].',
        ) from None
    except UnicodeError:
        raise InvalidRequestError(f"{host[:80]} is no host name.", hint="Nothing was fetched.") from None
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
