"""Where a client's key and address come from: an option, the environment, or the gateway's row."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.regions import REGIONS, region_of_host
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
    variables = (gateway.url_variable, *gateway.other_url_variables)
    named = next(((name, url) for name in variables if (url := os.environ.get(name))), None)
    if option or named:
        name, url = ("base_url", option) if option else named or ("", "")
        return _resolve(url, name, gateway, allow_http=allow_http)
    if gateway.base_url is None:
        like = f", like {gateway.url_form}" if gateway.url_form else ""
        raise InvalidRequestError(
            f"The gateway {gateway.name!r} has no address of its own.",
            hint=f"Set {gateway.url_variable} or pass base_url=…{like}.",
        )
    return _resolve(gateway.base_url, None, gateway, allow_http=allow_http)


@functools.lru_cache(maxsize=256)  # it is asked for at each answer
def _resolve(url: str, name: str | None, gateway: Gateway, *, allow_http: bool) -> str:
    """Return the checked base URL of a gateway; `name`: the option or variable that it comes from, if there is one."""
    found = parse_url(url, name or f"The address of {gateway.name!r}", gateway, allow_http=allow_http)
    if name is not None:
        _check_region(found, name, gateway)
    # Vendors' clients want a URL that ends in the path of an API. Here the protocols' paths begin with it.
    scheme, slashes, rest = found.partition("://")
    root = next((root for root in (gateway.api_root, *gateway.other_roots) if rest.endswith(root)), "")
    return scheme + slashes + rest.removesuffix(root).removesuffix(gateway.prefix) + gateway.prefix


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


def _check_region(url: str, name: str, gateway: Gateway) -> None:
    """Check that a URL is not that of another region: keys and prices there are others.

    Raises:
        InvalidRequestError: it is.
    """
    parts = split_url(url, ("https", "http"))
    found = region_of_host(parts.hostname) if parts else None
    if gateway.region is None or found is None or found is REGIONS[gateway.region]:
        return
    here = REGIONS[gateway.region].title
    use = f"Use gateway={found.gateway!r}" if found.gateway else f"Use an address of {here}"
    raise InvalidRequestError(
        f"{name} is an address in {found.title}, and gateway={gateway.name!r} stands for {here}: there, keys, models "
        "and prices are others.",
        hint=f"{use}, or take the address out.",
    )


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
    if parts is None or set("@{}") & set(parts.netloc) or "?" in url or "#" in url:
        like = (gateway and (gateway.base_url or gateway.url_form)) or "https://gateway.example.com"
        raise InvalidRequestError(f"{name} is no web address.", hint=f"Give one like {like}.")
    if parts.scheme.lower() == "http" and not (allow_http or is_loopback(parts.hostname)):
        raise InvalidRequestError(
            f"{name} is plain http, over which anybody on the way can read the key.",
            hint="Use https; http is for this machine alone. In a network that you trust, such as one of containers, "
            "allow it: allow_http=True.",
        )
    return url.rstrip("/")
