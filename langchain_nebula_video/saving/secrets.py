"""Secrets in the URL of a store: its user, password and query."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

from langchain_nebula_video.errors import SetupError

__all__ = [
    "VARIABLE",
    "SecretUrl",
    "has_unquoted_secret",
    "is_container_at_account",
    "redact",
    "restore",
    "with_password",
]

VARIABLE = "NEBULA_VIDEO_SAVE_TO"
"""Holds the whole URL of a store where a dumped runnable is loaded."""
_HIDDEN = "…"
_ENDS = "/?#"
"""What ends the part of a URL with the host (RFC 3986, section 3.2)."""

_CONTAINER_AT_ACCOUNT = frozenset({"abfs", "abfss", "adl", "az", "wasb", "wasbs"})
"""Azure's schemes: what precedes the `@` is a container, unless it has a password."""


class SecretUrl(str):
    """A store's URL. Its repr hides the secrets in it; its value is whole, so that the store can be opened."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(redact(self, self))


def redact(text: str, target: object) -> str:
    """Remove the secrets of a store's URL from a text."""
    for link in str(target).split("::"):  # fsspec chains file systems so: simplecache::s3://…
        for secret in _secrets(link):
            text = text.replace(secret, _HIDDEN)
    return str(text)


def restore(target: str) -> str:
    """Return a target whole. A dumped one lacks its secrets; the environment may have the same one with them.

    Raises:
        SetupError: it has not.
    """
    if _HIDDEN not in {secret for link in target.split("::") for secret in _secrets(link)}:
        return target
    whole = os.environ.get(VARIABLE, "")
    if redact(whole, whole) != target:
        raise SetupError(
            f"save_to is {target}: a dump leaves the secrets of a store's URL out.",
            hint=f"Set {VARIABLE} to the whole URL.",
        )
    return whole


def with_password(name: str, target: object) -> str:
    """Return the URL of a saved video with the password of a target, if both name the same user of the same host."""
    scheme, _, rest = str(target).partition("://")
    netloc = rest.partition("/")[0]
    user, _, host = netloc.rpartition("@")
    told = f"{scheme}://{user.partition(':')[0]}@{host}/"
    return f"{scheme}://{netloc}/{name.removeprefix(told)}" if ":" in user and name.startswith(told) else name


def is_container_at_account(scheme: str, netloc: str) -> bool:
    """Return whether what precedes the `@` is a container, in Azure's own form of a URL."""
    user, at, _ = netloc.rpartition("@")
    return bool(at) and ":" not in user and scheme.lower() in _CONTAINER_AT_ACCOUNT


def has_unquoted_secret(url: str) -> bool:
    """Return whether a user or password has a character that ends it for those who read the URL."""
    return any(char in _user_info(url.partition("://")[2]) for char in _ENDS)


def _secrets(url: str) -> Iterator[str]:
    scheme, _, rest = url.partition("://")
    query = rest.partition("#")[0].partition("?")[2]
    user = _user_info(rest)
    password = user.partition(":")[2]
    if user and not is_container_at_account(scheme, f"{user}@"):
        yield user
    yield from filter(None, (query, password, unquote(password)))


def _user_info(rest: str) -> str:
    """Return what precedes the `@`. A password may have an unquoted slash, `?` or `#`: in `key:sec/ret@bucket`."""
    netloc = re.split(f"[{_ENDS}]", rest, maxsplit=1)[0]
    if "@" in netloc:
        return netloc.rpartition("@")[0]
    port = netloc.rpartition(":")[2] if ":" in netloc and not netloc.startswith("[") else ""
    return rest.rpartition("@")[0] if port and not port.isdigit() else ""
