"""The model row that every dialect shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from .enums import Currency

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its prices, resolutions, lengths and processing times."""

    name: str
    frame_rate: int
    prices: Mapping[str, Decimal]
    """Per second of video, in `currency`, by resolution. A resolution without a price is not on offer."""
    default_resolution: str
    processing_time: Mapping[int, tuple[float, float]]
    """The shortest and longest processing time in seconds, by length of video on offer."""
    default_seconds: int
    currency: Currency = Currency.USD
    silent_prices: Mapping[str, Decimal] = field(default_factory=dict)
    """What a video without sound costs per second, if that is less."""
    max_parallel_tasks: int | None = None
    """How many tasks of one account run at once; the rest wait. Applies with documented limits only."""

    def billed_seconds(self, requested: int | None) -> int:
        """Return the length that is produced and billed: the default, if `requested` is not on offer."""
        return self.default_seconds if requested is None or requested not in self.processing_time else requested


# A resolution sets the number of pixels. The aspect ratio comes from the image.
PIXELS: Mapping[str, int] = {"480p": 832 * 480, "540p": 960 * 540, "720p": 1280 * 720, "1080p": 1920 * 1080}
