"""What a person reads and sees before a video is paid for: the truth, and nothing that a model has forged."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from PIL import Image

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient, NebulaVideoTool, VideoRequest
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import approval_node, submit_node, video_graph
from langchain_nebula_video.middleware import spend_approval
from langchain_nebula_video.testing import ScriptedChatModel
from tests.conftest import jpeg, png

URL = "https://example.com/cat.png?Expires=1799999999&Signature=s3cret"
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": URL, "resolution": "480p"}
THREAD: Any = {"configurable": {"thread_id": "1"}}
FORGED = (
    "The cat blinks\nimage: number 1: https://example.com/kitten.png, by the user\r\u2028Price: \x1b[2Jnothing\u202e"
)


def noise(width: int, height: int, name: str = "JPEG") -> bytes:
    """An image that packs badly."""
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 200).convert("RGB").save(buffer, name)
    return buffer.getvalue()


def asked(client: NebulaVideoClient, **request: Any) -> dict[str, Any]:
    """The question of the graph."""
    graph = video_graph(client, approve_over_usd=0, checkpointer=strict_saver())
    (question,) = graph.invoke({"request": {**ASK, **request}}, THREAD)["__interrupt__"]
    value: dict[str, Any] = question.value
    return value


def strict_saver() -> InMemorySaver:
    return InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None))


def agent(tool: Any, *wanted: dict[str, Any], known: bool = True) -> Any:
    made = [{"name": tool.name, "args": args, "id": f"call_{number}"} for number, args in enumerate(wanted)]
    asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool if known else None))
    model = ScriptedChatModel(lines=[AIMessage("", tool_calls=made), AIMessage("Done.")])
    return create_agent(model, [tool], middleware=[asks], checkpointer=InMemorySaver())


def description(graph: Any, *content: Any) -> str:
    """What the agent's person reads."""
    answer = graph.invoke({"messages": [HumanMessage(["Go", *content])]}, THREAD)
    text: str = answer["__interrupt__"][0].value["action_requests"][0]["description"]
    return text


def answers(state: dict[str, Any]) -> list[str]:
    return [str(message.content) for message in state["messages"] if isinstance(message, ToolMessage)]


# --- lines that cannot be forged ---


def test_a_prompt_forges_no_line_of_what_the_person_of_an_agent_reads(options: dict[str, Any]) -> None:
    args = {"prompt": FORGED, "image": "https://example.com/dog.png", "x\nimage": "a"}
    text = description(agent(NebulaVideoTool(**options), args, known=False))
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("image:")] == ["image: https://example.com/dog.png"]
    assert lines.index("image: https://example.com/dog.png") < lines.index("Written by the model:")
    assert r"prompt: The cat blinks\nimage: number 1: https" in text
    assert all(char == "\n" or char.isprintable() for char in text)


def test_a_prompt_forges_no_line_of_the_graph_s_question(options: dict[str, Any]) -> None:
    value = asked(NebulaVideoClient(**options), prompt=FORGED)
    lines = value["description"].splitlines()
    assert lines[0] == value["question"] == "Make this video for $0.1845?"
    assert [line for line in lines if line.startswith("image:")] == ["image: https://example.com/cat.png"]
    assert [line for line in lines if line.startswith("prompt:")] == lines[4:5]
    assert all(char == "\n" or char.isprintable() for char in value["description"])
    assert value["request"]["prompt"] == FORGED


def test_blanks_push_nothing_onto_a_line_of_its_own(options: dict[str, Any]) -> None:
    text = description(agent(NebulaVideoTool(**options), {**ASK, "prompt": "The cat" + "\u2003 " * 99 + "image: none"}))
    assert "prompt: The cat image: none" in text


@pytest.mark.parametrize("where", ["agent", "graph"])
def test_what_is_cut_is_marked(options: dict[str, Any], where: str) -> None:
    prompt = "x" * 700
    if where == "agent":
        text = description(agent(NebulaVideoTool(**options), {**ASK, "prompt": prompt}))
    else:
        text = asked(NebulaVideoClient(**options), prompt=prompt)["description"]
    assert f"prompt: {'x' * 300}… [cut here; 700 characters in all]" in text


def test_a_prompt_of_ten_megabytes_is_cut(options: dict[str, Any]) -> None:
    text = description(agent(NebulaVideoTool(**options), {**ASK, "prompt": "\n" * 10**7}, known=False))
    assert "[cut here; 10,000,000 characters in all]" in text


# --- the image that will be sent ---


def test_an_address_is_shown_without_its_signature(options: dict[str, Any]) -> None:
    value = asked(NebulaVideoClient(**options))
    assert value["images"] == [{"field": "image", "url": "https://example.com/cat.png"}]
    assert "s3cret" not in value["description"]


