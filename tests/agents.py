"""Agents without a language model: the scripts that many tests use."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage

from langchain_nebula_video.testing import ScriptedChatModel


def animates(call_id: str = "call_1", **args: Any) -> ScriptedChatModel:
    """A model that asks for one video and then says that it is done."""
    return ScriptedChatModel(lines=[animating(call_id, **args), AIMessage("Done.")])


def animating(call_id: str = "call_1", **args: Any) -> AIMessage:
    """A model's turn that asks for one video."""
    call = {"name": "nebula_image_to_video", "args": {"prompt": "The cat blinks", **args}, "id": call_id}
    return AIMessage("", tool_calls=[call])
