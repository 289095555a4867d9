"""The images of a conversation, whoever made them."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from PIL import Image

from langchain_nebula_video import InvalidRequestError, NebulaVideoTool
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import find_offer
from langchain_nebula_video.langchain.conversation import chosen, images, newest_image
from langchain_nebula_video.langchain.image_search import text_without_images
from langchain_nebula_video.langchain.image_values import is_url, parse_handle
from langchain_nebula_video.langchain.tool_images import resolve_images
from langchain_nebula_video.media.images import prepare_image
from tests.agents import animating
from tests.conftest import Gateway, jpeg, png
from tests.conversations import PRODUCERS, Producer, answering, called, dalle, encoded, openai_answer
from tests.tables import each_row

CAT = "https://pictures.example.com/cat.png"
DOG = "https://pictures.example.com/dog.jpg"
BARE = "https://pictures.example.com/v1.2/8f14e45f"
PNG = png()
LIMITS = GATEWAYS["nebula"].images


def sources(*messages: Any) -> list[Any]:
    return [image.source for image in images(messages)]


def answer(content: Any, artifact: Any = None, **fields: Any) -> ToolMessage:
    return ToolMessage(content, artifact=artifact, tool_call_id="1", **{"name": "draw", **fields})


@functools.cache
def made_by(producer: Producer) -> tuple[Any, ...]:
    """The messages that a producer makes of the picture and its address; real packages take their time over it."""
    return tuple(producer.make(PNG, CAT))


# --- who makes them ---


@each_row("producer", PRODUCERS)
def test_a_picture_is_found_whoever_made_it(producer: Producer) -> None:
    (image,) = images(made_by(producer))
    assert (image.handle, image.made_by) == ("1", producer.made_by)
    wired = prepare_image(image.source, LIMITS)
    if producer.by_address:
        assert wired.url in {CAT, CAT.removesuffix(".png")}
    elif producer.rendered:
        assert Image.open(io.BytesIO(wired.data or b"")).tobytes() == Image.open(io.BytesIO(PNG)).tobytes()
    else:
        assert wired.data == PNG


def test_in_one_conversation_each_keeps_its_number_as_it_grows() -> None:
    messages: list[Any] = []
    for number, producer in enumerate(PRODUCERS, 1):
        picture, address = png(64, 40 + number), f"https://pictures.example.com/{number}.png"
        messages += producer.make(picture, address)
        (*_, newest) = images(messages)
        assert (newest.handle, newest.made_by) == (str(number), producer.made_by), producer
    assert len(images(messages)) == len(PRODUCERS)


def test_openai_s_picture_in_two_places_counts_once() -> None:
    raw, old = openai_answer(PNG, "responses/v1"), openai_answer(PNG, "v0")
    both = AIMessage(raw.content, additional_kwargs=old.additional_kwargs)
    assert len(images([both])) == 1


def test_a_tool_s_several_addresses_are_several_images() -> None:
    for separator in ("\n", ",", ", ", " ", " | ", ";"):
        _, message = called(dalle(CAT, BARE, DOG, separator=separator), query="A cat and a dog")
        assert sources(message) == [CAT, BARE, DOG], separator


def test_addresses_with_commas_stay_whole() -> None:
    address = "https://pictures.example.com/w_200,h_300/cat"
    assert sources(answer(f"{address},{CAT}")) == [address, CAT]


def test_a_dict_s_tool_is_known_by_its_call() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "paint", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "content": CAT, "tool_call_id": "1"}
    (image,) = images([asked, told])
    assert (image.source, image.made_by) == (CAT, "tool paint")
    assert images([told])[0].made_by == "tool"


def test_a_tool_without_a_name_is_known_by_its_call() -> None:
    (image,) = images([AIMessage("", tool_calls=[{"name": "paint", "args": {}, "id": "1"}]), answer(CAT, name=None)])
    assert image.made_by == "tool paint"


def test_a_picture_in_the_instructions_is_the_system_s() -> None:
    (image,) = images([SystemMessage([{"type": "image", "url": CAT}])])
    assert image.made_by == "the system"


# --- what is one, and what is not ---


@each_row(
    ("text", "found"),
    [
        (f"Look at {CAT}, please.", [CAT]),
        (f"[my cat]({CAT}) and (see {DOG}).", [CAT, DOG]),
        (f"**{CAT}**", [CAT]),
        (f"<{CAT}> '{DOG}'", [CAT, DOG]),
        (f"![a]({BARE})![b]({DOG})", [BARE, DOG]),
        (f"{CAT}?Expires=1&Signature=x", [f"{CAT}?Expires=1&Signature=x"]),
        ("https://pictures.example.com/cat_(cropped).JPG!", ["https://pictures.example.com/cat_(cropped).JPG"]),
        (f"![a](data:image/png;base64,{encoded(PNG)})", [f"data:image/png;base64,{encoded(PNG)}"]),
        (f"data:image/png;base64,{encoded(PNG)}", [f"data:image/png;base64,{encoded(PNG)}"]),
        (f"Look at {BARE}", []),
        (BARE, []),
        ("https://example.com/", []),
        ("https://example.com/video.mp4 https://example.com/cat.png.html", []),
        ("![a clip](https://example.com/video.mp4)", []),
        ("cat.png", []),
        ("![a](cat.png) file:///etc/cat.png ftp://example.com/cat.png", []),
        (json.dumps({"image_url": BARE}), []),
        ("", []),
    ],
)
def test_in_prose_an_address_counts_if_it_says_that_it_is_an_image(text: str, found: list[str]) -> None:
    for message in (HumanMessage(text), AIMessage(text), HumanMessage([{"type": "text", "text": text}])):
        assert sources(message) == found


@each_row("suffix", ["mp4", "webm", "mp3", "wav", "html", "json", "pdf", "gif", "svg", "MP4?x=1.png"])
def test_a_tool_s_address_of_something_else_is_no_image(suffix: str) -> None:
    address = f"https://example.com/made.{suffix}"
    for content in (address, f"{CAT}\n{address}", {"url": address}, {"image_url": address}):
        told = content if isinstance(content, str) else json.dumps(content)
        assert address not in sources(answer(told), answer("Done.", content))


@each_row(
    ("told", "found"),
    [
        (BARE, [BARE]),
        ([BARE, CAT], [BARE, CAT]),
        ({"url": BARE}, [BARE]),
        ({"output": [BARE]}, [BARE]),
        ({"created": 1, "data": [{"url": BARE, "revised_prompt": CAT}]}, [BARE]),
        ({"output": {"task_id": "t", "results": [{"url": BARE}]}}, [BARE]),
        ({"title": "A cat", "imageUrl": BARE}, [BARE]),
        ({"input": {"image": DOG}, "output": CAT}, [CAT]),
        ({"images": [{"url": CAT}], "thumbnail_url": DOG, "icon": DOG}, [CAT]),
        ({"url": BARE, "duration": 5}, []),
        ({"video": {"url": BARE}}, []),
        ({"url": "https://example.com/"}, []),
        ({"results": [{"title": "Cats", "url": BARE, "content": f"Of cats: {CAT}"}]}, []),
        ([{"snippet": "Cats", "link": BARE}], []),
        ({"answer": "Cats purr.", "sources": [BARE]}, []),
        ({"status": "queued", "status_url": BARE, "request_id": "r"}, []),
        ({"file_id": "file-1", "image_id": "cat.png"}, []),
        ("Saved as cat.png.", []),
        (f"Read more at {BARE}.", []),
        (f"Of cats, at length. {'Cats purr. ' * 300} {CAT}", []),
        ({"embedding": [0.1] * 1000, "text": "A cat"}, []),
        ("iVBORw0KGgo is how a PNG begins in base64, and it goes on like this: it is no picture but prose", []),
    ],
)
def test_a_tool_s_answer_counts_where_it_tells_of_an_image(told: Any, found: list[str]) -> None:
    text = told if isinstance(told, str) else json.dumps(told)
    assert sources(answer(text)) == found
    assert sources(answer([{"type": "text", "text": text}])) == found
    assert sources(answer("Done.", told)) == (found if not isinstance(told, str) or told == BARE else [])


PAGE: dict[str, Any] = {"title": "Cats", "url": "https://example.com/cats", "snippet": "Of cats."}


@each_row(
    "told",
    [
        [{**PAGE, "image": CAT}],
        [{"title": "Cats", "link": "https://example.com/cats", "imageUrl": CAT, "thumbnailUrl": DOG}],
        [{"title": "Cats", "image": CAT, "thumbnail": DOG, "url": "https://example.com/cats", "source": "Bing"}],
        {"title": "Cats", "href": "https://example.com/cats", "pagemap": {"cse_image": [{"src": CAT}]}},
        {"query": "cats", "images": [CAT, DOG], "results": [{**PAGE, "content": "Of cats."}]},
        {"images": [CAT], "results": [PAGE]},
        {"images": [{"url": CAT, "description": "A cat"}], "results": []},
        {"query": "cats", "answer": "Cats purr.", "images": [CAT]},
        {"results": [{"title": "Cats", "url": "https://example.com/cats", "image": CAT, "text": "Of cats."}]},
        {"searchParameters": {"q": "cats"}, "organic": [PAGE], "images": [{"title": "Cats", "imageUrl": CAT}]},
        {"structured_content": {"result": [{**PAGE, "image": CAT}]}},
        {"content": "Cats purr.", "citations": ["https://example.com/cats"], "images": [{"image_url": CAT}]},
        [{"snippet": "Of cats.", "image": CAT}],
    ],
)
def test_what_a_search_found_is_no_image_of_the_conversation(told: Any) -> None:
    """The user's own picture stays the newest."""
    text = json.dumps(told)
    for found in (answer(text), answer([{"type": "text", "text": text}]), answer("Done.", told), answer(text, told)):
        assert sources(HumanMessage(BARE + ".png"), found) == [BARE + ".png"]


