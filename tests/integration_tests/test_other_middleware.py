"""LangChain's own middleware around our tools, as docs/other-middleware.md tells of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    LLMToolEmulator,
    PIIMiddleware,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.testing import ScriptedChatModel
from tests.agents import animates

PICTURE = {"type": "image", "url": "https://example.com/cat.png"}
ASK = HumanMessage([{"type": "text", "text": "Make it blink"}, PICTURE])


def answered(tool: NebulaVideoTool, *middleware: Any, ask: Any = ASK) -> ToolMessage:
    """The tool's answer as the state keeps it."""
    agent = create_agent(animates(resolution="480p"), [tool], middleware=list(middleware))
    messages = agent.invoke({"messages": [ask]})["messages"]
    return next(message for message in messages if isinstance(message, ToolMessage))


@pytest.mark.parametrize("strategy", ["redact", "mask", "hash"])
def test_addresses_that_are_redacted_in_results_stay_in_the_artifact(options: dict[str, Any], strategy: Any) -> None:
    hides = PIIMiddleware("url", strategy=strategy, apply_to_input=False, apply_to_tool_results=True)
    answer = answered(NebulaVideoTool(**options), hides)
    assert answer.artifact["url"].startswith("http")
    assert answer.artifact["url"] not in str(answer.content)
    assert json.loads(str(answer.content))["status"] == "succeeded"


def test_without_a_url_in_the_content_there_is_nothing_to_block(options: dict[str, Any]) -> None:
    blocks = PIIMiddleware("url", strategy="block", apply_to_input=False, apply_to_tool_results=True)
    answer = answered(NebulaVideoTool(**options, url_in_content=False), blocks)
    assert answer.artifact["url"].startswith("http")


def test_an_address_in_the_user_s_text_is_redacted_for_the_tool_too(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    hides = PIIMiddleware("url")
    in_text = HumanMessage(f"Make {PICTURE['url']} blink")
    assert "No image was given" in str(answered(NebulaVideoTool(**options), hides, ask=in_text).content)
    assert len(emulator.tasks) == 0
    assert answered(NebulaVideoTool(**options), hides).status == "success"


def test_results_that_are_cleared_are_cleared_for_the_model_only(options: dict[str, Any]) -> None:
    clears = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=0)])
    answer = answered(NebulaVideoTool(**options), clears)
    assert json.loads(str(answer.content))["status"] == "succeeded"
    assert answer.artifact["url"].startswith("http")


def test_an_emulated_tool_is_not_called_and_has_no_artifact(emulator: Emulator, options: dict[str, Any]) -> None:
    emulates = LLMToolEmulator(model=ScriptedChatModel(lines=[AIMessage("A video was made.")]))
    answer = answered(NebulaVideoTool(**options), emulates)
    assert (answer.artifact, len(emulator.tasks)) == (None, 0)
