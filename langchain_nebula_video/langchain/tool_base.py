"""What all tools of the toolkit have in common: call ids, keys, channels, traces and how errors reach a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypedDict

from langchain_core.callbacks import Callbacks
from langchain_core.messages.content import create_video_block
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, field_validator

from langchain_nebula_video.errors import DownloadError
from langchain_nebula_video.langchain.replay import tool_call_key
from langchain_nebula_video.langchain.tool_errors import describe_validation_error
from langchain_nebula_video.langchain.tracing import annotate_run, redact_value, track_costs
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.schema import Task, TaskStatus, Video

__all__ = [
    "IMAGE_FIELDS",
    "SharedToolOptions",
    "ToolOptions",
    "ToolkitOptions",
    "VideoTool",
    "catch_failed_save",
    "messages_in",
    "replay_key",
    "restore_image_data",
    "to_json",
]

IMAGE_FIELDS = ("image", "last_image", "reference_images")


class _CallContext:
    """What `run` knows of a call and `_run` is not given."""

    __slots__ = ("id", "image_data")

    def __init__(self, id_: str | None, image_data: Mapping[str, Any]) -> None:
        self.id = id_
        self.image_data = image_data
        """Image data by what is traced in its place."""


_current_call: ContextVar[_CallContext | None] = ContextVar("nebula_video_tool_call", default=None)


class SharedToolOptions(TypedDict, total=False):
    """What all tools of a toolkit may be given alike, besides the keywords of the clients."""

    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    handle_tool_error: Any
    handle_validation_error: Any
    url_in_content: bool


class ToolkitOptions(ClientOptions, SharedToolOptions, total=False):
    """The keywords of the toolkit."""


class ToolOptions(ToolkitOptions, total=False):
    """The keywords of a tool: those of the clients, of `BaseTool`, and its own."""

    name: str
    description: str
    return_direct: bool
    verbose: bool
    response_format: Literal["content_and_artifact"]
    extras: dict[str, Any] | None
    asks_with: str | None


class VideoTool(LifecycleOptions, BaseTool):
    """A tool on a client of its own, or on one that it shares with its siblings."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True)

    description: str = ""
    response_format: Literal["content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    handle_validation_error: Any = Field(default_factory=lambda: describe_validation_error)
    url_in_content: bool = True
    """Whether the content holds the signed URL. Language models corrupt long URLs: `False` leaves it to the
    artifact, and the task id stands for the video."""

    @field_validator("response_format", mode="before")
    @classmethod
    def _check_response_format(cls, value: object) -> object:
        if value != "content_and_artifact":
            raise ValueError("must be 'content_and_artifact': else the model would read the whole artifact too")
        return value

    def run(self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """As `BaseTool.run`; remembers the call's id, and keeps image data out of what is traced."""
        with _call_context(tool_call_id, tool_input) as traced_input:
            return super().run(traced_input, *args, tool_call_id=tool_call_id, **kwargs)

    async def arun(
        self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        """As `BaseTool.arun`; see `run`."""
        with _call_context(tool_call_id, tool_input) as traced_input:
            return await super().arun(traced_input, *args, tool_call_id=tool_call_id, **kwargs)

    def _video_result(self, video: Video, save_error: str | None = None) -> tuple[str, dict[str, Any]]:
        """A finished video, for the language model and for programs."""
        annotate_run(video)
        facts: dict[str, Any] = {
            "status": "succeeded",
            "url": video.url,
            "cost_usd": None if video.cost.usd is None else float(video.cost.usd),
            "duration": video.duration,
            "resolution": video.resolution,
            "model": video.model,
            "task_id": video.task_id,
            "expires_at": video.expires_at.isoformat(timespec="seconds"),
        }
        if video.path is not None:
            facts["path"] = video.path
        if save_error is not None:
            facts["save_error"] = save_error
        embedded = video.url[:5].lower() == "data:"
        left_out = {"url"} if embedded or not self.url_in_content else set()
        content = {name: value for name, value in facts.items() if name not in left_out}
        return to_json(content), {**facts, "video": _video_block(video.url, embedded=embedded)}

    def _task_result(self, task: Task, **more: Any) -> tuple[str, dict[str, Any]]:
        """A task that has no video, yet or for good."""
        annotate_run(task)
        free = task.status in {TaskStatus.FAILED, TaskStatus.CANCELED}
        facts: dict[str, Any] = {
            "status": task.status.value,
            "task_id": task.task_id,
            "model": task.model,
            "cost_usd": 0.0 if free else None if task.cost.usd is None else float(task.cost.usd),
            "progress": task.progress,
            "reason": ": ".join(part for part in (task.code, task.reason) if part) or None,
            **more,
        }
        facts = {name: value for name, value in facts.items() if value is not None}
        return to_json(facts), facts


def to_json(facts: Mapping[str, Any]) -> str:
    """What a language model reads."""
    return json.dumps(facts, ensure_ascii=False)


def _video_block(url: str, *, embedded: bool) -> dict[str, Any]:
    if embedded:
        return dict(create_video_block(base64=url.partition(",")[2], mime_type="video/mp4"))
    return dict(create_video_block(url=url, mime_type="video/mp4"))


# --- the call ---


@contextmanager
def _call_context(tool_call_id: str | None, tool_input: Any) -> Iterator[Any]:
    image_data: dict[str, Any] = {}

    def replace(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [replace(item) for item in value]
        summary = redact_value(value)
        if summary is value:
            return value
        placeholder = f"{summary} #{len(image_data) + 1}"
        image_data[placeholder] = value
        return placeholder

    if isinstance(tool_input, Mapping):
        tool_input = {name: replace(value) if name in IMAGE_FIELDS else value for name, value in tool_input.items()}
    token = _current_call.set(_CallContext(tool_call_id, image_data))
    try:
        with track_costs():
            yield tool_input
    finally:
        _current_call.reset(token)


def restore_image_data(fields: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the image data that was kept out of the trace."""
    call = _current_call.get()
    image_data: Mapping[str, Any] = {} if call is None else call.image_data

    def restore(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [restore(item) for item in value]
        return image_data.get(value, value) if isinstance(value, str) else value

    return {name: restore(value) if name in IMAGE_FIELDS else value for name, value in fields.items()}


def replay_key(config: RunnableConfig | None, runtime: Any) -> str | None:
    """The key of the call that is running; see `_replay`."""
    call = _current_call.get()
    return tool_call_key(config, None if call is None else call.id, messages_in(runtime))


def messages_in(runtime: Any) -> list[Any]:
    """The conversation, inside a graph; what a caller outside one may have forged as `runtime` is no state."""
    state = getattr(runtime, "state", None)
    found = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    return list(found) if isinstance(found, list | tuple) else []


@contextmanager
def catch_failed_save() -> Iterator[list[Any]]:
    """A paid video that could not be saved is still an answer: its URL works. It and the reason are handed out."""
    found: list[Any] = []
    try:
        yield found
    except DownloadError as error:
        if error.video is None:
            raise
        found += [error.video, error.what]
