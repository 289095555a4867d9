"""Parsing and validation of Nebula submits."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_nebula_video.emulator.files import is_loopback
from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.rendering.limits import ImageLimits
from langchain_nebula_video.emulator.tasks import TaskSpec

from . import media, trigger_words
from .nebula_models import NEBULA_MODELS
from .request_body import Field, check_seed, read_fields, read_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_nebula_video.emulator.files import FileStore

# The gateway ignores other fields.
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
IMAGE_LIMITS = ImageLimits(
    formats=("JPEG", "PNG"), max_bytes=5 * 1024 * 1024 - 1, max_bytes_text="it must be under 5MB"
)


def read_task_spec(body: bytes, files: FileStore, error_code_for: Callable[[Reason], str]) -> TaskSpec:
    """Parse and validate a request body; blocks while files are fetched.

    An invalid request is refused. An invalid file behind a URL makes the task fail, with the code that
    `error_code_for` returns.

    Raises:
        Refusal: The request is invalid.
    """
    fields = read_fields(read_object(body), FIELDS)
    model = NEBULA_MODELS.get(fields["model"])
    if model is None:
        message = f"No available channel for model {fields['model']} under group default (distributor)"
        raise Refusal(Reason.UNKNOWN_MODEL, message)
    resolution = fields["resolution"] or model.default_resolution
    if resolution not in model.prices:
        message = f"resolution must be one of {', '.join(model.prices)}"
        raise Refusal(Reason.PARAMETER, message)
    check_seed(fields["seed"])
    _check_audio_url(fields["audio_url"])
    refusal = trigger_words.refusal_for(fields["prompt"])
    if refusal is not None:
        raise refusal
    image, image_failure = media.load_image(fields["image"], files, IMAGE_LIMITS)
    audio, audio_failure = media.load_audio(fields["audio_url"], files)
    problem = image_failure or audio_failure or trigger_words.failure_for(fields["prompt"])
    return TaskSpec(
        model=model,
        prompt=fields["prompt"],
        image=image,
        resolution=resolution,
        seconds=model.billed_seconds(fields["duration"]),
        seed=fields["seed"],
        audio=audio,
        generate_audio=bool(fields["generate_audio"]),
        request=media.recorded_fields(fields, {"image": image}),
        problem=Problem(error_code_for(problem.reason), problem.message) if problem else None,
    )


def _check_audio_url(url: str | None) -> None:
    if not url:
        return
    parts = urlsplit(url)
    loopback = is_loopback(parts.hostname or "")
    if parts.hostname is None or parts.scheme not in ({"http", "https"} if loopback else {"https"}):
        raise Refusal(Reason.PARAMETER, "audio_url must be an HTTPS URL")
