"""Google ADK: the async function itself is the tool; a sync one would stop the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from _recipe import Answer, Call, show
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools import BaseTool, ToolContext
from google.genai import types

from langchain_nebula_video import NebulaVideoTool


class Scripted(BaseLlm):
    """A model with fixed answers. Use your own model instead."""

    model: str = "scripted"
    left: list[types.Part]

    async def generate_content_async(
        self,
        llm_request: LlmRequest,  # noqa: ARG002 the answers are fixed
        stream: bool = False,  # noqa: ARG002 the answers are fixed
    ) -> AsyncGenerator[LlmResponse, None]:
        """Return the next answer."""
        part = self.left.pop(0) if self.left else types.Part(text="Done.")
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def split(tool: BaseTool, args: Call, tool_context: ToolContext, tool_response: Any) -> Call:  # noqa: ARG001
    """Let the model read the text. Keep the artifact in the session's state."""
    text, artifact = tool_response
    tool_context.state["videos"] = [*tool_context.state.get("videos", []), artifact]
    return {"result": text}


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    agent = LlmAgent(
        name="animator",
        model=Scripted(left=[types.Part.from_function_call(name=tool.name, args=call) for call in calls]),
        tools=[tool.as_async_function(artifact=True)],
        after_tool_callback=split,
    )
    runner = InMemoryRunner(agent, app_name="videos")
    session = await runner.session_service.create_session(app_name="videos", user_id="user")
    question = types.Content(role="user", parts=[types.Part(text="Animate my cat.")])
    where = {"user_id": "user", "session_id": session.id}
    events = [event async for event in runner.run_async(**where, new_message=question)]
    texts = [made.response["result"] for event in events for made in event.get_function_responses()]
    kept = await runner.session_service.get_session(app_name="videos", **where)
    return list(zip(texts, kept.state["videos"], strict=True))


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """ADK has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
