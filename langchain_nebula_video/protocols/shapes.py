"""Where an answer's fields stand. Two tables: the envelopes that gateways put an answer into, and the fields' names.

Sources, all read until 2026-11: the Nebula page; the published code of Nebula's gateway and of the gateway that it is a
fork of (github.com/QuantumNous/new-api), before and after its task plugins; Alibaba's pages on Wan, Kling and Vidu
models; UniAll's pages; the pages of OpenAI, OpenRouter, Together, xAI, ZenMux and lumenfall on `/v1/videos`; LiteLLM
1.110.2, run on 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from langchain_nebula_video.protocols.values import get_object

__all__ = ["ENVELOPES", "Layer", "layers"]

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


class Layer(NamedTuple):
    """One object of an answer."""

    path: str
    """`""` is the answer itself."""
    fields: Mapping[str, Any]


def layers(body: object) -> list[Layer]:
    """Return the answer's envelopes, the outermost first."""
    root = get_object(body)
    found = [] if root is None else [Layer("", root)]
    ring = found
    for _ in range(_MAX_DEPTH):
        ring = [inner for layer in ring for inner in _inside(layer)]
        found = (found + ring)[:_MAX_LAYERS]
    return found


def _inside(layer: Layer) -> Iterator[Layer]:
    for name in ENVELOPES:
        inner = get_object(layer.fields.get(name))
        if inner is not None:
            yield Layer(f"{layer.path}.{name}".lstrip("."), inner)
