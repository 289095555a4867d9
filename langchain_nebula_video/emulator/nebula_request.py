"""What a Nebula submit may say, and what is made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import magic
from .catalog import MODELS
from .engine import Job
from .files import is_loopback
from .records import Problem
from .refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .files import Files, Material

MAX_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """A row of the page's table of parameters."""

    name: str
    type: type
    required: Reason | None = None
    """What a request without it is refused for."""


# Anything else in the body is ignored, as the gateway does.
FIELDS = (
    Field("model", str, required=Reason.MISSING_MODEL),
    Field("prompt", str, required=Reason.MALFORMED),
    Field("image", str, required=Reason.MALFORMED),
    Field("duration", int),
    Field("resolution", str),
    Field("smart_rewrite", bool),
    Field("generate_audio", bool),
    Field("audio_url", str),
    Field("seed", int),
)
_TYPE_NAMES = {str: "a string", int: "an integer", bool: "a boolean"}


def read_job(body: bytes, files: Files, code_of: Callable[[Reason], str]) -> Job:
    """Make a job of a request's body; blocks while files are fetched.

    What is wrong with the request itself is refused. What is wrong with a file that it names by
    address shows only while the task is worked on: then the job has a problem, under the code that
    `code_of` gives.

    Raises:
        Refusal: The request is not acceptable.
    """
    asked = _fields(_object(body))
    model = MODELS.get(asked["model"])
    if model is None:
        message = f"No available channel for model {asked['model']} under group default (distributor)"
        raise Refusal(Reason.UNKNOWN_MODEL, message)
    resolution = asked["resolution"] or model.default_resolution
    if resolution not in model.prices:
        message = f"resolution must be one of {', '.join(model.prices)}"
        raise Refusal(Reason.PARAMETER, message)
    seed = asked["seed"]
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise Refusal(Reason.PARAMETER, f"seed must be between 0 and {MAX_SEED}")
    _check_audio_url(asked["audio_url"])
    refusal = magic.refusal_of(asked["prompt"])
    if refusal is not None:
        raise refusal
    image, image_lost = _image(asked["image"], files)
    audio, audio_lost = _audio(asked["audio_url"], files)
    problem = image_lost or audio_lost or magic.failure_of(asked["prompt"])
    return Job(
        model=model,
        prompt=asked["prompt"],
        image=image,
        resolution=resolution,
        seconds=model.seconds_for(asked["duration"]),
        seed=seed,
        audio=audio,
        generate_audio=bool(asked["generate_audio"]),
        request=_shown(asked, image),
        problem=Problem(code_of(problem.reason), problem.message) if problem else None,
    )


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.MALFORMED, f"invalid JSON: {error}") from error
    if not isinstance(payload, dict):
        raise Refusal(Reason.MALFORMED, "the body must be a JSON object")
    return payload


def _fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the table; null counts as absent."""
    for field in FIELDS:
        value = payload.get(field.name)
        # Exactly, because to Python a boolean is an integer too.
        if value is not None and type(value) is not field.type:
            raise Refusal(Reason.MALFORMED, f"{field.name} must be {_TYPE_NAMES[field.type]}")
        blank = value is None or (isinstance(value, str) and not value.strip())
        if field.required is not None and blank:
            raise Refusal(field.required, f"{field.name} is required")
    return {field.name: _clean(payload.get(field.name)) for field in FIELDS}


def _clean(value: Any) -> Any:
    """Text without lone surrogates, which JSON can spell and UTF-8 cannot."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _check_audio_url(url: str | None) -> None:
    if not url:
        return
    parts = urlsplit(url)
    loopback = is_loopback(parts.hostname or "")
    if parts.hostname is None or parts.scheme not in ({"http", "https"} if loopback else {"https"}):
        raise Refusal(Reason.PARAMETER, "audio_url must be an HTTPS URL")


def _image(image: str, files: Files) -> tuple[Material | None, Refusal | None]:
    """The picture, or why the task will fail without it."""
    # Pillow is imported when the first picture comes.
    from . import pictures  # noqa: PLC0415

    if not image.startswith(("http://", "https://")):
        content = pictures.from_data_uri(image)
        pictures.inspect(content)
        return files.keep(content), None
    try:
        content = files.get(image, limit=pictures.MAX_BYTES, sample=pictures.sample)
        pictures.inspect(content)
    except Refusal as failure:
        return None, failure
    return files.keep(content), None


def _audio(url: str | None, files: Files) -> tuple[Material | None, Refusal | None]:
    """The sound, or why the task will fail without it."""
    if not url:
        return None, None
    # PyAV is imported when the first sound comes.
    from . import sound  # noqa: PLC0415

    try:
        content = files.get(url, limit=sound.MAX_BYTES + 1, sample=lambda _: sound.sample())
        sound.inspect(content)
    except Refusal as failure:
        return None, failure
    return files.keep(content), None


def _shown(asked: Mapping[str, Any], image: Material | None) -> dict[str, Any]:
    """What was asked for, as the records keep it."""
    shown = {name: value for name, value in asked.items() if value is not None}
    if image is not None and not shown["image"].startswith("http"):
        shown["image"] = f"{shown['image'].partition(',')[0]},sha256:{image.digest}"
    return shown
