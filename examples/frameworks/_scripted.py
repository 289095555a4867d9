"""A chat model of LangChain with fixed answers, for two recipes. Use your own model instead."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class Scripted(BaseChatModel):
    """After each message of the user it makes these calls, one after the other."""

    calls: list[dict[str, Any]]
    tool: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Scripted:  # noqa: ARG002
        """Take the tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        asked = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
        done = sum(isinstance(message, ToolMessage) for message in messages[asked:])
        line = AIMessage("Done.")
        if done < len(self.calls):
            line = AIMessage("", tool_calls=[{"name": self.tool, "args": self.calls[done], "id": f"call_{done}"}])
        return ChatResult(generations=[ChatGeneration(message=line)])
