"""DashScope's models, from the vendor's pages: one row for each model, with names and prices by region."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.enums import Currency, Region
from langchain_nebula_video.emulator.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

# The page: "Usually one to five minutes", for every model.
_PROCESSING_TIME = (60.0, 300.0)

_SHARED_TEMPLATES = (
    *("squish", "rotation", "poke", "inflate", "dissolve", "carousel", "singleheart"),
    *("flying", "rose", "crystalrose", "hug", "frenchkiss", "coupleheart"),
)
_PLUS_TEMPLATES = (
    *("melt", "icecream", "dance1", "dance2", "dance3", "dance4", "dance5"),
    *("mermaid", "graduation", "dragon", "money", "jellyfish", "pupil"),
)


class UsageFormat(Enum):
    """Which fields a finished task's ``usage`` has."""

    RESOLUTION = "duration, video_count, SR"
    RATIO = "video_duration, video_count, video_ratio"


class TaskType(Enum):
    """The type of video task, which is part of the path of a submit."""

    FIRST_FRAME = "video-generation"
    FIRST_AND_LAST_FRAME = "image2video"


@dataclass(frozen=True, slots=True)
class DashscopeModel:
    """One model in one region."""

    model: Model
    prompt_limit: int
    """Characters; the rest of the prompt is cut off."""
    submits_per_second: int
    usage: UsageFormat
    has_audio: bool = False
    templates: tuple[str, ...] = ()
    task_type: TaskType = TaskType.FIRST_FRAME


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """One model in all regions: its names, and its prices per second for 480P, 720P and 1080P."""

    names: Mapping[Region, str]
    prices: Mapping[Region, tuple[str | None, str | None, str | None]]
    default_resolution: str
    seconds: tuple[int, ...] = (5,)
    frame_rate: int = 30
    prompt_limit: int = 800
    submits_per_second: int = 2
    """Also the number of tasks that run at once."""
    usage: UsageFormat = UsageFormat.RESOLUTION
    has_audio: bool = False
    templates: tuple[str, ...] = ()
    task_type: TaskType = TaskType.FIRST_FRAME


def _same_name(name: str) -> Mapping[Region, str]:
    return dict.fromkeys(Region, name)


_FAMILIES = (
    ModelFamily(
        names=_same_name("wan2.5-i2v-preview"),
        prices={Region.BEIJING: ("0.3", "0.6", "1"), Region.SINGAPORE: ("0.05", "0.10", "0.15")},
        default_resolution="1080P",
        seconds=(5, 10),
        frame_rate=24,
        prompt_limit=1500,
        submits_per_second=5,
        has_audio=True,
    ),
    ModelFamily(
        names=_same_name("wan2.2-i2v-flash"),
        prices={Region.BEIJING: ("0.10", "0.20", "0.48"), Region.SINGAPORE: ("0.015", "0.036", None)},
        default_resolution="720P",
    ),
    ModelFamily(
        names=_same_name("wan2.2-i2v-plus"),
        prices={Region.BEIJING: ("0.14", None, "0.70"), Region.SINGAPORE: ("0.02", None, "0.10")},
        default_resolution="1080P",
    ),
    ModelFamily(
        names={Region.BEIJING: "wanx2.1-i2v-plus", Region.SINGAPORE: "wan2.1-i2v-plus"},
        prices={Region.BEIJING: (None, "0.70", None), Region.SINGAPORE: (None, "0.10", None)},
        default_resolution="720P",
        usage=UsageFormat.RATIO,
        templates=_SHARED_TEMPLATES + _PLUS_TEMPLATES,
    ),
    ModelFamily(
        names={Region.BEIJING: "wanx2.1-i2v-turbo", Region.SINGAPORE: "wan2.1-i2v-turbo"},
        prices={Region.BEIJING: ("0.24", "0.24", None), Region.SINGAPORE: ("0.036", "0.036", None)},
        default_resolution="720P",
        seconds=(3, 4, 5),
        usage=UsageFormat.RATIO,
        templates=_SHARED_TEMPLATES,
    ),
    # Only its price in Beijing is known, so only Beijing offers it.
    ModelFamily(
        names={Region.BEIJING: "wan2.2-kf2v-flash"},
        prices={Region.BEIJING: ("0.10", "0.20", "0.48")},
        default_resolution="720P",
        task_type=TaskType.FIRST_AND_LAST_FRAME,
    ),
)
_CURRENCIES = {Region.BEIJING: Currency.CNY, Region.SINGAPORE: Currency.USD}
_RESOLUTIONS = ("480P", "720P", "1080P")


def _model(family: ModelFamily, region: Region) -> DashscopeModel:
    prices = zip(_RESOLUTIONS, family.prices[region], strict=True)
    return DashscopeModel(
        model=Model(
            name=family.names[region],
            frame_rate=family.frame_rate,
            prices={resolution: Decimal(price) for resolution, price in prices if price is not None},
            default_resolution=family.default_resolution,
            processing_time=dict.fromkeys(family.seconds, _PROCESSING_TIME),
            default_seconds=5,
            currency=_CURRENCIES[region],
            max_parallel_tasks=family.submits_per_second,
        ),
        prompt_limit=family.prompt_limit,
        submits_per_second=family.submits_per_second,
        usage=family.usage,
        has_audio=family.has_audio,
        templates=family.templates,
        task_type=family.task_type,
    )


DASHSCOPE_MODELS: Mapping[Region, Mapping[str, DashscopeModel]] = {
    region: {family.names[region]: _model(family, region) for family in _FAMILIES if region in family.names}
    for region in Region
}
