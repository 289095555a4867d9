"""What a page says of the files it takes; apart from Pillow and PyAV, which nobody needs for that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """What pictures are taken."""

    formats: tuple[str, ...]
    """In Pillow's words."""
    max_bytes: int
    limit: str
    """The limit in the page's words."""
    sides: tuple[int, int] | None = None
    """The shortest and the longest that a side may be, in pixels."""
    alpha: bool = True
    """Whether a PNG may have an alpha channel."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a sound may be, in seconds."""

    shortest: int
    longest: int
