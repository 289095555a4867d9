"""Hold what the package says of a picture, and makes of it, against Pillow and PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
from PIL import Image, ImageOps

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.formats import MIME_TYPES, detect_format
from langchain_nebula_video.media.images import prepare_image
from langchain_nebula_video.media.inspection import inspect_image
from langchain_nebula_video.media.limits import ImageLimits
from tests.image_corpus import Sample, difference

__all__ = ["LIMITS", "facts_differ", "fitted_differs"]

_NAMES = {"MPO": "JPEG", "JPEG2000": "JPEG 2000", "HEIF": "HEIC", "DIB": "BMP"}
"""What Pillow calls otherwise."""
_ALIKE = 24
"""Of 255. A photo at JPEG's quality of 50 differs less from itself, seen from afar."""
_BLOCK = 32
"""Pixels. JPEG mixes the colours of smaller pictures."""
LIMITS = {
    "nebula": GATEWAYS["nebula"].images,
    "dashscope": GATEWAYS["dashscope"].images,
    "narrow": ImageLimits(formats=("JPEG",), max_bytes=60_000, sides=(300, 900), max_ratio=2.5, alpha=False),
}


def facts_differ(sample: Sample) -> Iterator[str]:
    """Format, sides and alpha of a file: each difference from Pillow, and from PyAV if it can read the file."""
    with Image.open(io.BytesIO(sample.data)) as image:
        told = _NAMES.get(image.format or "", image.format)
        seen = image.size, image.has_transparency_data
    name = detect_format(sample.data)
    if name != told:
        yield f"the format is {told} for Pillow, and {name} here"
    if name not in MIME_TYPES:
        return
    try:
        info = inspect_image(sample.data)
    except InvalidRequestError as error:
        yield f"Pillow reads it, and here {error.what}"
        return
    if (info.width, info.height) != seen[0]:
        yield f"the size is {seen[0]} for Pillow, and {info.width} x {info.height} here"
    if name == "PNG" and info.alpha != seen[1]:
        yield f"alpha is {seen[1]} for Pillow, and {info.alpha} here"
    if (size := _size_in_pyav(sample.data)) not in {None, (info.width, info.height)}:
        yield f"the size is {size} for PyAV, and {info.width} x {info.height} here"


def _size_in_pyav(data: bytes) -> tuple[int, int] | None:
    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration):
        return None
    return frame.width, frame.height


def fitted_differs(sample: Sample, limits: ImageLimits) -> Iterator[str]:
    """What `fit` makes of a picture: each thing that the gateway would refuse, or that looks otherwise."""
    width, height = sample.upright.size
    try:
        wire = prepare_image(sample.data, limits, fit=True)
    except InvalidRequestError as error:
        if "Scaling alone does not do it" not in error.hint or _may_be_scaled(width, height, limits):
            yield f"refused: {error}"
        return
    data = wire.data or b""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        seen: Any = ImageOps.exif_transpose(image)
        if seen.size != image.size or seen.tobytes() != image.tobytes():
            yield "it still has to be turned"
        if _NAMES.get(image.format or "", image.format) not in limits.formats or len(data) > limits.max_bytes:
            yield f"{image.format} of {len(data)} bytes does not fit"
        if image.format == "PNG" and image.has_transparency_data and not limits.alpha:
            yield "it still has an alpha channel"
        low, high = limits.sides or (1, max(seen.size))
        if not (low <= min(seen.size) and max(seen.size) <= (high or max(seen.size))):
            yield f"the sides {seen.size} do not fit"
        if abs(seen.width * height - seen.height * width) > max(width, height, *seen.size):
            yield f"the proportions of {width} x {height} became {seen.size}"
        far = difference(_flat(seen), sample.upright.resize(seen.size))
        if far > _ALIKE and min(width, height) >= _BLOCK:
            yield f"it looks otherwise, by {far:.0f} of 255"


def _may_be_scaled(width: int, height: int, limits: ImageLimits) -> bool:
    short, long = sorted((width, height))
    low, high = limits.sides or (1, None)
    return (high is None or long * low <= short * high) and long <= short * (limits.max_ratio or long)


def _flat(image: Any) -> Image.Image:
    if image.mode.startswith("I"):
        image = image.convert("F").point(lambda value: value / 257 + 0).convert("L")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    white.alpha_composite(layer)
    return white.convert("RGB")
