"""Check an image against a gateway's limits. The hints say how to change it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from langchain_nebula_video.media.inspection import ImageInfo, inspect_image
from langchain_nebula_video.media.refusals import join_or, pillow_code, too_large, unusable

if TYPE_CHECKING:
    from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["check_image", "check_size", "find_factor", "scale_size"]


_MAY_HAVE_ALPHA = frozenset({"WEBP", "BMP"})


def check_image(data: bytes, limits: ImageLimits) -> ImageInfo:
    """Return what the file of an image tells.

    Raises:
        InvalidRequestError: it is damaged, or the gateway does not accept it.
    """
    if not data:
        raise unusable("The image is empty.", f"Give {join_or(limits.formats)}.")
    if len(data) > limits.max_bytes:
        raise too_large(limits.max_bytes, len(data), fit_helps=True)
    info = inspect_image(data, limits.formats)
    has_line = not info.is_wide
    check_size(info.width, info.height, limits, alpha=info.alpha or info.format in _MAY_HAVE_ALPHA, has_line=has_line)
    if info.alpha and not limits.alpha:
        code = pillow_code("PNG", alpha=True)
        raise unusable(
            f"The image is a {info.format} with an alpha channel; the model reads it only without, "
            "even if nothing in it is transparent.",
            f"Put it on white, with Pillow: {code}." if has_line else "",
            fit_helps=True,
        )
    return info


def check_size(width: int, height: int, limits: ImageLimits, *, alpha: bool = False, has_line: bool = True) -> None:
    """Check both sides. The hint says how to scale or pad the image, whichever way it is turned.

    Args:
        width: In pixels.
        height: In pixels.
        limits: What the gateway accepts.
        alpha: Whether something in the image may be transparent.
        has_line: Whether a line of code can do it: not if the pixels have more than 8 bits.

    Raises:
        InvalidRequestError: the gateway does not accept them.
    """
    if not min(width, height) or limits.allow_size(width, height):
        return  # for a PIL image without pixels, the encoder raises the error
    factor = find_factor(width, height, limits)
    if factor is not None:
        step, way = f"ImageOps.scale(image, {factor})", f"Scale it by {factor}"
    else:
        short, long = _pad_size(width, height, limits)
        step = f"ImageOps.pad(image, ({long}, {short}) if image.width > image.height else ({short}, {long}))"
        way = "Scaling alone does not do it: pad it"
    line = f", with Pillow: {pillow_code(limits.formats[0], f'image = {step}', alpha=alpha)}" if has_line else ""
    what = f"The image has {width} x {height} pixels; the model reads {limits.dimensions}."
    raise unusable(what, f"{way}{line}.", fit_helps=factor is not None)


def scale_size(width: int, height: int, factor: float) -> tuple[int, int]:
    """Return the sides of a scaled image, as Pillow rounds them."""
    return round(width * factor), round(height * factor)


def find_factor(width: int, height: int, limits: ImageLimits) -> float | None:
    """Return by what the sides are to be multiplied, in as few digits as will do. `None`: scaling does not do it."""
    exact = _exact_factor(width, height, limits)
    rounded = (float(f"{exact:.{digits}g}") for digits in range(3, 18))
    return next((factor for factor in rounded if limits.allow_size(*scale_size(width, height, factor))), None)


def _exact_factor(width: int, height: int, limits: ImageLimits) -> float:
    low, high = limits.sides or (1, None)
    return max(low / min(width, height), min(1.0, (high or math.inf) / max(width, height)))


def _pad_size(width: int, height: int, limits: ImageLimits) -> tuple[int, int]:
    """Return the sides, the shorter one first, of an allowed canvas that an image fits on best."""
    low, high = limits.sides or (1, None)
    short, long = sorted(scale_size(width, height, _exact_factor(width, height, limits)))
    longest = min(long, high or long)
    least = max(low, math.ceil(longest / (limits.max_ratio or math.inf)))
    return max(short, least), max(longest, least)
