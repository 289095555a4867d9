"""A chat model that follows a script, for agents without a language model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import InstanceOf, PrivateAttr

__all__ = ["Line", "ScriptedChatModel", "tool_call"]

Line = InstanceOf[AIMessage] | str | Callable[[list[BaseMessage]], AIMessage | str]
"""A message, its text, or a function that makes either from the conversation so far."""


class ScriptedChatModel(BaseChatModel):
    """A chat model that says its lines, one a turn. It needs no key and no network.

    The script starts again with each message of the user. The model counts its answers since then in the messages that
    it gets, and keeps no count of its own. So one model serves many conversations at once, and a run that another
    process resumes goes on with the right line.

    Example:
        ```python
        from langchain_nebula_video.testing import ScriptedChatModel, tool_call

        model = ScriptedChatModel(lines=[tool_call(prompt="The cat blinks"), "There it is."])
        ```

    Raises:
        IndexError: the agent asks for more lines than there are.
    """

    lines: Sequence[Line]
    """What it says after a message of the user, in order."""
    _seen: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def seen(self) -> list[list[BaseMessage]]:
        """The messages of each call of this model, in order: what a language model would have read."""
        return self._seen

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],  # noqa: ARG002 the lines are written
        **kwargs: Any,  # noqa: ARG002
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model itself: its lines do not depend on the tools."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 the signature is langchain-core's
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        self._seen.append(list(messages))
        said = 0
        for message in messages:
            said = 0 if isinstance(message, HumanMessage) else said + isinstance(message, AIMessage)
        if said >= len(self.lines):
            last = f"{messages[-1].type}: {messages[-1].text}" if messages else "nothing"
            raise IndexError(f"The script has {len(self.lines)} lines, and the agent asks for one more. It read {last}")
        line = self.lines[said]
        if callable(line):
            line = line(messages)
        message = AIMessage(line) if isinstance(line, str) else _with_ids(line, len(messages))
        return ChatResult(generations=[ChatGeneration(message=message)])


def _with_ids(line: AIMessage, position: int) -> AIMessage:
    """Return the line, with an id of its own for each call that has none. The same conversation gives the same ids."""
    calls = [{**call, "id": call["id"] or f"call_{position}_{number}"} for number, call in enumerate(line.tool_calls)]
    return line.model_copy(update={"tool_calls": calls})


def tool_call(tool: str = "nebula_image_to_video", /, **arguments: Any) -> AIMessage:
    """Return a line that calls a tool.

    Args:
        tool: The tool's name.
        arguments: The call's arguments. Leave out `image`, and the tool animates the newest image of the conversation.
    """
    json.dumps(arguments)  # a language model writes JSON, so nothing else reaches a tool
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": None}])
