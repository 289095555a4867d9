"""The base classes of the tools: their options, traced calls, and results."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, Self, TypedDict

from langchain_core.callbacks import Callbacks
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from langchain_nebula_video.langchain.tool_context import call_context
from langchain_nebula_video.langchain.tool_errors import describe_validation_error
from langchain_nebula_video.langchain.tool_results import ToolResult, task_result, video_result
from langchain_nebula_video.langchain.tracing import annotate_run
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.schema import Task, Video

__all__ = ["OfferTool", "SharedToolOptions", "ToolOptions", "ToolkitOptions", "VideoTool"]


class SharedToolOptions(TypedDict, total=False):
    """What a toolkit passes on to all its tools, besides the keywords of the clients."""

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
    """A tool with a client of its own. Tools may share a journal."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True)

    description: str = ""
    response_format: Literal["content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    handle_validation_error: Any = Field(default_factory=lambda: describe_validation_error)
    repeat_window: float | None = Field(default=600.0, gt=0, allow_inf_nan=False)
    """As in `Options`, for calls that have no key. Outside a graph a tool call has none, and frameworks repeat a call
    whose body still runs."""
    url_in_content: bool = True
    """Whether the content has the signed URL. Language models corrupt long URLs. With `False` the URL is in the
    artifact only, and the task id identifies the video."""

    @field_validator("response_format", mode="before")
    @classmethod
    def _check_response_format(cls, value: object) -> object:
        if value != "content_and_artifact":
            raise ValueError("must be 'content_and_artifact': else the model would read the whole artifact too")
        return value

    def run(self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """`BaseTool.run`, with the call's id remembered and images kept out of traces."""
        with call_context(tool_call_id, tool_input) as traced_input:
            return super().run(traced_input, *args, tool_call_id=tool_call_id, **kwargs)

    async def arun(
        self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        """`BaseTool.arun`; see `run`."""
        with call_context(tool_call_id, tool_input) as traced_input:
            return await super().arun(traced_input, *args, tool_call_id=tool_call_id, **kwargs)

    def _video_result(self, video: Video, save_error: str | None = None) -> ToolResult:
        annotate_run(video)
        return video_result(video, save_error, url_in_content=self.url_in_content)

    def _task_result(self, task: Task, **more: Any) -> ToolResult:
        annotate_run(task)
        return task_result(task, **more)


class OfferTool(VideoTool):
    """A tool whose arguments depend on the offer: on the model, as the gateway serves it."""

    @abstractmethod
    def _offer_schema(self) -> type[BaseModel]:
        """The arguments that this offer takes."""

    @model_validator(mode="after")
    def _set_schema(self) -> Self:
        object.__setattr__(self, "args_schema", self._offer_schema())
        return self

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"].pop("args_schema", None)  # created at run time, so pickle cannot find it by name
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        object.__setattr__(self, "args_schema", self._offer_schema())
