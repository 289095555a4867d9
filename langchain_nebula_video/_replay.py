"""Names of what is paid for in a thread: so that it is found again, and counted."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["thread_prefix"]


def thread_prefix(thread_id: object) -> str:
    """What every key made in this thread begins with, and no key of another: its id has no colon left in it."""
    return f"{quote(str(thread_id), safe='')}:"
