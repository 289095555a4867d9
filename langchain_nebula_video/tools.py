"""The tool that an agent calls to animate an image."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Unpack

from langchain_core.callbacks import Callbacks
from langchain_core.exceptions import ModelError
from langchain_core.messages.content import create_video_block
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, ToolException
from pydantic import ConfigDict, Field, ValidationError, model_validator

from langchain_nebula_video._doors import LifecycleOptions
from langchain_nebula_video._offers import as_request, request_problems
from langchain_nebula_video._options import ClientOptions
from langchain_nebula_video._tool_schema import args_schema, description
from langchain_nebula_video.conversation import newest_image
from langchain_nebula_video.errors import (
    DownloadError,
    InvalidRequestError,
    NebulaVideoError,
    SubmissionUnconfirmedError,
    TaskTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_nebula_video.schema import Video, VideoRequest

__all__ = ["NebulaVideoTool"]

_tool_call_id: ContextVar[str | None] = ContextVar("nebula_video_tool_call_id", default=None)


class ToolOptions(ClientOptions, total=False):
    """The keywords of the tool: those of the clients, of `BaseTool`, and its own."""

    name: str
    description: str
    return_direct: bool
    verbose: bool
    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    handle_tool_error: Any
    handle_validation_error: Any
    response_format: Literal["content", "content_and_artifact"]
    extras: dict[str, Any] | None
    url_in_content: bool


class NebulaVideoTool(LifecycleOptions, BaseTool):
    """Animates an image: waits for the video and returns its URL and what it cost.

    Setup:
        ```bash
        pip install langchain-nebula-video
        export NEBULA_API_KEY="sk-…"
        ```

    Instantiation:
        ```python
        from langchain_nebula_video import Budget, NebulaVideoTool

        tool = NebulaVideoTool(budget=Budget(usd="5.00"), save_to="videos")
        ```

    Invocation with args:
        ```python
        tool.invoke({"prompt": "The cat opens its eyes", "image": "https://example.com/cat.jpg"})
        ```

    Invocation with ToolCall:
        ```python
        message = tool.invoke({
            "type": "tool_call", "id": "call_1", "name": tool.name,
            "args": {"prompt": "The cat opens its eyes", "image": "https://example.com/cat.jpg"},
        })
        message.artifact["task_id"]
        ```

    The content is JSON text: `status`, `url`, `cost_usd`, `duration`, `resolution`, `model`, `task_id`,
    `expires_at`, and `path` if the video was saved. The artifact is the same as a plain dict, and `video`: a
    LangChain video content block.

    Arguments are those of `Options` and of `BaseTool`, and `url_in_content`. The schema that a language model
    sees is made from the model's row: it holds what that model takes and nothing else. `image` may be left out
    in a graph or an agent: then the newest image of the conversation is animated.

    Errors reach the language model as text that says whether money was spent and what to do. With
    `handle_tool_error=False` they are raised: as the class of `langchain_nebula_video.errors`, which is then a
    `ToolException` too, and one that retry middleware and LangGraph's default retry leave alone.

    Under a thread id (`config={"configurable": {"thread_id": …}}`), a tool call that is replayed goes on with
    its task instead of paying again: the key is thread id and tool call id.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True)

    name: str = "nebula_image_to_video"
    description: str = ""
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    handle_validation_error: Any = Field(default_factory=lambda: _told_to_the_model)
    url_in_content: bool = True
    """Whether the content holds the signed URL. Language models corrupt long URLs: `False` leaves it to the
    artifact, and the task id stands for the video."""

    if TYPE_CHECKING:
        # By its fields a type checker would let through only what they hold in the end: no key that is a plain text.
        def __init__(self, **options: Unpack[ToolOptions]) -> None: ...

    @model_validator(mode="after")
    def _made_from_the_row(self) -> Self:
        offer = self.offer()
        object.__setattr__(self, "args_schema", args_schema(offer))
        if not self.description:
            object.__setattr__(self, "description", description(offer, self.group_ratio))
        return self

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"].pop("args_schema", None)  # made at run time, so no pickle can name it
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        object.__setattr__(self, "args_schema", args_schema(self.offer()))

    def run(self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """As `BaseTool.run`; remembers the call's id, which `_run` is not given otherwise."""
        with _called(tool_call_id):
            return super().run(tool_input, *args, tool_call_id=tool_call_id, **kwargs)

    async def arun(
        self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        """As `BaseTool.arun`; remembers the call's id."""
        with _called(tool_call_id):
            return await super().arun(tool_input, *args, tool_call_id=tool_call_id, **kwargs)

    def _run(
        self,
        prompt: str = "",
        *,
        config: RunnableConfig,
        runtime: Annotated[Any, InjectedToolArg] = None,
        **fields: Any,
    ) -> tuple[str, dict[str, Any]]:
        with _as_tool_errors():
            request = self._request({"prompt": prompt, **fields}, runtime)
            with _unsaved() as unsaved:
                return self._answer(self.generate_now(request, key=_key(config), adopt=True))
            return self._answer(*unsaved)

    async def _arun(
        self,
        prompt: str = "",
        *,
        config: RunnableConfig,
        runtime: Annotated[Any, InjectedToolArg] = None,
        **fields: Any,
    ) -> tuple[str, dict[str, Any]]:
        with _as_tool_errors():
            request = self._request({"prompt": prompt, **fields}, runtime)
            with _unsaved() as unsaved:
                return self._answer(await self.async_lifecycle().generate(request, key=_key(config), adopt=True))
            return self._answer(*unsaved)

    def _request(self, fields: dict[str, Any], runtime: Any) -> VideoRequest:
        """The request; checked again, since a language model is shown the schema without its validators."""
        offer = self.offer()
        name = "reference_images" if offer.requires("reference_images") else "image"
        if offer.accepts(name) and not fields.get(name):
            newest = newest_image(_messages(runtime))
            if newest is None and offer.requires(name):
                raise InvalidRequestError(
                    "No image was given, and there is none in the conversation.",
                    hint="Give the image's https URL.",
                )
            fields[name] = newest if name == "image" else (newest,)
        return as_request(None, fields)

    def _answer(self, video: Video, save_error: str | None = None) -> tuple[str, dict[str, Any]]:
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
        hidden = {"url"} if embedded or not self.url_in_content else set()
        content = json.dumps({name: value for name, value in facts.items() if name not in hidden}, ensure_ascii=False)
        return content, {**facts, "video": _video_block(video.url, embedded=embedded)}


def _video_block(url: str, *, embedded: bool) -> dict[str, Any]:
    if embedded:
        return dict(create_video_block(base64=url.partition(",")[2], mime_type="video/mp4"))
    return dict(create_video_block(url=url, mime_type="video/mp4"))


def _told_to_the_model(error: ValidationError) -> str:
    """Arguments that do not fit the schema, told like every other refusal."""
    return str(InvalidRequestError(request_problems(error), hint="Correct the arguments and call again."))


@contextmanager
def _called(tool_call_id: str | None) -> Iterator[None]:
    token = _tool_call_id.set(tool_call_id)
    try:
        yield
    finally:
        _tool_call_id.reset(token)


def _key(config: RunnableConfig | None) -> str | None:
    """Thread id and tool call id; without a thread nothing is ever replayed, and call ids may repeat."""
    thread_id = ((config or {}).get("configurable") or {}).get("thread_id")
    call_id = _tool_call_id.get()
    return f"{thread_id}:{call_id}" if thread_id and call_id else None


def _messages(runtime: Any) -> list[Any]:
    """The conversation, inside a graph; what a caller outside one may have forged as `runtime` is no state."""
    state = getattr(runtime, "state", None)
    found = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    return list(found) if isinstance(found, list | tuple) else []


@contextmanager
def _unsaved() -> Iterator[list[Any]]:
    """A paid video that could not be saved is still an answer: its URL works. It and the reason are handed out."""
    found: list[Any] = []
    try:
        yield found
    except DownloadError as error:
        if error.video is None:
            raise
        found += [error.video, error.what]


# --- errors, as LangChain treats them well ----------------------------------------------------------------


# What a language model can do, where it cannot do what a program does.
_HINTS: dict[type[NebulaVideoError], str] = {
    TaskTimeoutError: "Call this tool again with the very same arguments to go on waiting: that costs nothing more.",
    SubmissionUnconfirmedError: "Do not ask for this video again; tell the user to look for it at the gateway.",
}


@contextmanager
def _as_tool_errors() -> Iterator[None]:
    """Raise our errors so that agents read them and nobody repeats the call by itself."""
    try:
        yield
    except NebulaVideoError as error:
        error.hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), error.hint)
        raised = _rebuilt(type(error), (str(error),), dict(error.__dict__))
        raise raised from None


@functools.cache
def _tool_error(kind: Any) -> type[NebulaVideoError]:
    """The same error, with two more natures.

    - a `ToolException`: handled, and read by the language model, instead of ending the agent;
    - a `ModelError` that is not retryable: `ToolRetryMiddleware` obeys it.
    """
    bases = (kind, ToolException, ModelError)
    return type(kind.__name__, bases, {"is_retryable": False, "__module__": __name__, "__reduce__": _reduce})


def _reduce(error: NebulaVideoError) -> tuple[Any, ...]:
    kind = next(base for base in type(error).__mro__[1:] if issubclass(base, NebulaVideoError))
    return _rebuilt, (kind, error.args, error.__dict__)


def _rebuilt(kind: type[NebulaVideoError], args: tuple[Any, ...], state: dict[str, Any]) -> NebulaVideoError:
    made: Any = _tool_error
    error: NebulaVideoError = made(kind)(state["what"])
    error.args = args  # the whole message: handle_tool_error=True shows the first argument
    error.__dict__.update(state)
    return error