class Closed:
    """Somebody's connection, record or proxy, which nobody can look into any more."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name}: the connection is closed")


class ClosedRecord:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("the connection is closed")


class ClosedTable(dict[str, Any]):
    def keys(self) -> Any:
        raise RuntimeError("the connection is closed")

    __iter__ = items = keys


@each_row("kind", [Closed, ClosedRecord, ClosedTable])
def test_an_artifact_that_raises_when_it_is_looked_at_holds_no_image(kind: Callable[[], Any]) -> None:
    closed = kind()
    assert sources(HumanMessage(CAT), answer("Done.", closed)) == [CAT]
    assert sources(answer("Done.", {"rows": closed, "image": PNG, "data": [closed]})) == [PNG]


@each_row(
    "block",
    [
        {"type": "image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "input_image", "file_id": "file-1", "image_url": None},
        {"type": "image", "url": "cat.png"},
        {"type": "image", "url": "gs://bucket/cat.png"},
        {"type": "image", "base64": "", "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": "data:video/mp4;base64,AAAA"}},
        {"type": "image_url", "image_url": [{"detail": "auto"}]},
        {"type": "video", "url": "https://example.com/cat.png"},
        {"type": "tool_use", "id": "1", "name": "animate", "input": {"image": CAT}},
        {"type": "function_call", "arguments": json.dumps({"image": CAT}), "image": CAT},
        {"type": "image_generation_call", "id": "ig_1", "status": "in_progress"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": CAT}]},
    ],
)
def test_a_block_without_an_image_of_use_is_passed_over(block: dict[str, Any]) -> None:
    content: Any = [{"type": "image", "url": DOG}, block]
    assert len(images([{"role": "user", "content": content}, {"role": "assistant", "content": content}])) == 1


def test_what_a_provider_s_own_blocks_hold_is_found_inside_them() -> None:
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded(PNG)}}
    for outer in (
        {"type": "tool_result", "tool_use_id": "1", "content": [block]},
        {"type": "non_standard", "value": block},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"type": "code_interpreter_call", "outputs": [{"type": "image", "url": f"data:;base64,{encoded(PNG)}"}]},
    ):
        (image,) = images([HumanMessage([outer])])
        assert prepare_image(image.source, LIMITS).data == PNG, outer


def test_bytes_count_by_how_they_begin() -> None:
    assert sources(answer("Done.", {"a": b"not an image", "b": jpeg(), "c": bytearray(PNG)})) == [jpeg(), PNG]
    assert sources(answer("Done.", "not an image" * 20)) == []


async def test_our_own_video_is_no_image(options: dict[str, Any]) -> None:
    """Nor is what the assistant then says of it."""
    for tool in (NebulaVideoTool(**options), NebulaVideoTool(**options, name="animate")):
        call: Any = {"type": "tool_call", "id": "1", "name": tool.name, "args": {"prompt": "x", "image": CAT}}
        message = tool.invoke(call)
        assert message.status == "success"
        assert sources(message, AIMessage(f"Here is your video: {message.artifact['url']}")) == []
    assert sources(answer("no JSON", {"url": CAT}, name="nebula_get_video")) == []


def test_a_tool_that_failed_made_no_image() -> None:
    assert sources(answer(f"Error: {CAT} could not be read", {"image": PNG}, status="error")) == []


# --- twice is once ---


def test_the_same_image_twice_in_a_row_counts_once() -> None:
    data = f"data:image/png;base64,{encoded(PNG)}"
    block = {"type": "image", "base64": encoded(PNG), "mime_type": "image/png"}
    same: list[Any] = [
        HumanMessage([block]),
        AIMessage([{"type": "image_url", "image_url": {"url": data}}]),
        answer("Done.", PNG),
        HumanMessage([block, block]),
    ]
    assert len(images(same)) == 1
    assert [image.handle for image in images([*same, HumanMessage(CAT), *same])] == ["1", "2", "3"]


def test_a_tool_s_pictures_shown_to_the_model_once_more_count_once() -> None:
    shown: Any = [{"type": "image", "url": CAT}, {"type": "image", "url": DOG}]
    assert sources(answer(f"{CAT}\n{DOG}"), HumanMessage(shown)) == [CAT, shown[1]["url"]]


def test_what_the_assistant_says_of_an_image_makes_no_new_one() -> None:
    """Language models corrupt long addresses: the tool's own is kept."""
    signed = f"{CAT}?st=2026-11-21&se=2026-11-22&sig=abc%3D"
    said = AIMessage(f"![your cat]({CAT}?st=2026-11-21&se=2026-11-22&sig=abd) after ![it]({DOG}), from {BARE}.png")
    assert sources(HumanMessage(DOG), answer(signed), said) == [DOG, signed, f"{BARE}.png"]


