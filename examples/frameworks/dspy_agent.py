"""DSPy: an async function as a tool of ReAct."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import dspy
from _recipe import Answer, Call, show
from dspy.utils import DummyLM

from langchain_nebula_video import NebulaVideoTool


def scripted(calls: Sequence[Call], name: str) -> DummyLM:
    """A model with fixed answers. Use your own model instead."""
    steps = [{"next_thought": "A video.", "next_tool_name": name, "next_tool_args": call} for call in calls]
    last = {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}}
    return DummyLM([*steps, last, {"reasoning": "It is made.", "answer": "Done."}])


async def run(options: dict[str, Any], calls: Sequence[Call]) -> list[Answer]:
    """One run in which the model makes these calls."""
    tool = NebulaVideoTool(**options)
    agent = dspy.ReAct("question -> answer", tools=[tool.as_async_function()], max_iters=len(calls) + 1)
    with dspy.context(lm=scripted(calls, tool.name)):
        trajectory = (await agent.acall(question="Animate my cat.")).trajectory
    return [(trajectory[f"observation_{number}"], None) for number in range(len(calls))]


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """DSPy has no limit of its own for a tool; `timeout` gives up the whole run."""
    return asyncio.run(asyncio.wait_for(run(options, calls), timeout))


if __name__ == "__main__":
    show(converse)
