"""The player of a video in a notebook: the saved file itself if it is small, else a reference to it."""

from __future__ import annotations

import base64
import html
import re
import urllib.parse
from pathlib import Path

__all__ = ["EMBED_LIMIT", "has_secrets", "player", "text_without_secrets", "without_secrets"]

EMBED_LIMIT = 8_000_000
"""Bytes of a saved video up to which the file is embedded in the notebook, where it takes a third more."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>`]+", re.IGNORECASE)
_STYLE = "max-width:100%;max-height:480px"


def without_secrets(url: str) -> str:
    """Return a URL without what may be a permission: its user, its query and its fragment."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "[redacted]"
    host = parts.netloc.rpartition("@")[2]
    kept = urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))
    return f"{kept}?[redacted]" if has_secrets(url) else kept


def has_secrets(url: str) -> bool:
    """Whether a URL has a user, a query or a fragment. A signature is in its query."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return True
    return bool(parts.query or parts.fragment or "@" in parts.netloc)


def text_without_secrets(text: str) -> str:
    """Return a text without what may be a permission in its addresses. Gateways quote that of an image in reasons."""
    return _ADDRESS.sub(lambda found: without_secrets(found[0]) if has_secrets(found[0]) else found[0], text)


def player(path: str | None, url: str | None, *, embed_limit: int = EMBED_LIMIT) -> str:
    """Return a player as HTML, or `""`.

    Args:
        path: Where the video was saved. A small local file is embedded. A larger one is referred to, if it is below
            the working directory, from where Jupyter serves files.
        url: What is played if nothing is saved here. Give none that must not stay in the notebook.
        embed_limit: Bytes of a file up to which it is embedded.
    """
    source = _saved(path, embed_limit) if path and "://" not in path else None
    if source is None and url and url.lower().startswith(("https://", "http://")):
        source = url
    if source is None:
        return ""
    return f'<video src="{html.escape(source, quote=True)}" controls loop style="{_STYLE}"></video>'


def _saved(path: str, embed_limit: int) -> str | None:
    file = Path(path)
    try:
        if not file.is_file():
            return None
        if file.stat().st_size <= embed_limit:
            return "data:video/mp4;base64," + base64.b64encode(file.read_bytes()).decode()
        return urllib.parse.quote(file.resolve().relative_to(Path.cwd()).as_posix())
    except (OSError, ValueError):  # unreadable, or elsewhere
        return None
