"""LangChain's own agent: the tool as it is. A run that was given up goes on in its thread, with the same video."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.testing import ScriptedChatModel, tool_call

THREADS = InMemorySaver()
"""In a real program, one that outlives it."""
THREAD = {"configurable": {"thread_id": "chat-17"}}


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the model makes these calls, or the rest of the one that was given up."""
    tool = NebulaVideoTool(**options)
    model = ScriptedChatModel(lines=[*(tool_call(tool.name, **call) for call in calls), "Done."])  # or your own
    agent = create_agent(model, [tool], checkpointer=THREADS)
    before = await agent.aget_state(THREAD)
    said = None if before.next else {"messages": [HumanMessage("Animate my cat.")]}
    state = await agent.ainvoke(said, THREAD)
    made = [message for message in state["messages"] if isinstance(message, ToolMessage)][-len(calls) :]
    return [(message.text, message.artifact) for message in made]


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """LangChain has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
