"""One life of an agent with a SqliteSaver: begun, or resumed; killed at a point that is given.

The points are the journal's own transactions and the moments around the tool: with `os._exit` nothing is tidied up,
as when a machine loses power.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_nebula_video import NebulaVideoTool, SqlJournal
from langchain_nebula_video.testing import ScriptedChatModel

WRITES = ("reserve", "begin", "update", "hold", "release", "claim", "forget")


class Doom:
    """Counts moments, and ends the process at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.now = 0

    def moment(self) -> None:
        if self.now == self.at:
            os._exit(9)
        self.now += 1


class DoomedJournal(SqlJournal):
    """Each of its writes has a moment before and a moment after."""

    doom: Doom

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in WRITES:
            return found
        doom = super().__getattribute__("doom")

        def doomed(*args: Any, **kwargs: Any) -> Any:
            doom.moment()
            answer = found(*args, **kwargs)
            doom.moment()
            return answer

        return doomed


class DoomedTool(NebulaVideoTool):
    """The tool's own beginning and end are moments too."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        journal = self.journal
        journal.doom.moment()
        answer = super().run(*args, **kwargs)
        journal.doom.moment()
        return answer


def main(asked: dict[str, Any]) -> None:
    """Begin the thread, or go on with it; print what came of it."""
    journal = DoomedJournal(asked["journal"])
    journal.doom = Doom(asked["dies_at"])
    tool = DoomedTool(**asked["options"], journal=journal, handle_tool_error=asked.get("handled", True))
    calls = [{"name": tool.name, "args": args, "id": f"call_{number}"} for number, args in enumerate(asked["calls"])]
    model = ScriptedChatModel(lines=[AIMessage("", tool_calls=calls), AIMessage("Done.")])
    with sqlite3.connect(asked["checkpoints"], check_same_thread=False) as connection:
        agent: Any = create_agent(model, [tool], checkpointer=SqliteSaver(connection))
        thread: Any = {"configurable": {"thread_id": "chat-1"}}
        begun = bool(agent.get_state(thread).values)
        answer = agent.invoke(None if begun else {"messages": [("user", "Go")]}, thread, durability="sync")
    told = [message.content for message in answer["messages"] if message.type == "tool"]
    sys.stdout.write(json.dumps({"moments": journal.doom.now, "answers": told, "last": answer["messages"][-1].content}))
