"""The protocol of a stock new-api gateway, under `/v1/video/generations`.

Sources: QuantumNous/new-api until 2026-08 (relay/channel/task/ali/adaptor.go, relay/common/relay_info.go) and its
plugins from then on (plugins/tasks/ali 1.0.0, alibaba 1.2.0 and 1.4.2). All read the same few fields of a submit.
What the vendor's body has besides goes into `metadata`, which is merged over its `input` and `parameters`. Nebula's
fields of the same names are not read: a body of Nebula's would be made at the dearest resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols.account import NewApiAccount
from langchain_nebula_video.protocols.responses import ResponseParser, encode_segment
from langchain_nebula_video.protocols.wire import FrameForm, Protocol, WireRequest

__all__ = ["PROTOCOL"]

_SUBMIT_PATH = "/v1/video/generations"
_FETCH_PATHS = ("/v1/video/generations", "/v1/videos")
_FRAME_FIELDS = ("image", "last_image")

# Our field -> the vendor's, in `metadata.input` and in `metadata.parameters`.
_INPUT_FIELDS = {name: name for name in ("negative_prompt", "audio_url", "template")}
_PARAMETER_FIELDS = {
    "smart_rewrite": "prompt_extend",
    "generate_audio": "audio",
    "watermark": "watermark",
    "seed": "seed",
}


class _NewApi(ResponseParser):
    account_calls = NewApiAccount()
    supported_fields = frozenset(
        {"prompt", "duration", "resolution", *_FRAME_FIELDS, *_INPUT_FIELDS, *_PARAMETER_FIELDS}
    )
    frame_forms: frozenset[FrameForm] = frozenset({"fields", "media"})  # the gateway writes the vendor's list by itself

    def build_submit(
        self,
        model: str,
        fields: Mapping[str, Any],
        images: Mapping[str, Any],
        *,
        frames: FrameForm = "fields",  # noqa: ARG002 the gateway knows the model
    ) -> WireRequest:
        given = {name: value for name, value in fields.items() if value is not None}
        body: dict[str, Any] = {"model": model, "prompt": given.get("prompt", "")}
        found = [images[name] for name in _FRAME_FIELDS if name in images]
        if found:
            body["image"] = found[0]
        if len(found) > 1:
            body["images"] = found
        if "resolution" in given:
            body["size"] = given["resolution"].upper()
        if "duration" in given:
            body["duration"] = given["duration"]
        # An older gateway leaves out what is false or 0, a newer one does not: all is said.
        body["metadata"] = {
            "input": {theirs: given[ours] for ours, theirs in _INPUT_FIELDS.items() if given.get(ours)},
            "parameters": {theirs: given[ours] for ours, theirs in _PARAMETER_FIELDS.items() if ours in given},
        }
        return WireRequest("POST", _SUBMIT_PATH, json=body, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return tuple(WireRequest("GET", f"{path}/{encode_segment(task_id)}") for path in _FETCH_PATHS)


PROTOCOL: Protocol = _NewApi()
