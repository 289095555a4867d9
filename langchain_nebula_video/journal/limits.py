"""Spend limits on running code: they cover everything that it pays for through tools, runnables and clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from langchain_nebula_video.journal.budget import Budget
from langchain_nebula_video.journal.entries import Entry
from langchain_nebula_video.journal.protocol import Journal

__all__ = ["SpendLimit", "apply_limit", "has_limits", "reserve"]

SpendLimit = Callable[[Journal, Entry], None]
"""A check of a new entry, called after the entry is written; it raises if the entry costs too much."""

_LOCK_TIMEOUT = 5.0
"""Seconds to wait for the lock: a database that hangs delays one call, and not all the calls after it."""
_limits: ContextVar[tuple[SpendLimit, ...]] = ContextVar("nebula_video_spend_limits", default=())
_reserve_lock = threading.Lock()


@contextmanager
def apply_limit(limit: SpendLimit) -> Iterator[None]:
    """Apply a limit to the body, in addition to the limits in force."""
    token = _limits.set((*_limits.get(), limit))
    try:
        yield
    finally:
        _limits.reset(token)


def has_limits() -> bool:
    """Return whether a limit is in force."""
    return bool(_limits.get())


def reserve(journal: Journal, entry: Entry, budget: Budget | None, *, adopt: bool) -> Entry:
    """Call `Journal.reserve`, and take a new entry back if a limit refuses it.

    The entry is written first and checked afterwards. So two processes that reserve at the same moment count each
    other, and no limit is exceeded. Within a process a lock puts them in order, so the first is not refused because of
    the second. An entry that existed before is paid for already, so a replay is never refused.
    """
    limits = _limits.get()
    if not limits:
        return journal.reserve(entry, budget, adopt=adopt)
    locked = _reserve_lock.acquire(timeout=_LOCK_TIMEOUT)
    try:
        owner = journal.reserve(entry, budget, adopt=adopt)
        if owner.id == entry.id:
            try:
                for limit in limits:
                    limit(journal, entry)
            except BaseException:
                journal.forget(entry.id)
                raise
        return owner
    finally:
        if locked:
            _reserve_lock.release()
