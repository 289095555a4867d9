"""`/v1/videos`: OpenAI's shape of video generation, as several servers took it over.

OpenAI's own service ended in 2026-09. What stayed is one path, one set of status words, and the video under
`…/content`. The servers differ in how a submit is written: each has a `Form`.

| instance | sources |
|---|---|
| `NEWAPI` | new-api's plugin for Alibaba, 1.3.0 and 1.4.2, 2026-09 and 10 |
| `SGLANG` | SGLang, entrypoints/openai/video_api.py, 2026 |
| `VLLM_OMNI` | vLLM-Omni, docs/serving/videos_api.md and entrypoints/openai/protocol/videos.py, 2026 |

LiteLLM's has more of its own, so it is in `litellm`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.inspection import inspect_image
from langchain_nebula_video.protocols.account import ModelList
from langchain_nebula_video.protocols.responses import ResponseParser, encode_segment
from langchain_nebula_video.protocols.wire import FrameForm, Protocol, WireRequest

__all__ = ["NEWAPI", "SGLANG", "VLLM_OMNI", "WAN_FIELDS", "Form", "Videos"]

_PATH = "/v1/videos"
_FRAME_FIELDS = ("image", "last_image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one kind of server takes a submit."""

    fields: Mapping[str, str]
    """Our field -> the server's, besides the images, the duration and the resolution."""
    image: Literal["input_reference", "images", "file"]
    """The first frame: a text, the first of a list, or a file, so that the body is multipart."""
    image_url: str | None = None
    """With `file`: the field for the URL of an image. `None`: the server takes files alone."""
    media_types: Mapping[str, str] = field(default_factory=dict)
    """Our field -> its type in a list `media`, for models that know only that."""
    duration: Literal["seconds", "duration"]
    """`seconds` is text, `duration` a number."""
    resolution: Literal["resolution", "size"]
    """`resolution` is a tier, `size` a width and a height in pixels."""
    constants: Mapping[str, Any] = field(default_factory=dict)


class Videos(ResponseParser):
    """The protocol of one kind of server."""

    task_id_paths = ("id",)
    account_calls = ModelList()

    def __init__(self, form: Form) -> None:
        self._form = form
        last = () if form.image == "file" else ("last_image",)
        self.supported_fields = frozenset({"prompt", "image", "duration", "resolution", *last, *form.fields})
        self.frame_forms: frozenset[FrameForm] = frozenset({"fields"} if form.image == "file" else {"fields", "media"})

    def build_submit(
        self,
        model: str,
        fields: Mapping[str, Any],
        images: Mapping[str, Any],
        *,
        frames: FrameForm = "fields",
    ) -> WireRequest:
        """See `Protocol`."""
        form = self._form
        given = {name: value for name, value in fields.items() if value is not None}
        body: dict[str, Any] = {"model": model, "prompt": given.get("prompt", ""), **form.constants}
        if "duration" in given:
            body[form.duration] = str(given["duration"]) if form.duration == "seconds" else given["duration"]
        file = _decode_file(images["image"]) if form.image == "file" and "image" in images else None
        if "resolution" in given and form.resolution == "resolution":
            body["resolution"] = given["resolution"].upper()
        elif "resolution" in given:
            body["size"] = _size(given["resolution"], file[1] if file else None)
        if form.image == "file":
            body |= {theirs: given[ours] for ours, theirs in form.fields.items() if ours in given}
            if file is None and "image" in images:
                body |= self._image_url(images["image"])
            return WireRequest(
                "POST", _PATH, form=_form_texts(body), file=file, file_field="input_reference", paid=True
            )
        body |= self._frames(given, images, frames)
        body |= {theirs: given[ours] for ours, theirs in form.fields.items() if _is_said(given.get(ours))}
        return WireRequest("POST", _PATH, json=body, paid=True)

    def _image_url(self, url: str) -> dict[str, Any]:
        """Return the form's field for the URL of an image."""
        if self._form.image_url is None:
            raise InvalidRequestError(
                "This server takes an image as a file, and not as a URL.", hint="Give the image's bytes or its path."
            )
        return {self._form.image_url: url}

    def _frames(self, given: dict[str, Any], images: Mapping[str, Any], frames: FrameForm) -> dict[str, Any]:
        """Return the body's fields for the frames, and take out of `given` what went there."""
        # Of the models behind these servers, only those that know a list have a last frame.
        types = self._form.media_types if frames == "media" or "last_image" in images else {}
        sources = {**{name: images[name] for name in _FRAME_FIELDS if name in images},
                   **{name: given[name] for name in types if given.get(name)}}  # fmt: skip
        if sources.keys() & types.keys() - {"image"}:
            for name in types:
                given.pop(name, None)
            return {"media": [{"type": kind, "url": sources[ours]} for ours, kind in types.items() if ours in sources]}
        found = [images[name] for name in _FRAME_FIELDS if name in images]
        if not found:
            return {}
        return {"images": found} if self._form.image == "images" else {"input_reference": found[0]}

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        """See `Protocol`."""
        return (WireRequest("GET", f"{_PATH}/{encode_segment(task_id)}"),)


