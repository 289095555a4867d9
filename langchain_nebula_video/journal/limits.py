"""Ceilings over running code: they hold for all that is paid for in it, by a tool, a runnable or a client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from langchain_nebula_video.journal import Entry, Journal
from langchain_nebula_video.journal.budget import Budget

__all__ = ["SpendLimit", "apply_limit", "has_limits", "reserve"]

SpendLimit = Callable[[Journal, Entry], None]
"""Asked about a row that has just been written; raises if the row is too much."""

_LOCK_TIMEOUT = 5.0
"""Seconds that a row waits for its turn: a database that does not answer holds up one turn, not the next ones too."""
_limits: ContextVar[tuple[SpendLimit, ...]] = ContextVar("nebula_video_ceilings", default=())
_reserve_lock = threading.Lock()


@contextmanager
def apply_limit(limit: SpendLimit) -> Iterator[None]:
    """Let a ceiling hold, besides those that do already."""
    token = _limits.set((*_limits.get(), limit))
    try:
        yield
    finally:
        _limits.reset(token)


def has_limits() -> bool:
    """Whether there is a ceiling."""
    return bool(_limits.get())


def reserve(journal: Journal, entry: Entry, budget: Budget | None, *, adopt: bool) -> Entry:
    """`Journal.reserve`; a new row that is too much for a ceiling is taken back.

    It is written first and counted then. So nobody overdraws a ceiling, in whatever process: two that reserve at the
    same moment count each other. Within a process they take turns, and the first one is not refused for the second.
    A row that was there before is paid for already: what is replayed is never refused.
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
