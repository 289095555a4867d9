"""A person sees the price and chooses a cheaper video. Only then is anything sent."""

from __future__ import annotations

from typing import Any

from _gateway import PHOTOGRAPH, gateway, picture
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import HumanMessage
from langchain_core.messages.content import create_text_block
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.middleware import spend_approval
from langchain_nebula_video.testing import ScriptedChatModel, tool_call

wish = {"prompt": "The cat blinks", "resolution": "1080p", "duration": 10}
model = ScriptedChatModel(lines=[tool_call(**wish), "There it is."])  # or your own
question = HumanMessage(content_blocks=[create_text_block("Make my cat blink."), picture(PHOTOGRAPH)])
thread: Any = {"configurable": {"thread_id": "chat-1"}}

with gateway() as options:
    tool = NebulaVideoTool(**options)
    asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd="0.50"))
    agent: Any = create_agent(model, [tool], middleware=[asks], checkpointer=InMemorySaver())

    paused = agent.invoke({"messages": [question]}, thread)
    print(paused["__interrupt__"][0].value["action_requests"][0]["description"].splitlines()[0])

    print("Person: five seconds at 480p will do.")
    cheaper = {"name": tool.name, "args": {**wish, "resolution": "480p", "duration": 5}}
    decision = {"type": "edit", "edited_action": cheaper}
    answer = agent.invoke(Command(resume={"decisions": [decision]}), thread)

made = next(message for message in answer["messages"] if message.type == "tool")
print("Made for", made.artifact["cost_usd"], "dollars:", made.artifact["duration"], "s at", made.artifact["resolution"])
