"""An agent animates the photograph in the user's message."""

from __future__ import annotations

import base64
from typing import Any

from _gateway import PHOTOGRAPH, gateway
from langchain.agents import create_agent
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.content import create_image_block, create_text_block

from langchain_nebula_video import Budget, NebulaVideoTool


class ScriptedModel(FakeMessagesListChatModel):
    """Stands for a language model: calls the tool, then thanks. Put your own chat model here."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: ARG002 it knows what to call
        """Nothing to bind: the script is fixed."""
        return self


# No image in the call: the tool takes the newest one of the conversation.
call = {"name": "nebula_image_to_video", "id": "call_1", "args": {"prompt": "The cat blinks", "resolution": "480p"}}
model = ScriptedModel(responses=[AIMessage("", tool_calls=[call]), AIMessage("There it is.")])
picture = create_image_block(base64=base64.b64encode(PHOTOGRAPH).decode(), mime_type="image/jpeg")
question = HumanMessage(content_blocks=[create_text_block("Make my cat blink."), picture])

with gateway() as options:
    tool = NebulaVideoTool(budget=Budget(usd="1.00"), **options)
    answer = create_agent(model, [tool]).invoke({"messages": [question]})

_, asked, made, said = answer["messages"]
print("User: ", question.text)
print("Agent:", asked.tool_calls[0]["args"])
print("Tool: ", made.content)
print("Agent:", said.text)
