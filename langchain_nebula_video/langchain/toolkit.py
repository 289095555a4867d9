"""`NebulaVideoToolkit`, and its tools that submit a video, get it, and quote its price."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast, overload

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.errors import TaskTimeoutError
from langchain_nebula_video.langchain.progress import heard_progress, heard_progress_async
from langchain_nebula_video.langchain.replay import count_for_thread
from langchain_nebula_video.langchain.tool_base import (
    OfferTool,
    SharedToolOptions,
    ToolkitOptions,
    ToolOptions,
    VideoTool,
)
from langchain_nebula_video.langchain.tool_context import ToolRun
from langchain_nebula_video.langchain.tool_description import submit_description
from langchain_nebula_video.langchain.tool_errors import catch_failed_save, translate_errors
from langchain_nebula_video.langchain.tool_results import ToolResult, to_json
from langchain_nebula_video.langchain.tool_schema import Arguments, InjectedRuntime, quote_schema
from langchain_nebula_video.langchain.tools import NebulaVideoTool, RequestTool
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.schema import Cost, Task, TaskStatus, Video

__all__ = ["NebulaGetVideoTool", "NebulaQuoteVideoTool", "NebulaSubmitVideoTool", "NebulaVideoToolkit"]

_GET, _QUOTE, _SUBMIT = "nebula_get_video", "nebula_quote_video", "nebula_submit_video"
_MAX_WAIT_SECONDS = 900
"""How long one call may wait. The model can call again."""


class NebulaSubmitVideoTool(RequestTool):
    """Starts a video and returns at once: `status`, `task_id`, the estimated `cost_usd`, `ready_in_seconds`.

    Arguments and errors are those of `NebulaVideoTool`.
    """

    name: str = _SUBMIT

    if TYPE_CHECKING:

        def __init__(self, **options: Unpack[ToolOptions]) -> None: ...

    def _default_description(self, *, conversation: bool) -> str:
        return submit_description(self.offer(), self.group_ratio, self.asks_with, conversation=conversation)

    def _call(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        with translate_errors(self.asks_with), count_for_thread(run.config):
            request = self.request_of(fields, run)
            return self._result(self.run_blocking("submit", request, **run.key_options()))

    async def _acall(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        with translate_errors(self.asks_with), count_for_thread(run.config):
            request = self.request_of(fields, run)
            return self._result(await self.async_lifecycle().submit(request, **run.key_options()))

    def _result(self, task: Task) -> ToolResult:
        ready = self.offer(task.model or None).model.typical(task.duration)
        return self._task_result(task, ready_in_seconds=[round(ready[0]), round(ready[1])])


class _GetVideoAnywhere(Arguments):
    task_id: str = Field(description="The task_id that the tool that started the video returned.")
    wait_seconds: float = Field(
        default=0, ge=0, le=_MAX_WAIT_SECONDS, description="Wait up to so many seconds for the video; 0 looks once."
    )


class _GetVideo(_GetVideoAnywhere):
    runtime: InjectedRuntime = Field(default=None, exclude=True)


class NebulaGetVideoTool(VideoTool):
    """Gets a task: the video if it is finished, else the progress. Costs nothing.

    It also returns a fresh URL of a finished video while the gateway knows the task, which is about a day. With
    `wait_seconds` it waits; if the time runs out, the result is the task, not an error. With `save_to`, a finished
    video is saved.
    """

    name: str = _GET
    description: str = (
        "Gets a video that was started before, by its task_id. Returns JSON: status queued, running, succeeded (with "
        "url), failed or canceled (with reason; nothing was billed). With wait_seconds it waits until the video is "
        "ready or the time is over. It costs nothing, and may be called again at any time within a day: also for a "
        "fresh url of a finished video."
    )
    args_schema: Any = _GetVideo

    if TYPE_CHECKING:

        def __init__(self, **options: Unpack[ToolOptions]) -> None: ...

    @model_validator(mode="after")
    def _set_schema(self) -> Self:
        object.__setattr__(self, "args_schema", _GetVideo if self.conversation else _GetVideoAnywhere)
        return self

    def _call(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        wait_seconds: float = fields.get("wait_seconds", 0)
        with translate_errors(self.name):
            task: Task = self.run_blocking("fetch", fields["task_id"])
            if self._is_settled(task, wait_seconds):
                return self._fetched_result(task)
            with catch_failed_save() as unsaved_result:
                try:
                    report = heard_progress(runtime=run.runtime, call_id=run.call_id)
                    return self._video_result(
                        self.run_blocking("wait", task, timeout=wait_seconds or None, on_progress=report)
                    )
                except TaskTimeoutError as error:
                    return self._fetched_result(error.task or task)
            return self._video_result(*unsaved_result)

    async def _acall(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        wait_seconds: float = fields.get("wait_seconds", 0)
        with translate_errors(self.name):
            lifecycle = self.async_lifecycle()
            task = await lifecycle.fetch(fields["task_id"])
            if self._is_settled(task, wait_seconds):
                return self._fetched_result(task)
            with catch_failed_save() as unsaved_result:
                try:
                    report = heard_progress_async(runtime=run.runtime, call_id=run.call_id)
                    return self._video_result(
                        await lifecycle.wait(task, timeout=wait_seconds or None, on_progress=report)
                    )
                except TaskTimeoutError as error:
                    return self._fetched_result(error.task or task)
            return self._video_result(*unsaved_result)

    def _is_settled(self, task: Task, wait_seconds: float) -> bool:
        """Whether the fetched task is the result: it is finished, or the call does not wait."""
        if task.status is TaskStatus.SUCCEEDED and task.url is not None:
            return self.save_to is None
        return task.status.finished or not wait_seconds

    def _fetched_result(self, task: Task) -> ToolResult:
        if task.status is not TaskStatus.SUCCEEDED or task.url is None:
            return self._task_result(task)
        shared = set(Video.model_fields) & set(Task.model_fields)
        return self._video_result(Video(**{name: getattr(task, name) for name in shared}))


class NebulaQuoteVideoTool(OfferTool):
    """Quotes a price, and says how much of the budget is left. Costs nothing."""

    name: str = _QUOTE
    description: str = (
        "Tells what a video would cost, in US dollars, and how much of the budget is left, if there is one. It costs "
        "nothing. Call it when the user asks for the price, or when several lengths or resolutions are possible."
    )

    if TYPE_CHECKING:

        def __init__(self, **options: Unpack[ToolOptions]) -> None: ...

    def _offer_schema(self) -> type[BaseModel]:
        return quote_schema(self.offer())

    def _call(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:  # noqa: ARG002 a price needs no run
        with translate_errors():
            return self._result(self._cost(fields), self.run_blocking("budget_left"))

    async def _acall(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:  # noqa: ARG002 as above
        with translate_errors():
            return self._result(self._cost(fields), await self.async_lifecycle().budget_left())

    def _cost(self, fields: Mapping[str, Any]) -> Cost:
        return self.offer().quote(build_request(None, fields), self.current_group_ratio())

    def _result(self, cost: Cost, left: Decimal | None) -> ToolResult:
        facts = {
            "cost_usd": None if cost.usd is None else float(cost.usd),
            "seconds": cost.seconds,
            "basis": cost.basis,
            "model": self.model,
        }
        if cost.group_ratio != self.group_ratio:
            facts["reported_group_ratio"] = float(cost.group_ratio)
        if left is not None:
            facts["budget_left_usd"] = float(left)
        return to_json(facts), facts


class NebulaVideoToolkit(BaseToolkit):
    """The tools of an agent, on one journal and one budget.

    Setup:
        ```bash
        pip install langchain-nebula-video
        export NEBULA_API_KEY="sk-…"
        ```

    Instantiation:
        ```python
        from langchain_nebula_video import NebulaVideoToolkit

        tools = NebulaVideoToolkit(budget="5.00").get_tools()
        ```

    | tool                    | does                                             | costs    |
    |-------------------------|--------------------------------------------------|----------|
    | `nebula_image_to_video` | makes a video and waits for it                   | a video  |
    | `nebula_submit_video`   | starts a video and returns at once               | a video  |
    | `nebula_get_video`      | looks at a task, or waits for it                 | nothing  |
    | `nebula_quote_video`    | quotes the price, and what is left of the budget | nothing  |

    Args:
        options: Those of `NebulaVideoClient`. Also, for all tools: `url_in_content` (see `NebulaVideoTool`),
            `handle_tool_error`, `handle_validation_error`, `callbacks`, `tags` and `metadata`.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    _options: LifecycleOptions = PrivateAttr()
    _tool_options: dict[str, Any] = PrivateAttr()

    def __init__(self, **options: Unpack[ToolkitOptions]) -> None:
        super().__init__()
        given = cast("dict[str, Any]", options)
        of_tools = SharedToolOptions.__annotations__
        self._options = LifecycleOptions(**{name: value for name, value in given.items() if name not in of_tools})
        # If no journal was given, the tools share the default one.
        self._tool_options = {**given, "journal": self._options.journal}

    def get_tools(self) -> list[BaseTool]:
        """Return four new tools. They share the journal, and what any of them learns about prices."""
        return list(self._create_tools())

    @overload
    def as_functions(
        self, *, artifact: Literal[False] = False, raise_errors: bool = False
    ) -> list[Callable[..., str]]: ...

    @overload
    def as_functions(
        self, *, artifact: Literal[True], raise_errors: bool = False
    ) -> list[Callable[..., tuple[str, dict[str, Any] | None]]]: ...

    def as_functions(self, *, artifact: bool = False, raise_errors: bool = False) -> list[Callable[..., Any]]:
        """Return the tools as plain functions; see `NebulaVideoTool.as_function`."""
        how: Any = {"artifact": artifact, "raise_errors": raise_errors}
        return [tool.as_function(**how) for tool in self._create_tools()]

    @overload
    def as_async_functions(
        self, *, artifact: Literal[False] = False, raise_errors: bool = False
    ) -> list[Callable[..., Coroutine[Any, Any, str]]]: ...

    @overload
    def as_async_functions(
        self, *, artifact: Literal[True], raise_errors: bool = False
    ) -> list[Callable[..., Coroutine[Any, Any, tuple[str, dict[str, Any] | None]]]]: ...

    def as_async_functions(
        self, *, artifact: bool = False, raise_errors: bool = False
    ) -> list[Callable[..., Coroutine[Any, Any, Any]]]:
        """Return the tools as plain coroutine functions."""
        how: Any = {"artifact": artifact, "raise_errors": raise_errors}
        return [tool.as_async_function(**how) for tool in self._create_tools()]

    def _create_tools(self) -> list[VideoTool]:
        tools: list[VideoTool] = [
            NebulaVideoTool(**self._tool_options, asks_with=_GET),
            NebulaSubmitVideoTool(**self._tool_options, asks_with=_GET),
            NebulaGetVideoTool(**self._tool_options),
            NebulaQuoteVideoTool(**self._tool_options),
        ]
        for tool in tools:
            tool.share_group_ratios(self._options)
        return tools
