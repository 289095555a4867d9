"""DashScope's models: what a row says, and the rows of each region."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.enums import Currency, Region
from langchain_nebula_video.emulator.models import Model
from langchain_nebula_video.emulator.rendering.limits import AudioLimits, ImageLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Prices = tuple[str | None, str | None, str | None]
"""Per second, for 480P, 720P and 1080P; None: not on offer."""

RESOLUTIONS = ("480P", "720P", "1080P")
# The page: "Usually one to five minutes", for every model.
_PROCESSING_TIME = (60.0, 300.0)
_DEFAULT_SECONDS = 5

IMAGE_LIMITS = ImageLimits(
    formats=("JPEG", "PNG", "BMP", "WEBP"),
    max_bytes=10 * 1024 * 1024,
    max_bytes_text="it must not exceed 10MB",
    side_range=(360, 2000),
    alpha=False,
)
AUDIO_LIMITS = AudioLimits(3, 30)


class UsageFormat(Enum):
    """Which fields a finished task's ``usage`` has."""

    RESOLUTION = "duration, video_count, SR"
    RATIO = "video_duration, video_count, video_ratio"
    OUTPUT = "duration, input_video_duration, output_video_duration, video_count, SR, fps, audio"


class TaskType(Enum):
    """The type of video task, which is part of the path of a submit."""

    FIRST_FRAME = "video-generation"
    FIRST_AND_LAST_FRAME = "image2video"


class Sound(Enum):
    """Whether a model's videos have sound."""

    NEVER = "never"
    SWITCH = "parameters.audio, on by default"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a model takes, in every region."""

    prompt_limit: int = 800
    """Characters; the rest of the prompt is cut off."""
    cjk_weight: int = 1
    """How many characters a Chinese, Japanese or Korean one counts as."""
    submits_per_second: int = 2
    parallel_tasks: int = 2
    """The number of tasks that run at once."""
    usage: UsageFormat = UsageFormat.RESOLUTION
    sound: Sound = Sound.NEVER
    takes_audio: bool = False
    """Whether a request may bring its own sound: `input.audio_url`, or `driving_audio` among the media."""
    rewrites: bool = True
    """Whether it has ``prompt_extend``, which is on by default."""
    watermark: bool = False
    """The default of ``watermark``."""
    shot_types: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    """The first is the default: that of the image, or 16:9 without one."""
    templates: tuple[str, ...] = ()
    least_seed: int = 0
    fits: bool = False
    """Whether a duration of -1 lets the model choose."""
    task_type: TaskType = TaskType.FIRST_FRAME
    media: tuple[frozenset[str], ...] = ()
    """The combinations of types in ``input.media``. Empty: frames and sound have fields of their own."""
    images: ImageLimits = IMAGE_LIMITS
    audio: AudioLimits = AUDIO_LIMITS


@dataclass(frozen=True, slots=True)
class DashscopeModel:
    """One model in one region."""

    model: Model
    features: Features


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """One model in all regions: its names, and its prices."""

    names: Mapping[Region, str]
    prices: Mapping[Region, Prices]
    silent_prices: Mapping[Region, Prices] = field(default_factory=dict)
    """What a video without sound costs, if that is less."""
    default_resolution: str
    seconds: Iterable[int] = (5,)
    frame_rate: int = 30
    features: Features = field(default_factory=Features)


_CURRENCIES = dict.fromkeys(Region, Currency.USD) | {Region.BEIJING: Currency.CNY}


def model_in(family: ModelFamily, region: Region) -> DashscopeModel:
    """Return a family's model in one of its regions."""
    return DashscopeModel(
        model=Model(
            name=family.names[region],
            frame_rate=family.frame_rate,
            prices=_price_table(family.prices[region]),
            silent_prices=_price_table(family.silent_prices.get(region, (None, None, None))),
            default_resolution=family.default_resolution,
            processing_time=dict.fromkeys(family.seconds, _PROCESSING_TIME),
            default_seconds=_DEFAULT_SECONDS,
            currency=_CURRENCIES[region],
            max_parallel_tasks=family.features.parallel_tasks,
        ),
        features=family.features,
    )


def _price_table(prices: Prices) -> dict[str, Decimal]:
    pairs = zip(RESOLUTIONS, prices, strict=True)
    return {resolution: Decimal(price) for resolution, price in pairs if price is not None}
