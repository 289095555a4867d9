"""The certificates that requests trust, and what to set where they trust too few."""

from __future__ import annotations

import functools
import importlib
import os
import ssl
from pathlib import Path

from langchain_nebula_video.errors import NotSentError

__all__ = ["certificate_hint", "ssl_context"]

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_HINTS = {
    10: "The gateway's certificate has expired: tell its support. If many hosts seem so, set this machine's clock.",
    62: "The certificate is another host's: check base_url, and that no proxy or name server answers in its place.",
}
"""By OpenSSL's verify codes, whose names are X509_V_ERR_CERT_HAS_EXPIRED and …_HOSTNAME_MISMATCH."""
_ISSUER_HINT = (
    "Something on the way, such as a company's proxy, signs with a certificate of its own, or this machine has no "
    "list of issuers. Set SSL_CERT_FILE to a file with the issuer's certificate, or pass verify=… with its path."
)


def certificate_hint(error: ssl.SSLCertVerificationError) -> str:
    """Return what to do about a certificate that is not trusted."""
    return _HINTS.get(error.verify_code, _ISSUER_HINT)


def ssl_context(verify: object = None, *, http2: bool = False) -> ssl.SSLContext:
    """Return the TLS settings of requests: the certificates that they trust.

    Args:
        verify: The caller's own settings, or a file or folder of certificates. `None`: of `SSL_CERT_FILE`, else of
            `SSL_CERT_DIR`, else the ones that the HTTP library brings.
        http2: Whether HTTP/2 is offered. The HTTP library writes that into the settings, so they are not shared.

    Raises:
        NotSentError: there are no certificates at that place.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    named = [(name, os.environ.get(name)) for name in _VARIABLES]
    source, place = next(((name, value) for name, value in [("verify", verify), *named] if value), ("", ""))
    return _load(source, str(place), http2=http2)


@functools.cache
def _load(source: str, place: str, *, http2: bool) -> ssl.SSLContext:  # noqa: ARG001 http2 is a part of the cache's key
    """Load certificates. It takes some 20 ms, so clients share them."""
    if not source:
        context: ssl.SSLContext = importlib.import_module("httpx").create_ssl_context(trust_env=False)
        return context
    folder = source == "SSL_CERT_DIR" or Path(place).is_dir()
    if folder and Path(place).is_dir():
        return ssl.create_default_context(capath=place)
    try:
        return ssl.create_default_context(cafile=place)
    except (OSError, ssl.SSLError) as error:
        why = "there is no such folder" if folder else getattr(error, "strerror", None) or "it cannot be read"
        if isinstance(error, ssl.SSLError):
            why = "it holds no certificate in PEM form"
    raise NotSentError(
        f"{source} names {place}, and {why[0].lower()}{why[1:]}.",
        hint=f"Give {source} a file with certificates in PEM form, or leave it out.",
    )
