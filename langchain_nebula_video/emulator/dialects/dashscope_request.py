"""Parsing and validation of DashScope submits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.rendering.limits import AudioLimits, ImageLimits
from langchain_nebula_video.emulator.tasks import TaskSpec

from . import media, trigger_words
from .dashscope_models import TaskType
from .request_body import Field, check_seed, read_fields, read_object, replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.enums import Dialect

    from .dashscope_models import DashscopeModel
    from .media import FileSource

# Other fields are ignored: the vendor's SDK sends `input.extend_prompt` and `input.function`.
BODY = (
    Field("model", str, required=Reason.MISSING_MODEL),
    Field("input", dict, required=Reason.MALFORMED),
    Field("parameters", dict),
)
INPUT = (
    Field("prompt", str),
    Field("negative_prompt", str),
    Field("img_url", str),
    Field("first_frame_url", str),
    Field("last_frame_url", str),
    Field("audio_url", str),
    Field("template", str),
)
PARAMETERS = (
    Field("resolution", str),
    Field("duration", int),
    Field("prompt_extend", bool),
    Field("watermark", bool),
    Field("audio", bool),
    Field("seed", int),
)
IMAGE_LIMITS = ImageLimits(
    formats=("JPEG", "PNG", "BMP", "WEBP"),
    max_bytes=10 * 1024 * 1024,
    max_bytes_text="it must not exceed 10MB",
    side_range=(360, 2000),
    alpha=False,
)
AUDIO_LIMITS = AudioLimits(3, 30)

# The fields of the first and the last frame, by task type.
_FRAMES: Mapping[TaskType, tuple[str, ...]] = {
    TaskType.FIRST_FRAME: ("img_url",),
    TaskType.FIRST_AND_LAST_FRAME: ("first_frame_url", "last_frame_url"),
}
_URL_ERROR = "url error, please check url!"
_REWRITTEN_PROMPT = "{}. The motion is smooth and natural, the light soft, and the camera moves slowly."


def read_task_spec(
    body: bytes,
    models: Mapping[str, DashscopeModel],
    task_type: TaskType,
    open_files: Callable[[str], FileSource],
    error_code_for: Callable[[Reason], str],
    dialect: Dialect,
) -> TaskSpec:
    """Parse and validate a request body; blocks while files are fetched.

    An invalid request is refused. An invalid file behind a URL makes the task fail.

    Args:
        body: The body.
        models: The models on offer.
        task_type: The task type of the path.
        open_files: Returns the source of files for a request with this model.
        error_code_for: Returns the error code of a failed task.
        dialect: The API of the request.

    Raises:
        Refusal: The request is invalid.
    """
    fields = read_fields(read_object(body), BODY)
    inputs = read_fields(fields["input"], INPUT, "input.")
    parameters = read_fields(fields["parameters"] or {}, PARAMETERS, "parameters.")
    offer = models.get(fields["model"])
    if offer is None:
        raise Refusal(Reason.UNKNOWN_MODEL, "Model not exist.")
    if offer.task_type is not task_type:
        raise Refusal(Reason.PARAMETER, _URL_ERROR)
    _check_values(offer, inputs, parameters)
    # A template replaces the prompt.
    prompt = f"template:{inputs['template']}" if inputs["template"] else (inputs["prompt"] or "")[: offer.prompt_limit]
    refusal = None if inputs["template"] else trigger_words.refusal_for(prompt)
    if refusal is not None:
        raise refusal
    source = open_files(offer.model.name)
    images = {name: media.load_image(inputs[name], source, IMAGE_LIMITS) for name in _FRAMES[task_type]}
    audio, audio_failure = media.load_audio(inputs["audio_url"] if offer.has_audio else None, source, AUDIO_LIMITS)
    failure = next((failure for _, failure in images.values() if failure), None)
    problem = failure or audio_failure or trigger_words.failure_for(prompt)
    first, *last = (image for image, _ in images.values())
    rewritten = prompt and not inputs["template"] and parameters["prompt_extend"] is not False
    return TaskSpec(
        model=offer.model,
        prompt=prompt,
        image=first,
        last_image=last[0] if last else None,
        resolution=parameters["resolution"] or offer.model.default_resolution,
        seconds=parameters["duration"] or offer.model.default_seconds,
        seed=parameters["seed"],
        audio=audio,
        # The default is on.
        generate_audio=offer.has_audio and parameters["audio"] is not False,
        watermark=bool(parameters["watermark"]),
        actual_prompt=_REWRITTEN_PROMPT.format(prompt.rstrip(" .。")) if rewritten else None,
        request=_recorded_request(
            fields["model"], inputs, parameters, {name: image for name, (image, _) in images.items()}
        ),
        problem=Problem(error_code_for(problem.reason), problem.message) if problem else None,
        dialect=dialect,
    )


def model_of(body: bytes) -> str:
    """Return the body's model, or an empty string if the body is invalid. Full validation follows later."""
    try:
        name = read_object(body).get("model")
    except Refusal:
        return ""
    return replace_surrogates(name) if isinstance(name, str) else ""


def _check_values(offer: DashscopeModel, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Check every value that must be on a list.

    Raises:
        Refusal: A value is not.
    """
    model = offer.model
    lists: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
        ("parameters.resolution", parameters["resolution"], tuple(model.prices)),
        ("parameters.duration", parameters["duration"], tuple(model.processing_time)),
        ("input.template", inputs["template"], offer.templates),
    )
    for name, value, choices in lists:
        if value is not None and value != "" and value not in choices:
            allowed = f"must be one of {', '.join(map(str, choices))}" if choices else "is not supported"
            raise Refusal(Reason.PARAMETER, f"{name} {allowed} for model {model.name}")
    check_seed(parameters["seed"])
    for name in _FRAMES[offer.task_type]:
        if not (inputs[name] or "").strip():
            raise Refusal(Reason.PARAMETER, f"Field required: input.{name}")
    url = inputs["audio_url"]
    if url and offer.has_audio and urlsplit(url).scheme not in {"http", "https", "oss"}:
        raise Refusal(Reason.PARAMETER, _URL_ERROR)


def check_resolvable(body: bytes, *, resolved: bool) -> None:
    """Check that the body may contain URLs of the temporary storage.

    Raises:
        Refusal: The body contains one, but the header that resolves them is missing.
    """
    if b'"oss://' in body and not resolved:
        raise Refusal(Reason.PARAMETER, _URL_ERROR)


def _recorded_request(
    model: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any], images: Mapping[str, Any]
) -> dict[str, Any]:
    parameters = media.recorded_fields(parameters, {})
    return {"model": model, "input": media.recorded_fields(inputs, images)} | (
        {"parameters": parameters} if parameters else {}
    )
