"""Images: checks of image files by their content, and generated sample images."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import random
import struct
import zlib
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import require_extra
from langchain_nebula_video.emulator.refusals import Reason, Refusal

with require_extra():
    from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from .limits import ImageLimits

# More than any camera takes, and less than exhausts a small machine's memory.
MAX_PIXELS = 64_000_000

_FORMAT_MESSAGE = "Image format not supported or incorrect format"


def decode_data_uri(uri: str) -> bytes:
    """Return the bytes of a ``data:...;base64,`` URI.

    Raises:
        Refusal: The URI is invalid.
    """
    head, comma, body = uri.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise Refusal(Reason.IMAGE_FORMAT, _FORMAT_MESSAGE)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(Reason.IMAGE_FORMAT, _FORMAT_MESSAGE) from error


def check(content: bytes, limits: ImageLimits) -> None:
    """Check an image file.

    Raises:
        Refusal: The image is too large, too small, damaged, or of another format.
    """
    if len(content) > limits.max_bytes:
        raise Refusal(Reason.IMAGE_SIZE, f"Image size exceeds limit: {limits.max_bytes_text}")
    problem = _find_problem(content, limits)
    if problem is not None:
        raise Refusal(*problem)


# The same image is often submitted repeatedly, and decoding it is the slowest part of a submit.
@functools.lru_cache(maxsize=16)
def _find_problem(content: bytes, limits: ImageLimits) -> tuple[Reason, str] | None:
    try:
        with Image.open(io.BytesIO(content), formats=limits.formats) as image:
            if image.width * image.height > MAX_PIXELS:
                return Reason.IMAGE_SIZE, f"Image size exceeds limit: {image.width}x{image.height} pixels"
            image.load()
            if limits.side_range is not None:
                low, high = limits.side_range
                if not all(low <= side <= (high or side) for side in image.size):
                    limit = f"{low} to {high}" if high else f"at least {low}"
                    details = f"{image.width}x{image.height}: each side must have {limit} pixels"
                    return Reason.IMAGE_SIZE, f"Image size exceeds limit: {details}"
            if limits.max_aspect_ratio and max(image.size) > min(image.size) * limits.max_aspect_ratio:
                details = (
                    f"{image.width}x{image.height}: one side must be at most {limits.max_aspect_ratio} times the other"
                )
                return Reason.IMAGE_SIZE, f"Image size exceeds limit: {details}"
            if not limits.alpha and image.format == "PNG" and image.has_transparency_data:
                return Reason.IMAGE_FORMAT, "Image format not supported: a PNG must not have an alpha channel"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Reason.IMAGE_SIZE, "Image size exceeds limit: too many pixels"
    # Pillow's decoders raise these on damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error):
        return Reason.IMAGE_FORMAT, _FORMAT_MESSAGE
    return None


@functools.lru_cache(maxsize=16)
def sample(name: str, size: tuple[int, int] = (1280, 720)) -> bytes:
    """Return a generated landscape as JPEG. It depends on `name` and `size` alone."""
    rng = random.Random(hashlib.sha256(name.encode()).digest())  # noqa: S311 - an image, not a secret
    width, height = size
    image = _sky(width, height, rng.choice(_SKIES))
    _sun(image, (rng.randint(width // 4, 3 * width // 4), rng.randint(height // 5, height // 2)))
    for depth in range(4):
        _hills(image, depth, rng.uniform)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


Colour = tuple[int, int, int]
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((28, 49, 94), (244, 162, 97)),
    ((70, 130, 190), (225, 236, 240)),
    ((45, 30, 80), (236, 130, 140)),
)
_EARTH: Colour = (24, 52, 48)
_HAZE: Colour = (150, 158, 160)


def _blend(low: Colour, high: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


def _sky(width: int, height: int, colours: tuple[Colour, Colour]) -> Image.Image:
    column = Image.new("RGB", (1, height))
    for y in range(height):
        column.putpixel((0, y), _blend(*colours, min(1.0, y / height * 1.5)))
    return column.resize((width, height))


def _sun(image: Image.Image, centre: tuple[int, int]) -> None:
    glow = Image.new("L", image.size)
    canvas = ImageDraw.Draw(glow)
    canvas.circle(centre, 90, fill=110)
    glow = glow.filter(ImageFilter.GaussianBlur(40))
    ImageDraw.Draw(glow).circle(centre, 46, fill=255)
    image.paste((255, 244, 214), mask=glow)


def _hills(image: Image.Image, depth: int, uniform: Callable[[float, float], float]) -> None:
    width, height = image.size
    level = height * (0.55 + 0.12 * depth)
    left, middle, right = (level + uniform(-0.09, 0.09) * height for _ in range(3))
    # A parabola through three heights is cheap, smooth, and different for each range of hills.
    bend, slope = 2 * (left + right - 2 * middle), 4 * middle - 3 * left - right
    ridge = [(x, left + slope * (x / width) + bend * (x / width) ** 2) for x in range(0, width + 16, 16)]
    ImageDraw.Draw(image).polygon(
        [(0, height), *ridge, (width + 16, height)], fill=_blend(_HAZE, _EARTH, (depth + 1) / 4)
    )
