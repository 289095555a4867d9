"""Why a connection did not open, in terms of what a person can set: proxies, certificates, HTTP/2."""

from __future__ import annotations

import re
import ssl

from langchain_nebula_video.errors import NotSentError
from langchain_nebula_video.transport.certificates import certificate_hint
from langchain_nebula_video.transport.proxies import EnvironmentProxy

__all__ = ["HTTP2_HINT", "connection_error"]

HTTP2_HINT = "If this happens each time, the gateway's front may speak HTTP/2 only: set http2=True."
# The words of httpcore 1.0 about a proxy that speaks HTTP, and about one that speaks SOCKS. tinyproxy 1.11 answers a
# wrong password with 401.
_WANTS_PASSWORD = re.compile(r"^40[17]|NO ACCEPTABLE METHODS|USERNAME/PASSWORD", re.IGNORECASE)


def connection_error(error: BaseException, why: str, host: str, proxy: EnvironmentProxy | None) -> NotSentError:
    """Return the error for a connection that did not open.

    Args:
        error: The HTTP library's.
        why: Its words.
        host: Where the connection was to lead.
        proxy: What it was to go through.
    """
    untrusted = _find_cause(error)
    if untrusted is not None:
        # Of an https proxy, it may be the proxy's own.
        also = f" or that of the proxy {proxy.host}" if proxy and proxy.scheme == "https" else ""
        why = untrusted.verify_message.rstrip(".")
        what = f"The connection to {host} did not open: its certificate{also} is not trusted here ({why})."
        return NotSentError(what, hint=certificate_hint(untrusted))
    if proxy is None:
        return NotSentError(f"The connection to {host} did not open ({why}).")
    named = f"proxy {proxy.host} of {proxy.variable}"
    if type(error).__name__ == "ProxyError" and _WANTS_PASSWORD.search(str(error)):
        return NotSentError(
            f"The {named} wants a user and a password, or other ones ({error}).",
            hint=f"Write {proxy.variable}={proxy.scheme}://USER:PASSWORD@{proxy.host}. In user and password, write @ "
            "as %40, : as %3A and / as %2F.",
        )
    return NotSentError(
        f"The connection to {host} did not open through the {named} ({why}).",
        hint=f"Check that the proxy works and lets {host} through, and {proxy.variable}. To go past it, set "
        f"NO_PROXY={host}. To repeat is safe.",
    )


def _find_cause(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
