"""What a submit with a Vidu model may say, and what is made of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Dialect
from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.rendering.limits import Rules
from langchain_nebula_video.emulator.tasks import Job

from . import media
from . import trigger_words as magic
from .request_body import Field, check_seed, read_fields, read_object
from .vidu_models import DEFAULT_SECONDS, SECONDS, VIDU_MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.files import Files

FIELDS = (
    Field("model", str, required=Reason.MISSING_MODEL),
    Field("prompt", str, required=Reason.MALFORMED),
    Field("image", str),
    Field("last_image", str),
    Field("reference_image_urls", list),
    Field("aspect_ratio", str),
    Field("extra_body", dict),
)
EXTRA = (Field("audio", bool), Field("bgm", bool), Field("seed", int))
MAX_REFERENCES = 4
# The page gives one example; these are the model's own.
PROPORTIONS: Mapping[str, float] = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4}
DEFAULT_PROPORTION = "16:9"
# The page says nothing of the pictures.
PICTURES = Rules(formats=("JPEG", "PNG", "WEBP"), max_bytes=10 * 1024 * 1024, limit="it must not exceed 10MB")

_NAMED = re.compile(r"@Image(\d+)")


def is_vidu(body: bytes) -> bool:
    """Whether a submit names one of these models, right or wrong."""
    if b"vidu" not in body:
        return False
    try:
        model = read_object(body).get("model")
    except Refusal:
        return False
    return isinstance(model, str) and model.startswith("vidu")


def read_job(body: bytes, files: Files, code_of: Callable[[Reason], str]) -> Job:
    """Make a job of a request's body; blocks while files are fetched.

    Raises:
        Refusal: The request is not acceptable.
    """
    payload = read_object(body)
    asked = read_fields(payload, FIELDS)
    extra = read_fields(asked["extra_body"] or {}, EXTRA, "extra_body.")
    offer = VIDU_MODELS.get(asked["model"])
    if offer is None:
        message = f"No available channel for model {asked['model']} under group default (distributor)"
        raise Refusal(Reason.UNKNOWN_MODEL, message)
    seconds = _seconds(payload.get("duration"))
    check_seed(extra["seed"])
    # The page: they take effect with a mix model only.
    references = _references(asked["reference_image_urls"] or []) if offer.mix else []
    _check_mode(asked, references, mix=offer.mix)
    refusal = magic.refusal_of(asked["prompt"])
    if refusal is not None:
        raise refusal
    first, first_lost = media.picture(asked["image"], files, PICTURES)
    last, last_lost = media.picture(asked["last_image"], files, PICTURES)
    shown = [media.picture(url, files, PICTURES) for url in references]
    lost = next((failure for _, failure in shown if failure), None)
    problem = first_lost or last_lost or lost or magic.failure_of(asked["prompt"])
    return Job(
        model=offer.model,
        prompt=asked["prompt"],
        image=first,
        last_image=last,
        references=tuple(picture for picture, _ in shown if picture),
        proportion=PROPORTIONS[asked["aspect_ratio"] or DEFAULT_PROPORTION] if not asked["image"] else None,
        resolution=offer.model.default_resolution,
        seconds=seconds,
        seed=extra["seed"],
        audio=None,
        generate_audio=bool(extra["audio"] or extra["bgm"]),
        request=media.shown(asked | {"duration": payload.get("duration")}, {"image": first, "last_image": last}),
        problem=Problem(code_of(problem.reason), problem.message) if problem else None,
        dialect=Dialect.VIDU,
    )


def _seconds(asked: Any) -> int:
    """The page's table says text, its examples say numbers: both are taken."""
    if asked is None:
        return DEFAULT_SECONDS
    number = int(asked) if isinstance(asked, str) and asked.isascii() and asked.isdigit() else asked
    if type(number) is not int or number not in SECONDS:
        raise Refusal(Reason.PARAMETER, f"duration must be a whole number from {SECONDS[0]} to {SECONDS[-1]}")
    return number


def _references(urls: list[Any]) -> list[str]:
    if not all(isinstance(url, str) and url.strip() for url in urls):
        raise Refusal(Reason.MALFORMED, "reference_image_urls must be an array of strings")
    if len(urls) > MAX_REFERENCES:
        raise Refusal(Reason.PARAMETER, f"reference_image_urls must not hold more than {MAX_REFERENCES}")
    return urls


def _check_mode(asked: Mapping[str, Any], references: list[str], *, mix: bool) -> None:
    """Look whether the fields together are one of the four modes.

    Raises:
        Refusal: They are not.
    """
    if asked["last_image"] and not asked["image"]:
        raise Refusal(Reason.PARAMETER, "last_image needs an image to begin with")
    if mix and not references:
        raise Refusal(Reason.PARAMETER, f"reference_image_urls is required for model {asked['model']}")
    beyond = [name for name in _NAMED.findall(asked["prompt"]) if not 1 <= int(name) <= len(references)]
    if mix and beyond:
        raise Refusal(Reason.PARAMETER, f"the prompt names @Image{beyond[0]}, but there are {len(references)}")
    if asked["aspect_ratio"] and asked["aspect_ratio"] not in PROPORTIONS:
        raise Refusal(Reason.PARAMETER, f"aspect_ratio must be one of {', '.join(PROPORTIONS)}")
