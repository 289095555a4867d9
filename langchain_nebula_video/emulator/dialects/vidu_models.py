"""The Vidu models: every combination of family, kind, resolution and speed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = range(1, 17)
DEFAULT_SECONDS = 5
_FAMILIES = ("viduq3p", "viduq3t")
_KINDS = ("", "-mix")
_TIERS = ("540p", "720p", "1080p")
# Processing seconds. The page only says that off-peak videos finish within 48 hours.
_SPEEDS = {"": (30.0, 180.0), "-offpeak": (3600.0, 48 * 3600.0)}
# The page gives no price, so nothing is billed.
_PRICE = Decimal(0)


@dataclass(frozen=True, slots=True)
class ViduModel:
    """One model, and whether it takes reference images."""

    model: Model
    takes_references: bool


VIDU_MODELS: Mapping[str, ViduModel] = {
    (name := f"{family}{kind}-{tier}{speed_suffix}"): ViduModel(
        Model(
            name=name,
            frame_rate=24,
            prices={tier: _PRICE},
            default_resolution=tier,
            processing_time=dict.fromkeys(SECONDS, processing_time_range),
            default_seconds=DEFAULT_SECONDS,
        ),
        takes_references=bool(kind),
    )
    for family in _FAMILIES
    for kind in _KINDS
    for tier in _TIERS
    for speed_suffix, processing_time_range in _SPEEDS.items()
}