def test_a_user_who_shows_an_image_again_makes_it_the_newest() -> None:
    assert sources(HumanMessage(CAT), HumanMessage(DOG), HumanMessage(f"No, {CAT}")) == [CAT, DOG, CAT]


@each_row(
    ("content", "artifact", "found"),
    [
        (CAT, {"url": DOG}, [CAT]),
        (BARE, {"image": PNG}, [PNG]),
        (CAT, {"images": [PNG, jpeg()]}, [PNG, jpeg()]),
        (f"{CAT}\n{DOG}", {"image": PNG}, [CAT, DOG]),
        ("Done.", None, []),
    ],
)
def test_of_a_tool_s_content_and_artifact_what_holds_more_counts(content: Any, artifact: Any, found: Any) -> None:
    assert sources(answer(content, artifact)) == found


# --- in a line, and by their number ---

SHOWN: list[Any] = [
    HumanMessage(f"{CAT}?Expires=1&Signature=secret"),
    HumanMessage([{"type": "image", "base64": encoded(PNG)}]),
    *answering("Done.", {"image": Image.new("RGB", (640, 480))}),
]


def test_an_image_is_described_in_a_line_without_its_data() -> None:
    assert [image.describe() for image in images(SHOWN)] == [
        "1: https://pictures.example.com/cat.png, by the user",
        "2: PNG, 1 kB, by the user",
        "3: picture of 640 x 480 pixels, by tool draw",
    ]
    big = images([answer("Done.", b"\xff\xd8\xff" + bytes(2_340_000), name="x\ny")])[0].describe()
    assert big == "1: JPEG, 2.3 MB, by tool x y"
    long = images([HumanMessage(f"https://example.com/{'x' * 3000}.png")])[0].describe()
    assert len(long) < 110
    assert "secret" not in repr(images(SHOWN))
    assert encoded(PNG) not in repr(images(SHOWN))


