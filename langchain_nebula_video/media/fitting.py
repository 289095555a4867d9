"""Make an image fit a gateway's limits: upright, without transparency, scaled, in a format that it reads.

Source of orientations: Exif 2.32, tag 0x0112, as Pillow's `ImageOps.exif_transpose` reads it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.formats import MIME_TYPES, detect_format
from langchain_nebula_video.media.refusals import unusable

if TYPE_CHECKING:
    from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["MAX_INPUT_BYTES", "FittedImage", "fit_image", "flatten_to_rgb", "has_transparency", "upright"]

MAX_INPUT_BYTES = 128 * 1024 * 1024
_QUALITIES = (95, 90, 85, 75, 65, 50)
_SHRINK = 0.8
_EXTRA = 'pip install "langchain-nebula-video[images]"'
_HEIF = frozenset({"HEIC", "HEIF"})
_WIDE_MODES = ("I", "F")
"""Pillow's modes with more than 8 bits a channel begin so."""


@dataclass(frozen=True, slots=True)
class FittedImage:
    """An image that fits."""

    data: bytes
    mime: str
    changes: tuple[str, ...]
    """What was done, in words; empty if nothing had to be."""


def fit_image(source: Any, limits: ImageLimits) -> FittedImage:
    """Return an image that a gateway takes.

    Args:
        source: The bytes of any format that Pillow opens, or a PIL image.
        limits: What the gateway accepts.

    Raises:
        InvalidRequestError: it is no image, or no scaling makes its proportions fit.
    """
    given = detect_format(source) if isinstance(source, bytes) else None
    try:
        image, changes = _open(source, given)
        image = _reshape(image, limits, changes)
        return _encode(image, source, given, limits, changes)
    except InvalidRequestError:
        raise
    except ImportError as error:
        raise InvalidRequestError(f"fit=True needs {error.name}.", hint=f"{_EXTRA}.") from None
    except Exception as error:  # noqa: BLE001 each codec raises its own errors for a damaged image
        raise unusable(
            f"The image cannot be read ({type(error).__name__}: {str(error)[:200]}).", "Save or download it again."
        ) from None


def _open(source: Any, given: str | None) -> tuple[Any, list[str]]:
    from PIL import Image  # noqa: PLC0415 an extra

    if not isinstance(source, bytes):
        return source, []
    if given in _HEIF:
        from pillow_heif import register_heif_opener  # noqa: PLC0415 an extra

        register_heif_opener()
    image = Image.open(io.BytesIO(source))
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow only warns of it
        raise unusable(
            f"The image has {image.width} x {image.height} pixels, which is too many to be read here.",
            "Scale it down first.",
            use="a smaller image",
        )
    image.load()
    return image, []


def upright(image: Any) -> Any:
    """Return a PIL image turned as its Exif orientation says."""
    from PIL import ImageOps  # noqa: PLC0415 an extra

    return ImageOps.exif_transpose(image)


def _reshape(image: Any, limits: ImageLimits, changes: list[str]) -> Any:
    """Turn and scale."""
    turned = upright(image)
    if turned.size != image.size or turned.tobytes() != image.tobytes():
        changes.append("turned upright")
    width, height = turned.size
    size = _fitting_size(width, height, limits)
    if size == (width, height):
        return turned
    changes.append(f"scaled from {width} x {height} to {size[0]} x {size[1]} pixels")
    return _to_eight_bits(turned).resize(size)


def _fitting_size(width: int, height: int, limits: ImageLimits) -> tuple[int, int]:
    low, high = limits.sides or (1, None)
    short, long = min(width, height), max(width, height)
    factor = max(1.0, low / short)
    if high is not None:
        factor = min(factor, high / long)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if min(size) < low or long > short * (limits.max_ratio or math.inf):
        raise unusable(
            f"The image has {width} x {height} pixels: it is too narrow for the model, which reads "
            f"{limits.dimensions}, and scaling does not help.",
            "Crop it, or pad it.",
        )
    return size


def _encode(image: Any, source: Any, given: str | None, limits: ImageLimits, changes: list[str]) -> FittedImage:
    """Keep the bytes if they fit as they are, else write JPEG: of less quality, then of less size, until it fits."""
    transparent = has_transparency(image)
    keeps = given in limits.formats and (limits.alpha or not transparent) and not changes
    if keeps and isinstance(source, bytes) and len(source) <= limits.max_bytes:
        return FittedImage(source, MIME_TYPES[str(given)], ())
    if given is not None and given not in limits.formats:
        changes.append(f"converted from {given}")
    if transparent:
        changes.append("put on white")
    flat = flatten_to_rgb(image)
    for quality in _QUALITIES:
        data = _jpeg(flat, quality)
        if len(data) <= limits.max_bytes:
            break
    while len(data) > limits.max_bytes:
        smaller = round(flat.width * _SHRINK), round(flat.height * _SHRINK)
        if min(smaller) < (limits.sides or (1, None))[0]:
            raise unusable(f"The image cannot be made smaller than {limits.max_bytes:,} bytes.", "Give another one.")
        flat = flat.resize(smaller)
        data = _jpeg(flat, _QUALITIES[-1])
    if isinstance(source, bytes) and len(data) < len(source) > limits.max_bytes:
        changes.append(f"compressed from {len(source):,} to {len(data):,} bytes")
    return FittedImage(data, MIME_TYPES["JPEG"], tuple(changes))


def _jpeg(image: Any, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def has_transparency(image: Any) -> bool:
    """Whether a PIL image has a channel or a colour for it."""
    return bool(getattr(image, "has_transparency_data", True))  # since Pillow 10.1


def flatten_to_rgb(image: Any) -> Any:
    """Convert to RGB on a white background. Transparent pixels may hide any colour."""
    image = _to_eight_bits(image)
    if not has_transparency(image):
        return image.convert("RGB")
    layer = image.convert("RGBA")
    layer.info.pop("transparency", None)  # a stale value would be written into the file
    white = layer.convert("RGB")
    white.paste((255, 255, 255), (0, 0, *layer.size))
    white.paste(layer, (0, 0), layer)
    return white


def _to_eight_bits(image: Any) -> Any:
    """Scale wide pixels to 0 to 255. Pillow's own `convert` clips them instead."""
    if not str(image.mode).startswith(_WIDE_MODES):
        return image
    floats = image.convert("F")
    lowest, highest = floats.getextrema()
    # 16-bit pixels have a range of their own; in other modes it is what the pixels show, or one that is usual.
    top = (
        65535.0
        if str(image.mode).startswith("I;16")
        else next((n for n in (1.0, 255.0, 65535.0) if highest <= n), highest)
    )
    bottom = min(0.0, lowest)
    scale = 255.0 / ((top - bottom) or 1.0)
    return floats.point(lambda value: value * scale - bottom * scale).convert("L")
