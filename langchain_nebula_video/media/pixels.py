"""Pixels of PIL images as every gateway reads them: upright, 8 bits, on white. Needs Pillow.

Source of orientations: Exif 2.32, tag 0x0112, as Pillow's `ImageOps.exif_transpose` reads it.
"""

from __future__ import annotations

import math
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["flatten_to_rgb", "has_alpha", "is_opaque", "is_wide", "upright"]

_WIDE_MODES = ("I", "F")
"""Pillow's modes with more than 8 bits a channel begin so."""
_USUAL_TOPS = (1.0, 255.0, 65535.0)
"""What white is, in modes whose range is not fixed."""


def upright(image: Any) -> Any:
    """Return a PIL image turned as its Exif orientation says."""
    from PIL import ImageOps  # noqa: PLC0415 an extra

    return ImageOps.exif_transpose(image)


def has_alpha(image: Any) -> bool:
    """Whether a PIL image has an alpha channel or a transparent colour."""
    return bool(getattr(image, "has_transparency_data", True))  # since Pillow 10.1


def is_opaque(image: Any) -> bool:
    """Whether nothing in a PIL image is transparent, whatever channels it has."""
    return not has_alpha(image) or image.convert("RGBA").getchannel("A").getextrema()[0] == 255


def flatten_to_rgb(image: Any) -> Any:
    """Convert to RGB on a white background. Transparent pixels may hide any colour."""
    keeps_profile = image.mode in {"RGB", "RGBA"}  # the colour profile of another mode would not fit
    image = _to_eight_bits(image)
    if has_alpha(image):
        layer = image.convert("RGBA")
        layer.info.pop("transparency", None)  # a stale value would be written into the file
        flat = layer.convert("RGB")
        flat.paste((255, 255, 255), (0, 0, *layer.size))
        flat.paste(layer, (0, 0), layer)
    else:
        flat = image.convert("RGB")
    if not keeps_profile:
        flat.info.pop("icc_profile", None)
    return flat


def is_wide(image: Any) -> bool:
    """Whether pixels of a PIL image have more than 8 bits a channel."""
    return str(image.mode).startswith(_WIDE_MODES)


def _to_eight_bits(image: Any) -> Any:
    """Scale wide pixels to 0 to 255. Pillow's own `convert` clips them instead.

    Raises:
        InvalidRequestError: the pixels are no finite numbers.
    """
    if not is_wide(image):
        return image
    floats = image.convert("F")
    lowest, highest = floats.getextrema()
    if not math.isfinite(highest - lowest):
        raise InvalidRequestError("The image has pixels that are no finite numbers.", hint="Replace them first.")
    # 16-bit pixels have a range of their own; in other modes it is what the pixels show, or one that is usual.
    is_fixed = str(image.mode).startswith("I;16")
    top = _USUAL_TOPS[-1] if is_fixed else next((usual for usual in _USUAL_TOPS if highest <= usual), highest)
    bottom = min(0.0, lowest)
    scale = 255.0 / ((top - bottom) or 1.0)
    return floats.point(lambda value: value * scale - bottom * scale).convert("L")
