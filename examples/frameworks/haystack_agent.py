"""Haystack: text to the model, and the artifact in the agent's state."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from haystack.components.agents import Agent
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.tools import Tool

from langchain_nebula_video import NebulaVideoTool


def video_tool(tool: NebulaVideoTool) -> Tool:
    """The tool for an agent. Its state has a list `videos`, with `None` for an error."""
    animate, animate_async = tool.as_function(artifact=True), tool.as_async_function(artifact=True)

    def call(**fields: Any) -> dict[str, Any]:
        return dict(zip(("text", "videos"), animate(**fields), strict=True))

    async def call_async(**fields: Any) -> dict[str, Any]:
        return dict(zip(("text", "videos"), await animate_async(**fields), strict=True))

    return Tool(
        name=tool.name,
        description=tool.function_description(),
        parameters=tool.function_schema().model_json_schema(),
        function=call,
        async_function=call_async,
        outputs_to_string={"source": "text"},
        outputs_to_state={"videos": {"source": "videos", "handler": lambda old, new: [*(old or []), new]}},
    )


def scripted(calls: Sequence[Call], name: str) -> MockChatGenerator:
    """A model with fixed answers. Use your own model instead."""
    asked = [ChatMessage.from_assistant(tool_calls=[ToolCall(name, call, f"call_{n}")]) for n, call in enumerate(calls)]
    return MockChatGenerator(responses=[*asked, ChatMessage.from_assistant("Done.")])


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    agent = Agent(
        chat_generator=scripted(calls, tool.name),
        tools=[video_tool(tool)],
        state_schema={"videos": {"type": list}},
    )
    answer = await agent.run_async([ChatMessage.from_user("Animate my cat.")])
    texts = [made.result for message in answer["messages"] for made in message.tool_call_results]
    return list(zip(texts, answer["videos"], strict=True))


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """Haystack has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
