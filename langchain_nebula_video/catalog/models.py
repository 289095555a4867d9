"""MODELS: one row per model, with its request fields, limits and prices."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.protocols import FrameForm

__all__ = ["MODELS", "Model", "find_model"]


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
    max_negative_prompt: int = 500
    """Characters."""
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


_TIERS = ("480p", "720p", "1080p")


def _prices(**by_gateway: str) -> Mapping[str, Mapping[str, Decimal]]:
    """Parse prices at 480p, 720p and 1080p by gateway. `-`: resolution not served. Empty text: prices unknown."""
    table = {}
    for gateway, text in by_gateway.items():
        pairs = zip(_TIERS, text.split(), strict=False)
        table[gateway.replace("_", "-")] = MappingProxyType(
            {tier: Decimal(price) for tier, price in pairs if price != "-"}
        )
    return MappingProxyType(table)


# --- Wan ---

# Sources:
# - Alibaba's image-to-video page, 2025-12: resolutions and their defaults, durations, frame rates, sound, effects,
#   "usually one to five minutes".
# - Its price and limits pages, read 2025-12: yuan per second in Beijing, US dollars in Singapore; prompts of 1500 or
#   800 characters (longer ones are truncated silently), negative prompts of 500.
# The default is 720p where a model has it, as on Nebula, so that a request means the same on every gateway.
_WAN_FIELDS = frozenset({"prompt", "duration", "resolution", "smart_rewrite", "seed", "negative_prompt", "watermark"})
_AUDIO_FIELDS = frozenset({"generate_audio", "audio_url"})
_IMAGE_FIELD = frozenset({"image"})
_ONE_TO_FIVE_MINUTES = MappingProxyType({0: (60.0, 300.0)})
_EFFECTS = (
    *("squish", "rotation", "poke", "inflate", "dissolve", "carousel", "singleheart"),
    *("flying", "rose", "crystalrose", "hug", "frenchkiss", "coupleheart"),
)
_PLUS_EFFECTS = (
    *_EFFECTS,
    *("melt", "icecream", "dance1", "dance2", "dance3", "dance4", "dance5"),
    *("mermaid", "graduation", "dragon", "money", "jellyfish", "pupil"),
)


def _wan() -> Iterator[Model]:
    # Nebula: the gateway's page for this model, 2025-11-04: parameters, prices, "a 5-second video usually takes 1-2
    # minutes, a 10-second video 2-3", "wait for 5-10 minutes" when it is queued.
    yield Model(
        name="wan2.5-i2v-preview",
        title="Wan 2.5 image-to-video",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | _AUDIO_FIELDS,
        durations=(5, 10),
        resolutions=_TIERS,
        default_resolution="720p",
        fps=24,
        max_prompt=1500,
        prices=_prices(
            nebula="0.0369 0.0738 0.1233",
            dashscope="0.3 0.6 1",
            dashscope_intl="0.05 0.10 0.15",
            dashscope_passthrough="",
        ),
        typical_seconds=MappingProxyType({5: (60.0, 120.0), 10: (120.0, 180.0)}),
        timeout=900.0,
    )
    yield Model(
        name="wan2.2-i2v-flash",
        title="Wan 2.2 image-to-video, fast",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS,
        durations=(5,),
        resolutions=_TIERS,
        default_resolution="720p",
        fps=30,
        max_prompt=800,
        prices=_prices(dashscope="0.10 0.20 0.48", dashscope_intl="0.015 0.036 -", dashscope_passthrough=""),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
    )
    yield Model(
        name="wan2.2-i2v-plus",
        title="Wan 2.2 image-to-video",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS,
        durations=(5,),
        resolutions=("480p", "1080p"),
        default_resolution="1080p",
        fps=30,
        max_prompt=800,
        prices=_prices(dashscope="0.14 - 0.70", dashscope_intl="0.02 - 0.10", dashscope_passthrough=""),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
    )
    yield Model(
        name="wanx2.1-i2v-plus",
        title="Wan 2.1 image-to-video",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | {"template"},
        durations=(5,),
        resolutions=("720p",),
        default_resolution="720p",
        fps=30,
        max_prompt=800,
        templates=_PLUS_EFFECTS,
        prices=_prices(dashscope="- 0.70 -", dashscope_intl="- 0.10 -", dashscope_passthrough=""),
        names=MappingProxyType({"dashscope-intl": "wan2.1-i2v-plus"}),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
    )
    yield Model(
        name="wanx2.1-i2v-turbo",
        title="Wan 2.1 image-to-video, fast",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | {"template"},
        durations=(3, 4, 5),
        resolutions=("480p", "720p"),
        default_resolution="720p",
        fps=30,
        max_prompt=800,
        templates=_EFFECTS,
        prices=_prices(dashscope="0.24 0.24 -", dashscope_intl="0.036 0.036 -", dashscope_passthrough=""),
        names=MappingProxyType({"dashscope-intl": "wan2.1-i2v-turbo"}),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
    )
    # It has its own path and frame fields (see the protocol). A price is documented for Beijing only.
    yield Model(
        name="wan2.2-kf2v-flash",
        title="Wan 2.2 first-and-last-frame-to-video, fast",
        requires=_IMAGE_FIELD | {"last_image"},
        takes=_WAN_FIELDS,
        durations=(5,),
        resolutions=_TIERS,
        default_resolution="720p",
        fps=30,
        max_prompt=800,
        prices=_prices(dashscope="0.10 0.20 0.48"),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
    )


# --- Vidu ---

# Source: UniAll's page "create a video task (old)", docs.uniall.ai, 2026-03: names, modes, 1 to 16 seconds, at most
# four references, `-offpeak` "cheaper, finished within 48 hours". It documents no prices and no prompt length.
# The aspect ratios come from Vidu's own pages (this page has 16:9 in an example). The generation times are a guess.
_VIDU_FIELDS = frozenset({"prompt", "duration", "resolution", "generate_audio", "seed", "aspect_ratio"})
_ASPECT_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_FAMILIES = {"viduq3p": "Vidu Q3 Pro", "viduq3t": "Vidu Q3 Turbo"}
_HOUR = 3600.0


def _vidu() -> Iterator[Model]:
    for family, title in _FAMILIES.items():
        for tier in ("540p", "720p", "1080p"):
            for mix in (False, True):
                for offpeak in (False, True):
                    yield Model(
                        name=f"{family}{'-mix' if mix else ''}-{tier}{'-offpeak' if offpeak else ''}",
                        title=f"{title}{' with references' if mix else ''}{', off-peak' if offpeak else ''}",
                        requires=frozenset({"reference_images"}) if mix else frozenset(),
                        takes=_VIDU_FIELDS if mix else _VIDU_FIELDS | {"image", "last_image"},
                        durations=tuple(range(1, 17)),
                        resolutions=(tier,),
                        default_resolution=tier,
                        fps=24,
                        max_prompt=None,
                        max_references=4 if mix else 0,
                        aspect_ratios=_ASPECT_RATIOS,
                        prices=_prices(uniall=""),
                        typical_seconds=MappingProxyType(
                            {0: (60.0, 48 * _HOUR)} if offpeak else {0: (30.0, 180.0)},
                        ),
                        timeout=49 * _HOUR if offpeak else 900.0,
                        steps=(60.0, 600.0) if offpeak else None,
                    )


MODELS: dict[str, Model] = {row.name: row for row in (*_wan(), *_vidu())}


def find_model(name: str) -> Model:
    """Return the model's row.

    Raises:
        InvalidRequestError: there is no such model.
    """
    given: object = name  # an option may have a value of any type
    if isinstance(given, str) and given in MODELS:
        return MODELS[given]
    raise InvalidRequestError(f"There is no model {name!r}.", hint=_suggest(str(name)))


def _suggest(name: str) -> str:
    """Return a hint: the model with this name on a gateway, similar names, or the first models of the table."""
    for row in MODELS.values():
        if name in row.names.values():
            return f"It is called {row.name!r} here."
    similar = difflib.get_close_matches(name, MODELS) or list(MODELS)[:_MAX_SUGGESTIONS]
    return f"Choose one of: {', '.join(similar)}, or another of MODELS."


_MAX_SUGGESTIONS = 6
