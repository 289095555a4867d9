"""UniAll's protocol for Vidu models: `POST /v1/video/generations` with an `extra_body`.

Sources: UniAll's page "create a video task (old)", docs.uniall.ai, 2026-03, which does not say how a task is asked
after; its page "Vidu Video Generation", 2026-06, names one path and a second one as compatible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols.answers import Reader, segment
from langchain_nebula_video.protocols.wire import Protocol, WireRequest

__all__ = ["PROTOCOL"]

_SUBMIT_PATH = "/v1/video/generations"
_FETCH_PATHS = ("/v1/video/generations", "/v1/videos")
_IMAGES = {"image": "image", "last_image": "last_image", "reference_images": "reference_image_urls"}
_PLAIN = ("prompt", "aspect_ratio", "duration")  # of duration the page's table says text, all of its examples a number
_EXTRA = {"generate_audio": "audio", "seed": "seed"}


class _UniAll(Reader):
    # The resolution is part of the model's name.
    places = frozenset({*_PLAIN, *_EXTRA, *_IMAGES})

    def build_submit(self, model: str, asked: Mapping[str, Any], images: Mapping[str, Any]) -> WireRequest:
        said = {name: value for name, value in asked.items() if value is not None}
        body = {
            "model": model,
            **{name: said[name] for name in _PLAIN if name in said},
            **{theirs: images[ours] for ours, theirs in _IMAGES.items() if ours in images},
            "extra_body": {"bgm": False, **{theirs: said[ours] for ours, theirs in _EXTRA.items() if ours in said}},
        }
        return WireRequest("POST", _SUBMIT_PATH, json=body, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return tuple(WireRequest("GET", f"{path}/{segment(task_id)}") for path in _FETCH_PATHS)


PROTOCOL: Protocol = _UniAll()
