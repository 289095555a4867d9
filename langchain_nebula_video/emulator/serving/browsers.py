"""Web pages must not use or steer an emulator on their reader's machine.

A browser sends a page's requests to any address, also on this machine. Two marks give them away. No page can change
them: `Origin` names the page's own site (RFC 6454, section 7). `Host` keeps the name that was asked for, also if the
page's owner has since pointed that name to 127.0.0.1 (DNS rebinding). Clients of an API send no `Origin`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_nebula_video.emulator.files import is_loopback

from .exchange import headers_of

if TYPE_CHECKING:
    from starlette.types import Scope

# RFC 2606, RFC 6761, RFC 6762 and ICANN's .internal: nobody can register a name there and point it elsewhere.
_UNREGISTRABLE = (".test", ".example", ".invalid", ".localhost", ".local", ".internal", ".home.arpa")

_FOREIGN = "the emulator does not answer web pages of other sites"


def control_refusal(scope: Scope) -> str | None:
    """Say why a control route does not answer this request; None if it does."""
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return "the control routes answer this machine alone"
    headers = headers_of(scope)
    if not _is_this_machine(_host_of(headers.get("host", ""))):
        return "the control routes are reached at 127.0.0.1, [::1] or localhost alone"
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:  # no page can leave it out
        return _FOREIGN
    return _foreign_origin(scope, headers)


def vendor_refusal(scope: Scope) -> str | None:
    """Say why a vendor's route does not answer this request; None if it does.

    Only requests from this machine can come from a rebound name. A name that nobody can register cannot be rebound:
    that of a container, say, or `gateway.test` of a proxy in front.
    """
    headers = headers_of(scope)
    client, host = scope.get("client"), _host_of(headers.get("host", ""))
    if client is not None and is_loopback(client[0]) and _can_be_rebound(host):
        return f"requests from this machine reach the emulator at 127.0.0.1 or localhost, not at {host!r}"
    return _foreign_origin(scope, headers)


def _foreign_origin(scope: Scope, headers: dict[str, str]) -> str | None:
    origin = headers.get("origin")
    own = f"{scope['scheme']}://{headers.get('host', '')}"
    if origin is None or (origin == own and _is_this_machine(_host_of(headers["host"]))):
        return None
    return _FOREIGN


def _host_of(netloc: str) -> str:
    """Return the host of a `Host` header without its port, in lower case; empty if there is none."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_this_machine(host: str) -> bool:
    return is_loopback(host) or host.endswith(".localhost")  # RFC 6761, section 6.3


def _can_be_rebound(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith(_UNREGISTRABLE)
    return False
