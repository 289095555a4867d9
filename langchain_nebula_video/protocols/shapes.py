"""Where an answer's fields stand: one table for the envelopes that gateways put an answer into, one for the fields.

Sources, all read until 2026-11: the Nebula page; the published code of Nebula's gateway and of the gateway that it is a
fork of (github.com/QuantumNous/new-api), before and after its task plugins; Alibaba's pages on Wan, Kling and Vidu
models; UniAll's pages; the pages of OpenAI, OpenRouter, Together, xAI, ZenMux and lumenfall on `/v1/videos`; LiteLLM
1.110.2, run on 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from langchain_nebula_video.protocols.values import get_object, get_value

__all__ = ["ENVELOPES", "FIELDS", "OWN", "Answer", "Field", "Layer", "layers", "values"]

ENVELOPES = (
    "result",  # UniAll
    "results",  # evolink and its like
    "task_result",  # Kling
    "outputs",  # Together
    "videos",  # Kling, within `task_result`
    "creations",  # Vidu
    "video",  # xAI
    "content",  # ZenMux
    "metadata",  # Nebula
    "output",  # DashScope, lumenfall
    "usage",
    "data",  # new-api: its row of the task; within that, the vendor's answer
)
"""The names of objects that are about the task or its video. Each may stand in each other, or be JSON text, or a list
of one."""

_MAX_DEPTH = 4
"""`data.data.metadata.output` is the deepest that any page or code has."""
_MAX_LAYERS = 64

OWN = ("data", "")
"""Where the gateway's own words are: its row of the task, or the answer itself. All deeper words are the vendor's."""
_ANYWHERE = ("*",)
_USAGE = ("*usage",)
_METADATA = ("*metadata",)


class Layer(NamedTuple):
    """One object of an answer."""

    path: str
    """`""` is the answer itself."""
    fields: Mapping[str, Any]


class Field(NamedTuple):
    """Names that mean the same, and the envelopes in which they mean it. The first that has a value counts."""

    within: tuple[str, ...]
    """Patterns of paths. Of all envelopes that match one, the outermost comes first."""
    names: tuple[str, ...]


FIELDS: dict[str, tuple[Field, ...]] = {
    "status": (Field(OWN, ("status", "state", "task_status")),),  # `state`: Vidu
    "vendor_status": (Field(_ANYWHERE, ("task_status", "status", "state")),),
    "progress": (Field(OWN, ("progress",)),),
    "submitted_at": (Field(_ANYWHERE, ("submit_time", "created_at")),),
    "finished_at": (
        Field(_ANYWHERE, ("end_time",)),  # the vendor's: from then on an address lives for a day
        Field(_ANYWHERE, ("finish_time", "finished_at", "completed_at")),
    ),
    # Never `requested_seconds`: Nebula's gateway says 4 there, whatever was asked for (its published code, 2025-12).
    "seconds": (
        Field(_USAGE, ("output_video_duration", "video_duration", "duration", "duration_seconds")),
        Field(_ANYWHERE, ("seconds", "duration")),
    ),
    # Alibaba's page on Wan 2.7, 2026-06-16: `usage.duration` is input and output together, if there is a clip.
    "billed_seconds": (Field(_USAGE, ("duration",)), Field(_METADATA, ("actual_seconds",))),
    "clip_seconds": (Field(_USAGE, ("input_video_duration",)),),
    # Numbers of lines, or width and height. `video_ratio` of older Wan models is "1280*720", or "standard".
    "resolution": (
        Field(_USAGE, ("SR", "resolution", "video_resolution", "size", "video_size", "video_ratio")),
        Field(_ANYWHERE, ("resolution", "size")),
    ),
    "sound": (Field(_USAGE, ("audio",)),),
    "price_per_second": (Field(_METADATA, ("model_price", "video_price_per_second")),),  # that of 720p
    "group_ratio": (Field(_METADATA, ("group_ratio",)),),
    "billing_pending": (Field(_METADATA, ("billing_pending",)),),
    "quota": (Field(OWN, ("quota", "actual_quota")), Field(_METADATA, ("actual_quota",))),
    "cost": (Field((*_USAGE, "*outputs"), ("cost",)),),  # OpenRouter; Together
    "model": (Field(OWN, ("model", "properties.origin_model_name")), Field(_METADATA, ("model_name",))),
    "prompt": (Field(_ANYWHERE, ("orig_prompt",)), Field(OWN, ("prompt",))),
    "actual_prompt": (Field(_ANYWHERE, ("actual_prompt",)),),
    "request_id": (Field(_METADATA, ("request_id",)), Field(("",), ("request_id",))),
}
"""Which names count in which envelopes, in the order in which they are believed. Ids, errors and addresses have tables
of their own beside their rules."""


_NAMES = {
    name: frozenset(word.partition(".")[0] for field in fields for word in field.names)
    for name, fields in FIELDS.items()
}


class Answer(list[Layer]):
    """The envelopes of an answer, the outermost first."""

    __slots__ = ("names",)

    def __init__(self, found: list[Layer]) -> None:
        super().__init__(found)
        self.names = frozenset().union(*(layer.fields for layer in found))
        """All names in them. Most answers have few, so most fields need not be looked for."""


def layers(body: object) -> Answer:
    """Return the answer's envelopes."""
    root = get_object(body)
    found = [] if root is None else [Layer("", root)]
    ring = found
    for _ in range(_MAX_DEPTH):
        ring = [inner for layer in ring for inner in _inside(layer)]
        found = (found + ring)[:_MAX_LAYERS]
    return Answer(found)


def _inside(layer: Layer) -> Iterator[Layer]:
    for name in ENVELOPES:
        value = layer.fields.get(name)
        if value is not None and (inner := get_object(value)) is not None:
            yield Layer(f"{layer.path}.{name}".lstrip("."), inner)


def values(answer: Answer, field: str) -> Iterable[Any]:
    """Return the values that an answer has for a field, the one that is believed first at the beginning."""
    return () if answer.names.isdisjoint(_NAMES[field]) else _values(answer, field)


def _values(answer: list[Layer], field: str) -> Iterator[Any]:
    for within, names in FIELDS[field]:
        for pattern in within:
            for layer in answer:
                if _is_within(layer.path, pattern):
                    yield from (value for name in names if (value := _read(layer, name)) is not None)


@lru_cache(maxsize=4096)  # of the few paths that a gateway's answers have
def _is_within(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern)


def _read(layer: Layer, name: str) -> Any:
    return None if name == "duration" and _is_job(layer.fields) else get_value(layer.fields, name)


def _is_job(fields: Mapping[str, Any]) -> bool:
    """Whether an object is UniAll's job. Its `duration` is how long the task took (its query pages, 2026-11)."""
    return (
        fields.get("object") == "video.generation.job"
        or "thumbnail_url" in fields
        or get_value(fields, "result.outputs") is not None
    )
