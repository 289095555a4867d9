"""Wan: the image-to-video models of Alibaba, on DashScope and on the gateways that pass it on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

from langchain_nebula_video.catalog.model import TIERS, Model, price_table
from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["wan", "wan_on_uniall"]

# Sources:
# - Alibaba's image-to-video page, 2025-12: resolutions and their defaults, durations, frame rates, sound, effects,
#   "usually one to five minutes".
# - Its price and limits pages, read 2025-12: yuan per second in Beijing, US dollars in Singapore; prompts of 1500 or
#   800 characters (longer ones are truncated silently), negative prompts of 500.
# - Its pages on Wan 2.7 image-to-video, 2026-06-16, and Wan 3.0 video, 2026-10-15; its guide, 2026-08-26: everything
#   about Wan 2.6 and later. Prices in Singapore and of Wan 2.6 without sound: resellers' pages and Alibaba's, 2026.
# The default is 720p where a model has it, as on Nebula, so that a request means the same on every gateway. From Wan
# 2.6 on, the vendor's own default is 1080p.
_WAN_FIELDS = frozenset({"prompt", "duration", "resolution", "smart_rewrite", "seed", "negative_prompt", "watermark"})
_AUDIO_FIELDS = frozenset({"generate_audio", "audio_url"})
_IMAGE_FIELD = frozenset({"image"})
_ONE_TO_FIVE_MINUTES = MappingProxyType({0: (60.0, 300.0)})
_HD_TIERS = ("720p", "1080p")
_PAGES_OF_2025 = "Alibaba's image-to-video, price and limits pages, 2025-12; A"
_PAGES_OF_2026 = "Alibaba's guide and limits pages, its SDK 2.0.2 and resellers' pages, 2026-08-26; A"
_WAN_ON_UNIALL = frozenset({"prompt", "duration", "resolution", "seed", "negative_prompt"})
# Wan 2.7 and 3: sides of 240 to 8000 pixels, 20 MB, no alpha channel.
_LARGE_IMAGES = ImageLimits(
    formats=("JPEG", "PNG", "BMP", "WEBP"), max_bytes=20 * 1024 * 1024, sides=(240, 8000), alpha=False
)
_EFFECTS = (
    *("squish", "rotation", "poke", "inflate", "dissolve", "carousel", "singleheart"),
    *("flying", "rose", "crystalrose", "hug", "frenchkiss", "coupleheart"),
)
_PLUS_EFFECTS = (
    *_EFFECTS,
    *("melt", "icecream", "dance1", "dance2", "dance3", "dance4", "dance5"),
    *("mermaid", "graduation", "dragon", "money", "jellyfish", "pupil"),
)


def _wan_2_1_to_2_5() -> Iterator[Model]:
    """Yield the models of 2025: one image in a field of its own, sound in Wan 2.5 only."""
    # Nebula: the gateway's page for this model, 2025-11-04: parameters, prices, "a 5-second video usually takes 1-2
    # minutes, a 10-second video 2-3", "wait for 5-10 minutes" when it is queued.
    yield Model(
        name="wan2.5-i2v-preview",
        title="Wan 2.5 image-to-video",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | _AUDIO_FIELDS,
        durations=(5, 10),
        resolutions=TIERS,
        default_resolution="720p",
        fps=24,
        max_prompt=1500,
        prices=price_table(
            nebula="0.0369 0.0738 0.1233",
            dashscope="0.3 0.6 1",
            dashscope_intl="0.05 0.10 0.15",
            dashscope_passthrough="",
            newapi="",
            newapi_videos="",
        ),
        typical_seconds=MappingProxyType({5: (60.0, 120.0), 10: (120.0, 180.0)}),
        timeout=900.0,
        source="Alibaba's image-to-video page and Nebula's page on Wan 2.5, 2025-12; A",
    )
    yield Model(
        name="wan2.2-i2v-flash",
        title="Wan 2.2 image-to-video, fast",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS,
        durations=(5,),
        resolutions=TIERS,
        default_resolution="720p",
        fps=30,
        max_prompt=800,
        prices=price_table(dashscope="0.10 0.20 0.48", dashscope_intl="0.015 0.036 -", dashscope_passthrough=""),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source=_PAGES_OF_2025,
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
        prices=price_table(dashscope="0.14 - 0.70", dashscope_intl="0.02 - 0.10", dashscope_passthrough=""),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source=_PAGES_OF_2025,
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
        prices=price_table(dashscope="- 0.70 -", dashscope_intl="- 0.10 -", dashscope_passthrough=""),
        names=MappingProxyType({"dashscope-intl": "wan2.1-i2v-plus"}),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source=_PAGES_OF_2025,
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
        prices=price_table(dashscope="0.24 0.24 -", dashscope_intl="0.036 0.036 -", dashscope_passthrough=""),
        names=MappingProxyType({"dashscope-intl": "wan2.1-i2v-turbo"}),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source=_PAGES_OF_2025,
    )
    # It has its own path and frame fields (see the protocol). A price is documented for Beijing only.
    yield Model(
        name="wan2.2-kf2v-flash",
        title="Wan 2.2 first-and-last-frame-to-video, fast",
        requires=_IMAGE_FIELD | {"last_image"},
        takes=_WAN_FIELDS,
        durations=(5,),
        resolutions=TIERS,
        default_resolution="720p",
        fps=30,
        max_prompt=800,
        prices=price_table(dashscope="0.10 0.20 0.48"),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source=_PAGES_OF_2025,
    )


def _wan_2_6_and_2_7() -> Iterator[Model]:
    """Yield the models that make 2 to 15 seconds. From Wan 2.7 on, frames and sound are a list of media."""
    yield Model(
        name="wan2.6-i2v",
        title="Wan 2.6 image-to-video",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | {"audio_url"},
        durations=tuple(range(2, 16)),
        resolutions=_HD_TIERS,
        default_resolution="720p",
        fps=30,
        always_sound=True,
        max_prompt=1500,
        prices=price_table(
            dashscope="- 0.6 1.0",
            dashscope_intl="- 0.10 0.15",
            dashscope_eu="",
            dashscope_passthrough="",
            newapi="",
            newapi_videos="",
        ),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source=_PAGES_OF_2026,
    )
    # Virginia has a model of its own, with the older durations. No price of it was found.
    yield Model(
        name="wan2.6-i2v-us",
        title="Wan 2.6 image-to-video, Virginia",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | {"audio_url"},
        durations=(5, 10, 15),
        resolutions=_HD_TIERS,
        default_resolution="720p",
        fps=30,
        always_sound=True,
        max_prompt=1500,
        prices=price_table(dashscope_us=""),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source="Alibaba's guide and its page on regions, 2026-08-26; B",
    )
    # The vendor's default is sound. Without it a video costs half.
    yield Model(
        name="wan2.6-i2v-flash",
        title="Wan 2.6 image-to-video, fast",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | _AUDIO_FIELDS,
        durations=tuple(range(2, 16)),
        resolutions=_HD_TIERS,
        default_resolution="720p",
        fps=30,
        max_prompt=1500,
        prices=price_table(
            dashscope="- 0.30 0.50",
            dashscope_intl="- 0.05 0.075",
            dashscope_passthrough="",
            newapi="",
            newapi_videos="",
        ),
        silent_prices=price_table(dashscope="- 0.15 0.25", dashscope_intl="- 0.025 0.0375"),
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source="Alibaba's guide and price pages, a measurement and a reseller's page, 2026-08-26; B",
    )
    # It takes no field for sound: a sound file of the caller's is one of the media.
    wan_2_7 = Model(
        name="wan2.7-i2v",
        title="Wan 2.7 image-to-video",
        requires=_IMAGE_FIELD,
        takes=_WAN_FIELDS | {"last_image", "audio_url"},
        durations=tuple(range(2, 16)),
        resolutions=_HD_TIERS,
        default_resolution="720p",
        fps=30,
        always_sound=True,
        max_prompt=5000,
        prices=price_table(
            dashscope="- 0.6 1.0",
            dashscope_intl="- 0.10 0.15",
            dashscope_passthrough="",
            newapi="",
            newapi_videos="",
        ),
        images=replace(_LARGE_IMAGES, max_ratio=8.0),
        frames="media",
        typical_seconds=_ONE_TO_FIVE_MINUTES,
        timeout=900.0,
        source="Alibaba's page on Wan 2.7 image-to-video, its SDK 2.0.2 and LiteLLM 1.110.2, 2026-06-16; A",
    )
    # LiteLLM's price file has no dated name, so the proxy refuses one.
    yield replace(wan_2_7, prices=MappingProxyType({**wan_2_7.prices, "litellm": MappingProxyType({})}))
    yield replace(wan_2_7, name="wan2.7-i2v-2026-04-25", title="Wan 2.7 image-to-video, as of 2026-04-25")


def _wan_3() -> Iterator[Model]:
    """Yield the previews of Wan 3: up to 30 seconds, from the prompt alone, a first frame, or two frames."""
    # Not here: the duration -1 ("as fits"), whose price nobody knows before, and reference files, sounds and videos.
    # The price is the same with and without sound. Resellers disagree about negative prompts and about 21:9. How long a
    # task takes is an estimate.
    preview = Model(
        name="wan3.0-video",
        title="Wan 3.0",
        requires=frozenset(),
        takes=_WAN_FIELDS - {"negative_prompt"} | {"image", "last_image", "generate_audio", "aspect_ratio"},
        durations=tuple(range(2, 31)),
        resolutions=TIERS,
        default_resolution="720p",
        fps=30,
        max_prompt=20_000,
        aspect_ratios=("16:9", "9:16", "1:1", "4:3", "3:4"),
        prices=price_table(
            dashscope="0.30 0.60 1.20",
            dashscope_intl="0.05 0.10 0.20",
            dashscope_us="",
            dashscope_hk="",
            dashscope_passthrough="",
            newapi_videos="",
            litellm="",
        ),
        images=_LARGE_IMAGES,
        frames="media",
        typical_seconds=MappingProxyType({0: (60.0, 600.0)}),
        timeout=1800.0,
        source="Alibaba's page on Wan 3.0 video, LiteLLM 1.110.2 and resellers' pages, 2026-10-15; A",
    )
    yield preview
    yield replace(
        preview,
        name="wan3.0-video-prime",
        title="Wan 3.0 Prime",
        prices=price_table(
            dashscope="0.45 0.90 1.80",
            dashscope_intl="0.068 0.14 0.28",
            dashscope_us="",
            dashscope_hk="",
            dashscope_passthrough="",
            newapi_videos="",
            litellm="",
        ),
    )


def wan_on_uniall() -> Iterator[Model]:
    """Yield UniAll's models of Wan 2.6: resolution and sound are part of the name."""
    # UniAll's pages on Wan 2.6, 2026, have no prices and say nothing of a prompt's length: 1500 is the model's. They
    # document `size` for videos from text alone, which no field of a request expresses: those have the default.
    source = "UniAll's pages on Wan 2.6 video generation, 2026-06; C"
    for tier in _HD_TIERS:
        yield Model(
            name=f"wan2.6-video-{tier}",
            title="Wan 2.6",
            requires=frozenset(),
            takes=_WAN_ON_UNIALL | _IMAGE_FIELD,
            durations=(5, 10, 15),
            resolutions=(tier,),
            default_resolution=tier,
            fps=30,
            always_sound=True,
            max_prompt=1500,
            prices=price_table(uniall=""),
            typical_seconds=_ONE_TO_FIVE_MINUTES,
            timeout=900.0,
            source=source,
        )
    for tier in _HD_TIERS:
        for kind, title in (("audio", "with sound"), ("silent", "without sound")):
            yield Model(
                name=f"wan2.6-i2v-flash-{tier}-{kind}",
                title=f"Wan 2.6 image-to-video, fast, {title}",
                requires=_IMAGE_FIELD,
                takes=_WAN_ON_UNIALL,
                durations=tuple(range(5, 16)),
                resolutions=(tier,),
                default_resolution=tier,
                fps=30,
                always_sound=kind == "audio",
                max_prompt=1500,
                prices=price_table(uniall=""),
                typical_seconds=_ONE_TO_FIVE_MINUTES,
                timeout=900.0,
                source=source,
            )


def wan() -> Iterator[Model]:
    """Yield the rows of DashScope's names, newest last."""
    yield from _wan_2_1_to_2_5()
    yield from _wan_2_6_and_2_7()
    yield from _wan_3()
