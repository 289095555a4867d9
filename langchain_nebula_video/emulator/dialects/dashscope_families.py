"""The table of DashScope's models, from the vendor's pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.enums import Region
from langchain_nebula_video.emulator.rendering.limits import AudioLimits, ImageLimits

from .dashscope_models import DashscopeModel, Features, ModelFamily, Sound, TaskType, UsageFormat, model_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .dashscope_models import Prices

_SHARED_TEMPLATES = (
    *("squish", "rotation", "poke", "inflate", "dissolve", "carousel", "singleheart"),
    *("flying", "rose", "crystalrose", "hug", "frenchkiss", "coupleheart"),
)
_PLUS_TEMPLATES = (
    *("melt", "icecream", "dance1", "dance2", "dance3", "dance4", "dance5"),
    *("mermaid", "graduation", "dragon", "money", "jellyfish", "pupil"),
)
# No page has prices of these regions. Nothing is billed there.
_FREE: Prices = ("0", "0", "0")
_FREE_HD: Prices = (None, "0", "0")


def _same_name(name: str, *regions: Region) -> Mapping[Region, str]:
    return dict.fromkeys(regions or (Region.BEIJING, Region.SINGAPORE), name)


# The page of 2025-12, and the limits and price pages of that time.
_FAMILIES_OF_2025 = (
    ModelFamily(
        names=_same_name("wan2.5-i2v-preview"),
        prices={Region.BEIJING: ("0.3", "0.6", "1"), Region.SINGAPORE: ("0.05", "0.10", "0.15")},
        default_resolution="1080P",
        seconds=(5, 10),
        frame_rate=24,
        features=Features(
            prompt_limit=1500, submits_per_second=5, parallel_tasks=5, sound=Sound.SWITCH, takes_audio=True
        ),
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
        features=Features(usage=UsageFormat.RATIO, templates=_SHARED_TEMPLATES + _PLUS_TEMPLATES),
    ),
    ModelFamily(
        names={Region.BEIJING: "wanx2.1-i2v-turbo", Region.SINGAPORE: "wan2.1-i2v-turbo"},
        prices={Region.BEIJING: ("0.24", "0.24", None), Region.SINGAPORE: ("0.036", "0.036", None)},
        default_resolution="720P",
        seconds=(3, 4, 5),
        features=Features(usage=UsageFormat.RATIO, templates=_SHARED_TEMPLATES),
    ),
    # Only its price in Beijing is known, so only Beijing offers it.
    ModelFamily(
        names=_same_name("wan2.2-kf2v-flash", Region.BEIJING),
        prices={Region.BEIJING: ("0.10", "0.20", "0.48")},
        default_resolution="720P",
        features=Features(task_type=TaskType.FIRST_AND_LAST_FRAME),
    ),
)

# The guide and the limits page of 2026-08-26, for everything below. Resolutions are 1080P by default.
_WAN_2_6 = Features(
    prompt_limit=1500,
    submits_per_second=5,
    parallel_tasks=5,
    usage=UsageFormat.OUTPUT,
    sound=Sound.ALWAYS,
    takes_audio=True,
    shot_types=("single", "multi"),
)
# The page on Wan 2.7, 2026-06-16. A clip to begin with is left out: see the README.
_WAN_2_7 = replace(
    _WAN_2_6,
    prompt_limit=5000,
    shot_types=(),
    media=tuple(
        frozenset(types)
        for types in (
            {"first_frame"},
            {"first_frame", "last_frame"},
            {"first_frame", "driving_audio"},
            {"first_frame", "last_frame", "driving_audio"},
        )
    ),
    images=ImageLimits(
        formats=("JPEG", "PNG", "BMP", "WEBP"),
        max_bytes=20 * 1024 * 1024,
        max_bytes_text="it must not exceed 20MB",
        side_range=(240, 8000),
        max_aspect_ratio=8,
        alpha=False,
    ),
    audio=AudioLimits(2, 30),
)
# The page on Wan 3.0, 2026-10-15. References are left out: see the README.
_WAN_3 = replace(
    _WAN_2_7,
    prompt_limit=20_000,
    sound=Sound.SWITCH,
    takes_audio=False,
    ratios=("adaptive", "16:9", "9:16", "1:1", "4:3", "3:4"),
    least_seed=-1,
    fits=True,
    media=(frozenset(), frozenset({"first_frame"}), frozenset({"first_frame", "last_frame"})),
    images=replace(_WAN_2_7.images, max_aspect_ratio=None),
)
# The page on HappyHorse, 2026.
_HAPPYHORSE = Features(
    prompt_limit=5000,
    cjk_weight=2,
    submits_per_second=10,
    parallel_tasks=5,
    usage=UsageFormat.OUTPUT,
    sound=Sound.ALWAYS,
    rewrites=False,
    watermark=True,
    media=(frozenset({"first_frame"}),),
    images=ImageLimits(
        formats=("JPEG", "PNG", "WEBP"),
        max_bytes=10 * 1024 * 1024,
        max_bytes_text="it must not exceed 10MB",
        side_range=(300, None),
        max_aspect_ratio=2.5,
        alpha=False,
    ),
)

_FAMILIES_OF_2026 = (
    ModelFamily(
        names=_same_name("wan2.6-i2v", Region.BEIJING, Region.SINGAPORE, Region.FRANKFURT),
        prices={
            Region.BEIJING: (None, "0.6", "1.0"),
            Region.SINGAPORE: (None, "0.10", "0.15"),
            Region.FRANKFURT: _FREE_HD,
        },
        default_resolution="1080P",
        seconds=range(2, 16),
        features=_WAN_2_6,
    ),
    ModelFamily(
        names=_same_name("wan2.6-i2v-us", Region.VIRGINIA),
        prices={Region.VIRGINIA: _FREE_HD},
        default_resolution="1080P",
        seconds=(5, 10, 15),
        features=_WAN_2_6,
    ),
    ModelFamily(
        names=_same_name("wan2.6-i2v-flash"),
        prices={Region.BEIJING: (None, "0.30", "0.50"), Region.SINGAPORE: (None, "0.05", "0.075")},
        silent_prices={Region.BEIJING: (None, "0.15", "0.25"), Region.SINGAPORE: (None, "0.025", "0.0375")},
        default_resolution="1080P",
        seconds=range(2, 16),
        features=replace(_WAN_2_6, sound=Sound.SWITCH),
    ),
    *(
        ModelFamily(
            names=_same_name(name),
            prices={Region.BEIJING: (None, "0.6", "1.0"), Region.SINGAPORE: (None, "0.10", "0.15")},
            default_resolution="1080P",
            seconds=range(2, 16),
            features=_WAN_2_7,
        )
        for name in ("wan2.7-i2v", "wan2.7-i2v-2026-04-25")
    ),
    *(
        ModelFamily(
            names=_same_name(name, Region.BEIJING, Region.SINGAPORE, Region.VIRGINIA, Region.HONG_KONG),
            prices={
                Region.BEIJING: beijing,
                Region.SINGAPORE: singapore,
                Region.VIRGINIA: _FREE,
                Region.HONG_KONG: _FREE,
            },
            default_resolution="1080P",
            seconds=range(2, 31),
            features=_WAN_3,
        )
        for name, beijing, singapore in (
            ("wan3.0-video", ("0.30", "0.60", "1.20"), ("0.05", "0.10", "0.20")),
            ("wan3.0-video-prime", ("0.45", "0.90", "1.80"), ("0.068", "0.14", "0.28")),
        )
    ),
    ModelFamily(
        names=_same_name("happyhorse-1.0-i2v", Region.BEIJING, Region.SINGAPORE, Region.VIRGINIA, Region.FRANKFURT),
        prices={
            Region.BEIJING: (None, "0.9", "1.6"),
            Region.SINGAPORE: (None, "0.14", "0.24"),
            Region.VIRGINIA: _FREE_HD,
            Region.FRANKFURT: _FREE_HD,
        },
        default_resolution="1080P",
        seconds=range(3, 16),
        frame_rate=24,
        features=_HAPPYHORSE,
    ),
    ModelFamily(
        names=_same_name("happyhorse-1.1-i2v"),
        prices={Region.BEIJING: (None, "0.9", "1.2"), Region.SINGAPORE: (None, "0.14", "0.18")},
        default_resolution="1080P",
        seconds=range(3, 16),
        frame_rate=24,
        features=_HAPPYHORSE,
    ),
)

DASHSCOPE_MODELS: Mapping[Region, Mapping[str, DashscopeModel]] = {
    region: {
        family.names[region]: model_in(family, region)
        for family in (*_FAMILIES_OF_2025, *_FAMILIES_OF_2026)
        if region in family.names
    }
    for region in Region
}
