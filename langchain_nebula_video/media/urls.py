"""Addresses: which strings are one, and which of them stay on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

__all__ = ["IPAddress", "is_loopback", "is_public", "normalize_allowed_host", "split_url", "url_fingerprint"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

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


def normalize_allowed_host(text: str) -> str:
    """One of `download_hosts`: a name, a domain that begins with a dot, an address or a network.

    Raises:
        ValueError: it is none of these.
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


# Public by their number, and yet inside: Azure's WireServer, the relays of 6to4 (RFC 7526), and what IANA keeps for
# protocols (some clouds answer there). Local NAT64 (RFC 8215) leads to whatever the network's owner says.
_INTERNAL_NETWORKS = tuple(
    map(ipaddress.ip_network, ("168.63.129.16/32", "192.88.99.0/24", "192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10"))
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291, 2.5.5.1
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214, 6.1


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the open internet, and so is each that it carries inside."""
    inside = _embedded_ipv4(address)
    if inside:
        return all(map(is_public, inside))
    if any(address in network for network in _INTERNAL_NETWORKS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded_ipv4(address: IPAddress) -> list[ipaddress.IPv4Address]:
    """The IPv4 address that a translator or a tunnel makes of an IPv6 one."""
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


# What signing adds to an address: OSS, S3, GCS, Azure and CDNs. It changes with every signature.
_SIGNING_PARAMETER = re.compile(
    r"(x-(amz|oss|goog|ms|cos|tos)-(?!process$).*|q-(sign-algorithm|ak|(sign|key)-time|(header|url-param)-list|signature)|"
    r"(oss|aws)accesskeyid|googleaccessid|(security-)?token|sign(ature)?|policy|key-pair-id|expires?|auth_key|e|"
    r"s[aeprtv]|sig|sks|skoid|sktid|skt|ske|skv|spr)",
    re.IGNORECASE,
)
# Some of these are ordinary words, which may tell one picture from another: they are left out only beside a signature
# itself. Qiniu's is a token of a key and what it signs.
_SIGNATURE_PARAMETER = re.compile(r"(((x-\w+|q)-)?signature|sign?|auth_key)=.|token=[\w-]{40}(:|%3A)", re.IGNORECASE)


def url_fingerprint(url: str) -> str:
    """What names the thing behind an address: less what changes when it is signed anew, and less what is secret.

    Of the other parameters a hash is left: they may tell one picture from another, and they may be secret too.
    """
    address, _, query = url.split("#", 1)[0].partition("?")
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    told = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
    others = [part for part in query.split("&") if part]
    if any(map(_SIGNATURE_PARAMETER.match, others)):
        others = [part for part in others if not _SIGNING_PARAMETER.fullmatch(part.partition("=")[0])]
    return f"{told}?{hashlib.sha256('&'.join(others).encode()).hexdigest()[:16]}" if others else told
