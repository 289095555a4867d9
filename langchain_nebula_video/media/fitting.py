"""Make an image fit a gateway's limits: upright, without transparency, scaled, in a format that it reads."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.errors import InvalidRequestError, SetupError
from langchain_nebula_video.media.formats import KINDS, MIME_TYPES, detect_format, unsupported_error
from langchain_nebula_video.media.inspection import inspect_image
from langchain_nebula_video.media.pixels import flatten_to_rgb, has_alpha, is_opaque, is_wide, upright
from langchain_nebula_video.media.refusals import FIT_EXTRA, unusable
from langchain_nebula_video.media.validation import check_size, find_factor, scale_size

if TYPE_CHECKING:
    from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["MAX_INPUT_BYTES", "FittedImage", "encode_pil", "fit_image"]

MAX_INPUT_BYTES = 128 * 1024 * 1024
_QUALITIES = (95, 90, 85, 75, 65, 50)
_SHRINK = 0.8
_PAGED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "TIFF"})
"""Pillow's formats with several pictures of the same worth. Those of others are previews, layers or gain maps."""
_DNG_VERSION = 50706
"""The TIFF tag that marks a raw photo, whose first picture is a small preview (DNG 1.7, Adobe, 2023)."""
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})


@dataclass(frozen=True, slots=True)
class FittedImage:
    """An image that fits."""

    data: bytes
    changes: tuple[str, ...]
    """What was done, in words; empty if nothing had to be."""


def fit_image(source: Any, limits: ImageLimits) -> FittedImage:
    """Return an image that a gateway takes.

    Args:
        source: The bytes of a file of one of `KINDS` that Pillow opens, or a PIL image.
        limits: What the gateway accepts.

    Raises:
        InvalidRequestError: it is no image, or no scaling makes its proportions fit.
    """
    changes: list[str] = []
    try:
        if isinstance(source, bytes):
            name = detect_format(source)
            image = _open(source, name, limits)
            changes += _first_changes(name, image, limits)
        else:
            image = source
        shaped = _reshape(image, limits, changes)
        if is_wide(image):
            changes.append("brought to 8 bits a pixel")
        is_kept = isinstance(source, bytes) and not changes and len(source) <= limits.max_bytes
        if has_alpha(image) and not (is_kept and limits.alpha):
            changes.append("its alpha channel dropped" if is_opaque(image) else "put on white")
        elif is_kept:
            return FittedImage(source, ())
        data, size = _compress(flatten_to_rgb(shaped), limits)
        if size != shaped.size:
            changes.append(f"scaled to {size[0]} x {size[1]} pixels")
    except InvalidRequestError:
        raise
    except ImportError as error:
        raise SetupError(f"fit=True needs {error.name}.", hint=f"{FIT_EXTRA}.") from None
    except Exception as error:  # noqa: BLE001 each codec raises its own errors for a damaged image
        raise unusable(
            f"The image cannot be read ({type(error).__name__}: {str(error)[:200]}).", "Save or download it again."
        ) from None
    if isinstance(source, bytes) and len(source) > limits.max_bytes:
        changes.append(f"compressed from {len(source):,} to {len(data):,} bytes")
    return FittedImage(data, tuple(changes))


def _open(source: bytes, name: str | None, limits: ImageLimits) -> Any:
    """Open a file with the reader of its format and no other: some of Pillow's start programs."""
    from PIL import Image  # noqa: PLC0415 an extra

    opener = KINDS[name].opener if name else None
    if opener == "HEIF":
        from pillow_heif import register_heif_opener  # noqa: PLC0415 an extra

        register_heif_opener()
    Image.init()
    if opener not in Image.OPEN:
        raise unsupported_error(name, limits.formats)
    if name in MIME_TYPES:
        inspect_image(source)  # Pillow shows what is left of some damaged files
    try:
        image = Image.open(io.BytesIO(source), formats=(opener,))
    except Image.DecompressionBombError:
        raise _too_many_pixels_error() from None
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow only warns of it
        raise _too_many_pixels_error()
    if _DNG_VERSION in getattr(image, "tag_v2", ()):
        raise unsupported_error("a raw photo", limits.formats)
    image.load()
    return image


def _too_many_pixels_error() -> InvalidRequestError:
    return unusable("The image has too many pixels to be read here.", "Scale it down first.", use="a smaller image")


def _first_changes(name: str | None, image: Any, limits: ImageLimits) -> list[str]:
    """What has to be done because of the file itself, whatever is on it."""
    changes = []
    if image.format in _PAGED and (count := getattr(image, "n_frames", 1)) > 1:
        changes.append(f"the first of its {count} pictures")
    if name not in limits.formats:
        changes.append(f"converted from {name}")
    return changes


def _reshape(image: Any, limits: ImageLimits, changes: list[str]) -> Any:
    """Turn and scale."""
    turned = upright(image)
    if turned.size != image.size or turned.tobytes() != image.tobytes():
        changes.append("turned upright")
    width, height = turned.size
    if not min(turned.size) or limits.allow_size(width, height):
        return turned
    factor = find_factor(width, height, limits)
    if factor is None:
        check_size(width, height, limits, alpha=has_alpha(turned), has_line=not is_wide(turned))  # says how to pad it
        return turned
    size = scale_size(width, height, factor)
    changes.append(f"scaled from {width} x {height} to {size[0]} x {size[1]} pixels")
    # Scaling mixes pixels, so what is transparent goes first: it may hide any colour.
    return flatten_to_rgb(turned).resize(size)


def _compress(image: Any, limits: ImageLimits) -> tuple[bytes, tuple[int, int]]:
    """Write JPEG: of less quality, then of less size, until it fits. Return it with its size."""
    for quality in _QUALITIES:
        data = _jpeg(image, quality)
        if len(data) <= limits.max_bytes:
            return data, image.size
    while len(data) > limits.max_bytes:
        size = scale_size(image.width, image.height, _SHRINK)
        if not limits.allow_size(*size):
            raise unusable(f"The image cannot be made smaller than {limits.max_bytes:,} bytes.", "Give another one.")
        image = image.resize(size)
        data = _jpeg(image, _QUALITIES[-1])
    return data, image.size


def _jpeg(image: Any, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, icc_profile=image.info.get("icc_profile"))
    return buffer.getvalue()


def encode_pil(image: Any, limits: ImageLimits) -> bytes:
    """Encode a PIL image as PNG, which is lossless. If that is too large, encode as JPEG with quality 95.

    Raises:
        InvalidRequestError: its sides are not allowed, or it cannot be encoded.
    """
    data = b""
    try:
        image = upright(image)
        check_size(image.width, image.height, limits, alpha=has_alpha(image), has_line=not is_wide(image))
        for image_format in [name for name in ("PNG", "JPEG") if name in limits.formats] or limits.formats[:1]:
            as_is = image_format == "PNG" and image.mode in _PNG_MODES and (limits.alpha or not has_alpha(image))
            buffer = io.BytesIO()
            (image if as_is else flatten_to_rgb(image)).save(buffer, format=image_format, quality=95)
            data = buffer.getvalue()
            if len(data) <= limits.max_bytes:
                break
    except InvalidRequestError:
        raise
    except Exception as error:  # noqa: BLE001 each codec raises its own errors for a damaged image
        raise InvalidRequestError(f"The PIL image cannot be encoded: {error}.", hint="Load it again.") from None
    return data
