"""Forks: no parent and child share a connection, and no child waits for a lock that its parent's threads held.

A child has only the thread that forked. A lock that another thread held stays locked in it for good, and what that
lock protects may be half changed. So a fork takes these locks first, and gives both processes whole data.

https://www.sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork".
"""

from __future__ import annotations

import logging  # noqa: F401 see the end of this file
import os
import threading
import weakref
from contextlib import suppress
from typing import Protocol

__all__ = ["ForkLock", "watch_forks"]


class _ForkAware(Protocol):
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


class ForkLock:
    """A reentrant lock that is free in a child process. Use it as a context manager.

    Args:
        taken: Whether a fork takes it first, so that the child finds whole data. Otherwise the child gets a new one at
            once: for a lock that only puts calls in order, and may be held for long.
    """

    def __init__(self, *, taken: bool = True) -> None:
        self._lock = threading.RLock()
        self._taken = taken
        watch_forks(self)

    def acquire(self, timeout: float = -1) -> bool:
        """Take it; whether that worked within the timeout, in seconds."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Let it go. In a child, a lock that was held while it forked is another one now."""
        with suppress(RuntimeError):
            self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def before_fork(self) -> None:
        """Take it, if that is wanted."""
        if self._taken:
            self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Let it go."""
        if self._taken:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin with a new one."""
        self._lock = threading.RLock()


_watched: weakref.WeakSet[_ForkAware] = weakref.WeakSet()
_mutex = threading.Lock()
"""One fork at a time: two that take the same locks in different orders would wait for each other. Guards `_watched`."""


class _Fork(threading.local):
    """The fork that this thread is in."""

    def __init__(self) -> None:
        self.has_mutex = False
        self.prepared: list[_ForkAware] = []
        """Strong references: each lives until its locks are released."""


_fork = _Fork()


def watch_forks(watched: _ForkAware) -> None:
    """Call the object's three methods around each fork, as long as it lives."""
    with _mutex:
        _watched.add(watched)


def _before_fork() -> None:
    _mutex.acquire()
    _fork.has_mutex = True
    for each in [*_watched]:
        each.before_fork()
        _fork.prepared.append(each)


def _after_fork_in_parent() -> None:
    for each in _fork.prepared:
        each.after_fork_in_parent()
    _fork.prepared.clear()
    if _fork.has_mutex:
        _fork.has_mutex = False
        _mutex.release()


def _after_fork_in_child() -> None:
    global _mutex
    for each in _fork.prepared:
        each.after_fork_in_child()
    _fork.prepared.clear()
    _mutex, _fork.has_mutex = threading.Lock(), False


# `logging`, imported above, has registered its own lock by now, so a fork takes that one after ours. In the other order
# it would wait for a thread that holds one of ours and logs.
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
