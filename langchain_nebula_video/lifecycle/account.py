"""Where a client's key and address come from: an option, the environment, or the gateway's row."""

from __future__ import annotations

import hashlib
import logging
import os
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.urls import is_loopback, split_url

__all__ = ["account_id", "environment_key", "parse_key", "parse_url", "resolve_base_url", "warn_of_plain_http"]

logger = logging.getLogger("langchain_nebula_video")

_warned_hosts: set[str] = set()
"""The hosts over plain http that a warning of this process has named."""


def environment_key(gateway: Gateway) -> SecretStr | None:
    """Return the key in the gateway's environment variable; `None`: it is unset or empty.

    Raises:
        InvalidRequestError: the variable holds no usable key.
    """
    found = os.environ.get(gateway.key_variable)
    return parse_key(found, gateway.key_variable) if found else None


def resolve_base_url(gateway: Gateway, option: str | None, *, allow_http: bool = False) -> str:
    """Return the URL that the protocol's paths are appended to, without a slash at its end.

    Args:
        gateway: The row.
        option: The caller's `base_url`; `None`: from the environment, else the row.
        allow_http: Whether it may be plain http elsewhere than on this machine.

    Raises:
        InvalidRequestError: there is none, or it cannot be one.
    """
    found = option or os.environ.get(gateway.url_variable)
    if found:
        found = parse_url(found, "base_url" if option else gateway.url_variable, gateway, allow_http=allow_http)
    elif gateway.base_url is not None:
        found = parse_url(gateway.base_url, f"The address of {gateway.name!r}", gateway, allow_http=allow_http)
    else:
        raise InvalidRequestError(
            f"The gateway {gateway.name!r} has no address of its own.",
            hint=f"Set {gateway.url_variable} or pass base_url=….",
        )
    # Vendors' clients want a URL that ends in `api_root`. Here the protocols' paths begin with it.
    scheme, slashes, rest = found.partition("://")
    return scheme + slashes + rest.removesuffix(gateway.api_root).removesuffix(gateway.prefix) + gateway.prefix


def account_id(base_url: str, api_key: SecretStr) -> str:
    """Return a digest that tells accounts apart in a journal. It reveals neither key nor address."""
    identity = f"{base_url}\n{api_key.get_secret_value()}"
    return hashlib.blake2b(identity.encode(), digest_size=8, person=b"nebula-video").hexdigest()


def parse_key(key: str, name: str) -> SecretStr:
    """Return a usable key without surrounding blanks; `name` is the option or variable it comes from."""
    key = key.strip()
    if not key or not all("!" <= char <= "~" for char in key):
        raise InvalidRequestError(f"{name} holds no usable key.", hint="A key is one word of plain ASCII, like sk-….")
    return SecretStr(key)


def warn_of_plain_http(base_url: str) -> None:
    """Warn, once for each host, if the key goes over plain http to another machine."""
    host = urlsplit(base_url).hostname or ""
    if base_url[:5].lower() == "http:" and not is_loopback(host) and host not in _warned_hosts:
        _warned_hosts.add(host)
        logger.warning(
            "the key goes to %s over plain http, as allow_http says: everybody on that network can read it", host
        )


def parse_url(url: str, name: str, gateway: Gateway | None, *, allow_http: bool = False) -> str:
    """Return a base URL without a slash at its end; `name` is the option or variable it comes from."""
    parts = split_url(url, ("https", "http"))
    if parts is None or "@" in parts.netloc or "?" in url or "#" in url:
        like = (gateway and gateway.base_url) or "https://gateway.example.com"
        raise InvalidRequestError(f"{name} is no web address.", hint=f"Give one like {like}.")
    if parts.scheme.lower() == "http" and not (allow_http or is_loopback(parts.hostname)):
        raise InvalidRequestError(
            f"{name} is plain http, over which anybody on the way can read the key.",
            hint="Use https; http is for this machine alone. In a network that you trust, such as one of containers, "
            "allow it: allow_http=True.",
        )
    return url.rstrip("/")