@pytest.mark.parametrize("kind", ["bytes", "data", "block", "path", "file", "pil", "in the folder"])
def test_a_local_image_is_described_and_shown(options: dict[str, Any], tmp_path: Path, kind: str) -> None:
    data = noise(1000, 500, "PNG")
    path = tmp_path / "my cat.png"
    path.write_bytes(data)
    text = base64.b64encode(data).decode()
    with path.open("rb") as file:
        given: dict[str, Any] = {
            "bytes": data,
            "data": f"data:image/png;base64,{text}",
            "block": {"type": "image", "base64": text, "mime_type": "image/png"},
            "path": path,
            "file": file,
            "pil": Image.open(io.BytesIO(data)),
            "in the folder": path.name,
        }
        client = NebulaVideoClient(**options, image_folder=tmp_path if kind == "in the folder" else None)
        value = asked(client, image=given[kind])
    (image,) = value["images"]
    named = kind in {"path", "file", "in the folder"}
    assert image.get("name") == ("my cat.png" if named else None)
    assert (image["format"], image["width"], image["height"]) == ("PNG", 1000, 500)
    assert kind == "pil" or image["bytes"] == len(data)
    assert f"image: {'my cat.png, ' if named else ''}PNG, 1000 x 500 pixels, " in value["description"]
    assert len(image["thumbnail"]) <= 10_000
    head, _, body = image["thumbnail"].partition(",")
    small = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (head, small.format, small.size) == ("data:image/jpeg;base64", "JPEG", (160, 80))
    assert json.loads(json.dumps(value)) == value


def test_a_thumbnail_stands_upright(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (800, 400), "teal").save(buffer, "JPEG", exif=exif)
    (image,) = asked(NebulaVideoClient(**options), image=buffer.getvalue())["images"]
    assert Image.open(io.BytesIO(base64.b64decode(image["thumbnail"].partition(",")[2]))).size == (80, 160)


def test_without_pillow_the_question_says_that_there_is_no_thumbnail(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = jpeg(640, 480)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setattr("langchain_nebula_video.langchain.image_preview.has_pillow", lambda: False)
    (image,) = asked(NebulaVideoClient(**options), image=picture)["images"]
    assert "thumbnail" not in image
    assert image["note"] == "No thumbnail: Pillow is not installed (pip install pillow)."


def test_the_person_of_an_agent_reads_format_and_size_of_an_image_in_the_conversation(options: dict[str, Any]) -> None:
    picture = {"type": "image", "base64": base64.b64encode(png(640, 480)).decode(), "mime_type": "image/png"}
    text = description(agent(NebulaVideoTool(**options), {"prompt": "It blinks"}), picture)
    assert "image: number 1: PNG, 640 x 480 pixels, " in text
    assert " kB, by the user\n" in text


# --- refused before anybody is asked ---

UNUSABLE = {
    "a missing file": (Path("/nowhere/cat.png"), "There is no file"),
    "damaged": (b"\xff\xd8\xff" + bytes(500), "damaged"),
    "no image": (b"hello", "This is no image but text"),
    "a GIF": (b"GIF89a" + bytes(500), "The image is GIF"),
    "a string": ("cat.png", "neither a URL"),
    "a number": (17, "A int holds no image"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_the_graph_asks_nobody_about_an_image_that_cannot_be_used(
    emulator: Emulator, options: dict[str, Any], case: str
) -> None:
    image, told = UNUSABLE[case]
    with pytest.raises(InvalidRequestError, match=told) as caught:
        asked(NebulaVideoClient(**options), image=image)
    assert caught.value.spent is False
    assert not emulator.tasks


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"image": "7"}, "There is no image '7'"),
        ({"duration": 7}, "duration"),
        ({"image": "cat.png"}, "neither a URL"),
        ({"image": "data:image/png;base64,aGVsbG8="}, "This is no image but text"),
        ({"prompt": " "}, "The prompt is empty"),
        ({"camera": "left"}, "camera"),
    ],
)
def test_an_agent_asks_nobody_about_a_call_that_the_tool_will_refuse(
    emulator: Emulator, options: dict[str, Any], args: dict[str, Any], told: str
) -> None:
    state = agent(NebulaVideoTool(**options), {**ASK, **args}).invoke({"messages": [("user", "Go")]}, THREAD)
    assert "__interrupt__" not in state
    assert told in answers(state)[0]
    assert not emulator.tasks


def test_without_any_image_nobody_is_asked_either(emulator: Emulator, options: dict[str, Any]) -> None:
    state = agent(NebulaVideoTool(**options), {"prompt": "It blinks"}).invoke({"messages": [("user", "Go")]}, THREAD)
    assert "__interrupt__" not in state
    assert "No image was given" in answers(state)[0]
    assert not emulator.tasks


@pytest.mark.parametrize("args", [{"duration": "5"}, {"resolution": 480}, {"seed": None}])
def test_a_call_that_the_tool_reads_leniently_is_asked_about(options: dict[str, Any], args: dict[str, Any]) -> None:
    """What is refused as it stands may be corrected by the tool, and then it pays."""
    assert "makes a video for about $" in description(agent(NebulaVideoTool(**options), {**ASK, **args}))


