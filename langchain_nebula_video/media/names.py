"""Names of images, for the names of the files that are made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.images import image_from_block

__all__ = ["image_name"]


def image_name(image: object) -> str | None:
    """Return the name of an image's file without its suffix; `None`: it has none.

    A path, a URL, an open file and an image of PIL that was opened from a file have one.
    """
    if isinstance(image, Mapping):
        try:
            image = image_from_block(image)
        except InvalidRequestError:
            return None
    if isinstance(image, str):
        return None if image[:5].lower() == "data:" else _stem_of_text(image)
    if isinstance(image, os.PathLike):
        return Path(image).stem or None
    name = getattr(image, "filename", None) or getattr(image, "name", None)  # of PIL, of an open file
    return _stem_of_text(name) if isinstance(name, str) else None


def _stem_of_text(text: str) -> str | None:
    try:
        path = unquote(urlsplit(text).path) if "://" in text else text
    except ValueError:
        return None
    return PurePosixPath(PureWindowsPath(path).name).stem or None
