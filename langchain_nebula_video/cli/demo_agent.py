"""An agent with a scripted model in place of a language model: it calls the tool once, then reports the result."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.content import create_image_block, create_text_block
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from langchain_nebula_video.langchain.tools import NebulaVideoTool

__all__ = ["ScriptedModel", "conversation"]


class ScriptedModel(BaseChatModel):
    """Answers a user's message with one tool call, and a tool's message with a sentence."""

    call: dict[str, Any]
    """The tool call's name and arguments."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:  # noqa: ARG002 the call is scripted
        """See `BaseChatModel`."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 the signature is langchain-core's
        run_manager: Any = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            video = json.loads(str(last.content))
            text = (
                f"Here is your video: {video['duration']} seconds at {video['resolution']}, for ${video['cost_usd']:g}."
            )
            answer = AIMessage(text)
        else:
            answer = AIMessage("", tool_calls=[{**self.call, "id": "call_1", "type": "tool_call"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])


async def conversation(
    tool: NebulaVideoTool, photograph: bytes, user_message: str, call: dict[str, Any]
) -> AsyncIterator[AIMessage | ToolMessage]:
    """Yield each message after the user's. The photograph is in the user's message, not in the call.

    Without the package `langchain` there is no agent. Then this function calls the tool itself, with the photograph
    in the call.
    """
    encoded = base64.b64encode(photograph).decode()
    image_block = create_image_block(base64=encoded, mime_type="image/jpeg")
    user = HumanMessage(content_blocks=[create_text_block(user_message), image_block])
    model = ScriptedModel(call={"name": tool.name, "args": call})
    try:
        from langchain.agents import create_agent  # noqa: PLC0415 it may be missing
    except ModuleNotFoundError:
        calling = await model.ainvoke([user])
        yield calling
        tool_call = calling.tool_calls[0]
        call_with_image = {**tool_call, "args": {**tool_call["args"], "image": f"data:image/jpeg;base64,{encoded}"}}
        answered = await tool.ainvoke(call_with_image)
        yield answered
        yield await model.ainvoke([user, calling, answered])
        return
    agent = create_agent(model, [tool])
    async for update in agent.astream({"messages": [user]}, stream_mode="updates"):
        for step in update.values():
            for message in step["messages"]:
                yield message
