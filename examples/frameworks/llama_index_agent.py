"""LlamaIndex: text to the model, and the artifact as the tool's raw output."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, TextBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool, ToolOutput

from langchain_nebula_video import NebulaVideoTool


def video_tool(tool: NebulaVideoTool) -> FunctionTool:
    """The tool for an agent."""

    async def split(returned: tuple[str, dict[str, Any] | None]) -> ToolOutput:
        text, artifact = returned
        return ToolOutput(content=text, tool_name=tool.name, raw_input={}, raw_output=artifact)

    return FunctionTool.from_defaults(
        async_fn=tool.as_async_function(artifact=True),
        async_callback=split,
        name=tool.name,
        description=tool.function_description(),
        fn_schema=tool.function_schema(),
    )


def scripted(calls: Sequence[Call], name: str) -> MockFunctionCallingLLM:
    """A model with fixed answers. Use your own model instead."""
    left = [ToolCallBlock(tool_call_id=f"call_{n}", tool_name=name, tool_kwargs=call) for n, call in enumerate(calls)]

    def answer(*_: Any, **__: Any) -> ChatMessage:
        return ChatMessage(role="assistant", blocks=[left.pop(0) if left else TextBlock(text="Done.")])

    return MockFunctionCallingLLM(response_generator=answer, is_chat_model=True)


async def run(options: dict[str, Any], calls: Sequence[Call], timeout: float | None) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    llm = scripted(calls, tool.name)
    agent = FunctionAgent(tools=[video_tool(tool)], llm=llm, streaming=False, timeout=timeout)
    answer = await agent.run("Animate my cat.")
    return [(made.tool_output.content, made.tool_output.raw_output) for made in answer.tool_calls]


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """`timeout` is the agent's own: it ends the run."""
    return asyncio.run(run(options, calls, timeout))


if __name__ == "__main__":
    show(converse)
