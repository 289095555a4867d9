"""Local targets: a file on this machine."""

from __future__ import annotations

import contextlib
import filecmp
import os
import time
import uuid
from pathlib import Path

from langchain_nebula_video.saving.names import numbered_names

__all__ = ["STALE_SECONDS", "LocalTarget", "remove_stale_parts"]

STALE_SECONDS = 6 * 3600.0
"""No download takes so long: an older part is left over from a process that died."""


class LocalTarget:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def begin(self) -> Path:
        """See `Target.begin`."""
        folder, stem = self._path.parent, Path(next(numbered_names(self._path))).stem[:40]
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_parts(folder, f".*-{'[0-9a-f]' * 32}.part")
        part = folder / f".{stem}-{uuid.uuid4().hex}.part"
        part.open("xb").close()
        return part

    def publish(self, part: Path) -> str:
        """See `Target.publish`."""
        for name in numbered_names(self._path):
            if self._link(part, name):
                _sync_folder(self._path.parent)
                return name
        raise FileExistsError(0, "there are too many files of this name", str(self._path))

    @staticmethod
    def _link(part: Path, name: str) -> bool:
        """Give the part this name. Returns whether the name now has these bytes; it may have had them before."""
        try:
            os.link(part, name)  # unlike a rename, a link never overwrites
        except FileExistsError:
            return _has_same_bytes(part, name)
        except OSError:  # a disk without links: an empty file reserves the name
            try:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return _has_same_bytes(part, name)
            part.replace(name)
        return True


def _has_same_bytes(part: Path, name: str) -> bool:
    with contextlib.suppress(OSError):
        return filecmp.cmp(part, name, shallow=False)
    return False


def remove_stale_parts(folder: Path, pattern: str) -> None:
    """Remove old parts, which processes that died left over."""
    for part in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a new name in it is on disk. Only POSIX can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
