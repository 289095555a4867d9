"""What a DashScope submit may say, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.rendering.limits import Length, Rules
from langchain_nebula_video.emulator.tasks import Job

from . import media
from . import trigger_words as magic
from .dashscope_models import Task
from .request_body import Field, check_seed, clean, read_fields, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.enums import Dialect

    from .dashscope_models import Row
    from .media import Source

# Anything else is ignored: the vendor's own SDK sends `input.extend_prompt` and `input.function`.
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
PICTURES = Rules(
    formats=("JPEG", "PNG", "BMP", "WEBP"),
    max_bytes=10 * 1024 * 1024,
    limit="it must not exceed 10MB",
    sides=(360, 2000),
    alpha=False,
)
SOUND = Length(3, 30)

# Which field holds the first frame and which the last, by what kind of video it is.
_FRAMES: Mapping[Task, tuple[str, ...]] = {
    Task.FIRST_FRAME: ("img_url",),
    Task.FIRST_AND_LAST_FRAME: ("first_frame_url", "last_frame_url"),
}
_BAD_URL = "url error, please check url!"
_REWRITTEN = "{}. The motion is smooth and natural, the light soft, and the camera moves slowly."


def read_job(
    body: bytes,
    rows: Mapping[str, Row],
    task: Task,
    open_files: Callable[[str], Source],
    code_of: Callable[[Reason], str],
    dialect: Dialect,
) -> Job:
    """Make a job of a request's body; blocks while files are fetched.

    What is wrong with the request itself is refused; what is wrong with a file behind an address
    fails the task.

    Args:
        body: The body.
        rows: The models on offer.
        task: What kind of video the path makes.
        open_files: Where a request for a model gets its files.
        code_of: What a failed task says.
        dialect: Whose words it came in.

    Raises:
        Refusal: The request is not acceptable.
    """
    top = read_fields(read_object(body), BODY)
    given = read_fields(top["input"], INPUT, "input.")
    wanted = read_fields(top["parameters"] or {}, PARAMETERS, "parameters.")
    row = rows.get(top["model"])
    if row is None:
        raise Refusal(Reason.UNKNOWN_MODEL, "Model not exist.")
    if row.task is not task:
        raise Refusal(Reason.PARAMETER, _BAD_URL)
    _check(row, given, wanted)
    # With a template the prompt is ignored.
    prompt = f"template:{given['template']}" if given["template"] else (given["prompt"] or "")[: row.prompt_limit]
    refusal = None if given["template"] else magic.refusal_of(prompt)
    if refusal is not None:
        raise refusal
    source = open_files(row.model.name)
    pictures = {name: media.picture(given[name], source, PICTURES) for name in _FRAMES[task]}
    audio, audio_lost = media.audio(given["audio_url"] if row.sound else None, source, SOUND)
    lost = next((failure for _, failure in pictures.values() if failure), None)
    problem = lost or audio_lost or magic.failure_of(prompt)
    first, *last = (picture for picture, _ in pictures.values())
    rewritten = prompt and not given["template"] and wanted["prompt_extend"] is not False
    return Job(
        model=row.model,
        prompt=prompt,
        image=first,
        last_image=last[0] if last else None,
        resolution=wanted["resolution"] or row.model.default_resolution,
        seconds=wanted["duration"] or row.model.default_seconds,
        seed=wanted["seed"],
        audio=audio,
        # On unless declined.
        generate_audio=row.sound and wanted["audio"] is not False,
        watermark=bool(wanted["watermark"]),
        actual_prompt=_REWRITTEN.format(prompt.rstrip(" .。")) if rewritten else None,
        request=_shown(top["model"], given, wanted, {name: picture for name, (picture, _) in pictures.items()}),
        problem=Problem(code_of(problem.reason), problem.message) if problem else None,
        dialect=dialect,
    )


def model_of(body: bytes) -> str:
    """The model a body names, as far as it can be read; what is wrong with it is said later."""
    try:
        name = read_object(body).get("model")
    except Refusal:
        return ""
    return clean(name) if isinstance(name, str) else ""


def _check(row: Row, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Look at every value that is on a list.

    Raises:
        Refusal: One is not.
    """
    model = row.model
    lists: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
        ("parameters.resolution", wanted["resolution"], tuple(model.prices)),
        ("parameters.duration", wanted["duration"], tuple(model.working_time)),
        ("input.template", given["template"], row.templates),
    )
    for name, value, choices in lists:
        if value is not None and value != "" and value not in choices:
            allowed = f"must be one of {', '.join(map(str, choices))}" if choices else "is not supported"
            raise Refusal(Reason.PARAMETER, f"{name} {allowed} for model {model.name}")
    check_seed(wanted["seed"])
    for name in _FRAMES[row.task]:
        if not (given[name] or "").strip():
            raise Refusal(Reason.PARAMETER, f"Field required: input.{name}")
    url = given["audio_url"]
    if url and row.sound and urlsplit(url).scheme not in {"http", "https", "oss"}:
        raise Refusal(Reason.PARAMETER, _BAD_URL)


def check_resolvable(body: bytes, *, resolved: bool) -> None:
    """Look whether the temporary storage's addresses may stand in a body.

    Raises:
        Refusal: They do, without the header that has them looked up.
    """
    if b'"oss://' in body and not resolved:
        raise Refusal(Reason.PARAMETER, _BAD_URL)


def _shown(
    model: str, given: Mapping[str, Any], wanted: Mapping[str, Any], pictures: Mapping[str, Any]
) -> dict[str, Any]:
    parameters = media.shown(wanted, {})
    return {"model": model, "input": media.shown(given, pictures)} | ({"parameters": parameters} if parameters else {})
