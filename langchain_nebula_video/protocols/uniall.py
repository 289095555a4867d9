"""UniAll's protocol for Vidu models: `POST /v1/video/generations` with an `extra_body`.

Sources: UniAll's page "create a video task (old)", docs.uniall.ai, 2026-03, which does not say how a task is asked
after; its page "Vidu Video Generation", 2026-06, names one path and a second one as compatible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols._answers import Reader, segment
from langchain_nebula_video.protocols._wire import Protocol, WireRequest

__all__ = ["PROTOCOL"]

_SUBMIT_PATH = "/v1/video/generations"
_FETCH_PATHS = ("/v1/video/generations", "/v1/videos")
_NAMES = {"reference_images": "reference_image_urls"}


class _UniAll(Reader):
    def build_submit(self, model: str, asked: Mapping[str, Any], images: Mapping[str, Any]) -> WireRequest:
        extra = {"audio": asked["generate_audio"], "bgm": False, "seed": asked["seed"]}
        body = {
            "model": model,
            "prompt": asked["prompt"],
            **{_NAMES.get(name, name): image for name, image in images.items()},
            "aspect_ratio": asked["aspect_ratio"],
            "duration": asked["duration"],  # the page's table says text, all of its examples a number
            "extra_body": {name: value for name, value in extra.items() if value is not None},
        }
        said = {name: value for name, value in body.items() if value is not None}
        return WireRequest("POST", _SUBMIT_PATH, json=said, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return tuple(WireRequest("GET", f"{path}/{segment(task_id)}") for path in _FETCH_PATHS)


PROTOCOL: Protocol = _UniAll()
