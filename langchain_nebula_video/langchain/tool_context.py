"""What a running tool call knows beyond its arguments: its id, its conversation, and images kept out of traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_nebula_video.langchain.replay import tool_call_key
from langchain_nebula_video.langchain.tracing import redact_value, track_costs

__all__ = ["IMAGE_FIELDS", "call_context", "messages_in", "replay_key", "restore_image_data"]

IMAGE_FIELDS = ("image", "last_image", "reference_images")


class _CallContext:
    """What `BaseTool.run` is given and `_run` is not."""

    __slots__ = ("id", "image_data")

    def __init__(self, id_: str | None, image_data: Mapping[str, Any]) -> None:
        self.id = id_
        self.image_data = image_data
        """Images by the placeholder that traces show instead."""


_current_call: ContextVar[_CallContext | None] = ContextVar("nebula_video_tool_call", default=None)


@contextmanager
def call_context(tool_call_id: str | None, tool_input: Any) -> Iterator[Any]:
    """Remember the call's id for `replay_key`; yield the input with a placeholder for each image.

    LangChain traces what `BaseTool.run` is given. `restore_image_data` puts the images back in `_run`.
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

    if isinstance(tool_input, Mapping):
        tool_input = {name: replace(value) if name in IMAGE_FIELDS else value for name, value in tool_input.items()}
    token = _current_call.set(_CallContext(tool_call_id, image_data))
    try:
        with track_costs():
            yield tool_input
    finally:
        _current_call.reset(token)


def restore_image_data(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the images that `call_context` replaced."""
    call = _current_call.get()
    image_data: Mapping[str, Any] = {} if call is None else call.image_data

    def restore(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [restore(item) for item in value]
        return image_data.get(value, value) if isinstance(value, str) else value

    return {name: restore(value) if name in IMAGE_FIELDS else value for name, value in fields.items()}


def replay_key(config: RunnableConfig | None, runtime: Any) -> str | None:
    """The key of the running call; see `replay`."""
    call = _current_call.get()
    return tool_call_key(config, None if call is None else call.id, messages_in(runtime))


def messages_in(runtime: Any) -> list[Any]:
    """The conversation of a graph; empty outside one, where a caller may pass anything as `runtime`."""
    state = getattr(runtime, "state", None)
    found = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    return list(found) if isinstance(found, list | tuple) else []
