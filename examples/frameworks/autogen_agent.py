"""AutoGen: the async function as a `FunctionTool`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ToolCallExecutionEvent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, ModelFamily, ModelInfo, RequestUsage
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient

from langchain_nebula_video import NebulaVideoTool


def scripted(calls: Sequence[Call], name: str) -> ReplayChatCompletionClient:
    """A model with fixed answers. Use your own model instead."""
    asked = [
        CreateResult(
            finish_reason="function_calls",
            content=[FunctionCall(id=f"call_{number}", name=name, arguments=json.dumps(call))],
            usage=RequestUsage(0, 0),
            cached=False,
        )
        for number, call in enumerate(calls)
    ]
    abilities = {"vision": False, "function_calling": True, "json_output": False, "structured_output": False}
    return ReplayChatCompletionClient([*asked, "Done."], ModelInfo(family=ModelFamily.UNKNOWN, **abilities))


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    agent = AssistantAgent(
        "animator",
        scripted(calls, tool.name),
        tools=[FunctionTool(tool.as_async_function(), tool.function_description(), tool.name)],
        max_tool_iterations=len(calls) + 1,
    )
    answer = await agent.run(task="Animate my cat.")
    events = [message for message in answer.messages if isinstance(message, ToolCallExecutionEvent)]
    return [(made.content, None) for event in events for made in event.content]


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """AutoGen has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
