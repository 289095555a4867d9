"""The tool that an agent calls to animate an image."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Self, Unpack

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from pydantic import model_validator

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import chosen, images, is_url, newest_image, parse_handle
from langchain_nebula_video.langchain.progress import progress_to, progress_to_async
from langchain_nebula_video.langchain.tool_base import (
    IMAGE_FIELDS,
    ToolOptions,
    VideoTool,
    catch_failed_save,
    messages_in,
    replay_key,
    restore_image_data,
)
from langchain_nebula_video.langchain.tool_errors import translate_errors
from langchain_nebula_video.langchain.tool_schema import args_schema, description

if TYPE_CHECKING:
    from langchain_nebula_video.schema import VideoRequest

__all__ = ["NebulaVideoTool"]


class RequestTool(VideoTool):
    """A tool whose arguments are a request: made from the model's row, with the conversation's images."""

    asks_with: str | None = None
    """The name of the agent's tool that asks after a task; `None`: it has none."""

    @model_validator(mode="after")
    def _set_schema(self) -> Self:
        offer = self.offer()
        object.__setattr__(self, "args_schema", args_schema(offer))
        if not self.description:
            object.__setattr__(self, "description", self._default_description())
        return self

    @abstractmethod
    def _default_description(self) -> str:
        """What a language model reads of the tool."""

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"].pop("args_schema", None)  # made at run time, so no pickle can name it
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        object.__setattr__(self, "args_schema", args_schema(self.offer()))

    def build_request(self, fields: dict[str, Any], runtime: Any) -> VideoRequest:
        """The request; checked again, since a language model is shown the schema without its validators."""
        offer, messages = self.offer(), messages_in(runtime)
        fields = restore_image_data(fields)
        none = {name for name in IMAGE_FIELDS if not offer.requires(name) and _says_none(fields.get(name))}
        fields = {name: given for name, given in fields.items() if name not in none}
        fields |= {name: self._resolve_image(given, messages) for name in IMAGE_FIELDS if (given := fields.get(name))}
        name = "reference_images" if offer.requires("reference_images") else "image"
        if name not in none and offer.accepts(name) and not fields.get(name):
            last = fields.get("last_image")
            newest = newest_image(messages, besides=[] if last is None else [last])
            if newest is None and offer.requires(name):
                other = "none" if last is None else "no other"
                raise InvalidRequestError(
                    f"No image was given, and there is {other} in the conversation.",
                    hint="Give the image's https URL.",
                )
            fields[name] = newest if name == "image" else (newest,)
        return build_request(None, fields)

    def _resolve_image(self, given: Any, messages: list[Any]) -> Any:
        """The image of the conversation that is named; an address as it is. Of other words it tells what there is."""
        if isinstance(given, list | tuple):
            return [self._resolve_image(item, messages) for item in given]
        if not isinstance(given, str) or is_url(given):
            return given
        if parse_handle(given) or (self.image_folder is None and images(messages)):
            return chosen(given, messages).source
        return given  # a file in that folder; else it is refused where images are read


def _says_none(given: Any) -> bool:
    return isinstance(given, str) and given.strip().lower() == "none"


class NebulaVideoTool(RequestTool):
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
    in a graph or an agent: then the newest image of the conversation is animated, of those that are not its
    `last_image`. It and the other images may be named by their number in the conversation, the oldest being 1; see
    `langchain_nebula_video.langchain.conversation`. Where the model needs no image, `"none"` asks for a video of the
    prompt alone.

    Errors reach the language model as text that says whether money was spent and what to do. With
    `handle_tool_error=False` they are raised: as the class of `langchain_nebula_video.errors`, which is then a
    `ToolException` too, and one that retry middleware and LangGraph's default retry leave alone.

    Under a thread id (`config={"configurable": {"thread_id": …}}`), a tool call that is replayed goes on with
    its task instead of paying again: the key is the thread, the model's message and the call's id.
    """

    name: str = "nebula_image_to_video"

    if TYPE_CHECKING:
        # By its fields a type checker would let through only what they hold in the end: no key that is a plain text.
        def __init__(self, **options: Unpack[ToolOptions]) -> None: ...

    def _default_description(self) -> str:
        return description(self.offer(), self.group_ratio, self.asks_with)

    def _run(
        self,
        prompt: str = "",
        *,
        config: RunnableConfig,
        runtime: Annotated[Any, InjectedToolArg] = None,
        **fields: Any,
    ) -> tuple[str, dict[str, Any]]:
        with translate_errors(self.asks_with):
            request = self.build_request({"prompt": prompt, **fields}, runtime)
            report = progress_to(config, runtime)
            with catch_failed_save() as unsaved_result:
                return self._video_result(
                    self.run_blocking(
                        "generate", request, key=replay_key(config, runtime), adopt=True, on_progress=report
                    )
                )
            return self._video_result(*unsaved_result)

    async def _arun(
        self,
        prompt: str = "",
        *,
        config: RunnableConfig,
        runtime: Annotated[Any, InjectedToolArg] = None,
        **fields: Any,
    ) -> tuple[str, dict[str, Any]]:
        with translate_errors(self.asks_with):
            request = self.build_request({"prompt": prompt, **fields}, runtime)
            report = progress_to_async(config, runtime)
            lifecycle = self.async_lifecycle()
            with catch_failed_save() as unsaved_result:
                key = replay_key(config, runtime)
                return self._video_result(await lifecycle.generate(request, key=key, adopt=True, on_progress=report))
            return self._video_result(*unsaved_result)