def _is_said(value: object) -> bool:
    return value is not None and value != ""


def _form_texts(body: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in body.items()}


_DATA_URI = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+)?(?P<base64>;base64)?,", re.IGNORECASE)


def _decode_file(uri: str) -> tuple[str, bytes, str] | None:
    """Return name, content and MIME type of a `data:` URI; `None`: it is a URL."""
    head = _DATA_URI.match(uri)
    if head is None:
        return None
    text = uri[head.end() :]
    try:
        data = base64.b64decode(text, validate=True) if head["base64"] else unquote_to_bytes(text)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The data: URI is not valid base64.", hint="Encode the image again.") from None
    mime = head["mime"] or "image/png"
    return f"image.{mime.rpartition('/')[2]}", data, mime


# The sides of the tiers at 16:9, as Wan's open models were trained with them.
_SIDES = {"480p": (832, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
_LINES = re.compile(r"(\d{2,4})p")
_SIDE_STEP = 16
"""Both sides of Wan's open models are multiples of this."""


def _size(resolution: str, image: bytes | None) -> str:
    """Return width and height: as many pixels as the tier has, in the shape of the image if its bytes are known."""
    width, height = _SIDES.get(resolution) or _sides_of_lines(resolution)
    if image is not None:
        shape = inspect_image(image)
        area, ratio = width * height, shape.width / shape.height
        width, height = (_snap(math.sqrt(area * ratio)), _snap(math.sqrt(area / ratio)))
    return f"{width}x{height}"


def _sides_of_lines(resolution: str) -> tuple[int, int]:
    found = _LINES.fullmatch(resolution)
    if found is None:
        raise InvalidRequestError(
            f"The resolution {resolution!r} is no number of lines, of which a size could be made.",
            hint='Name it like "720p" in the row of the model.',
        )
    lines = int(found[1])
    return _snap(lines * 16 / 9), _snap(lines)


def _snap(side: float) -> int:
    return max(_SIDE_STEP, round(side / _SIDE_STEP) * _SIDE_STEP)


WAN_FIELDS = {
    "smart_rewrite": "prompt_extend",
    "generate_audio": "audio",
    "watermark": "watermark",
    "seed": "seed",
    "negative_prompt": "negative_prompt",
    "audio_url": "audio_url",
    "aspect_ratio": "ratio",
}
"""Our field -> the field that Alibaba's models have."""

# It writes the vendor's own fields, `media` too, from `images`.
NEWAPI: Protocol = Videos(
    Form(fields={**WAN_FIELDS, "template": "template"}, image="images", duration="duration", resolution="resolution")
)
# A JSON body's `input_reference` is a path on the server there, so an image goes as a file, or as `reference_url`. The
# video has the image's shape, and the size says how many pixels.
SGLANG: Protocol = Videos(
    Form(
        fields={"seed": "seed", "negative_prompt": "negative_prompt"},
        image="file",
        image_url="reference_url",
        duration="seconds",
        resolution="size",
    )
)
# The image is brought to the size that is said, whatever its shape: so its bytes must be known.
VLLM_OMNI: Protocol = Videos(
    Form(
        fields={"seed": "seed", "negative_prompt": "negative_prompt", "generate_audio": "generate_sound"},
        image="file",
        duration="seconds",
        resolution="size",
    )
)
