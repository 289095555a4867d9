"""Small previews of images, for a person who is asked about them. Needs Pillow; without it there are none."""

from __future__ import annotations

import base64
import io
from importlib.util import find_spec

from langchain_nebula_video.media.formats import MIME_TYPES
from langchain_nebula_video.media.pixels import flatten_to_rgb

__all__ = ["has_pillow", "make_thumbnail"]

_MAX_SIDE = 160
"""Pixels."""
_MAX_URI = 10_000
"""Characters of the `data:` URI."""
_MAX_PIXELS = 40_000_000
"""Larger images are not decoded: a small file may unpack to gigabytes."""
_QUALITIES = (75, 50, 30, 10)


def has_pillow() -> bool:
    """Whether Pillow is installed."""
    return find_spec("PIL") is not None


def make_thumbnail(data: bytes) -> str | None:
    """Return a JPEG of at most 160 pixels a side as a `data:` URI of at most 10,000 characters.

    `None`: Pillow is missing, or it cannot decode the image.
    """
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 an extra
    except ImportError:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=tuple(MIME_TYPES)) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            image.thumbnail((_MAX_SIDE, _MAX_SIDE))
            small = flatten_to_rgb(ImageOps.exif_transpose(image))
            for quality in _QUALITIES:
                buffer = io.BytesIO()
                small.save(buffer, "JPEG", quality=quality)
                uri = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
                if len(uri) <= _MAX_URI:
                    return uri
    except Exception:  # noqa: BLE001 each codec raises its own errors for a damaged image
        return None
    return None
