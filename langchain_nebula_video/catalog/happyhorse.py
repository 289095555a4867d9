"""HappyHorse: Alibaba's image-to-video models with sound, on DashScope and UniAll."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from langchain_nebula_video.catalog.model import Model, price_table
from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["happy_horse_on_uniall", "happyhorse"]

# Source: Alibaba's page on HappyHorse and its limits page, 2026; LiteLLM 1.110.2. Exactly one image, the first frame.
# There is no switch for sound or for rewriting. The vendor's watermark ("Happy Horse") is on by default, so a submit
# always says which one is meant. LiteLLM alone lists 480p for 1.1. How long a task takes is an estimate.
_FIELDS = frozenset({"prompt", "duration", "resolution", "seed"})
_TIERS = ("720p", "1080p")
_USUAL = MappingProxyType({0: (60.0, 300.0)})
_IMAGES = ImageLimits(
    formats=("JPEG", "PNG", "WEBP"), max_bytes=10 * 1024 * 1024, sides=(300, None), max_ratio=2.5, alpha=False
)
_PRICES = {
    "1.0": price_table(
        dashscope="- 0.9 1.6",
        dashscope_intl="- 0.14 0.24",
        dashscope_us="",
        dashscope_eu="",
        dashscope_passthrough="",
        litellm="",
    ),
    "1.1": price_table(dashscope="- 0.9 1.2", dashscope_intl="- 0.14 0.18", dashscope_passthrough="", litellm=""),
}


def happyhorse() -> Iterator[Model]:
    """Yield the rows of DashScope's names."""
    for version, prices in _PRICES.items():
        yield Model(
            name=f"happyhorse-{version}-i2v",
            title=f"HappyHorse {version} image-to-video",
            requires=frozenset({"image"}),
            takes=_FIELDS | {"watermark"},
            durations=tuple(range(3, 16)),
            resolutions=_TIERS,
            default_resolution="720p",
            fps=24,
            always_sound=True,
            max_prompt=5000,
            cjk_weight=2,
            prices=prices,
            images=_IMAGES,
            frames="media",
            typical_seconds=_USUAL,
            timeout=900.0,
            source="Alibaba's pages on HappyHorse and on limits, and LiteLLM 1.110.2, 2026-08-31; B",
        )


def happy_horse_on_uniall() -> Iterator[Model]:
    """Yield UniAll's models: the resolution is part of the name."""
    # Source: UniAll's pages on Happy-Horse, 2026-06: prices, 3 to 15 seconds, prompts of 2500 characters. They document
    # no choices of aspect ratios: these are the usual ones.
    for tier, price in (("720p", "- 0.0952"), ("1080p", "- - 0.1904")):
        yield Model(
            name=f"happy-horse-{tier}",
            title="Happy Horse",
            requires=frozenset(),
            takes=_FIELDS | {"image", "aspect_ratio"},
            durations=tuple(range(3, 16)),
            resolutions=(tier,),
            default_resolution=tier,
            fps=24,
            always_sound=True,
            max_prompt=2500,
            aspect_ratios=("16:9", "9:16", "1:1", "4:3", "3:4"),
            prices=price_table(uniall=price),
            typical_seconds=_USUAL,
            timeout=900.0,
            source="UniAll's pages on Happy-Horse, 2026-06; C",
        )