def test_an_image_is_not_to_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        images(SHOWN)[0].handle = "2"  # type: ignore[misc]


@each_row(
    ("text", "handle"),
    [
        *[(text, "2") for text in ("2", " 2 ", "#2", "image 2", "Image #2", "image_2", "image-2", "picture 2")],
        *[(text, "2") for text in ("no. 2", "02", "number 2", "the image 2", "image number 2", "img2")],
        *[(text, "last") for text in ("last", "newest", "Latest", "the last image", "newest picture")],
        *[(text, None) for text in ("", "two", "2.png", "2 3", "-2", "https://example.com/2", "image")],
        *[(text, None) for text in ("@Image2", "first", "last of all", "data:image/png;base64,AAAA", "٢", "1" * 50)],
    ],
)  # fmt: skip
def test_a_handle_is_a_number_or_the_newest(text: str, handle: str | None) -> None:
    assert parse_handle(text) == handle


def test_an_address_says_by_itself_where_the_image_is() -> None:
    assert all(map(is_url, (CAT, f" {BARE}", "DATA:image/png;base64,AAAA", "oss://bucket/cat.png", "http://a.b/c")))
    assert not any(map(is_url, ("2", "last", "cat.png", "/etc/passwd", "file:///etc/passwd", "https://", "")))


