"""UniAll's protocol: `POST /v1/video/generations` with an `extra_body`.

Sources: UniAll's page "create a video task (old)", docs.uniall.ai, 2026-03, which does not say how to fetch a task.
Its page "Vidu Video Generation", 2026-06, names one path and a second, compatible one. Its pages on Wan 2.6 and
Happy-Horse, 2026-06, name the second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols.account import ModelList
from langchain_nebula_video.protocols.responses import ResponseParser, encode_segment
from langchain_nebula_video.protocols.wire import FrameForm, Protocol, WireRequest

__all__ = ["PROTOCOL"]

_SUBMIT_PATH = "/v1/video/generations"
_FETCH_PATHS = ("/v1/video/generations", "/v1/videos")
_IMAGE_FIELDS = {"image": "image", "last_image": "last_image", "reference_images": "reference_image_urls"}
_PLAIN_FIELDS = (
    "prompt",
    "aspect_ratio",
    "duration",
)  # duration: the page's table says text, all its examples are numbers
_EXTRA_BODY_FIELDS = {"generate_audio": "audio", "seed": "seed", "negative_prompt": "negative_prompt"}
# The pages on Wan and Happy-Horse have no switches for sound. Happy-Horse has its seed beside the prompt.
_PLAIN_SEED = "happy-horse-"


class _UniAll(ResponseParser):
    # No resolution: it is part of the model's name.
    supported_fields = frozenset({*_PLAIN_FIELDS, *_EXTRA_BODY_FIELDS, *_IMAGE_FIELDS})
    account_calls = ModelList()

    def build_submit(
        self,
        model: str,
        fields: Mapping[str, Any],
        images: Mapping[str, Any],
        *,
        frames: FrameForm = "fields",  # noqa: ARG002 there is one form only
    ) -> WireRequest:
        given = {name: value for name, value in fields.items() if value is not None}
        body = {
            "model": model,
            **{name: given[name] for name in _PLAIN_FIELDS if name in given},
            **{theirs: images[ours] for ours, theirs in _IMAGE_FIELDS.items() if ours in images},
        }
        if model.startswith(_PLAIN_SEED) and "seed" in given:
            body["seed"] = given.pop("seed")
        extra = {"bgm": False} if "generate_audio" in given else {}
        extra |= {theirs: given[ours] for ours, theirs in _EXTRA_BODY_FIELDS.items() if ours in given}
        if extra:
            body["extra_body"] = extra
        return WireRequest("POST", _SUBMIT_PATH, json=body, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return tuple(WireRequest("GET", f"{path}/{encode_segment(task_id)}") for path in _FETCH_PATHS)


PROTOCOL: Protocol = _UniAll()
