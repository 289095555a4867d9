"""Secrets are cut out: the key from answers, however it is escaped, and signatures from the HTTP library's log."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

__all__ = ["KeyRedactor", "redact_log", "signed_request"]

_MIN_KEY_LENGTH = 12


class KeyRedactor:
    r"""Replaces a key in texts with `[key]`.

    A gateway may repeat the key in JSON (`\/`, `\u002d`), in a URL (`%2D`) or in HTML (`&#45;`), and JSON within JSON
    has its backslashes doubled. All of these become the key once somebody decodes them.

    Args:
        key: The key. A short one is no real one, and cutting it out would damage addresses and task ids.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode() if len(key) >= _MIN_KEY_LENGTH else b""
        self._escaped = re.compile(b"".join(map(_spellings, key))) if self._key else None

    def redact(self, text: bytes) -> bytes:
        """Return the text without the key."""
        if self._escaped is None:
            return text
        if b"\\" in text or b"%" in text or b"&" in text:  # what each escape begins with
            return self._escaped.sub(b"[key]", text)
        return text.replace(self._key, b"[key]")


def _spellings(char: str) -> bytes:
    """Return a pattern for a character of a key and its escapes. Each begins with a literal, which makes it fast."""
    code = f"{ord(char):02x}"
    found = [rf"\\[\\]*u00(?i:{code})", rf"%(?:25)*(?i:{code})", f"&#(?:0*{ord(char)}|[xX]0*(?i:{code}));"]
    if (named := html.escape(char)) != char:
        found.append(re.escape(named))
    if char in '/"\\':
        found.append(rf"\\[\\]*{re.escape(char)}")
    # The plain character comes last: for some it is the beginning of an escape.
    return f"(?:{'|'.join([*found, re.escape(char)])})".encode()


# --- the log ---

_signed: ContextVar[bool] = ContextVar("nebula_video_signed_request", default=False)


@contextmanager
def signed_request(*, signed: bool) -> Iterator[None]:
    """Keep the query of the request that is sent inside out of the HTTP library's log, if the request is signed."""
    token = _signed.set(signed)
    try:
        yield
    finally:
        _signed.reset(token)


@cache
def redact_log(name: str) -> None:
    """Add a filter to the HTTP library's logger, once. It changes only records of requests within `signed_request`."""
    logging.getLogger(name).addFilter(_remove_queries)


def _remove_queries(record: logging.LogRecord) -> bool:
    if _signed.get() and isinstance(record.args, tuple):
        record.args = tuple(_remove_query(value) for value in record.args)
    return True


def _remove_query(value: object) -> object:
    """Return a URL without its query, and anything else unchanged."""
    text = value if isinstance(value, str) else str(value) if type(value).__name__ == "URL" else ""
    address, mark, query = text.partition("?")
    return f"{address}?[redacted]" if mark and query and "://" in address else value
