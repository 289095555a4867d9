"""Pydantic AI: text to the model, the artifact to the program, and a key of the run and the request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from pydantic_ai import Agent, RunContext, Tool, ToolReturn
from pydantic_ai.messages import ModelMessage, ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from langchain_nebula_video import NebulaVideoTool


def video_tool(tool: NebulaVideoTool) -> Tool[None]:
    """The tool for an agent: the artifact goes into the metadata, which no model reads."""
    animate = tool.as_async_function(artifact=True)

    async def call(ctx: RunContext[None], **fields: Any) -> ToolReturn[str]:
        # Not the call's id: after `tool_timeout` the model asks again, and its new call has another one.
        request = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        text, artifact = await animate(**fields, key=f"{ctx.run_id}:{request}")
        return ToolReturn(return_value=text, metadata=artifact)

    schema = tool.function_schema().model_json_schema()
    return Tool.from_schema(call, tool.name, tool.function_description(), schema, takes_ctx=True)


def scripted(calls: Sequence[Call], name: str) -> FunctionModel:
    """A model with fixed answers. Use your own model instead."""
    left = list(calls)

    def answer(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(name, left.pop(0)) if left else TextPart("Done.")])

    return FunctionModel(answer)


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    agent = Agent(scripted(calls, tool.name), tools=[video_tool(tool)], tool_timeout=timeout, retries=len(calls))
    parts = [part for message in agent.run_sync("Animate my cat.").all_messages() for part in message.parts]
    return [
        (part.model_response() if isinstance(part, RetryPromptPart) else part.content, getattr(part, "metadata", None))
        for part in parts
        if isinstance(part, ToolReturnPart | RetryPromptPart)
    ]


if __name__ == "__main__":
    show(converse)
