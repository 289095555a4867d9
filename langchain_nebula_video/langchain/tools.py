"""`NebulaVideoTool`: the tool that an agent calls to animate an image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from pydantic import BaseModel, model_validator

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.langchain.progress import heard_progress, heard_progress_async
from langchain_nebula_video.langchain.replay import count_for_thread
from langchain_nebula_video.langchain.tool_base import OfferTool, ToolOptions
from langchain_nebula_video.langchain.tool_context import ToolRun, messages_in
from langchain_nebula_video.langchain.tool_description import description
from langchain_nebula_video.langchain.tool_errors import catch_failed_save, translate_errors
from langchain_nebula_video.langchain.tool_images import resolve_images
from langchain_nebula_video.langchain.tool_results import ToolResult
from langchain_nebula_video.langchain.tool_schema import args_schema

if TYPE_CHECKING:
    from langchain_nebula_video.schema import VideoRequest

__all__ = ["NebulaVideoTool", "RequestTool"]


class RequestTool(OfferTool):
    """A tool that submits a video: its arguments are the fields of a request."""

    takes_key = True
    asks_with: str | None = None
    """The name of the agent's tool that looks at a task; `None`: it has none."""

    @model_validator(mode="after")
    def _set_description(self) -> Self:
        if not self.description:
            object.__setattr__(self, "description", self._default_description(conversation=self.conversation))
        return self

    @abstractmethod
    def _default_description(self, *, conversation: bool) -> str:
        """What a language model reads about the tool."""

    def _offer_schema(self) -> type[BaseModel]:
        return args_schema(self.offer(), conversation=self.conversation)

    def function_schema(self) -> type[BaseModel]:
        """The arguments of a call that is outside of any conversation."""
        return args_schema(self.offer(), conversation=False)

    def function_description(self) -> str:
        """What a language model reads about the function, if the caller gave no description."""
        default = self._default_description(conversation=self.conversation)
        return self._default_description(conversation=False) if self.description == default else self.description

    def request_of(self, fields: Mapping[str, Any], run: ToolRun) -> VideoRequest:
        """The request of a running call; see `request_from_call`."""
        return self.request_from_call(run.restore_image_data(fields), run.runtime)

    def request_from_call(self, fields: Mapping[str, Any], runtime: Any) -> VideoRequest:
        """The request of a call, with the images of the conversation.

        It validates the fields again: LangChain shows a language model the schema without its validators.

        Raises:
            InvalidRequestError: there is no such image, or a field is not valid.
        """
        messages = messages_in(runtime) if self.conversation else None
        files_allowed = self.image_folder is not None
        return build_request(None, resolve_images(fields, messages, self.offer(), files_allowed=files_allowed))


class NebulaVideoTool(RequestTool):
    """Animates an image: waits for the video, and returns its URL and its cost.

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

    Invocation outside LangChain:
        ```python
        animate = tool.as_function()
        animate(prompt="The cat opens its eyes", image="https://example.com/cat.jpg", key="order-17")
        ```

    The content is JSON text: `status`, `url`, `cost_usd`, `duration`, `resolution`, `model`, `task_id`,
    `expires_at`, and `path` if the video was saved. The artifact is the same as a plain dict, with a LangChain video
    content block under `video`.

    The arguments are those of `Options` and of `BaseTool`, and `url_in_content`. The schema that a language model
    sees has only what the offer takes.

    The `image` of a call is one of:

    - a URL;
    - the number of an image of the conversation, where 1 is the oldest; see
      `langchain_nebula_video.langchain.conversation`. The other image fields take numbers too;
    - left out: the newest image of the conversation that is not the `last_image`;
    - `"none"`, if the model needs no image: a video from the prompt alone.

    Errors reach the language model as text that says whether money was spent and what to do. With
    `handle_tool_error=False` they are raised, as the class of `langchain_nebula_video.errors` and as a
    `ToolException`. Retry middleware and LangGraph's default retry do not repeat them.

    With a thread id (`config={"configurable": {"thread_id": …}}`), a replayed tool call resumes its task instead of
    paying again. The key is made from the thread, the model's message and the call's id.
    """

    name: str = "nebula_image_to_video"

    if TYPE_CHECKING:
        # The fields have the types after validation. The constructor takes more: a key as plain text, for example.
        def __init__(self, **options: Unpack[ToolOptions]) -> None: ...

    def _default_description(self, *, conversation: bool) -> str:
        return description(self.offer(), self.group_ratio, self.asks_with, conversation=conversation)

    def _call(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        with translate_errors(self.asks_with), count_for_thread(run.config):
            request = self.request_of(fields, run)
            report = heard_progress(runtime=run.runtime, call_id=run.call_id)
            with catch_failed_save() as unsaved_result:
                return self._video_result(
                    self.run_blocking("generate", request, **run.key_options(), on_progress=report)
                )
            return self._video_result(*unsaved_result)

    async def _acall(self, fields: Mapping[str, Any], run: ToolRun) -> ToolResult:
        with translate_errors(self.asks_with), count_for_thread(run.config):
            request = self.request_of(fields, run)
            report = heard_progress_async(runtime=run.runtime, call_id=run.call_id)
            lifecycle = self.async_lifecycle()
            with catch_failed_save() as unsaved_result:
                return self._video_result(await lifecycle.generate(request, **run.key_options(), on_progress=report))
            return self._video_result(*unsaved_result)
