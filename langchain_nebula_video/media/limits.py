"""What a gateway takes as an image: formats, bytes, sides."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ImageLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What a gateway takes as an image."""

    formats: tuple[str, ...]
    """Of `"JPEG"`, `"PNG"`, `"BMP"`, `"WEBP"`."""
    max_bytes: int
    """The largest that passes."""
    sides: tuple[int, int] | None = None
    """Pixels that width and height must have, from and to; `None`: no page says."""
    alpha: bool = True
    """Whether a PNG may be transparent."""
    schemes: tuple[str, ...] = ("https", "http")
    """Of addresses that it fetches."""
