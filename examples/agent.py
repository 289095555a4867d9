"""An agent animates the photograph in the user's message."""

from __future__ import annotations

from typing import Any

from _gateway import PHOTOGRAPH, ScriptedModel, gateway, picture
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.content import create_text_block

from langchain_nebula_video import Budget, NebulaVideoTool

# The call has no image, so the tool takes the newest image of the conversation.
call = {"name": "nebula_image_to_video", "id": "call_1", "args": {"prompt": "The cat blinks", "resolution": "480p"}}
model = ScriptedModel(responses=[AIMessage("", tool_calls=[call]), AIMessage("There it is.")])
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