def test_an_image_is_chosen_by_its_handle() -> None:
    assert chosen("#1", SHOWN).source.startswith(CAT)
    assert [chosen(text, SHOWN).handle for text in ("2", "image 3", "last", "newest")] == ["2", "3", "3", "3"]
    assert newest_image(SHOWN) is chosen("last", SHOWN).source
    assert newest_image([]) is None


def test_the_newest_besides_those_that_have_their_place() -> None:
    signed = SHOWN[0].content
    assert newest_image(SHOWN, besides=[SHOWN[2].content, SHOWN[3].artifact["image"]])["base64"] == encoded(PNG)
    assert newest_image(SHOWN[:2], besides=[f"data:image/png;base64,{encoded(PNG)}"]) == signed
    assert newest_image(SHOWN[:1], besides=[f"{CAT}?Expires=2&Signature=other"]) is None


@each_row(
    ("text", "words"),
    [
        ("Make it blink", "Make it blink"),
        (CAT, ""),
        (f"{CAT}.", ""),
        (f" {CAT}\n{DOG}", ""),
        (f"This is my cat: {CAT}. Make it blink!", "This is my cat: . Make it blink!"),
        (f"Make it blink: {CAT}?Expires=1&Signature=x", "Make it blink:"),
        (f"![a cat]({BARE})\n\nMake it blink", "Make it blink"),
        (f'![a cat]({BARE} "My cat") Make it blink', "Make it blink"),
        (f"Make [my cat]({CAT}) blink", "Make my cat blink"),
        (f"Make it ({CAT}) blink <{DOG}>", "Make it blink"),
        (f"data:image/png;base64,{encoded(PNG)}", ""),
        (f"![a](data:image/png;base64,{encoded(PNG)}) blinks", "blinks"),
        (encoded(PNG), ""),
        (f"As told at {BARE}", f"As told at {BARE}"),
        ("Like https://example.com/clip.mp4", "Like https://example.com/clip.mp4"),
        ("眨眼 😀", "眨眼 😀"),
        ("", ""),
    ],
)
def test_the_words_of_a_text_are_what_it_says_besides_its_images(text: str, words: str) -> None:
    assert text_without_images(text) == words


@each_row("handle", ["4", "0", "image 9", "cat.png", "the cat", "x" * 5000])
def test_who_names_none_is_told_what_there_is(handle: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        chosen(handle, SHOWN)
    told = str(refusal.value)
    assert f"There is no image '{handle[:70]}" in told
    assert "3: picture of 640 x 480 pixels, by tool draw; 2: PNG, 1 kB, by the user; 1: https" in told
    assert "Nothing was sent and nothing was spent" in told
    assert "secret" not in told
    assert len(told) < 600


def test_of_many_the_newest_ten_are_told() -> None:
    many = [HumanMessage(f"https://example.com/{number}.png") for number in range(1, 15)]
    with pytest.raises(InvalidRequestError) as refusal:
        chosen("15", many)
    assert [line.split(":")[0] for line in refusal.value.hint.split("first: ")[1].split("; ")] == [
        str(number) for number in range(14, 4, -1)
    ]


@each_row("handle", ["1", "last", "cat.png"])
def test_where_there_are_none_that_is_told(handle: str) -> None:
    with pytest.raises(InvalidRequestError, match="There is none at all: give the image's https URL"):
        chosen(handle, [HumanMessage("Animate my cat")])


# --- in the tool ---

MIX: dict[str, Any] = {"base_url": "https://gateway.example.com", "gateway": "uniall", "model": "viduq3p-mix-720p"}
VIDU: dict[str, Any] = {**MIX, "model": "viduq3p-720p"}
TWO: list[Any] = [HumanMessage(CAT), *answering(json.dumps({"url": DOG}))]


def asked(options: dict[str, Any], **args: Any) -> ToolMessage:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([NebulaVideoTool(**options)]))
    graph.add_edge(START, "tools")
    state: Any = {"messages": [*TWO, animating(**args)]}
    message = graph.compile().invoke(state)["messages"][-1]
    assert isinstance(message, ToolMessage)
    return message


