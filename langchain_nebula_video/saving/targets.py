"""Targets: the places that videos are saved to.

A name never holds half a video. The bytes are written to a part first: beside the name, or in the temporary folder of
this machine on the way to a bucket. The part gets the name when it is complete. Another video is never overwritten:
the next free name is used, `cat-2.mp4` after `cat.mp4`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from langchain_nebula_video.errors import SetupError
from langchain_nebula_video.saving.local import LocalTarget
from langchain_nebula_video.saving.names import (
    check_slashes,
    check_suffix,
    default_file_name,
    fill_template,
    is_file_name,
    is_url,
    parse_template,
    target_text,
    to_path,
)
from langchain_nebula_video.saving.remote import RemoteTarget
from langchain_nebula_video.saving.secrets import with_password
from langchain_nebula_video.saving.stores import look_up, open_filesystem
from langchain_nebula_video.saving.trial import local_folder, nearest_folder
from langchain_nebula_video.schema import Video

__all__ = ["Target", "absolute_name", "check_target", "exists", "make_target"]


class Target(Protocol):
    """A place for one video."""

    def begin(self) -> Path:
        """Create the part: an empty file on this machine for the bytes of the download."""
        ...

    def publish(self, part: Path) -> str:
        """Give the complete part its name, and return the name."""
        ...


def make_target(save_to: str | Path, video: Video) -> Target:
    """Return the place for a video.

    Args:
        save_to: A folder, a file if it ends in `.mp4`, or an fsspec URL of either. Braces are fields of the video.
        video: The video to save.

    Raises:
        InvalidRequestError: nothing can be saved there.
    """
    name = fill_template(target_text(save_to), video)
    default = default_file_name(video)
    if is_url(name):
        return RemoteTarget(name, default)
    check_slashes(name)
    path = to_path(name)
    return LocalTarget(path if is_file_name(path) else path / default)


def check_target(save_to: str | Path) -> None:
    """Check that a target makes sense. Writes nothing and sends no request; `try_target` does.

    Raises:
        InvalidRequestError: it cannot be saved.
    """
    text = target_text(save_to)
    parse_template(text)
    check_suffix(text)
    if is_url(text):
        RemoteTarget(text, "")
        return
    check_slashes(text)
    try:
        folder = nearest_folder(local_folder(text))
        writable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)  # a broken link is no folder
    except (OSError, ValueError, RuntimeError):
        folder, writable = Path(text[:80]), False
    if not writable:
        raise SetupError(f"Nothing can be saved in {folder}.", hint="Name a folder, or an .mp4 file in one.")


def absolute_name(name: str) -> str:
    """Return the name by which a process in another folder finds the file."""
    return name if is_url(name) else str(to_path(name).absolute())


def exists(name: str, save_to: str | Path | None = None) -> bool:
    """Return whether a saved file still exists. If that is unknown, it does: it existed once.

    Args:
        name: The path that was told when it was saved.
        save_to: Where videos are saved now. If that is the same store, its password opens it.
    """
    try:
        if not is_url(name):
            return to_path(name).stat().st_size > 0 and to_path(name).is_file()
        filesystem, path = open_filesystem(with_password(name, save_to))
        found = look_up(filesystem, path)
        return bool(found["type"] == "file" and found.get("size") != 0)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except Exception:  # noqa: BLE001 a missing permission, an unreachable store, a package that is not installed
        return True
