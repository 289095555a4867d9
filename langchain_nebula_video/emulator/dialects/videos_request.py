"""What a server of OpenAI's ``/v1/videos`` reads of a submit, in JSON or as a multipart form.

It reads what LiteLLM, new-api's plugins, SGLang and vLLM-Omni read, each in its own spelling (sources: the modules of
`dialects` name them), and hands on the vendor's body. A field that none of them has is lost without a word, as there.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.multipart import read_form

from .request_body import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXTS = ("prompt", "negative_prompt", "audio_url", "template")
# The vendor's name -> the names that a submit may have for it.
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "prompt_extend": ("prompt_extend",),
    "audio": ("audio", "generate_sound"),
    "watermark": ("watermark",),
    "seed": ("seed",),
    "ratio": ("ratio",),
}
_NUMBERS = ("seed", "duration", "seconds")
_SWITCHES: Mapping[str, bool] = {"true": True, "false": False}
_TIERS: Mapping[int, str] = {480: "480P", 720: "720P", 1080: "1080P"}
_PIXELS = {lines: lines * lines * 16 / 9 for lines in _TIERS}


def read_submit(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the fields of a submit, in either form.

    Raises:
        Refusal: The body is neither.
    """
    if "multipart/form-data" not in content_type.lower():
        return dict(read_object(body))
    form = read_form(content_type, body)
    fields: dict[str, Any] = {
        name: value.decode("utf-8", "replace") for name, value in form.items() if name != "input_reference"
    }
    for name in _NUMBERS:
        if name in fields:
            fields[name] = _number(name, fields[name])
    fields |= {name: _SWITCHES[value] for name, value in fields.items() if value in _SWITCHES}
    if "input_reference" in form:
        fields["input_reference"] = f"data:image/*;base64,{base64.b64encode(form['input_reference']).decode()}"
    return fields


def to_vendor(fields: Mapping[str, Any], *, takes_media: bool) -> dict[str, Any]:
    """Return the vendor's body.

    Raises:
        Refusal: A value is of no use.
    """
    images = _images(fields)
    inputs = {name: fields[name] for name in _TEXTS if fields.get(name)}
    if fields.get("media"):
        inputs["media"] = fields["media"]
    elif takes_media:
        inputs["media"] = [
            {"type": kind, "url": url} for kind, url in zip(("first_frame", "last_frame"), images, strict=False)
        ]
        sound = inputs.pop("audio_url", None)
        inputs["media"] += [{"type": "driving_audio", "url": sound}] if sound else []
    elif images:
        inputs["img_url"] = images[0]
    parameters = {
        ours: fields[name] for ours, names in _PARAMETERS.items() for name in names if fields.get(name) is not None
    }
    seconds = fields.get("duration", fields.get("seconds"))
    if seconds is not None:
        parameters["duration"] = _number("seconds", seconds)
    resolution = fields.get("resolution") or _tier(fields.get("size"))
    if resolution:
        parameters["resolution"] = str(resolution).upper()
    return {"model": fields.get("model"), "input": inputs, "parameters": parameters}


def _images(fields: Mapping[str, Any]) -> list[str]:
    for name in ("images", "image", "input_reference", "reference_url"):
        value = fields.get(name)
        if value:
            return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    reference = fields.get("image_reference")
    if not reference:
        return []
    try:
        found = json.loads(reference) if isinstance(reference, str) else reference
        return [found["image_url"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(Reason.MALFORMED, "image_reference must hold an image_url") from error


def _number(name: str, value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.removeprefix("-").isdigit():
        raise Refusal(Reason.MALFORMED, f"{name} must be a whole number")
    return int(text)


def _tier(size: str | None) -> str | None:
    """Return the resolution with about as many pixels as a size, such as ``832x480``."""
    if not size:
        return None
    width, _, height = size.lower().replace("*", "x").partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise Refusal(Reason.PARAMETER, "size must be WIDTHxHEIGHT")
    pixels = int(width) * int(height)
    return _TIERS[min(_PIXELS, key=lambda lines: abs(_PIXELS[lines] - pixels))]
