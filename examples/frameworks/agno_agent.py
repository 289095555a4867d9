"""Agno: text to the model, the video to the run's output, and the artifact to a list of the program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from _recipe import Answer, Call, show
from agno.agent import Agent
from agno.media import Video
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.tools.function import Function, ToolResult

from langchain_nebula_video import NebulaVideoTool


def video_tool(tool: NebulaVideoTool, kept: list[dict[str, Any] | None]) -> Function:
    """The tool for an agent. It adds each artifact to `kept`, since Agno has no place for it."""
    animate = tool.as_async_function(artifact=True)

    async def call(**fields: Any) -> ToolResult:
        text, artifact = await animate(**fields)
        kept.append(artifact)
        videos = [Video(id=artifact["task_id"], url=artifact["url"])] if artifact else None
        return ToolResult(content=text, videos=videos)

    return Function(
        name=tool.name,
        description=tool.function_description(),
        parameters=tool.function_schema().model_json_schema(),
        entrypoint=call,
        skip_entrypoint_processing=True,
    )


class Scripted(Model):
    """A model with fixed answers. Use your own model instead."""

    def __init__(self, calls: Sequence[Call], name: str) -> None:
        super().__init__(id="scripted")
        functions = [{"name": name, "arguments": json.dumps(call)} for call in calls]
        self.left = [{"id": f"call_{n}", "type": "function", "function": each} for n, each in enumerate(functions)]

    def invoke(self, *_: Any, **__: Any) -> ModelResponse:
        """Return the next answer."""
        if self.left:
            return ModelResponse(role="assistant", tool_calls=[self.left.pop(0)])
        return ModelResponse(role="assistant", content="Done.")

    async def ainvoke(self, *_: Any, **__: Any) -> ModelResponse:
        """Return the next answer."""
        return self.invoke()

    def invoke_stream(self, *_: Any, **__: Any) -> Iterator[ModelResponse]:
        """Return the next answer in one piece."""
        yield self.invoke()

    async def ainvoke_stream(self, *_: Any, **__: Any) -> AsyncIterator[ModelResponse]:
        """Return the next answer in one piece."""
        yield self.invoke()

    def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    kept: list[dict[str, Any] | None] = []
    agent = Agent(model=Scripted(calls, tool.name), tools=[video_tool(tool, kept)], telemetry=False)
    answer = await agent.arun("Animate my cat.")
    return list(zip([made.result for made in answer.tools], kept, strict=True))


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """Agno has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
