"""What Nebula's code reads of a submit, and what it makes of it for Alibaba.

The gateway's published code, 2025-11 and 2025-12: middleware/distributor.go, relay/common/relay_info.go,
relay/channel/task/ali/adaptor.go and dto.go.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.serving.multipart import read_form

from .nebula_models import NEBULA_MODELS
from .nebula_refusals import NebulaRefusal
from .request_body import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.files import InputFile
    from langchain_nebula_video.emulator.serving.exchange import Exchange

# Every field that the code reads, with Go's name of its type. The others are dropped without a word.
FIELD_TYPES: Mapping[str, str] = {
    "model": "string",
    "prompt": "string",
    "image": "string",
    "images": "[]string",
    "duration": "int",
    "resolution": "string",
    "smart_rewrite": "bool",
    "generate_audio": "bool",
    "audio_url": "string",
    "seed": "int",
    "metadata": "map[string]interface {}",
}
# A form has fewer.
_FORM_FIELDS = ("model", "prompt", "image", "images")
_PYTHON_TYPES: Mapping[str, type] = {"string": str, "int": int, "bool": bool, "[]string": list}
_JSON_NAMES: Mapping[type, str] = {str: "string", int: "number", float: "number", bool: "bool", list: "array"}
_ZERO: Mapping[str, Any] = {"string": "", "int": 0, "bool": False, "[]string": []}
_DATA_URI, _ADDRESSES = "data:image/", ("http://", "https://", "oss://")
_DEFAULT_SECONDS, _DEFAULT_RESOLUTION = 5, "720P"
_UNPACKED_AT_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A submit as the code reads it. A field that is missing has Go's zero value."""

    fields: Mapping[str, Any]
    sent: Mapping[str, Any]
    """The request body."""

    @property
    def image(self) -> str:
        """The image that is used: the first of `images`, else `image`."""
        images = self.fields["images"]
        return str(images[0] if images else self.fields["image"])

    def recorded(self, image: InputFile | None) -> dict[str, Any]:
        """Return the fields that were sent and read, for the records; a digest stands for an image itself."""
        read = {name: self.fields[name] for name in FIELD_TYPES if self.sent.get(name) is not None}
        if image is None or self.image.startswith(_ADDRESSES):
            return read
        used = "images" if self.fields["images"] else "image"
        head, comma, _ = self.image.rpartition(",")
        text = f"{head}{comma}sha256:{image.digest}"
        return read | {used: [text] if used == "images" else text}

    def forwarded(self) -> dict[str, Any]:
        """Return the body that Alibaba gets. What is false, zero or empty is left out.

        Raises:
            NebulaRefusal: The image is a broken `data:` URI.
        """
        fields = self.fields
        inputs = {"prompt": fields["prompt"], "img_url": self._image_for_vendor(), "audio_url": fields["audio_url"]}
        parameters = {
            "resolution": fields["resolution"].upper() or _DEFAULT_RESOLUTION,
            "duration": fields["duration"] or _DEFAULT_SECONDS,
            "prompt_extend": fields["smart_rewrite"],
            "audio": fields["generate_audio"],
            "seed": max(fields["seed"], 0),
        }
        return {"model": fields["model"], "input": _without_zeros(inputs), "parameters": _without_zeros(parameters)}

    def _image_for_vendor(self) -> str:
        image = self.image
        if not image.startswith(_DATA_URI):
            return image
        _, comma, content = image.partition(",")
        if not comma:
            raise NebulaRefusal("build_request_failed")
        return content


async def read_model(exchange: Exchange) -> tuple[str, Mapping[str, Any]]:
    """Return the model's name and the whole payload. Without a content type that is read, both are empty.

    Raises:
        NebulaRefusal: The body is no JSON object.
    """
    content_type, body = exchange.headers.get("content-type", ""), await exchange.body()
    if content_type.startswith("multipart/form-data"):
        form = read_form(content_type, body)
        texts = {name: form[name].decode("utf-8", "replace") for name in _FORM_FIELDS if name in form}
        payload: dict[str, Any] = texts | ({"images": [texts["images"]]} if "images" in texts else {})
    elif content_type.startswith("application/json"):
        payload = _read_object(_unpacked(body, exchange.headers.get("content-encoding", "")))
    else:
        payload = {}
    name = payload.get("model")
    if not isinstance(name, str | None):
        raise NebulaRefusal("not_json", _wrong_type("ModelRequest", "model", name, "string"))
    return replace_surrogates(name or ""), payload


def read_request(payload: Mapping[str, Any]) -> SourceRequest:
    """Return the fields that the code reads.

    Raises:
        NebulaRefusal: A field has the wrong type, or there is no prompt.
    """
    fields = {name: _read_field(name, payload.get(name), kind) for name, kind in FIELD_TYPES.items()}
    if not fields["prompt"].strip():
        raise NebulaRefusal("invalid_request", "prompt is required")
    return SourceRequest(fields, payload)


def check_channel(model: str) -> None:
    """Check that some channel serves a model.

    Raises:
        NebulaRefusal: None does.
    """
    if not model:
        raise NebulaRefusal("no_model")
    if model not in NEBULA_MODELS:
        raise NebulaRefusal("no_channel", model)


def _read_field(name: str, value: Any, kind: str) -> Any:
    if value is None:
        return _ZERO.get(kind)
    wanted = _PYTHON_TYPES.get(kind, dict)
    # An exact comparison, because bool is a subclass of int.
    broken = type(value) is not wanted
    if broken or (kind == "[]string" and not all(isinstance(each, str) for each in value)):
        raise NebulaRefusal("invalid_request", _wrong_type("TaskSubmitReq", name, value, kind))
    return replace_surrogates(value)


def _wrong_type(structure: str, name: str, value: Any, kind: str) -> str:
    found = _JSON_NAMES.get(type(value), "object")
    if type(value) is float:
        found += f" {value}"
    return f"json: cannot unmarshal {found} into Go struct field {structure}.{name} of type {kind}"


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise NebulaRefusal("not_json", "invalid character looking for beginning of value") from None
    if not isinstance(payload, dict):
        found = _JSON_NAMES.get(type(payload), "null")
        raise NebulaRefusal("not_json", f"json: cannot unmarshal {found} into Go value of type ModelRequest")
    return payload


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding != "gzip":
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, _UNPACKED_AT_MOST)
    except zlib.error:
        raise NebulaRefusal("not_json", "gzip: invalid header") from None


def _without_zeros(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
