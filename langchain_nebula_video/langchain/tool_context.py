"""What a running tool call knows beyond its arguments: its id, its graph, and images kept out of traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig, ensure_config

from langchain_nebula_video.langchain.replay import tool_call_key
from langchain_nebula_video.langchain.tracing import redact_value, track_costs

__all__ = ["IMAGE_FIELDS", "ToolRun", "call_context", "current_run", "messages_in", "record_error", "recorded_errors"]

IMAGE_FIELDS = ("image", "last_image", "reference_images")


@dataclass(frozen=True, slots=True)
class ToolRun:
    """What `BaseTool.run` is given and `_run` is not."""

    tool: object
    call_id: str | None
    """The id that the model gave to its call."""
    key: str | None
    """The key that the caller gave."""
    runtime: Any
    """LangGraph's runtime of the call; `None` outside a graph, where a caller may pass anything."""
    image_data: Mapping[str, Any]
    """Images by the placeholder that traces show instead."""

    @property
    def config(self) -> RunnableConfig:
        """The configuration of this run: its callbacks are those of the run itself, not of the agent around it."""
        return ensure_config()

    def restore_image_data(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the images that `call_context` replaced."""

        def restore(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return [restore(item) for item in value]
            return self.image_data.get(value, value) if isinstance(value, str) else value

        return {name: restore(value) if name in IMAGE_FIELDS else value for name, value in fields.items()}

    def key_options(self) -> dict[str, Any]:
        """How the lifecycle recognizes a repeated call; see `replay`. A key that the caller gave is used as it is."""
        if self.key is not None:
            return {"key": self.key}
        return {"key": tool_call_key(self.config, self.call_id, messages_in(self.runtime) or ()), "adopt": True}


_current_run: ContextVar[ToolRun | None] = ContextVar("nebula_video_tool_run", default=None)


def current_run(tool: object) -> ToolRun | None:
    """The run of a tool; `None` if its `_run` is called directly, without `BaseTool.run`."""
    run = _current_run.get()
    return run if run is not None and run.tool is tool else None


@contextmanager
def call_context(tool: object, tool_input: Any, *, call_id: str | None, key: str | None) -> Iterator[Any]:
    """Remember the run for `current_run`; yield the input with a placeholder for each image.

    LangChain traces what `BaseTool.run` is given. `ToolRun.restore_image_data` puts the images back in `_run`.
    """
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

    runtime = None
    if isinstance(tool_input, Mapping):
        runtime = tool_input.get("runtime")
        tool_input = {name: replace(value) if name in IMAGE_FIELDS else value for name, value in tool_input.items()}
    token = _current_run.set(ToolRun(tool, call_id, key, runtime, image_data))
    try:
        with track_costs():
            yield tool_input
    finally:
        _current_run.reset(token)


_errors: ContextVar[list[Exception] | None] = ContextVar("nebula_video_tool_errors", default=None)


@contextmanager
def recorded_errors() -> Iterator[list[Exception]]:
    """Yield a list of the errors of the runs inside, which `BaseTool.run` turns into text."""
    errors: list[Exception] = []
    token = _errors.set(errors)
    try:
        yield errors
    finally:
        _errors.reset(token)


@contextmanager
def record_error() -> Iterator[None]:
    """Add the error of the body to the list of `recorded_errors`, if there is one."""
    try:
        yield
    except Exception as error:
        if (errors := _errors.get()) is not None:
            errors.append(error)
        raise


def messages_in(runtime: Any) -> list[Any] | None:
    """The conversation of a graph; `None` if there is none to read, as outside a graph.

    Outside a graph a caller may pass anything as `runtime`.
    """
    state = getattr(runtime, "state", None)
    found = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    return list(found) if isinstance(found, list | tuple) else None
