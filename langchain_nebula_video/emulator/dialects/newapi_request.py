"""What a stock new-api gateway makes of a submit: the vendor's body.

Sources: QuantumNous/new-api, relay/channel/task/ali/adaptor.go and relay/common/relay_info.go, 2026-06, and its plugin
for Alibaba, 1.0.0, 2026-08. Both read the same few fields and lose the same values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.refusals import Reason, Refusal

from .request_body import Field, read_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

# Every other field is lost.
FIELDS = (
    Field("model", str, required=Reason.MISSING_MODEL),
    Field("prompt", str, required=Reason.MALFORMED),
    Field("image", str),
    Field("images", list),
    Field("input_reference", str),
    Field("size", str),
    Field("duration", int),
    Field("seconds", str),
    Field("metadata", dict),
)
# What is false or 0 is left out of the vendor's body: the fields are no pointers there. `audio` is one.
_LOST_IF_ZERO = ("prompt_extend", "watermark", "seed")
_DEFAULT_SECONDS = 5
# What a request without a size gets.
_LARGE = ("wan2.6", "wan2.5", "wan2.2-i2v-plus")
_LARGE_DEFAULT, _DEFAULT = "1080P", "720P"
_MEDIA_MODELS = "wan2.7-i2v"


def to_vendor(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Alibaba is sent.

    Raises:
        Refusal: A field has the wrong type, or model or prompt are missing.
    """
    fields = read_fields(payload, FIELDS)
    images = [text for text in fields["images"] or [] if isinstance(text, str) and text.strip()]
    first = fields["image"] or next(iter(images), None) or fields["input_reference"]
    metadata = fields["metadata"] or {}
    inputs = {"prompt": fields["prompt"], **({"img_url": first} if first else {}), **_part(metadata, "input")}
    parameters = {
        "prompt_extend": True,
        "duration": fields["duration"] or _whole(fields["seconds"]) or _DEFAULT_SECONDS,
        "resolution": _resolution(fields["model"], fields["size"]),
        **_part(metadata, "parameters"),
    }
    parameters = {name: value for name, value in parameters.items() if value or name not in _LOST_IF_ZERO}
    if fields["model"].startswith(_MEDIA_MODELS):
        inputs = _with_media(inputs, images)
    return {"model": fields["model"], "input": inputs, "parameters": parameters}


def _part(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = metadata.get(name) or {}
    if not isinstance(part, dict):
        raise Refusal(Reason.MALFORMED, f"metadata.{name} must be an object")
    return part


def _whole(seconds: str | None) -> int | None:
    if seconds is None:
        return None
    if not (seconds.isascii() and seconds.isdigit()):
        raise Refusal(Reason.MALFORMED, "convert seconds to int failed")
    return int(seconds)


def _resolution(model: str, size: str | None) -> str:
    if not size:
        return _LARGE_DEFAULT if model.startswith(_LARGE) else _DEFAULT
    return size.upper() if size.upper().endswith("P") else f"{size}P"


def _with_media(inputs: Mapping[str, Any], images: list[str]) -> dict[str, Any]:
    """Return the input of a model that knows a list of media alone."""
    if inputs.get("media"):
        return dict(inputs)
    flat = {
        "first_frame": inputs.get("first_frame_url") or inputs.get("img_url"),
        "last_frame": inputs.get("last_frame_url") or (images[1] if len(images) > 1 else None),
        "driving_audio": inputs.get("audio_url"),
    }
    kept = {name: value for name, value in inputs.items() if not name.endswith("_url")}
    return kept | {"media": [{"type": kind, "url": url} for kind, url in flat.items() if url]}
