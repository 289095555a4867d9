"""Vidu: the Q3 models that UniAll serves. The name says family, kind, resolution and speed."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from langchain_nebula_video.catalog.model import Model, price_table

__all__ = ["vidu"]

# Sources:
# - UniAll's page "Vidu video generation", docs.uniall.ai, 2026-06-03: six names, 1 to 16 seconds, at most four
#   references with any of them.
# - Its page "create a video task (old)", 2026-03: 24 names. `-mix` takes references only, `-offpeak` is "cheaper,
#   finished within 48 hours". UniAll may not serve these any more. They cost nothing to try: a refusal is free.
# Neither has prices or a prompt's length. The aspect ratios come from Vidu's own pages (UniAll's have 16:9 in an
# example). The generation times are a guess.
_FIELDS = frozenset({"prompt", "duration", "resolution", "generate_audio", "seed", "aspect_ratio"})
_FRAMES = frozenset({"image", "last_image"})
_REFERENCES = frozenset({"reference_images"})
_ASPECT_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_FAMILIES = {"viduq3p": "Vidu Q3 Pro", "viduq3t": "Vidu Q3 Turbo"}
_HOUR = 3600.0
_NEW = "UniAll's page on Vidu video generation, 2026-06-03; C"
_OLD = "UniAll's page on video tasks (old), 2026-03; C"


def vidu() -> Iterator[Model]:
    """Yield all rows."""
    for family, title in _FAMILIES.items():
        for tier in ("540p", "720p", "1080p"):
            for mix in (False, True):
                for offpeak in (False, True):
                    old = mix or offpeak
                    yield Model(
                        name=f"{family}{'-mix' if mix else ''}-{tier}{'-offpeak' if offpeak else ''}",
                        title=f"{title}{' with references' if mix else ''}{', off-peak' if offpeak else ''}",
                        requires=_REFERENCES if mix else frozenset(),
                        takes=_FIELDS if mix else _FIELDS | _FRAMES | (frozenset() if old else _REFERENCES),
                        durations=tuple(range(1, 17)),
                        resolutions=(tier,),
                        default_resolution=tier,
                        fps=24,
                        max_prompt=None,
                        max_references=0 if offpeak and not mix else 4,
                        aspect_ratios=_ASPECT_RATIOS,
                        prices=price_table(uniall=""),
                        typical_seconds=MappingProxyType(
                            {0: (60.0, 48 * _HOUR)} if offpeak else {0: (30.0, 180.0)},
                        ),
                        timeout=49 * _HOUR if offpeak else 900.0,
                        steps=(60.0, 600.0) if offpeak else None,
                        source=_OLD if old else _NEW,
                    )
