"""The files that the server offers as resources: images of its folder, and videos that it has saved."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote, unquote

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.formats import MIME_TYPES
from langchain_nebula_video.media.inspection import inspect_image

__all__ = ["IMAGES", "VIDEOS", "ImageFolder", "image_name", "video_uri"]

IMAGES, VIDEOS = "resource://images/", "resource://videos/"
_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_MAX_LISTED = 200
_MAX_IMAGE_BYTES = 20 * 1024 * 1024


def image_name(given: str) -> str:
    """Return the file's name that a `resource://images/` URI names; anything else unchanged."""
    return unquote(given[len(IMAGES) :]) if given.startswith(IMAGES) else given


def video_uri(task_id: str) -> str:
    """Return the URI of a saved video."""
    return f"{VIDEOS}{quote(task_id, safe='')}"


class ImageFolder:
    """The images in a folder, and in the folders inside it. Links that lead out of it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.expanduser().resolve()

    def names(self) -> list[str]:
        """Return the first images by name, relative to the folder."""
        return list(islice(self._images(), _MAX_LISTED))

    def _images(self) -> Iterator[str]:
        for path in sorted(self._root.rglob("*")):
            inside = path.relative_to(self._root)
            hidden = any(part.startswith(".") for part in inside.parts)
            if path.suffix.lower() in _SUFFIXES and not hidden and self._is_inside(path):
                yield inside.as_posix()

    def _is_inside(self, path: Path) -> bool:
        try:
            found = path.resolve()
            return found.is_relative_to(self._root) and found.is_file()
        except (OSError, RuntimeError, ValueError):  # a loop of links; a NUL
            return False

    def uri(self, name: str) -> str:
        """Return the resource's URI."""
        return f"{IMAGES}{quote(name)}"

    def read(self, name: str) -> tuple[bytes, str]:
        """Return an image and its MIME type.

        Raises:
            InvalidRequestError: there is no such image in the folder.
        """
        path = self._root / name
        if not self._is_inside(path) or path.stat().st_size > _MAX_IMAGE_BYTES:
            raise InvalidRequestError(f"There is no image {name!r} in the folder.", hint="List the resources.")
        data = path.read_bytes()
        return data, MIME_TYPES[inspect_image(data, tuple(MIME_TYPES)).format]
