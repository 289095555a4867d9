"""What a person reads and sees of a request before it is paid for: its images, and its fields on one line each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from langchain_nebula_video.errors import printable
from langchain_nebula_video.langchain.image_values import describe_source, is_url
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS
from langchain_nebula_video.media.images import WireImage
from langchain_nebula_video.media.inspection import inspect_image
from langchain_nebula_video.media.thumbnails import has_pillow, make_thumbnail
from langchain_nebula_video.schema import Cost, VideoRequest, dollars

__all__ = ["describe_fields", "given_images", "image_facts", "image_line", "one_line", "price_text"]

_MAX_VALUE = 300
_MAX_NAME = 60
_NO_PILLOW = "No thumbnail: Pillow is not installed (pip install pillow)."
_NO_THUMBNAIL = "No thumbnail: Pillow cannot show this image."


def one_line(value: object, limit: int = _MAX_VALUE) -> str:
    """A value as one line of text: control characters are escaped, blanks are single, and a cut is marked."""
    text = str(value)
    length, text = len(text), text[: 4 * limit]  # a long text is not escaped in vain
    line = " ".join(printable(text).split())
    if len(line) <= limit and length <= 4 * limit:
        return line
    return f"{line[:limit]}… [cut here; {length:,} characters in all]"


def price_text(cost: Cost, configured_ratio: Decimal) -> str:
    """A known price. It says so if it counts with a group ratio that the gateway reported."""
    text = "an unknown price" if cost.usd is None else dollars(cost.usd)
    ratio = cost.group_ratio
    return text if ratio == configured_ratio else f"{text} (with the group ratio {ratio} that the gateway reported)"


def describe_fields(fields: Mapping[str, Any]) -> list[str]:
    """One line for each field that has a value, without the images."""
    return [
        f"{one_line(name, _MAX_NAME)}: {one_line(value)}"
        for name, value in fields.items()
        if value is not None and name not in IMAGE_FIELDS
    ]


def given_images(request: VideoRequest) -> Iterator[tuple[str, Any]]:
    """Each image of a request with the name of its field."""
    for name in IMAGE_FIELDS:
        value = getattr(request, name)
        for image in value if isinstance(value, tuple) else () if value is None else (value,):
            yield name, image


def image_facts(field: str, given: Any, wire: WireImage, *, thumbnail: bool) -> dict[str, Any]:
    """What is known of an image, as plain data.

    Args:
        field: The field of the request.
        given: The image as it was given.
        wire: The image as it will be sent.
        thumbnail: Whether to add a small JPEG as a `data:` URI.
    """
    if wire.data is None:
        return {"field": field, "url": describe_source(given)}
    info = inspect_image(wire.data)
    facts: dict[str, Any] = {
        "field": field,
        "name": _name(given),
        "format": info.format,
        "bytes": len(wire.data),
        "width": info.width,
        "height": info.height,
    }
    if thumbnail:
        facts["thumbnail"] = small = make_thumbnail(wire.data)
        facts["note"] = None if small else _NO_THUMBNAIL if has_pillow() else _NO_PILLOW
    return {name: value for name, value in facts.items() if value is not None}


def image_line(facts: Mapping[str, Any], before: str = "", after: str = "") -> str:
    """The facts on one line: `image: cat.png, PNG, 640 x 480 pixels, 84 kB`."""
    if "url" in facts:
        text = facts["url"]
    else:
        size = facts["bytes"]
        amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
        pixels = f"{facts['width']} x {facts['height']} pixels"
        text = ", ".join(filter(None, [facts.get("name"), facts["format"], pixels, amount]))
    return one_line(f"{facts['field']}: {before}{text}{after}")


def _name(given: Any) -> str | None:
    """The name of a file, as its owner gave it; `None`: the image came without one."""
    if isinstance(given, os.PathLike) or (isinstance(given, str) and not is_url(given)):
        name: Any = given
    else:
        name = given.get("name") if isinstance(given, Mapping) else getattr(given, "name", None)
    return one_line(PurePath(os.fsdecode(name)).name, _MAX_NAME) if isinstance(name, str | os.PathLike) else None
