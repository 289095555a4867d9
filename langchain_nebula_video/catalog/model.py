"""`Model`: what a row of `MODELS` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.protocols import FrameForm

__all__ = ["TIERS", "Model", "price_table"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """One model: the request fields that it accepts, the videos that it generates, and its prices.

    On a gateway, only fields in `Gateway.carries` are accepted.
    """

    name: str
    title: str
    """The display name, also in the tool descriptions that a language model reads."""
    requires: frozenset[str]
    """The required fields of a `VideoRequest`."""
    takes: frozenset[str]
    """The optional fields of a `VideoRequest`."""
    durations: tuple[int, ...]
    """The possible durations of a video, in seconds."""
    default_duration: int = 5
    resolutions: tuple[str, ...]
    default_resolution: str
    fps: int
    max_prompt: int | None
    """Characters. `None`: not documented."""
    cjk_weight: int = 1
    """How many characters of `max_prompt` a Chinese, Japanese or Korean one counts as."""
    max_negative_prompt: int = 500
    """Characters."""
    always_sound: bool = False
    """Whether every video has sound, which no field turns off."""
    max_references: int = 0
    """The most `reference_images`. The prompt may name them as `@Image1`, `@Image2` and so on."""
    templates: tuple[str, ...] = ()
    """The names of effects. With an effect, the model ignores the prompt."""
    aspect_ratios: tuple[str, ...] = ()
    prices: Mapping[str, Mapping[str, Decimal]]
    """Prices per second of video, by gateway and by resolution, in the gateway's currency. A gateway with an empty
    table serves the model at an undocumented price."""
    silent_prices: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """Like `prices`, for a video without sound, by gateway, if that costs less."""
    images: ImageLimits | None = None
    """What it accepts as an image, if that differs from the gateway's limits. Schemes are always the gateway's."""
    frames: FrameForm = "fields"
    """How a protocol that knows both writes the frames: as fields of their own, or as a list `media`."""
    source: str = ""
    """Where the facts of the row come from, with its date, and how many independent sources agree: A three or more,
    B two, C one or sources that differ."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The gateway's own name for the model, by gateway, if it is not `name`."""
    typical_seconds: Mapping[int, tuple[float, float]]
    """The usual generation time in seconds, from and to, by duration. The key 0 stands for all other durations."""
    timeout: float
    """The default timeout of a generation, in seconds."""
    steps: tuple[float, float] | None = None
    """Like `Gateway.steps`. `None`: the gateway's value."""

    def typical(self, duration: float | None) -> tuple[float, float]:
        """Return the usual generation time for a duration, in seconds, from and to."""
        return self.typical_seconds.get(round(duration or 0)) or next(iter(self.typical_seconds.values()))

    @property
    def slowest(self) -> float:
        """The usual generation time of the slowest video, in seconds."""
        return max(latest for _, latest in self.typical_seconds.values())


TIERS = ("480p", "720p", "1080p")


def price_table(**by_gateway: str) -> Mapping[str, Mapping[str, Decimal]]:
    """Parse prices at 480p, 720p and 1080p by gateway. `-`: resolution not served. Empty text: prices unknown."""
    table = {}
    for gateway, text in by_gateway.items():
        pairs = zip(TIERS, text.split(), strict=False)
        table[gateway.replace("_", "-")] = MappingProxyType(
            {tier: Decimal(price) for tier, price in pairs if price != "-"}
        )
    return MappingProxyType(table)
