"""The Nebula gateway's protocol, and that of its relatives under `/v1/video/generations`.

Source: the gateway's page "Alibaba Wanxiang Wan2.5 image-to-video", version 1.0 of 2025-11-04. What other
deployments of the same family answer is read too (see `parsing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols.responses import ResponseParser, encode_segment
from langchain_nebula_video.protocols.wire import Protocol, WireRequest

__all__ = ["PROTOCOL"]

_PATH = "/v1/video/generations"


_SUPPORTED_FIELDS = frozenset(
    {"prompt", "image", "duration", "resolution", "smart_rewrite", "generate_audio", "audio_url", "seed"}
)
"""All that the page names: what else stood in the body would be passed over without a word."""


class _Nebula(ResponseParser):
    supported_fields = _SUPPORTED_FIELDS

    def build_submit(self, model: str, fields: Mapping[str, Any], images: Mapping[str, Any]) -> WireRequest:
        # Our fields are the page's; the defaults are said, so that no gateway's own decide.
        said = {name: value for name, value in fields.items() if value is not None}
        return WireRequest("POST", _PATH, json={"model": model, **said, **images}, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return (WireRequest("GET", f"{_PATH}/{encode_segment(task_id)}"),)


PROTOCOL: Protocol = _Nebula()
