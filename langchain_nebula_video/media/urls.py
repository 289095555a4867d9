"""Parse URLs and hosts; tell loopback, internal and public addresses apart. Nothing is resolved."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

__all__ = [
    "IPAddress",
    "gateway_address",
    "is_local_name",
    "is_loopback",
    "is_public",
    "needs_key",
    "normalize_allowed_host",
    "same_origin",
    "split_url",
    "url_fingerprint",
]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_LENGTH = 8192  # common servers refuse longer URLs (nginx: 4 buffers of 8 KiB)

_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f]")


def split_url(text: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """Split an absolute URL with one of these schemes. Return `None` if the text is no such URL."""
    if len(text) > _MAX_LENGTH or _BLANK_OR_CONTROL.search(text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in schemes or not parts.hostname or port == 0:
        return None
    return parts


@functools.lru_cache(maxsize=256)
def is_loopback(host: str | None) -> bool:
    """Whether the host is `localhost` or a loopback address, in any spelling of it. Names are not resolved.

    This is the one rule for what stays on this machine: plain http is allowed there, and no proxy is used.
    """
    if not host:
        return False
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if address.version == 6 else None  # Python before 3.13 does not look inside
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a URL; `None`: it is no plain one, so it has the origin of no other.

    A dot behind the host name makes another origin: servers and certificates may tell the two names apart.
    """
    parts = split_url(url, ("https", "http"))
    if parts is None or "@" in parts.netloc or "\\" in url:
        return None
    scheme, host = parts.scheme.lower(), _host_of_origin(parts.hostname or "")
    return (scheme, host, parts.port or (443 if scheme == "https" else 80)) if host.isascii() else None


@functools.lru_cache(maxsize=256)
def _host_of_origin(host: str) -> str:
    """Return the one spelling of a host; one that is not ASCII has none."""
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    with contextlib.suppress(UnicodeError):
        host = host if host.isascii() else host.encode("idna").decode()
    return host


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port, in any spelling of them."""
    origin = _origin(url)
    return origin is not None and origin == _origin(other)


def needs_key(url: str, base_url: str) -> bool:
    """Whether a URL is on the gateway itself, and wants its key. A signed one has its permission in the query.

    Storages refuse a request with two permissions (S3: "Only one auth mechanism allowed").
    """
    return same_origin(url, base_url) and not _is_signed(url.partition("?")[2])


def gateway_address(url: str, base_url: str) -> str:
    """Return a URL on the gateway's origin, with scheme, host and port as in `base_url` and all behind them as it is.

    So what reads the result later cannot take another host for it than the one that `base_url` names.
    """
    base, parts = urlsplit(base_url), urlsplit(url)
    rest = url.partition("://")[2][len(parts.netloc) :].partition("#")[0]
    return f"{base.scheme}://{base.netloc}{rest if rest[:1] == '/' else f'/{rest}'}"


_LOCAL_SUFFIXES = (".local", ".internal", ".localhost", ".localdomain", ".lan", ".home.arpa")


@functools.lru_cache(maxsize=256)
def is_local_name(host: str | None) -> bool:
    """Whether a host is this machine or one of its own network, by its spelling. Nothing is resolved.

    So are loopback and private addresses, names without a dot, and names that are only used within a network
    (RFC 6762, RFC 8375, `host.docker.internal`).
    """
    name = (host or "").lower().rstrip(".").strip("[]")
    if is_loopback(name):
        return True
    try:
        return not is_public(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return "." not in name or name.endswith(_LOCAL_SUFFIXES)


def normalize_allowed_host(text: str) -> str:
    """Normalize an entry of `download_hosts`: a host name, a domain with a leading dot, an IP address or a network.

    Raises:
        ValueError: the text is none of these.
    """
    text = text.strip().lower().rstrip(".")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_network(text.strip("[]"), strict=False))
    with contextlib.suppress(UnicodeError):
        text = text if text.isascii() else text.encode("idna").decode()
    if (
        not text.strip(".")
        or not text.isascii()
        or any(char in text for char in "/:@ *\\")
        or split_url(f"https://x{text}", ("https",)) is None
    ):
        raise ValueError("wants host names, domains that begin with a dot, addresses or networks, and nothing else")
    return text


# Internal addresses that some version of `ipaddress` calls global: Azure's WireServer, 6to4 relays (RFC 7526), IETF
# protocol assignments (some clouds use them), local NAT64 (RFC 8215), which the network's owner routes anywhere, and
# documentation (RFC 9637).
_INTERNAL_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        ("168.63.129.16/32", "192.88.99.0/24", "192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10", "3fff::/20"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291, 2.5.5.1
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214, 6.1


def is_public(address: IPAddress) -> bool:
    """Whether an address, and every IPv4 address embedded in it, belongs to the public internet."""
    embedded = _embedded_ipv4(address)
    if embedded:
        return all(map(is_public, embedded))
    if any(address in network for network in _INTERNAL_NETWORKS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded_ipv4(address: IPAddress) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 address to which a translator or a tunnel maps an IPv6 address."""
    if address.version == 4:
        return []
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if (
        address in _NAT64
        or (address in _IPV4_COMPATIBLE and int(low) > 1)
        or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    ):
        return [low]
    return [address.sixtofour] if address.sixtofour is not None else []


# Query parameters that signing adds: OSS, S3, GCS, Azure and CDNs. They change with every signature.
_SIGNING_PARAMETER = re.compile(
    r"(x-(amz|oss|goog|ms|cos|tos)-(?!process$).*|q-(sign-algorithm|ak|(sign|key)-time|(header|url-param)-list|signature)|"
    r"(oss|aws)accesskeyid|googleaccessid|(security-)?token|sign(ature)?|policy|key-pair-id|expires?|auth_key|e|"
    r"s[aeprtv]|sig|sks|skoid|sktid|skt|ske|skv|spr)",
    re.IGNORECASE,
)
# Some of these names are common words that may identify the image. They are removed only if the URL also has a
# signature itself. Qiniu's signature is a `token` of a key and the signed text.
_SIGNATURE_PARAMETER = re.compile(r"(((x-\w+|q)-)?signature|sign?|auth_key)=.|token=[\w-]{40}(:|%3A)", re.IGNORECASE)


def _is_signed(query: str) -> bool:
    return any(map(_SIGNATURE_PARAMETER.match, query.split("#", 1)[0].split("&")))


def url_fingerprint(url: str) -> str:
    """Return a text that identifies the resource: equal for the same URL with another signature, and without secrets.

    Credentials, the fragment and signing parameters are removed. The other query parameters are hashed: they may
    identify the image, and they may be secret.
    """
    address, _, query = url.split("#", 1)[0].partition("?")
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    base = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
    parameters = [part for part in query.split("&") if part]
    if _is_signed(query):
        parameters = [part for part in parameters if not _SIGNING_PARAMETER.fullmatch(part.partition("=")[0])]
    return f"{base}?{hashlib.sha256('&'.join(parameters).encode()).hexdigest()[:16]}" if parameters else base