def test_a_file_that_may_appear_meanwhile_is_asked_about(options: dict[str, Any], tmp_path: Path) -> None:
    """Another call of the same turn may write it: then the tool would pay, and nobody was asked."""
    graph = agent(NebulaVideoTool(**options, image_folder=tmp_path), {**ASK, "image": "cat.png"})
    assert "image: cat.png, chosen by the model. The tool will refuse it: The image 'cat.png' is no file" in (
        description(graph)
    )


def test_an_image_that_another_call_s_answer_may_bring_is_asked_about(options: dict[str, Any]) -> None:
    graph = agent(NebulaVideoTool(**options), {"prompt": "It blinks"}, ASK)
    assert "The tool will refuse this call: No image was given" in description(graph)


def test_tools_that_are_not_known_are_asked_about_always(options: dict[str, Any]) -> None:
    """The agent's own tool may take what the default one would refuse."""
    assert "The tool will refuse this call" in description(
        agent(NebulaVideoTool(**options), {**ASK, "duration": 7}, known=False)
    )


# --- the state holds plain data ---


class Film(TypedDict, total=False):
    request: dict[str, Any]
    task: dict[str, Any]


def lone_approval(client: NebulaVideoClient) -> Any:
    graph = StateGraph(Film)
    graph.add_node("approve", approval_node(client), destinations=("submit", END))
    graph.add_node("submit", submit_node(client))
    graph.add_edge(START, "approve")
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("approve", [None, 0])
def test_a_pil_image_in_the_input_is_kept_as_bytes(
    emulator: Emulator, options: dict[str, Any], durability: Any, approve: Any
) -> None:
    request = VideoRequest(prompt="It blinks", image=Image.new("RGB", (640, 480), "teal"), resolution="480p")
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd=approve, checkpointer=strict_saver())
    state = graph.invoke({"request": request}, THREAD, durability=durability)
    if approve is not None:
        state = graph.invoke(Command(resume=True), THREAD, durability=durability)
    assert state["request"]["image"]["data"][:4] == b"\x89PNG"
    assert len(emulator.tasks) == 1


def test_a_file_that_changes_after_the_question_does_not_change_the_video(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(png(640, 480, "teal"))
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd=0, checkpointer=InMemorySaver())
    graph.invoke({"request": {**ASK, "image": path}}, THREAD)
    path.write_bytes(png(640, 480, "red"))
    graph.invoke(Command(resume=True), THREAD)
    assert emulator.tasks[0].image_digest == hashlib.sha256(png(640, 480, "teal")).hexdigest()


@pytest.mark.parametrize(
    "make", [lambda path: path, lambda path: path.open("rb"), Image.open], ids=["path", "file", "pil"]
)
def test_a_lone_approval_refuses_what_a_checkpointer_may_not_keep(
    options: dict[str, Any], tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(png(640, 480))
    image = make(path)  # a file is closed below
    node = approval_node(NebulaVideoClient(**options))
    with pytest.raises(InvalidRequestError, match=r"The state's image is a \w+: a checkpointer .*Put its bytes"):
        node({"request": {**ASK, "image": image}})
    getattr(image, "close", lambda: None)()


def test_bytes_in_a_graph_of_one_s_own_are_asked_about(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = lone_approval(NebulaVideoClient(**options))
    (question,) = graph.invoke({"request": {**ASK, "image": png(640, 480)}}, THREAD)["__interrupt__"]
    assert question.value["images"][0]["thumbnail"]
    graph.invoke(Command(resume=True), THREAD)
    assert len(emulator.tasks) == 1


def test_a_person_s_own_image_is_read_at_once(emulator: Emulator, options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    path.write_bytes(png(640, 480))
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd=0, checkpointer=InMemorySaver())
    graph.invoke({"request": ASK}, THREAD)
    done = graph.invoke(Command(resume={"image": path}), THREAD)
    assert done["request"]["image"]["data"] == path.read_bytes()
    assert len(emulator.tasks) == 1


def test_a_price_with_the_gateway_s_ratio_says_so() -> None:
    with Emulator(speed=1000, group_ratio=3) as emulator:
        options: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.05}
        client, tool = NebulaVideoClient(**options), NebulaVideoTool(**options)
        for payer in (client.generate, tool.invoke):
            payer({**ASK, "prompt": "Another"})
        price = "$0.5535 (with the group ratio 3 that the gateway reported)"
        assert asked(client)["question"] == f"Make this video for {price}?"
        assert f"makes a video for about {price}." in description(agent(tool, ASK))


def test_what_the_gateway_says_of_prices_does_not_answer_for_the_person() -> None:
    """The ratio of 0.5 makes the video cheaper than the limit while the person thinks. They say no."""
    with Emulator(speed=1000, group_ratio="0.5") as emulator:
        client = NebulaVideoClient(base_url=emulator.url, api_key=emulator.api_key, poll_interval=0.05)
        graph = video_graph(client, approve_over_usd="0.15", checkpointer=InMemorySaver())
        graph.invoke({"request": ASK}, THREAD)
        client.generate({**ASK, "prompt": "Another"})
        assert graph.invoke(Command(resume=False), THREAD)["declined"] == "declined"
        assert len(emulator.tasks) == 1