@pytest.mark.parametrize(
    ("where", "args", "sent"),
    [
        ({}, {}, {"image": DOG}),
        ({}, {"image": "1"}, {"image": CAT}),
        ({}, {"image": 1}, {"image": CAT}),
        ({}, {"image": "image #2"}, {"image": DOG}),
        ({}, {"image": "last"}, {"image": DOG}),
        ({}, {"image": f"{CAT}?x=1"}, {"image": f"{CAT}?x=1"}),
        (VIDU, {"image": "2", "last_image": "1"}, {"image": DOG, "last_image": CAT}),
        (VIDU, {"last_image": "1"}, {"image": DOG, "last_image": CAT}),
        (MIX, {"reference_images": ["2", "1", CAT + "?x=1"]}, {"reference_image_urls": [DOG, CAT, CAT + "?x=1"]}),
        (MIX, {"reference_images": [1]}, {"reference_image_urls": [CAT]}),
    ],
)
def test_the_tool_takes_the_number_of_an_image(
    options: dict[str, Any], gateway: Gateway, where: Any, args: Any, sent: dict[str, Any]
) -> None:
    message = asked({**options, **where}, **args)
    assert message.status == "success", message.content
    (body,) = gateway.bodies
    assert {name: body[name] for name in ("image", "last_image", "reference_image_urls") if name in body} == sent


@pytest.mark.parametrize(
    ("where", "args"),
    [
        ({}, {"image": "3"}),
        ({}, {"image": "cat.png"}),
        ({}, {"image": "attachment://1"}),
        (VIDU, {"last_image": "7"}),
        (MIX, {"reference_images": ["1", "9"]}),
    ],
)
def test_the_tool_tells_what_there_is_where_none_is_named(
    options: dict[str, Any], gateway: Gateway, where: Any, args: Any
) -> None:
    message = asked({**options, **where}, **args)
    assert message.status == "error"
    assert f"2: {DOG}, by tool draw; 1: {CAT}, by the user" in message.content
    assert gateway.requests == []


def test_without_a_conversation_a_number_names_nothing(options: dict[str, Any], gateway: Gateway) -> None:
    told = NebulaVideoTool(**options).invoke({"prompt": "x", "image": "2"})
    assert "'2' is no image's URL, and this tool cannot see the conversation here." in told
    assert gateway.requests == []


def test_a_file_of_the_image_folder_is_still_named_by_its_name(
    options: dict[str, Any], gateway: Gateway, tmp_path: Any
) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    assert asked({**options, "image_folder": tmp_path}, image="cat.png").status == "success"
    assert gateway.bodies[0]["image"] == f"data:image/png;base64,{encoded(PNG)}"


# --- whatever comes ---

