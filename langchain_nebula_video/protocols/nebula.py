"""The protocol of the Nebula gateway and of related gateways, under `/v1/video/generations`.

Source: the gateway's page "Alibaba Wanxiang Wan2.5 image-to-video", version 1.0 of 2025-11-04. `parsing` also
reads the responses of other deployments of the same family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols.account import NewApiAccount
from langchain_nebula_video.protocols.responses import ResponseParser, encode_segment
from langchain_nebula_video.protocols.wire import FrameForm, Protocol, WireRequest

__all__ = ["PROTOCOL"]

_PATH = "/v1/video/generations"
_FETCH_PATHS = (_PATH, "/v1/videos")
"""The page's path, and one that answers the same (the gateway's published code, 2025-12, router/video-router.go)."""

_SUPPORTED_FIELDS = frozenset(
    {"prompt", "image", "duration", "resolution", "smart_rewrite", "generate_audio", "audio_url", "seed"}
)
"""The fields on the page. The gateway silently ignores all others."""


class _Nebula(ResponseParser):
    supported_fields = _SUPPORTED_FIELDS
    account_calls = NewApiAccount()

    def build_submit(
        self,
        model: str,
        fields: Mapping[str, Any],
        images: Mapping[str, Any],
        *,
        frames: FrameForm = "fields",  # noqa: ARG002 there is one form only
    ) -> WireRequest:
        # Our field names are those of the page. Defaults are sent too, so that no gateway applies its own.
        given = {name: value for name, value in fields.items() if value is not None}
        return WireRequest("POST", _PATH, json={"model": model, **given, **images}, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return tuple(WireRequest("GET", f"{path}/{encode_segment(task_id)}") for path in _FETCH_PATHS)


PROTOCOL: Protocol = _Nebula()
