"""An agent with a scripted model in place of a language model: it calls the tool once, then reports the result."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.content import create_image_block, create_text_block

from langchain_nebula_video.langchain.tools import NebulaVideoTool
from langchain_nebula_video.testing.model import ScriptedChatModel, tool_call

__all__ = ["conversation"]


def _report(messages: list[BaseMessage]) -> str:
    """Say what the tool's answer tells."""
    video = json.loads(str(messages[-1].content))
    return f"Here is your video: {video['duration']} seconds at {video['resolution']}, for ${video['cost_usd']:g}."


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
    model = ScriptedChatModel(lines=[tool_call(tool.name, **call), _report])
    try:
        from langchain.agents import create_agent  # noqa: PLC0415 it may be missing
    except ModuleNotFoundError:
        calling = await model.ainvoke([user])
        yield calling
        asked = calling.tool_calls[0]
        call_with_image = {**asked, "args": {**asked["args"], "image": f"data:image/jpeg;base64,{encoded}"}}
        answered = await tool.ainvoke(call_with_image)
        yield answered
        yield await model.ainvoke([user, calling, answered])
        return
    agent = create_agent(model, [tool])
    async for update in agent.astream({"messages": [user]}, stream_mode="updates"):
        for step in update.values():
            for message in step["messages"]:
                yield message
