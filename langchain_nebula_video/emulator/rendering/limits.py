"""What a page says of the files it takes; apart from Pillow and PyAV, which nobody needs for that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What pictures are taken."""

    formats: tuple[str, ...]
    """In Pillow's words."""
    max_bytes: int
    max_bytes_text: str
    """The limit in the page's words."""
    side_range: tuple[int, int] | None = None
    """The shortest and the longest that a side may be, in pixels."""
    alpha: bool = True
    """Whether a PNG may have an alpha channel."""


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """How long a sound may be, in seconds."""

    min_seconds: int
    max_seconds: int
