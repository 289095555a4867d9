"""Parsing and validation of DashScope submits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.tasks import TaskSpec

from . import media, trigger_words
from .dashscope_models import Sound, TaskType
from .request_body import Field, check_seed, read_fields, read_object, replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.enums import Dialect

    from .dashscope_models import DashscopeModel, Features
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
    Field("media", list),
)
MEDIA = (Field("type", str, required=Reason.PARAMETER), Field("url", str, required=Reason.PARAMETER))
PARAMETERS = (
    Field("resolution", str),
    Field("duration", int),
    Field("prompt_extend", bool),
    Field("watermark", bool),
    Field("audio", bool),
    Field("seed", int),
    Field("ratio", str),
    Field("shot_type", str),
)
# The fields of the first and the last frame, by task type.
_FRAMES: Mapping[TaskType, tuple[str, ...]] = {
    TaskType.FIRST_FRAME: ("img_url",),
    TaskType.FIRST_AND_LAST_FRAME: ("first_frame_url", "last_frame_url"),
}
# The types of media that are images, first and last.
_FRAME_MEDIA = ("first_frame", "last_frame")
_AS_THE_IMAGE, _AS_FITS = "adaptive", -1
_WIDE = 16 / 9
_CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
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
    if offer.features.task_type is not task_type:
        raise Refusal(Reason.PARAMETER, _URL_ERROR)
    features = offer.features
    urls = _read_urls(features, inputs)
    _check_values(offer, inputs, parameters)
    # A template replaces the prompt.
    prompt = f"template:{inputs['template']}" if inputs["template"] else _cut(inputs["prompt"] or "", features)
    if not prompt and not urls:
        raise Refusal(Reason.PARAMETER, "Field required: input.prompt or input.media")
    refusal = None if inputs["template"] else trigger_words.refusal_for(prompt)
    if refusal is not None:
        raise refusal
    source = open_files(offer.model.name)
    sound_url = urls.pop(_sound_field(features), None)
    images = {name: media.load_image(url, source, features.images) for name, url in urls.items()}
    audio, audio_failure = media.load_audio(sound_url, source, features.audio)
    failure = next((failure for _, failure in images.values() if failure), None)
    problem = failure or audio_failure or trigger_words.failure_for(prompt)
    first, last = ([image for image, _ in images.values()] + [None, None])[:2]
    rewritten = prompt and not inputs["template"] and features.rewrites and parameters["prompt_extend"] is not False
    seconds, watermark = parameters["duration"], parameters["watermark"]
    return TaskSpec(
        model=offer.model,
        prompt=prompt,
        image=first,
        last_image=last,
        aspect_ratio=None if images else _aspect_ratio(parameters["ratio"]),
        resolution=parameters["resolution"] or offer.model.default_resolution,
        seconds=offer.model.default_seconds if seconds in {None, _AS_FITS} else seconds,
        seed=None if parameters["seed"] == -1 else parameters["seed"],
        audio=audio,
        # The default is on.
        generate_audio=features.sound is Sound.ALWAYS
        or (features.sound is Sound.SWITCH and parameters["audio"] is not False),
        watermark=features.watermark if watermark is None else watermark,
        actual_prompt=_REWRITTEN_PROMPT.format(prompt.rstrip(" .。")) if rewritten else None,
        request=_recorded_request(
            fields["model"], inputs, parameters, {name: image for name, (image, _) in images.items()}
        ),
        problem=Problem(error_code_for(problem.reason), problem.message) if problem else None,
        dialect=dialect,
    )


def _read_urls(features: Features, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a request by field, or by type of media, frames first.

    Raises:
        Refusal: A file is missing, or the media are no combination that the model takes.
    """
    if features.media:
        return _read_media(features, inputs["media"] or [])
    urls = {name: (inputs[name] or "").strip() for name in _FRAMES[features.task_type]}
    for name, url in urls.items():
        if not url:
            raise Refusal(Reason.PARAMETER, f"Field required: input.{name}")
    sound = inputs["audio_url"] if features.takes_audio else None
    if sound and urlsplit(sound).scheme not in {"http", "https", "oss"}:
        raise Refusal(Reason.PARAMETER, _URL_ERROR)
    return urls | ({"audio_url": sound} if sound else {})


def _read_media(features: Features, media_list: list[Any]) -> dict[str, str]:
    urls: dict[str, str] = {}
    for item in media_list:
        if not isinstance(item, dict):
            raise Refusal(Reason.PARAMETER, "input.media must be an array of objects")
        fields = read_fields(item, MEDIA, "input.media.")
        if fields["type"] in urls:
            raise Refusal(Reason.PARAMETER, f"input.media holds more than one {fields['type']}")
        urls[fields["type"]] = fields["url"]
    if urls.keys() not in features.media:
        choices = "; ".join(" + ".join(sorted(types)) or "none" for types in features.media)
        raise Refusal(Reason.PARAMETER, f"input.media must be one of: {choices}")
    if any(urlsplit(url).scheme not in {"http", "https", "oss", "data"} for url in urls.values()):
        raise Refusal(Reason.PARAMETER, _URL_ERROR)
    return {kind: urls[kind] for kind in (*_FRAME_MEDIA, _sound_field(features)) if kind in urls}


def _sound_field(features: Features) -> str:
    return "driving_audio" if features.media else "audio_url"


def _cut(prompt: str, features: Features) -> str:
    """Return a prompt without what is beyond the limit."""
    length = 0
    for number, character in enumerate(prompt):
        length += features.cjk_weight if _CJK.match(character) else 1
        if length > features.prompt_limit:
            return prompt[:number]
    return prompt


def _aspect_ratio(ratio: str | None) -> float:
    """Return width by height of a video without frames."""
    if ratio in {None, "", _AS_THE_IMAGE}:
        return _WIDE
    width, height = str(ratio).split(":")
    return int(width) / int(height)


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
    model, features = offer.model, offer.features
    seconds = (*model.processing_time, *((_AS_FITS,) if features.fits else ()))
    lists: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
        ("parameters.resolution", parameters["resolution"], tuple(model.prices)),
        ("parameters.duration", parameters["duration"], seconds),
        ("input.template", inputs["template"], features.templates),
        # Models without these ignore them.
        ("parameters.ratio", parameters["ratio"] if features.ratios else None, features.ratios),
        ("parameters.shot_type", parameters["shot_type"] if features.shot_types else None, features.shot_types),
    )
    for name, value, choices in lists:
        if value is not None and value != "" and value not in choices:
            allowed = f"must be one of {', '.join(map(str, choices))}" if choices else "is not supported"
            raise Refusal(Reason.PARAMETER, f"{name} {allowed} for model {model.name}")
    if features.shot_types and parameters["shot_type"] == "multi" and parameters["prompt_extend"] is False:
        raise Refusal(Reason.PARAMETER, "parameters.shot_type multi needs parameters.prompt_extend")
    check_seed(parameters["seed"], least=features.least_seed)


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
    recorded = media.recorded_fields(
        {**inputs, "media": None}, {name: image for name, image in images.items() if name in inputs}
    )
    if inputs["media"]:
        recorded["media"] = [
            media.recorded_fields(item, {"url": images.get(item.get("type"))}) for item in inputs["media"]
        ]
    parameters = media.recorded_fields(parameters, {})
    return {"model": model, "input": recorded} | ({"parameters": parameters} if parameters else {})
