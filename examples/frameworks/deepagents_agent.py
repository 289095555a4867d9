"""Deep Agents: the tool in a subagent. The main agent reads words of it; a callback handler keeps the artifact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from deepagents import create_deep_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.testing import ScriptedChatModel, tool_call


class Videos(BaseCallbackHandler):
    """Keeps what the tool answers, in whichever subagent it runs."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def on_tool_end(self, output: Any, **_: Any) -> None:
        """Keep the text and the artifact."""
        if isinstance(output, ToolMessage) and output.name == "nebula_image_to_video":
            self.answers.append((output.text, output.artifact))


# They outlive a run that is given up. In a real program, let them outlive the program.
THREADS = InMemorySaver()
VIDEOS = Videos()


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the subagent's model makes these calls, or the rest of the one that was given up."""
    tool = NebulaVideoTool(**options)
    animator = {
        "name": "animator",
        "description": "Animates an image. Give it the image's https URL: it sees nothing of this conversation.",
        "system_prompt": "Animate the image.",
        "tools": [tool],
        "model": ScriptedChatModel(lines=[*(tool_call(tool.name, **call) for call in calls), "Done."]),
    }
    wish = {"subagent_type": "animator", "description": "Make the cat of https://example.com/cat.jpg blink."}
    model = ScriptedChatModel(lines=[tool_call("task", **wish), "Done."])  # or your own
    agent = create_deep_agent(model=model, subagents=[animator], checkpointer=THREADS)
    config = {"configurable": {"thread_id": "chat-17"}, "callbacks": [VIDEOS]}
    if (await agent.aget_state(config)).next:
        await agent.ainvoke(None, config)
    else:
        VIDEOS.answers.clear()
        await agent.ainvoke({"messages": [HumanMessage("Animate my cat.")]}, config)
    return list(VIDEOS.answers)


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """Deep Agents has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
