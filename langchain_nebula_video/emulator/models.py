"""What is known of a model, and Nebula's own: a row a model, from the vendor's page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from .enums import Currency

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Model:
    """What every dialect says of a model."""

    name: str
    frame_rate: int
    prices: Mapping[str, Decimal]
    """Per second of video, in `currency`, by resolution: what is not here is not on offer."""
    default_resolution: str
    processing_time: Mapping[int, tuple[float, float]]
    """Seconds of video on offer, each with the shortest and longest time it takes to make."""
    default_seconds: int
    currency: Currency = Currency.USD
    max_parallel_tasks: int | None = None
    """How many tasks of one account are worked on at once, where such limits are kept; the rest wait."""

    def billed_seconds(self, asked: int | None) -> int:
        """The length that is made and billed: anything not on offer becomes the default."""
        return self.default_seconds if asked is None or asked not in self.processing_time else asked


# A resolution sets how many pixels there are, not their proportions: those are the picture's own.
PIXELS: Mapping[str, int] = {"480p": 832 * 480, "540p": 960 * 540, "720p": 1280 * 720, "1080p": 1920 * 1080}
