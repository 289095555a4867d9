"""Web pages and redirects in place of a gateway's answer: a firewall, a login page, a console at a wrong address."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols.wire import Reply

__all__ = ["PAGE_HINT", "REDIRECT_HINT", "REFUSED_BY_PAGE", "describe_answer", "is_page_error", "is_web_page"]

REFUSED_BY_PAGE = frozenset({401, 402, 403})
"""What such a status says of key and account holds only for a gateway's own answer, which is JSON."""
PAGE_HINT = (
    "A web page is no answer of a gateway's API. Check base_url: a console has another address. A firewall, a CDN or "
    "the login page of a network answers so too."
)
REDIRECT_HINT = (
    "The key is never sent along: set base_url to where the gateway really is. The login page of a network redirects "
    "too."
)
_HEAD_BYTES = 8192
_MAX_TITLE = 80
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|title|body)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def is_web_page(reply: Reply) -> bool:
    """Whether a body is HTML."""
    declared = reply.headers.get("content-type", "").lower().startswith("text/html")
    return _PAGE.match(reply.body) is not None or (declared and reply.body.lstrip()[:1] == b"<")


def is_page_error(error: RequestError) -> bool:
    """Whether an error was made from a web page."""
    return _PAGE.match((error.body or "").encode()) is not None


def describe_answer(reply: Reply) -> str:
    """Return the status of an answer, with the title of a web page or the target of a redirect."""
    if 300 <= reply.status < 400 and (location := reply.headers.get("location")):
        return f"HTTP {reply.status}, a redirect to {_target(location)}"
    if not is_web_page(reply):
        return f"HTTP {reply.status}"
    found = _TITLE.search(reply.body[:_HEAD_BYTES].decode("utf-8", "replace"))
    title = " ".join(html.unescape(found[1]).split())[:_MAX_TITLE] if found else ""
    return f"HTTP {reply.status} with a web page" + (f' ("{title}")' if title else "")


def _target(location: str) -> str:
    """Return scheme and host of a redirect. Its path and its query may hold secrets."""
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:
        return "an address that is none"
    if not host:
        return "another path there"
    return f"{parts.scheme}://{host[:100]}" if parts.scheme else host[:100]
