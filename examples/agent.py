"""An agent animates the photograph in the user's message."""

from __future__ import annotations

from typing import Any

from _gateway import PHOTOGRAPH, gateway, picture
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.messages.content import create_text_block

from langchain_nebula_video import Budget, NebulaVideoTool
from langchain_nebula_video.testing import ScriptedChatModel, tool_call

# The call has no image, so the tool takes the newest image of the conversation.
model = ScriptedChatModel(lines=[tool_call(prompt="The cat blinks", resolution="480p"), "There it is."])  # or your own
question = HumanMessage(content_blocks=[create_text_block("Make my cat blink."), picture(PHOTOGRAPH)])

with gateway() as options:
    tool = NebulaVideoTool(budget=Budget(usd="1.00"), **options)
    agent: Any = create_agent(model, [tool])
    answer = agent.invoke({"messages": [question]})

_, asked, made, said = answer["messages"]
print("User: ", question.text)
print("Agent:", asked.tool_calls[0]["args"])
print("Tool: ", made.content)
print("Agent:", said.text)
