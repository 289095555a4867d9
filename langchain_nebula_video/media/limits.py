"""The limits for input images: formats, bytes, dimensions, URL schemes."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ImageLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The images that a gateway accepts."""

    formats: tuple[str, ...]
    """Some of `"JPEG"`, `"PNG"`, `"BMP"`, `"WEBP"`."""
    max_bytes: int
    """The largest accepted file size."""
    sides: tuple[int, int | None] | None = None
    """Minimum and maximum of both width and height, in pixels. `None`: not documented."""
    max_ratio: float | None = None
    """The longer side divided by the shorter one, at most. `None`: not documented."""
    alpha: bool = True
    """Whether a PNG may be transparent."""
    schemes: tuple[str, ...] = ("https", "http")
    """The schemes of the URLs that the gateway can fetch."""

    def allow_size(self, width: int, height: int) -> bool:
        """Whether an image may have these sides, in pixels."""
        low, high = self.sides or (1, None)
        short, long = min(width, height), max(width, height)
        return low <= short and long <= (high or math.inf) and long <= short * (self.max_ratio or math.inf)

    @property
    def dimensions(self) -> str:
        """The allowed dimensions in words; an empty text if none are documented."""
        parts = []
        if self.sides:
            low, high = self.sides
            parts.append(f"sides of {low} pixels or more" if high is None else f"sides of {low} to {high} pixels")
        if self.max_ratio:
            parts.append(f"one side at most {self.max_ratio:g} times the other")
        return ", ".join(parts)
