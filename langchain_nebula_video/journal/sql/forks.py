"""Forks: no parent and child ever share a connection.

https://www.sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork".
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["watch_forks"]


class _ForkAware(Protocol):
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


_watched: weakref.WeakSet[_ForkAware] = weakref.WeakSet()
_forking: list[_ForkAware] = []
"""The databases of the fork under way. A strong reference keeps each alive until its lock is released."""


def watch_forks(database: _ForkAware) -> None:
    """Call the database's three methods around each fork, as long as it lives."""
    _watched.add(database)


def _before_fork() -> None:
    _forking[:] = _watched
    for database in _forking:
        database.before_fork()


def _after_fork_in_parent() -> None:
    for database in _forking:
        database.after_fork_in_parent()
    _forking.clear()


def _after_fork_in_child() -> None:
    for database in _forking:
        database.after_fork_in_child()
    _forking.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
