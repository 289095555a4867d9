"""The base classes of the tools: their options, traced calls, and results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Literal, Self, TypedDict, TypeVar, cast, overload

from langchain_core.callbacks import Callbacks
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.tools.base import ArgsSchema
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from langchain_nebula_video.langchain.tool_context import (
    ToolRun,
    call_context,
    current_run,
    record_error,
    recorded_errors,
)
from langchain_nebula_video.langchain.tool_errors import describe_validation_error, invalid_arguments
from langchain_nebula_video.langchain.tool_functions import (
    describe_function,
    docstring_of,
    plain_properties,
    signature_of,
    unshare,
)
from langchain_nebula_video.langchain.tool_results import ToolResult, task_result, video_result
from langchain_nebula_video.langchain.tracing import annotate_run
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.schema import Task, Video

__all__ = ["OfferTool", "SharedToolOptions", "ToolOptions", "ToolkitOptions", "VideoTool"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_ADDED = frozenset({"callbacks", "config", "key", "run_manager", "runtime"})
"""What LangChain adds to the arguments of a call, and the key of a caller."""
_INJECTED: dict[type[BaseModel], frozenset[str]] = {}
"""By schema: the arguments that traces do not show."""
_RETURNS = "JSON text. If the call fails, text that says what happened, whether money was spent, and what to do."
_RETURNS_BOTH = f"The text for a language model and the same facts as a dict. {_RETURNS} Then there is no dict."


class SharedToolOptions(TypedDict, total=False):
    """What a toolkit passes on to all its tools, besides the keywords of the clients."""

    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    handle_tool_error: Any
    handle_validation_error: Any
    url_in_content: bool
    conversation: bool


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

    takes_key: ClassVar[bool] = False
    """Whether `run` and the functions take a key: whether the tool pays for videos."""

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
    conversation: bool = True
    """Whether the tool reads the conversation of its LangGraph agent. With `False` the language model has to give each
    image as a URL, and reads nothing of a conversation. The functions are always without one."""

    @field_validator("response_format", mode="before")
    @classmethod
    def _check_response_format(cls, value: object) -> object:
        if value != "content_and_artifact":
            raise ValueError("must be 'content_and_artifact': else the model would read the whole artifact too")
        return value

    @abstractmethod
    def _call(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        """What the tool does with validated arguments."""

    @abstractmethod
    async def _acall(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        """The same on an event loop."""

    def function_schema(self) -> type[BaseModel]:
        """The arguments of a call that is outside of any conversation."""
        return cast("type[BaseModel]", self.args_schema)

    def function_description(self) -> str:
        """What a language model reads about the function."""
        return self.description

    def run(
        self,
        tool_input: str | dict[str, Any],
        *args: Any,
        tool_call_id: str | None = None,
        key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """`BaseTool.run`, with the call remembered and images kept out of traces. A `key` is that of the clients."""
        with call_context(self, tool_input, call_id=tool_call_id, key=key) as traced_input:
            return super().run(traced_input, *args, tool_call_id=tool_call_id, **kwargs)

    async def arun(
        self,
        tool_input: str | dict[str, Any],
        *args: Any,
        tool_call_id: str | None = None,
        key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """`BaseTool.arun`; see `run`."""
        with call_context(self, tool_input, call_id=tool_call_id, key=key) as traced_input:
            return await super().arun(traced_input, *args, tool_call_id=tool_call_id, **kwargs)

    @property
    def _run(self) -> Callable[..., Any]:
        """What `BaseTool.run` calls. Called by anyone else, it is `invoke`, and returns the content alone.

        Adapters of other frameworks call it with the arguments that its signature names.
        """

        def call(*args: Any, **fields: Any) -> Any:
            return self.invoke(self._bind(args, fields), fields.get("config"), key=self._key_in(fields))

        run = current_run(self)
        return self._describe(call) if run is None else lambda *args, **fields: self._run_call(args, fields, run)

    @property
    def _arun(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*args: Any, **fields: Any) -> Any:
            return await self.ainvoke(self._bind(args, fields), fields.get("config"), key=self._key_in(fields))

        run = current_run(self)
        return self._describe(call) if run is None else lambda *args, **fields: self._arun_call(args, fields, run)

    def _run_call(self, args: tuple[Any, ...], fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        with record_error():
            return self._call(self._bind(args, fields), run)

    async def _arun_call(self, args: tuple[Any, ...], fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        with record_error():
            return await self._acall(self._bind(args, fields), run)

    def _filter_injected_args(self, tool_input: dict[str, Any]) -> dict[str, Any]:
        """`BaseTool` resolves the annotations of the schema at each call. It is asked once for each schema."""
        schema = cast("type[BaseModel]", self.args_schema)
        if schema not in _INJECTED:
            names = dict.fromkeys([*schema.model_fields, *_ADDED])
            _INJECTED[schema] = frozenset(names.keys() - super()._filter_injected_args(names).keys())
        return {name: value for name, value in tool_input.items() if name not in _INJECTED[schema]}

    def _parse_input(self, tool_input: str | dict[str, Any], tool_call_id: str | None) -> str | dict[str, Any]:
        """As `BaseTool` does it, which besides looks for an injected call id: no tool here has one."""
        if isinstance(tool_input, str):
            return super()._parse_input(tool_input, tool_call_id)
        checked = cast("type[BaseModel]", self.args_schema).model_validate(tool_input)
        return {name: getattr(checked, name) for name in type(checked).model_fields}

    @overload
    def as_function(self, *, artifact: Literal[False] = False, raise_errors: bool = False) -> Callable[..., str]: ...

    @overload
    def as_function(
        self, *, artifact: Literal[True], raise_errors: bool = False
    ) -> Callable[..., tuple[str, dict[str, Any] | None]]: ...

    def as_function(self, *, artifact: bool = False, raise_errors: bool = False) -> Callable[..., Any]:
        """The tool as a plain function, for frameworks and loops that know no LangChain.

        Its name, its signature and its docstring are those of the tool, for one model on one gateway. It reads no
        conversation, so each image is an argument. A tool that pays also takes the keyword `key`, as the clients do:
        your own name for the video, which then is never paid for twice. The signature does not show it, so no
        language model is told of it.

        Args:
            artifact: Whether the function returns the pair of text and artifact, as LangChain's `ToolMessage` has
                them. The artifact of an error is `None`.
            raise_errors: Whether the function raises the errors of `langchain_nebula_video.errors`. Otherwise it
                returns them as text, if the tool does (`handle_tool_error`).
        """

        def call(*args: Any, **fields: Any) -> Any:
            given, key = self._bind(args, fields), self._key_in(fields)
            if raise_errors:
                self._check(given)
            with recorded_errors() as errors:
                message = self.invoke(_tool_call(self.name, given), key=key)
            return _answer(message, errors if raise_errors else [], artifact=artifact)

        return self._describe(call, artifact=artifact)

    @overload
    def as_async_function(
        self, *, artifact: Literal[False] = False, raise_errors: bool = False
    ) -> Callable[..., Coroutine[Any, Any, str]]: ...

    @overload
    def as_async_function(
        self, *, artifact: Literal[True], raise_errors: bool = False
    ) -> Callable[..., Coroutine[Any, Any, tuple[str, dict[str, Any] | None]]]: ...

    def as_async_function(
        self, *, artifact: bool = False, raise_errors: bool = False
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """The tool as a plain coroutine function; see `as_function`."""

        async def call(*args: Any, **fields: Any) -> Any:
            given, key = self._bind(args, fields), self._key_in(fields)
            if raise_errors:
                self._check(given)
            with recorded_errors() as errors:
                message = await self.ainvoke(_tool_call(self.name, given), key=key)
            return _answer(message, errors if raise_errors else [], artifact=artifact)

        return self._describe(call, artifact=artifact)

    def _bind(self, args: tuple[Any, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, without what LangChain or a caller adds."""
        by_place: dict[str, Any] = {}
        if args:
            names = list(signature_of(self.function_schema()).parameters)
            by_place = dict(zip(names, args, strict=False))
            if len(args) > len(names) or by_place.keys() & fields.keys():
                raise TypeError(f"{self.name} takes each of these arguments once: {', '.join(names)}.")
        added = _ADDED if self.takes_key else _ADDED - {"key"}
        return {**by_place, **{name: value for name, value in fields.items() if name not in added}}

    def _key_in(self, fields: Mapping[str, Any]) -> str | None:
        return fields.get("key") if self.takes_key else None

    def _check(self, given: Mapping[str, Any]) -> None:
        try:
            cast("type[BaseModel]", self.args_schema).model_validate(given)
        except ValidationError as error:
            raise invalid_arguments(error) from None

    def _describe(self, function: _Function, *, artifact: bool = False) -> _Function:
        """Give a function the looks of this tool."""
        schema = self.function_schema()
        returns, text = (tuple[str, dict[str, Any] | None], _RETURNS_BOTH) if artifact else (str, _RETURNS)
        signature = signature_of(schema).replace(return_annotation=returns)
        return describe_function(
            function, self.name, docstring_of(self.function_description(), schema, text), signature
        )

    @property
    def args(self) -> dict[str, Any]:
        """The arguments as JSON schemas. A copy, as some frameworks write into it."""
        return plain_properties(super().args)

    @property
    def tool_call_schema(self) -> ArgsSchema:
        """What a language model reads of the arguments. Its `model_json_schema()` is a copy, as for `args`."""
        return unshare(super().tool_call_schema)

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


def _tool_call(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """A call without an id: it makes LangChain return a message, and no replay key is made from it."""
    return {"type": "tool_call", "id": "", "name": name, "args": args}


def _answer(message: ToolMessage, errors: list[Exception], *, artifact: bool) -> Any:
    if errors and message.status == "error":
        raise errors[-1]
    return (message.content, message.artifact) if artifact else message.content
