"""Parsing and validation of UniAll's submits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Dialect
from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.rendering.limits import ImageLimits
from langchain_nebula_video.emulator.tasks import TaskSpec

from . import media, trigger_words
from .request_body import Field, check_seed, read_fields, read_object
from .uniall_models import UNIALL_MODELS, Sound, UniallModel, Use, is_uniall_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.files import FileStore

FIELDS = (
    Field("model", str, required=Reason.MISSING_MODEL),
    Field("prompt", str, required=Reason.MALFORMED),
    Field("image", str),
    Field("last_image", str),
    Field("reference_image_urls", list),
    Field("aspect_ratio", str),
    Field("seed", int),
    Field("extra_body", dict),
)
EXTRA = (
    Field("audio", bool),
    Field("bgm", bool),
    Field("seed", int),
    Field("negative_prompt", str),
    Field("shot_type", str),
)
MAX_REFERENCES = 4
# The page gives one example. These are the aspect ratios of the model itself.
ASPECT_RATIOS: Mapping[str, float] = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4}
DEFAULT_ASPECT_RATIO = "16:9"
# The page states no limits for images.
IMAGE_LIMITS = ImageLimits(
    formats=("JPEG", "PNG", "WEBP"), max_bytes=10 * 1024 * 1024, max_bytes_text="it must not exceed 10MB"
)

_IMAGE_NAME = re.compile(r"@Image(\d+)")


def is_uniall(body: bytes) -> bool:
    """Return whether a submit names one of UniAll's models, valid or not."""
    try:
        return is_uniall_model(read_object(body).get("model"))
    except Refusal:
        return False


def read_task_spec(body: bytes, files: FileStore, error_code_for: Callable[[Reason], str]) -> TaskSpec:
    """Parse and validate a request body; blocks while files are fetched.

    Raises:
        Refusal: The request is invalid.
    """
    payload = read_object(body)
    fields = read_fields(payload, FIELDS)
    extra = read_fields(fields["extra_body"] or {}, EXTRA, "extra_body.")
    offer = UNIALL_MODELS.get(fields["model"])
    if offer is None:
        message = f"No available channel for model {fields['model']} under group default (distributor)"
        raise Refusal(Reason.UNKNOWN_MODEL, message)
    seconds = _read_duration(payload.get("duration"), offer)
    # Happy Horse has the seed at the top, the others in `extra_body`.
    seed = extra["seed"] if fields["seed"] is None else fields["seed"]
    check_seed(seed)
    # The old page: references take effect with mix models only.
    references = [] if offer.references is Use.IGNORED else _read_references(fields["reference_image_urls"] or [])
    _check_mode(fields, references, offer)
    prompt = fields["prompt"][: offer.prompt_limit]
    refusal = trigger_words.refusal_for(prompt)
    if refusal is not None:
        raise refusal
    first, first_failure = media.load_image(fields["image"], files, IMAGE_LIMITS)
    given_last = None if offer.last_image is Use.IGNORED else fields["last_image"]
    last, last_failure = media.load_image(given_last, files, IMAGE_LIMITS)
    loaded = [media.load_image(url, files, IMAGE_LIMITS) for url in references]
    failure = next((failure for _, failure in loaded if failure), None)
    problem = first_failure or last_failure or failure or trigger_words.failure_for(prompt)
    return TaskSpec(
        model=offer.model,
        prompt=prompt,
        image=first,
        last_image=last,
        references=tuple(image for image, _ in loaded if image),
        aspect_ratio=ASPECT_RATIOS[fields["aspect_ratio"] or DEFAULT_ASPECT_RATIO] if not fields["image"] else None,
        resolution=offer.model.default_resolution,
        seconds=seconds,
        seed=seed,
        audio=None,
        generate_audio=offer.sound is Sound.ALWAYS
        or (offer.sound is Sound.SWITCH and bool(extra["audio"] or extra["bgm"])),
        request=media.recorded_fields(
            fields | {"duration": payload.get("duration")}, {"image": first, "last_image": last}
        ),
        problem=Problem(error_code_for(problem.reason), problem.message) if problem else None,
        dialect=Dialect.VIDU,
    )


def _read_duration(duration: Any, offer: UniallModel) -> int:
    """Return the duration. The old page's table says text, its examples say numbers: both are valid."""
    choices = tuple(offer.model.processing_time)
    if duration is None and not offer.seconds_required:
        return offer.model.default_seconds
    number = int(duration) if isinstance(duration, str) and duration.isascii() and duration.isdigit() else duration
    if type(number) is not int or number not in choices:
        allowed = (
            ", ".join(map(str, choices)) if len(choices) < 4 else f"a whole number from {choices[0]} to {choices[-1]}"
        )
        raise Refusal(Reason.PARAMETER, f"duration must be {allowed}")
    return number


def _read_references(urls: list[Any]) -> list[str]:
    if not all(isinstance(url, str) and url.strip() for url in urls):
        raise Refusal(Reason.MALFORMED, "reference_image_urls must be an array of strings")
    if len(urls) > MAX_REFERENCES:
        raise Refusal(Reason.PARAMETER, f"reference_image_urls must not hold more than {MAX_REFERENCES}")
    return urls


def _check_mode(fields: Mapping[str, Any], references: list[str], offer: UniallModel) -> None:
    """Check that the fields select one of the four modes.

    Raises:
        Refusal: They do not.
    """
    if offer.image is Use.REQUIRED and not fields["image"]:
        raise Refusal(Reason.PARAMETER, f"image is required for model {fields['model']}")
    if fields["last_image"] and offer.last_image is not Use.IGNORED and not fields["image"]:
        raise Refusal(Reason.PARAMETER, "last_image needs an image to begin with")
    if offer.references is Use.REQUIRED and not references:
        raise Refusal(Reason.PARAMETER, f"reference_image_urls is required for model {fields['model']}")
    unknown = [name for name in _IMAGE_NAME.findall(fields["prompt"]) if not 1 <= int(name) <= len(references)]
    if offer.references is not Use.IGNORED and (references or offer.references is Use.REQUIRED) and unknown:
        raise Refusal(Reason.PARAMETER, f"the prompt names @Image{unknown[0]}, but there are {len(references)}")
    if fields["aspect_ratio"] and fields["aspect_ratio"] not in ASPECT_RATIOS:
        raise Refusal(Reason.PARAMETER, f"aspect_ratio must be one of {', '.join(ASPECT_RATIOS)}")
