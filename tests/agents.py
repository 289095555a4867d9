"""A chat model that follows a script, for agents without a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool


class ScriptedModel(BaseChatModel):
    """Says its lines, one a turn."""

    lines: list[AIMessage]
    turn: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        line = self.lines[min(self.turn, len(self.lines) - 1)]
        self.turn += 1
        return ChatResult(generations=[ChatGeneration(message=line)])


def animates(call_id: str = "call_1", **args: Any) -> ScriptedModel:
    """A model that asks for one video and then says that it is done."""
    call = {"name": "nebula_image_to_video", "args": {"prompt": "The cat blinks", **args}, "id": call_id}
    return ScriptedModel(lines=[AIMessage("", tool_calls=[call]), AIMessage("Done.")])
