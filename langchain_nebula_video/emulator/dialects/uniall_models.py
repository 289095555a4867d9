"""UniAll's models, from its pages: Vidu, Wan 2.6 and Happy Horse. A name says resolution, speed and sound."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEFAULT_SECONDS = 5
_FAMILIES = ("viduq3p", "viduq3t")
_KINDS = ("", "-mix")
_TIERS = ("540p", "720p", "1080p")
# Processing seconds. The page only says that off-peak videos finish within 48 hours.
_SPEEDS = {"": (30.0, 180.0), "-offpeak": (3600.0, 48 * 3600.0)}
_USUAL = (60.0, 300.0)
# Where no page gives a price, nothing is billed.
_NO_PRICE = Decimal(0)


class Use(Enum):
    """What a model does with a field."""

    IGNORED = "ignored"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Sound(Enum):
    """Whether the videos of a model have sound."""

    NEVER = "never"
    SWITCH = "extra_body.audio or extra_body.bgm"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class UniallModel:
    """One model, and what it takes."""

    model: Model
    image: Use = Use.OPTIONAL
    last_image: Use = Use.OPTIONAL
    references: Use = Use.IGNORED
    seconds_required: bool = False
    sound: Sound = Sound.SWITCH
    prompt_limit: int | None = None
    """Characters; the rest of the prompt is cut off."""
    query_at_submit_path: bool = True
    """Whether ``/v1/video/generations/{task_id}`` answers for its tasks."""


def _model(
    name: str,
    tier: str,
    seconds: Iterable[int],
    *,
    price: Decimal = _NO_PRICE,
    frame_rate: int = 24,
    processing_time: tuple[float, float] = _USUAL,
) -> Model:
    return Model(
        name=name,
        frame_rate=frame_rate,
        prices={tier: price},
        default_resolution=tier,
        processing_time=dict.fromkeys(seconds, processing_time),
        default_seconds=_DEFAULT_SECONDS,
    )


# "Vidu video generation", 2026-06-03: the six plain names, references with each of them, 1 to 16 seconds.
# "Create a video task (old)", 2026-03: the other names; references with `-mix` only, and there required.
_VIDU = [
    UniallModel(
        model=_model(f"{family}{kind}-{tier}{speed}", tier, range(1, 17), processing_time=processing_time),
        image=Use.OPTIONAL,
        references=Use.REQUIRED if kind else Use.IGNORED if speed else Use.OPTIONAL,
    )
    for family in _FAMILIES
    for kind in _KINDS
    for tier in _TIERS
    for speed, processing_time in _SPEEDS.items()
]
# "Wan 2.6 video generation", 2026-06: seconds are required; 5, 10 or 15, flash 5 to 15.
_WAN = [
    UniallModel(
        model=_model(f"wan2.6-{name}", tier, seconds, frame_rate=30),
        image=image,
        last_image=Use.IGNORED,
        seconds_required=True,
        sound=sound,
        prompt_limit=1500,
        query_at_submit_path=False,
    )
    for tier in ("720p", "1080p")
    for name, seconds, image, sound in (
        (f"video-{tier}", (5, 10, 15), Use.OPTIONAL, Sound.ALWAYS),
        (f"i2v-flash-{tier}-audio", range(5, 16), Use.REQUIRED, Sound.ALWAYS),
        (f"i2v-flash-{tier}-silent", range(5, 16), Use.REQUIRED, Sound.NEVER),
    )
]
# "Happy-Horse", 2026-06: USD 0.0952 and 0.1904 a second, 3 to 15 seconds, required, prompts of 2500 characters.
_HAPPY_HORSE = [
    UniallModel(
        model=_model(f"happy-horse-{tier}", tier, range(3, 16), price=price),
        last_image=Use.IGNORED,
        seconds_required=True,
        sound=Sound.ALWAYS,
        prompt_limit=2500,
        query_at_submit_path=False,
    )
    for tier, price in (("720p", Decimal("0.0952")), ("1080p", Decimal("0.1904")))
]

UNIALL_MODELS: Mapping[str, UniallModel] = {row.model.name: row for row in (*_VIDU, *_WAN, *_HAPPY_HORSE)}
_PREFIXES = ("vidu", "happy-horse-", "wan2.6-video-", "wan2.6-i2v-flash-")


def is_uniall_model(name: object) -> bool:
    """Return whether a name is one of UniAll's kind, on offer or not."""
    return isinstance(name, str) and name.startswith(_PREFIXES)
