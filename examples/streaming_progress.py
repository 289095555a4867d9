"""Progress of a video: in the stream of an agent, and in a callback of plain Python."""

from __future__ import annotations

from typing import Any

from _gateway import PHOTOGRAPH, gateway, picture
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.messages.content import create_text_block

from langchain_nebula_video import NebulaVideoClient, NebulaVideoTool, VideoProgress
from langchain_nebula_video.testing import ScriptedChatModel, tool_call

model = ScriptedChatModel(lines=[tool_call(prompt="The cat blinks", resolution="480p"), "There it is."])  # or your own
question = HumanMessage(content_blocks=[create_text_block("Make my cat blink."), picture(PHOTOGRAPH)])


def bar(fraction: float, status: str) -> None:
    """Print one line."""
    print(f"[{'#' * round(20 * fraction):20}] {status}")


def print_progress(progress: VideoProgress) -> None:
    """The client calls this after each poll."""
    bar(progress.fraction, progress.status)


with gateway(speed=60) as options:
    agent: Any = create_agent(model, [NebulaVideoTool(**options)])
    print("An agent:")
    for event in agent.stream({"messages": [question]}, stream_mode="custom"):
        bar(event["fraction"], event["status"])

    print("Plain Python:")
    NebulaVideoClient(**options).generate(
        prompt="It yawns", image=PHOTOGRAPH, resolution="480p", on_progress=print_progress
    )
