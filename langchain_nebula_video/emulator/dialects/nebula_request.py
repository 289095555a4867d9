"""What a Nebula submit may say, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_nebula_video.emulator.files import is_loopback
from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.rendering.limits import Rules
from langchain_nebula_video.emulator.tasks import Job

from . import media
from . import trigger_words as magic
from .nebula_models import MODELS
from .request_body import Field, check_seed, read_fields, read_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_nebula_video.emulator.files import Files

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
PICTURES = Rules(formats=("JPEG", "PNG"), max_bytes=5 * 1024 * 1024 - 1, limit="it must be under 5MB")


def read_job(body: bytes, files: Files, code_of: Callable[[Reason], str]) -> Job:
    """Make a job of a request's body; blocks while files are fetched.

    What is wrong with the request itself is refused. What is wrong with a file that it names by
    address shows only while the task is worked on: then the job has a problem, under the code that
    `code_of` gives.

    Raises:
        Refusal: The request is not acceptable.
    """
    asked = read_fields(read_object(body), FIELDS)
    model = MODELS.get(asked["model"])
    if model is None:
        message = f"No available channel for model {asked['model']} under group default (distributor)"
        raise Refusal(Reason.UNKNOWN_MODEL, message)
    resolution = asked["resolution"] or model.default_resolution
    if resolution not in model.prices:
        message = f"resolution must be one of {', '.join(model.prices)}"
        raise Refusal(Reason.PARAMETER, message)
    check_seed(asked["seed"])
    _check_audio_url(asked["audio_url"])
    refusal = magic.refusal_of(asked["prompt"])
    if refusal is not None:
        raise refusal
    image, image_lost = media.picture(asked["image"], files, PICTURES)
    audio, audio_lost = media.audio(asked["audio_url"], files)
    problem = image_lost or audio_lost or magic.failure_of(asked["prompt"])
    return Job(
        model=model,
        prompt=asked["prompt"],
        image=image,
        resolution=resolution,
        seconds=model.seconds_for(asked["duration"]),
        seed=asked["seed"],
        audio=audio,
        generate_audio=bool(asked["generate_audio"]),
        request=media.shown(asked, {"image": image}),
        problem=Problem(code_of(problem.reason), problem.message) if problem else None,
    )


def _check_audio_url(url: str | None) -> None:
    if not url:
        return
    parts = urlsplit(url)
    loopback = is_loopback(parts.hostname or "")
    if parts.hostname is None or parts.scheme not in ({"http", "https"} if loopback else {"https"}):
        raise Refusal(Reason.PARAMETER, "audio_url must be an HTTPS URL")