WORDS = st.sampled_from(
    ["type", "image", "image_url", "url", "base64", "data", "source", "mime_type", "image/png", "text", "value", "role",
     "content", "non_standard", "result", "input_image", CAT, BARE, "data:image/png;base64,", encoded(PNG), "https://[",
     "id", "name", "function", "tool_calls", "tool", "user", "assistant", "artifact", "additional_kwargs", "{", "[1",
     "data:,", "iVBORw0KGgo\u00e9" * 9, "tool_outputs", "http://\ud800", "![](", "status"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=20)
    | st.just(PNG)
    | WORDS
    | st.text(max_size=40)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip
DICTS = st.fixed_dictionaries({}, optional={
    **dict.fromkeys(("content", "artifact", "tool_calls", "name"), VALUES),
    "role": st.sampled_from(["user", "assistant", "tool", "system", "human", None]), "additional_kwargs": VALUES,
    "tool_call_id": VALUES, "status": VALUES,
})  # fmt: skip
CONTENT = st.text() | WORDS | st.lists(WORDS | st.dictionaries(WORDS, VALUES, max_size=5), max_size=4)
MESSAGES = st.lists(
    DICTS | VALUES | st.builds(HumanMessage, CONTENT) | st.builds(answer, CONTENT, VALUES),
    max_size=5,
)


@given(MESSAGES)
def test_whatever_a_conversation_holds_it_is_read(messages: list[Any]) -> None:
    """Nothing raises; numbers stay as it grows; each image is one, or is refused as every other image is."""
    found = images(messages)
    assert [image.handle for image in found] == [str(number) for number in range(1, len(found) + 1)]
    for length in range(len(messages)):
        before = images(messages[:length])
        assert [(image.handle, image.made_by) for image in before] == [
            (image.handle, image.made_by) for image in found[: len(before)]
        ]
    for image in found:
        assert len(image.describe()) < 200
        with contextlib.suppress(InvalidRequestError):
            prepare_image(image.source, LIMITS)


def test_a_block_says_by_its_type_that_its_address_is_an_image() -> None:
    for address in ("https://example.com/?id=3", "https://example.com/image.php?id=3", "https://example.com/cat.gif"):
        assert [image.describe()[:23] for image in images([HumanMessage([{"type": "image", "url": address}])])] == [
            "1: https://example.com/"
        ]


@each_row(
    "text",
    [
        "![" * 20_000,
        "https://a(" * 8_000,
        "http " + " " * 50_000 + ",",
        "[" * 50_000,
        f"iVBORw0KGgo{' A' * 50_000}!",
    ],
    ids=["markdown", "address", "spaces", "JSON", "base64"],
)
def test_long_texts_are_read_to_an_end(text: str) -> None:
    """A pattern that tries all ways through them would still be at it tomorrow."""
    assert sources(HumanMessage(text), answer(text)) == []
    text_without_images(text)


def test_what_contains_itself_is_read_to_an_end() -> None:
    loop: dict[str, Any] = {"image": CAT}
    loop["images"] = [loop, loop]

    class Odd:
        def __init__(self) -> None:
            self.image = self
            self.images = [self, loop]
            for number in range(30):
                setattr(self, f"part_{number}", self)

    assert CAT in sources(answer("Done.", loop))
    assert CAT in sources(answer("Done.", Odd()))


def test_no_message_is_changed() -> None:
    messages: list[BaseMessage] = [
        message for one in PRODUCERS for message in made_by(one) if not isinstance(message, dict)
    ]
    before = [message.model_dump_json() for message in messages if not getattr(message, "artifact", None)]
    images(messages)
    assert before == [message.model_dump_json() for message in messages if not getattr(message, "artifact", None)]


# --- addresses that words follow without a space ---

STYLED = f"{CAT}@!w1024"
SCALED = f"{CAT}?x-oss-process=image/resize,w_800"
HAN = "https://pictures.example.com/\u56fe\u7247/\u732b.png"


@each_row(
    ("text", "found", "words"),
    [
        (f"\u628a {CAT}\uff0c\u52a8\u8d77\u6765", [CAT], "\u628a \uff0c\u52a8\u8d77\u6765"),
        (f"\u628a{CAT}\u3002\u8ba9\u5b83\u7728\u773c", [CAT], "\u628a\u3002\u8ba9\u5b83\u7728\u773c"),
        (f"{CAT}\u8ba9\u5b83\u7728\u773c", [CAT], "\u8ba9\u5b83\u7728\u773c"),
        (f"\uff08{CAT}\uff09\u52a8\u8d77\u6765", [CAT], "\uff08\uff09\u52a8\u8d77\u6765"),
        (f"\u300c{CAT}\u300d\u300c{DOG}\u300d", [CAT, DOG], ""),
        (f"{CAT}\u3001{DOG}", [CAT, DOG], ""),
        (f"{SCALED}\uff0c\u52a8\u8d77\u6765", [SCALED], "\uff0c\u52a8\u8d77\u6765"),
        (f"\u770b {HAN} \uff0c\u52a8", [HAN], "\u770b \uff0c\u52a8"),
        (f"{CAT}\ub97c \uc6c0\uc9c1\uc5ec", [CAT], "\ub97c \uc6c0\uc9c1\uc5ec"),
        (f"HTTPS{CAT[5:]} animate", [f"HTTPS{CAT[5:]}"], "animate"),
        (f"{STYLED} animate", [STYLED], "animate"),
    ],
)
def test_an_address_ends_where_a_person_sees_its_end(text: str, found: list[str], words: str) -> None:
    assert sources(HumanMessage(text)) == found
    assert text_without_images(text) == words


# --- JSON a layer deeper ---


@each_row(
    "said",
    [
        json.dumps({"code": 200, "data": {"state": "success", "resultJson": json.dumps({"resultUrls": [BARE]})}}),
        json.dumps({"data": {"response": {"resultUrls": [BARE]}}}),
        f"```json\n{json.dumps({'image_url': BARE})}\n```",
        f"Image generated successfully: {json.dumps({'image_url': BARE})}",
    ],
)
def test_an_address_in_json_within_a_tool_s_text_is_found(said: str) -> None:
    assert sources(answer(said)) == [BARE]


# --- what an assistant makes up ---

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel. Every language model knows it by heart."""


def test_an_address_that_only_the_assistant_speaks_of_is_listed_and_not_the_newest() -> None:
    said = AIMessage(f"Here it is: {DOG}")
    (_, claimed) = images([HumanMessage(CAT), said])
    assert (claimed.claimed, claimed.describe()) == (True, f"2: {DOG}, by the words of the assistant")
    assert newest_image([HumanMessage(CAT), said]) == CAT
    assert newest_image([said]) is None
    assert newest_image([said], claims=True) == DOG


def test_of_a_summary_too_only_the_words_speak() -> None:
    """The summarizer writes XML, so that signed addresses have `&amp;` in them."""
    summary = HumanMessage(
        f"The user sent {CAT}?Expires=1&amp;Signature=a%3D", additional_kwargs={"lc_source": "summarization"}
    )
    (image,) = images([summary])
    assert (image.source, image.made_by, image.claimed) == (f"{CAT}?Expires=1&Signature=a%3D", "a summary", True)


def test_inline_data_that_an_assistant_makes_up_is_no_image() -> None:
    assert sources(AIMessage(f"data:image/png;base64,{DOT}")) == []
    assert sources(AIMessage("![cat](data:image/png;base64,iVBORw0KGgoAAAANSUhEUg)")) == []
    assert sources(HumanMessage(CAT), AIMessage(f"![cat](data:image/png;base64,{DOT})")) == [CAT]


@each_row("given", [f"data:image/png;base64,{DOT}", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg"])
def test_a_call_with_made_up_data_is_told_which_pictures_there_are(given: str) -> None:
    offer = find_offer("wan2.5-i2v-preview", GATEWAYS["nebula"])
    with pytest.raises(InvalidRequestError, match="is no picture") as caught:
        resolve_images({"image": given}, [HumanMessage(CAT)], offer, files_allowed=False)
    assert f"1: {CAT}, by the user" in str(caught.value)


def test_a_call_without_an_image_is_told_how_to_name_the_assistant_s() -> None:
    offer = find_offer("wan2.5-i2v-preview", GATEWAYS["nebula"])
    with pytest.raises(InvalidRequestError, match="If it is real, give its number: 1"):
        resolve_images({}, [AIMessage(f"Look: {DOG}")], offer, files_allowed=False)
    assert resolve_images({"image": "1"}, [AIMessage(f"Look: {DOG}")], offer, files_allowed=False)["image"] == DOG


# --- conversations in many languages ---

LINKS = [
    CAT,
    f"{CAT}?Expires=1795860324&OSSAccessKeyId=LTAI984c&Signature=JuvV80zaLW3pD52NHzwulKMabFA%3D",
    f"{DOG}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=0a1b2c",
    f"{DOG}?Key-Pair-Id=K1&Policy=e30_&Signature=abc-def__",
    STYLED,
    SCALED,
    HAN,
]
LANGUAGES = [
    ("Please animate ", " slowly."),
    ("\u8bf7\u628a", "\u52a8\u8d77\u6765\u3002"),
    ("\u8acb\u8b93 ", " \u52d5\u8d77\u4f86\uff01"),
    ("\u3053\u306e\u753b\u50cf", "\u3092\u52d5\u304b\u3057\u3066\u304f\u3060\u3055\u3044"),
    ("\uc774 \uc0ac\uc9c4 ", "\uc744 \uc6c0\uc9c1\uc5ec \uc8fc\uc138\uc694"),
    ("Bitte bewege ", ", aber langsam"),
    ("\u062d\u0631\u0643 ", " \u0628\u0628\u0637\u0621"),
    ("", ""),
]
QUOTES = ["{}", "({})", "\uff08{}\uff09", "\u300c{}\u300d", "\u201c{}\u201d", '"{}"', "`{}`", "<{}>", "**{}**",
          "![it]({})", "[it]({})", "{}\uff0c", "{}\u3002", "{}, ", "\n{}\n"]  # fmt: skip
OTHERS: list[Any] = [
    AIMessage("What should it look like?"),
    HumanMessage("See https://example.com/pages/cats.html and https://example.com/clip.mp4."),
    AIMessage("\u597d\u7684\uff0c\u8bf7\u53d1\u56fe\u7247\u3002"),
    answer(json.dumps({"query": "cats", "results": [{"title": "Cats", "url": BARE, "thumbnail": DOG}]})),
]


@given(
    link=st.sampled_from(LINKS), words=st.sampled_from(LANGUAGES), quote=st.sampled_from(QUOTES),
    others=st.lists(st.sampled_from(OTHERS), max_size=3), by_tool=st.booleans(), at=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=200)
def test_the_picture_that_a_person_sees_is_found_and_nothing_else(
    link: str, words: tuple[str, str], quote: str, others: list[Any], by_tool: bool, at: int
) -> None:
    before, after = words
    if quote == "{}" and link == HAN and after:
        quote = "{} "  # letters of one script within an address and after it: nobody can tell
    text = f"{before}{quote.format(link)}{after}"
    message = answer(text) if by_tool else HumanMessage(text)
    conversation = [*others[:at], message, *others[at:]]
    assert sources(*conversation) == [link]
