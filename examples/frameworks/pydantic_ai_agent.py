"""Pydantic AI: text to the model, the artifact to the program, and a key of the run and the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from pydantic_ai import Agent, RunContext, Tool, ToolReturn
from pydantic_ai.messages import ModelMessage, ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from langchain_nebula_video import NebulaVideoTool


def video_tool(tool: NebulaVideoTool) -> Tool[None]:
    """The tool for an agent: the artifact goes into the metadata, which no model reads."""

    async def call(ctx: RunContext[None], **fields: Any) -> ToolReturn[str]:
        asked = {"type": "tool_call", "id": ctx.tool_call_id, "name": tool.name, "args": fields}
        made = await tool.ainvoke(asked, {"configurable": {"thread_id": ctx.run_id}})
        return ToolReturn(return_value=made.content, metadata=made.artifact)

    schema = tool.function_schema().model_json_schema()
    return Tool.from_schema(call, tool.name, tool.function_description(), schema, takes_ctx=True)


def scripted(calls: Sequence[Call], name: str) -> FunctionModel:
    """A model with fixed answers. Use your own model instead."""
    left = iter(calls)

    def answer(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        call = next(left, None)
        return ModelResponse(parts=[TextPart("Done.") if call is None else ToolCallPart(name, call)])

    return FunctionModel(answer)


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(conversation=False, **options)
    agent = Agent(scripted(calls, tool.name), tools=[video_tool(tool)], tool_timeout=timeout, retries=len(calls))
    parts = [part for message in agent.run_sync("Animate my cat.").all_messages() for part in message.parts]
    return [
        (part.model_response() if isinstance(part, RetryPromptPart) else part.content, getattr(part, "metadata", None))
        for part in parts
        if isinstance(part, ToolReturnPart | RetryPromptPart)
    ]


if __name__ == "__main__":
    show(converse)
