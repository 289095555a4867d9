"""Nebula's models, from the vendor's page: one row for each model."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

NEBULA_MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="wan2.5-i2v-preview",
            frame_rate=24,
            prices={"480p": Decimal("0.0369"), "720p": Decimal("0.0738"), "1080p": Decimal("0.1233")},
            default_resolution="720p",
            processing_time={5: (60.0, 120.0), 10: (120.0, 180.0)},
            default_seconds=5,
        ),
    )
}
