"""Names of images, for the names of the files that are made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.media.images import image_from_block

__all__ = ["image_name"]


def image_name(image: object) -> str | None:
    """Return the name of an image's file without its suffix; `None`: it has none.

    A path, a URL, an open file and an image of PIL that was opened from a file have one. What no text can hold is
    escaped: file systems allow bytes that are no UTF-8.
    """
    if isinstance(image, Mapping):
        try:
            image = image_from_block(image)
        except InvalidRequestError:
            return None
    if isinstance(image, os.PathLike):
        return printable(Path(os.fsdecode(image)).stem) or None
    if not isinstance(image, str):
        image = getattr(image, "filename", None) or getattr(image, "name", None)  # of PIL, of an open file
    return _stem_of_text(image.strip()) if isinstance(image, str) else None


def _stem_of_text(text: str) -> str | None:
    if text[:5].lower() == "data:":
        return None
    try:
        path = unquote(urlsplit(text).path) if "://" in text else text
    except ValueError:
        return None
    return printable(PurePosixPath(PureWindowsPath(path).name).stem) or None
