"""Resolutions: a number of lines, or width and height, as one of the names that prices have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

__all__ = ["find_resolution"]

_LINES = re.compile(r"\s*(\d{3,4})\s*[pP]?\s*")
_SIDES = re.compile(r"\s*(\d{3,4})\s*[*xX\u00d7]\s*(\d{3,4})\s*")
_MAX_LINES = 4320
# Name -> pixels of a picture of 16:9. Alibaba's page on Wan text-to-video, 2025-12: the sizes of one tier have about as
# many pixels, for example 1280*720, 960*960 and 1088*832. A picture's own shape is kept in the same way: 4:3 at 720P
# gave 1108x830.
_TIERS = {
    "360p": 640 * 360,
    "480p": 832 * 480,
    "540p": 960 * 540,
    "720p": 1280 * 720,
    "1080p": 1920 * 1080,
    "1440p": 2560 * 1440,
    "2160p": 3840 * 2160,
}
_SHORT_SIDES = {"480p": 480, "540p": 540, "720p": 720, "1080p": 1080}


def find_resolution(values: Iterable[object], sides: tuple[int | None, int | None]) -> str | None:
    """Return the first resolution in the values, otherwise the one of these sides, such as `"720p"`."""
    for value in values:
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if (lines := _LINES.fullmatch(text)) and int(lines[1]) <= _MAX_LINES:
            return f"{int(lines[1])}p"
        if size := _SIDES.fullmatch(text):
            return _nearest_tier(int(size[1]), int(size[2]))
    width, height = sides
    return _nearest_tier(width, height) if width and height else None


def _nearest_tier(width: int, height: int) -> str:
    short = min(width, height)
    for name, side in _SHORT_SIDES.items():
        if short == side:
            return name
    return min(_TIERS, key=lambda name: abs(math.log(width * height / _TIERS[name])))
