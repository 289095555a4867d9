"""`NebulaVideoTool`: the tool that an agent calls to animate an image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self, Unpack

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, model_validator

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.langchain.progress import progress_to, progress_to_async
from langchain_nebula_video.langchain.replay import count_for_thread
from langchain_nebula_video.langchain.tool_base import OfferTool, ToolOptions
from langchain_nebula_video.langchain.tool_context import messages_in, replay_key, restore_image_data
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

    asks_with: str | None = None
    """The name of the agent's tool that looks at a task; `None`: it has none."""

    @model_validator(mode="after")
    def _set_description(self) -> Self:
        if not self.description:
            object.__setattr__(self, "description", self._default_description())
        return self

    @abstractmethod
    def _default_description(self) -> str:
        """What a language model reads about the tool."""

    def _offer_schema(self) -> type[BaseModel]:
        return args_schema(self.offer())

    def request_from_call(self, fields: Mapping[str, Any], runtime: Any) -> VideoRequest:
        """The request of a call, with the images of the conversation.

        It validates the fields again: LangChain shows a language model the schema without its validators.

        Raises:
            InvalidRequestError: there is no such image, or a field is not valid.
        """
        fields = restore_image_data(fields)
        files_allowed = self.image_folder is not None
        return build_request(
            None, resolve_images(fields, messages_in(runtime), self.offer(), files_allowed=files_allowed)
        )


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

    def _default_description(self) -> str:
        return description(self.offer(), self.group_ratio, self.asks_with)

    def _run(
        self,
        prompt: str = "",
        *,
        config: RunnableConfig,
        runtime: Annotated[Any, InjectedToolArg] = None,
        **fields: Any,
    ) -> ToolResult:
        with translate_errors(self.asks_with), count_for_thread(config):
            request = self.request_from_call({"prompt": prompt, **fields}, runtime)
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
    ) -> ToolResult:
        with translate_errors(self.asks_with), count_for_thread(config):
            request = self.request_from_call({"prompt": prompt, **fields}, runtime)
            report = progress_to_async(config, runtime)
            lifecycle = self.async_lifecycle()
            with catch_failed_save() as unsaved_result:
                key = replay_key(config, runtime)
                return self._video_result(await lifecycle.generate(request, key=key, adopt=True, on_progress=report))
            return self._video_result(*unsaved_result)
