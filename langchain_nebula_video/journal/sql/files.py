"""The file of a journal in SQLite: made private, and watched.

A process that has a file open goes on with it after the file was deleted, moved, replaced or mounted over. It would pay
into nowhere, and every other process would find none of its keys. So each piece of work first looks whether the path
still leads to the file that was opened. It looks at the write-ahead log beside it too: a backup that is copied over the
file leaves the file the same, but its log has to go.

Not noticed: a file that is overwritten while its log stays, and a backup that is restored through SQLite itself.
"""

from __future__ import annotations

import os

__all__ = ["WatchedFile", "create_private_file"]

_Identity = tuple[int, int]


class WatchedFile:
    """The file at a path, as it was when it was opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._opened: _Identity | None = None
        self._log: _Identity | None = None
        self._log_lost = False

    def open(self) -> None:
        """Create the file if it is missing, and remember which one it is, unless one is remembered already."""
        if self._opened is None:
            create_private_file(self._path)
            self._opened = _identify(self._path)

    def is_same(self, *, in_use: bool) -> bool:
        """Return whether the path leads to the file that was opened; also if none was.

        Args:
            in_use: Whether a connection of this process has used it. Until then its log may come and go.
        """
        if self._opened is None:
            return True
        if _identify(self._path) != self._opened:
            return False
        if not in_use:
            return not self._log_lost
        log = _identify(f"{self._path}-wal")
        if self._log is None:
            self._log = log
        self._log_lost |= log != self._log
        return not self._log_lost

    def forget_log(self) -> None:
        """After the last connection was closed: SQLite deletes the log then."""
        self._log = None

    def forget(self) -> None:
        """Take whatever file is there the next time."""
        self._opened = self._log = None
        self._log_lost = False


def create_private_file(path: str) -> None:
    """Create the file for its owner alone, because it holds prompts and signed URLs. SQLite's other files follow it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError:  # it exists, or SQLite will report what is wrong
        return


def _identify(path: str) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 half the time of a Path, and each piece of work waits for it
    except OSError:
        return None
    return found.st_dev, found.st_ino
