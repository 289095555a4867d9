"""Whoever made the picture, the video begins with it: an agent, the emulator, and the video taken apart."""

from __future__ import annotations

import colorsys
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from PIL import Image, ImageChops, ImageDraw, ImageStat

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.testing import ScriptedChatModel
from tests.agents import animates, animating
from tests.conversations import PRODUCERS, Producer, answering, encoded
from tests.gateways import BOTH, SPEED

SMALL = (32, 32)
SHORT: dict[str, Any] = {"duration": 1, "seed": 1}
CLOSE = 16
"""Mean difference of the channels, 0 to 255, that encoding and cropping may make."""


def quadrants(number: int) -> bytes:
    """A picture of four colours, unlike that of any other number."""
    corners = list(itertools.permutations(range(5), 4))[number * 7 % 120]
    picture = Image.new("RGB", (96, 96))
    for at, corner in enumerate(corners):
        shade = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(corner / 5, 0.9, 0.9))
        left, top = 48 * (at % 2), 48 * (at // 2)
        ImageDraw.Draw(picture).rectangle((left, top, left + 47, top + 47), fill=shade)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


PICTURES = [quadrants(number) for number in range(len(PRODUCERS) + 1)]
ADDRESSES = [f"https://pictures.example.com/{number}.png" for number in range(len(PICTURES))]
DECOY = len(PRODUCERS)


def small(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize(SMALL, Image.Resampling.LANCZOS)


def first_frame(video: Path) -> Image.Image:
    with av.open(video) as container:
        shown: Image.Image = next(container.decode(video=0)).to_image()  # type: ignore[no-untyped-call]
    return small(shown)


def difference(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def shown_first(message: Any) -> int:
    """Which of the pictures a video begins with; it is no other's double."""
    assert isinstance(message, ToolMessage)
    assert message.status == "success", message.content
    frame = first_frame(Path(message.artifact["path"]))
    best, second = sorted(
        (difference(frame, small(Image.open(io.BytesIO(picture)))), number) for number, picture in enumerate(PICTURES)
    )[:2]
    assert best[0] < CLOSE < second[0]
    return best[1]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """One that knows the pictures by their addresses."""
    known = dict(zip(ADDRESSES, PICTURES, strict=True))
    bare = {address.removesuffix(".png"): picture for address, picture in known.items()}
    with Emulator(speed=SPEED, known_images={**known, **bare}) as running:
        yield running


@pytest.fixture
def tool(options: dict[str, Any], tmp_path: Path) -> NebulaVideoTool:
    return NebulaVideoTool(**options, save_to=tmp_path)


@pytest.fixture
def quick(options: dict[str, Any], tmp_path: Path) -> NebulaVideoTool:
    """A model that makes videos of one second."""
    return NebulaVideoTool(**options, save_to=tmp_path, gateway="uniall", model="viduq3t-540p")


each_producer = pytest.mark.parametrize("number", range(len(PRODUCERS)), ids=[one.name for one in PRODUCERS])


def made(number: int) -> list[Any]:
    producer: Producer = PRODUCERS[number]
    return producer.make(PICTURES[number], ADDRESSES[number])


def decoy() -> HumanMessage:
    return HumanMessage([{"type": "image", "base64": encoded(PICTURES[DECOY]), "mime_type": "image/png"}])


@BOTH
@each_producer
def test_an_agent_animates_the_newest_picture_whoever_made_it(
    emulator: Emulator, quick: NebulaVideoTool, number: int
) -> None:
    agent: Any = create_agent(animates(**SHORT), [quick])
    conversation = [decoy(), AIMessage("A fine picture."), *made(number), HumanMessage("Animate it.")]
    messages = agent.invoke({"messages": conversation})["messages"]
    assert shown_first(messages[-2]) == (DECOY if PRODUCERS[number].claimed else number)
    assert len(emulator.tasks) == 1
    assert emulator.violations == ()


def _graph(tool: NebulaVideoTool) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "tools")
    return graph.compile()


async def _animated(tool: NebulaVideoTool, conversation: list[Any], **args: Any) -> Any:
    asked = animating(**SHORT, **args)
    result = await _graph(tool).ainvoke({"messages": [*conversation, asked]})
    return result["messages"][-1]


@each_producer
async def test_an_older_picture_is_animated_by_its_number(
    emulator: Emulator, quick: NebulaVideoTool, number: int
) -> None:
    import anyio

    conversation = [*await anyio.to_thread.run_sync(made, number), decoy(), HumanMessage("Animate the first one.")]
    assert shown_first(await _animated(quick, conversation, image="1")) == number
    assert len(emulator.tasks) == 1


def test_in_one_long_conversation_each_number_is_its_own_picture(quick: NebulaVideoTool) -> None:
    conversation = [message for number in range(len(PRODUCERS)) for message in made(number)]
    graph = _graph(quick)
    for number in range(0, len(PRODUCERS), 5):
        asked = animating(f"call_{number}", **SHORT, image=f"image {number + 1}")
        assert shown_first(graph.invoke({"messages": [*conversation, asked]})["messages"][-1]) == number


def test_a_video_does_not_become_the_newest_picture(emulator: Emulator, tool: NebulaVideoTool) -> None:
    """An agent that is asked twice animates the same picture twice, with what it said in between."""
    agent: Any = create_agent(animates("call_1", resolution="480p"), [tool])
    first = agent.invoke({"messages": [*answering("Done.", {"image": PICTURES[0]}), HumanMessage("Animate it.")]})
    said = AIMessage(f"Here it is: {first['messages'][-2].artifact['url']}")
    again: Any = create_agent(animates("call_2", resolution="480p", prompt="It turns"), [tool])
    second = again.invoke({"messages": [*first["messages"], said, HumanMessage("Again!")]})
    assert [shown_first(messages[-2]) for messages in (first["messages"], second["messages"])] == [0, 0]
    assert len(emulator.tasks) == 2


def test_a_number_that_is_not_there_is_told_to_the_model_and_costs_nothing(
    emulator: Emulator, quick: NebulaVideoTool
) -> None:
    lines = [animating("call_1", image="5", **SHORT), animating("call_2", image="1", **SHORT), AIMessage("Done.")]
    agent: Any = create_agent(ScriptedChatModel(lines=lines), [quick])
    messages = agent.invoke({"messages": [decoy(), HumanMessage("Animate it.")]})["messages"]
    refused, answered = [message for message in messages if isinstance(message, ToolMessage)]
    assert (refused.status, "1: PNG, 1 kB, by the user" in refused.content) == ("error", True)
    assert shown_first(answered) == DECOY
    assert len(emulator.tasks) == 1
