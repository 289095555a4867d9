"""Limits for image and audio files, in a file without Pillow and PyAV so that anybody can import them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Which images are accepted."""

    formats: tuple[str, ...]
    """Pillow's names of formats."""
    max_bytes: int
    max_bytes_text: str
    """The size limit in the page's words."""
    side_range: tuple[int, int | None] | None = None
    """The minimum and maximum length of a side, in pixels."""
    max_aspect_ratio: float | None = None
    """The longer side divided by the shorter one, at most."""
    alpha: bool = True
    """Whether a PNG may have an alpha channel."""


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """How long an audio file may be, in seconds."""

    min_seconds: int
    max_seconds: int
