"""The runnable as a link of chains."""

from __future__ import annotations

import asyncio
import json
import pickle
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy
from PIL import Image
from pydantic import SecretStr

from langchain_nebula_video import (
    Budget,
    BudgetExceededError,
    InvalidRequestError,
    NebulaVideoRunnable,
    NebulaVideoTool,
    SubmissionUnconfirmedError,
    Video,
    VideoRequest,
)
from tests.conftest import KEY, Gateway, jpeg, submitted, succeeded
from tests.tables import each_row

VIDEO_URL = "https://results.example.com/video.mp4"
URL = "https://example.com/cat.jpg"


ASKED = {
    "role": "user",
    "content": [{"type": "text", "text": "Blink"}, {"type": "image_url", "image_url": {"url": URL}}],
}


@pytest.fixture
def animate(options: dict[str, Any]) -> NebulaVideoRunnable:
    return NebulaVideoRunnable(**options, prompt="Zoom in")


@pytest.mark.parametrize(
    "given",
    [
        URL,
        {"image": URL},
        VideoRequest(image=URL, prompt="Zoom in"),
        {"type": "image", "url": URL},
        HumanMessage([{"type": "text", "text": "Look!"}, {"type": "image", "url": URL}]),
        AIMessage([{"type": "image_url", "image_url": {"url": URL}}]),
        [HumanMessage([{"type": "image", "url": URL}]), AIMessage("A cat.")],
        ChatPromptTemplate([("user", [{"type": "image_url", "image_url": {"url": URL}}])]).invoke({}),
        ASKED,
        [ASKED],
        [HumanMessage("Hello"), ASKED, {"role": "assistant", "content": "Sure!"}],
        {"messages": [HumanMessage([{"type": "image", "url": URL}])]},
        {"messages": [("system", "You make films."), ASKED, ("ai", "Sure!")]},
        {"messages": HumanMessage(URL)},
        {"messages": [ASKED], "duration": 5},
    ],
    ids=[
        "URL",
        "dict",
        "request",
        "block",
        "message",
        "image_url",
        "messages",
        "prompt value",
        "dict of a message",
        "dicts of messages",
        "dicts and messages",
        "state",
        "state of tuples and dicts",
        "state of one message",
        "state and a field",
    ],
)
def test_whatever_holds_an_image_is_animated(animate: NebulaVideoRunnable, gateway: Gateway, given: Any) -> None:
    assert isinstance(animate.invoke(given), Video)
    assert (gateway.bodies[0]["image"], gateway.bodies[0]["prompt"]) == (URL, "Zoom in")


def test_bytes_paths_and_pil_images_are_animated(
    animate: NebulaVideoRunnable, gateway: Gateway, tmp_path: Path
) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(jpeg())
    for given in (jpeg(), path, Image.open(path)):
        animate.invoke(given)
    assert all(body["image"].startswith("data:image/") for body in gateway.bodies)


async def test_the_async_side_does_the_same(animate: NebulaVideoRunnable, gateway: Gateway) -> None:
    assert (await animate.ainvoke({"image": URL}, duration=10)).task_id == "task-1"
    assert gateway.bodies[0]["duration"] == 10


def test_a_messages_text_is_the_prompt_where_there_is_no_other(options: dict[str, Any], gateway: Gateway) -> None:
    message = HumanMessage([{"type": "text", "text": "The cat jumps"}, {"type": "image", "url": URL}])
    NebulaVideoRunnable(**options).invoke(message)
    assert gateway.bodies[0]["prompt"] == "The cat jumps"


IMAGE = {"type": "image", "url": URL}
WISH = HumanMessage([{"type": "text", "text": "Make it blink"}, IMAGE])
DRAWN = AIMessage([{"type": "text", "text": "Here is your image!"}, IMAGE])


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ([WISH, AIMessage("Sure!")], "Make it blink"),
        ([HumanMessage("Make it blink"), DRAWN], "Make it blink"),
        ([HumanMessage("A cat"), HumanMessage("Make it blink"), ToolMessage(URL, tool_call_id="1")], "Make it blink"),
        ([WISH, AIMessage("Which one?"), HumanMessage([IMAGE])], "Make it blink"),
        (HumanMessage(f"Make it blink: {URL}"), "Make it blink:"),
        ({"messages": [ASKED]}, "Blink"),
        ({"messages": [ASKED], "prompt": "Zoom in"}, "Zoom in"),
        ([SystemMessage("You make films."), ASKED], "Blink"),
    ],
)
def test_the_prompt_is_what_the_user_said_last(
    options: dict[str, Any], gateway: Gateway, given: Any, prompt: str
) -> None:
    NebulaVideoRunnable(**options).invoke(given)
    assert (gateway.bodies[0]["prompt"], gateway.bodies[0]["image"]) == (prompt, URL)


@pytest.mark.parametrize(
    "given", [DRAWN, [DRAWN], [SystemMessage("Films!"), DRAWN], ToolMessage(URL, tool_call_id="1")]
)
def test_what_a_model_or_a_tool_says_is_no_prompt(options: dict[str, Any], gateway: Gateway, given: Any) -> None:
    animate = NebulaVideoRunnable(**options)
    with pytest.raises(InvalidRequestError, match=r"There is no prompt.*Nothing was sent.*Give prompt="):
        animate.invoke(given)
    assert gateway.requests == []
    animate.invoke(given, prompt="Zoom in")
    assert gateway.bodies[0]["prompt"] == "Zoom in"


def test_an_address_alone_is_no_prompt(options: dict[str, Any], gateway: Gateway) -> None:
    for given in (HumanMessage(URL), HumanMessage([IMAGE])):
        with pytest.raises(InvalidRequestError, match="The prompt is empty"):
            NebulaVideoRunnable(**options).invoke(given)
    assert gateway.requests == []


def test_an_effect_wants_no_words_of_a_model_s_picture(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.submits = [{"output": {"task_id": "task-1", "task_status": "PENDING"}}]
    gateway.fetches = [{"output": {"task_id": "task-1", "task_status": "SUCCEEDED", "video_url": VIDEO_URL}}]
    animate = NebulaVideoRunnable(**options, gateway="dashscope", model="wanx2.1-i2v-turbo", template="flying")
    for given in (DRAWN, WISH):
        animate.invoke(given)
    assert [body["input"] for body in gateway.bodies] == [{"img_url": URL, "template": "flying"}] * 2


@pytest.mark.parametrize("given", ["A cat blinks", "cat.jpg", "", "x" * 5000])
def test_a_text_that_names_no_image_is_told_what_it_was_taken_for(
    options: dict[str, Any], gateway: Gateway, given: str
) -> None:
    with pytest.raises(InvalidRequestError, match="is a text, and neither the address nor the data: URI of") as caught:
        NebulaVideoRunnable(**options).invoke(given)
    assert '{"image": …, "prompt": …}' in str(caught.value)
    assert len(str(caught.value)) < 400
    assert gateway.requests == []


def test_a_text_may_name_a_file_of_the_image_folder(options: dict[str, Any], gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(jpeg())
    NebulaVideoRunnable(**options, prompt="Zoom in", image_folder=tmp_path).invoke("cat.jpg")
    assert gateway.posts == 1


@pytest.mark.parametrize(
    "given",
    [
        {"messages": [{"role": "king", "content": "Blink"}]},
        {"messages": [5]},
        {"messages": 5},
        [{"role": "user", "content": 5}],
        {"messages": []},
        {"messages": "Blink"},
        {"messages": [ASKED], "colour": "red"},
    ],
)
def test_messages_that_are_none_are_refused(animate: NebulaVideoRunnable, gateway: Gateway, given: Any) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing was sent"):
        animate.invoke(given)
    assert gateway.requests == []


def test_the_input_goes_over_the_defaults_and_the_call_over_both(options: dict[str, Any], gateway: Gateway) -> None:
    animate = NebulaVideoRunnable(**options, prompt="a", duration=10, resolution="480p", seed=1)
    animate.invoke({"image": URL, "prompt": "b", "resolution": "1080p"}, resolution="720p")
    body = gateway.bodies[0]
    assert (body["prompt"], body["duration"], body["resolution"], body["seed"]) == ("b", 10, "720p", 1)


def test_it_chains(animate: NebulaVideoRunnable) -> None:
    chain: Any = RunnableLambda(lambda name: {"image": f"https://example.com/{name}.jpg"}) | animate | (lambda v: v.url)
    assert chain.invoke("cat").startswith("https://results.example.com/")


def test_a_message_without_an_image_is_refused(animate: NebulaVideoRunnable, gateway: Gateway) -> None:
    with pytest.raises(InvalidRequestError, match="carries no image"):
        animate.invoke(HumanMessage("hello"))
    assert gateway.requests == []


def test_the_same_key_pays_once(animate: NebulaVideoRunnable, gateway: Gateway) -> None:
    keyed = animate.bind(key="a")
    assert keyed.invoke(URL).task_id == keyed.invoke(URL).task_id
    assert gateway.posts == 1


# --- other gateways and models ---

UNIALL: dict[str, Any] = {"gateway": "uniall", "base_url": "https://gateway.example.com", "prompt": "Zoom in"}
MIX, PLAIN = "viduq3p-mix-720p", "viduq3p-720p"


@pytest.mark.parametrize(
    "given",
    [
        URL,
        {"image": URL},
        {"type": "image", "url": URL},
        {"reference_images": [URL]},
        VideoRequest(reference_images=(URL,)),
        HumanMessage([{"type": "text", "text": "Look!"}, {"type": "image", "url": URL}]),
    ],
    ids=["URL", "dict", "block", "references", "request", "message"],
)
async def test_one_image_is_the_reference_where_the_model_wants_references(
    options: dict[str, Any], gateway: Gateway, given: Any
) -> None:
    animate = NebulaVideoRunnable(**options, **UNIALL, model=MIX)
    for video in (animate.invoke(given), await animate.ainvoke(given)):
        assert video.model == MIX
    assert [body["reference_image_urls"] for body in gateway.bodies] == [[URL], [URL]]
    assert not any("image" in body for body in gateway.bodies)


def test_an_image_beside_references_is_still_one_too_many(options: dict[str, Any], gateway: Gateway) -> None:
    animate = NebulaVideoRunnable(**options, **UNIALL, model=MIX)
    with pytest.raises(InvalidRequestError, match=f"{MIX} takes no image"):
        animate.invoke({"image": URL, "reference_images": [URL]})
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("own", "given", "fields", "sent"),
    [
        (PLAIN, URL, {"model": MIX}, {"reference_image_urls": [URL]}),
        (PLAIN, {"image": URL, "model": MIX}, {}, {"reference_image_urls": [URL]}),
        (MIX, URL, {"model": PLAIN}, {"image": URL}),
        (MIX, {"image": URL, "model": PLAIN}, {}, {"image": URL}),
    ],
)
def test_it_is_the_model_of_the_call_that_decides_what_an_image_is(
    options: dict[str, Any], gateway: Gateway, own: str, given: Any, fields: Any, sent: dict[str, Any]
) -> None:
    NebulaVideoRunnable(**options, **UNIALL, model=own).invoke(given, **fields)
    (body,) = gateway.bodies
    assert {name: body[name] for name in ("image", "reference_image_urls") if name in body} == sent


@pytest.mark.parametrize("model", [5, ["viduq3p-720p"], b"viduq3p-720p", "viduq3p"])
def test_a_model_in_the_call_that_is_none_is_refused_like_everywhere(
    options: dict[str, Any], gateway: Gateway, model: object
) -> None:
    animate = NebulaVideoRunnable(**options, **UNIALL)
    calls: list[tuple[Any, dict[str, Any]]] = [(URL, {"model": model}), ({"image": URL, "model": model}, {})]
    for given, fields in calls:
        with pytest.raises(InvalidRequestError, match="Nothing was sent"):
            animate.invoke(given, **fields)
    assert gateway.requests == []


def test_a_message_without_an_image_is_a_video_of_its_text_where_there_are_such(
    options: dict[str, Any], gateway: Gateway
) -> None:
    NebulaVideoRunnable(**options, **{**UNIALL, "prompt": None}).invoke(HumanMessage("A boat"))
    (body,) = gateway.bodies
    assert body["prompt"] == "A boat"
    assert "image" not in body


def test_a_video_of_text_alone_needs_no_image(options: dict[str, Any], gateway: Gateway) -> None:
    animate = NebulaVideoRunnable(**options, **UNIALL, aspect_ratio="9:16", generate_audio=True)
    animate.invoke({"prompt": "A boat"})
    (body,) = gateway.bodies
    assert (body["prompt"], body["aspect_ratio"], body["extra_body"]["audio"]) == ("A boat", "9:16", True)
    assert "image" not in body


def test_an_effect_is_a_default_like_any_other(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.submits = [{"output": {"task_id": "task-1", "task_status": "PENDING"}}]
    gateway.fetches = [{"output": {"task_id": "task-1", "task_status": "SUCCEEDED", "video_url": VIDEO_URL}}]
    defaults: dict[str, Any] = {"template": "flying", "negative_prompt": "blur", "watermark": True, "duration": 4}
    animate = NebulaVideoRunnable(**options, gateway="dashscope", model="wanx2.1-i2v-turbo", **defaults)
    animate.invoke(URL)
    animate.invoke(URL, template="rose", watermark=False)
    first, second = gateway.bodies
    assert first["input"] == {"img_url": URL, "template": "flying", "negative_prompt": "blur"}
    assert (first["parameters"]["duration"], first["parameters"]["watermark"]) == (4, True)
    assert (second["input"]["template"], second["parameters"]["watermark"]) == ("rose", False)


# --- batches ---


def test_a_batch_keeps_every_paid_result_when_one_fails(options: dict[str, Any], gateway: Gateway) -> None:
    animate = NebulaVideoRunnable(**options, prompt="x")
    with pytest.raises(InvalidRequestError) as caught:
        animate.batch([URL, "not a url", URL])
    kinds = [type(result) for result in caught.value.results]  # type: ignore[attr-defined]
    assert kinds == [Video, InvalidRequestError, Video]
    assert "2 of 3 videos were made" in caught.value.__notes__[0]
    assert gateway.posts == 2


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_behind_with_retry_every_paid_result_is_kept_as_one_asks_for_it(
    options: dict[str, Any], gateway: Gateway, how: str
) -> None:
    animate = NebulaVideoRunnable(**options, prompt="x").with_retry(wait_exponential_jitter=False)
    inputs = [URL, "not a url", URL]
    if how == "batch":
        results: list[Any] = animate.batch(inputs, return_exceptions=True)
    else:
        results = await animate.abatch(inputs, return_exceptions=True)
    assert [type(result) for result in results] == [Video, InvalidRequestError, Video]
    assert gateway.posts == 2


async def test_an_abatch_keeps_every_paid_result_when_one_fails(options: dict[str, Any], gateway: Gateway) -> None:
    animate = NebulaVideoRunnable(**options, prompt="x", budget=Budget(usd="0.80"))
    results: list[Any] = await animate.abatch([URL] * 4, return_exceptions=True)
    assert sum(isinstance(result, Video) for result in results) == 2
    assert sum(isinstance(result, BudgetExceededError) for result in results) == 2


def test_a_key_with_the_call_wins_over_that_of_the_input(animate: NebulaVideoRunnable) -> None:
    animate.invoke({"image": URL, "key": "input"}, key="call")
    assert [entry.key for entry in animate.journal.entries()] == ["call"]


@each_row("given", [{"image": URL, "key": 7}, {"image": URL, "key": ["a"]}])
def test_a_key_that_is_no_text_is_refused(animate: NebulaVideoRunnable, gateway: Gateway, given: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"key is a (int|list), and no text"):
        animate.invoke(given)
    assert gateway.posts == 0


@pytest.mark.parametrize("given", [None, {"max_concurrency": 2}])
async def test_a_batch_is_bounded(given: Any, options: dict[str, Any]) -> None:
    under_way = peak = 0

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        done = {"task_id": "t", "status": "succeeded", "url": "https://r.example.com/v.mp4"}
        return httpx.Response(200, json=submitted("t") if request.method == "POST" else done)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        animate = NebulaVideoRunnable(**{**options, "http_async_client": client}, prompt="x")
        assert len(await animate.abatch([URL] * 12, given)) == 12
    assert peak == (2 if given else 4)


# --- serialisation ---


def read_back(text: str, variable: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The function `loads` is in beta")  # LangChain says so once a process
        return loads(
            text,
            allowed_objects=[NebulaVideoRunnable],
            valid_namespaces=["langchain_nebula_video"],
            secrets_map={variable: KEY},
        )


def test_it_is_written_without_its_key_and_read_back(options: dict[str, Any]) -> None:
    plain = {name: options[name] for name in ("api_key",)}
    animate = NebulaVideoRunnable(
        **plain, prompt="Zoom", duration=10, budget=Budget(usd="5"), save_to=Path("videos"), group_ratio=Decimal("1.5")
    )
    text = dumps(animate)
    assert KEY not in text
    assert json.loads(text)["kwargs"]["api_key"] == {"lc": 1, "type": "secret", "id": ["NEBULA_API_KEY"]}
    read = read_back(text, "NEBULA_API_KEY")
    assert read.resolve_api_key().get_secret_value() == KEY
    for name in ("prompt", "duration", "budget", "group_ratio", "gateway", "model"):
        assert getattr(read, name) == getattr(animate, name)
    assert str(read.save_to) == "videos"


def test_prices_are_written_and_read_back_exactly_and_the_key_by_its_gateway_s_variable() -> None:
    animate = NebulaVideoRunnable(
        api_key=SecretStr(KEY),
        gateway="dashscope-passthrough",
        base_url="https://gateway.example.com",
        template="flying",
        prices=cast("Any", {"wan2.5-i2v-preview": {"480p": 0.1, "720p": "0.20"}, "wanx2.1-i2v-plus": Decimal("0.7")}),
    )
    text = dumps(animate)
    assert KEY not in text
    assert json.loads(text)["kwargs"]["api_key"]["id"] == ["DASHSCOPE_PASSTHROUGH_API_KEY"]
    read = read_back(text, "DASHSCOPE_PASSTHROUGH_API_KEY")
    assert read.prices == animate.prices
    assert read.prices == {
        "wan2.5-i2v-preview": {"480p": Decimal("0.1"), "720p": Decimal("0.20")},
        "wanx2.1-i2v-plus": {"720p": Decimal("0.7")},
    }
    for name in ("gateway", "model", "base_url", "template"):
        assert getattr(read, name) == getattr(animate, name)


def test_a_pickle_leaves_the_key_behind(animate: NebulaVideoRunnable) -> None:
    animate.invoke(URL)
    assert KEY.encode() not in pickle.dumps(animate)


def test_unknown_keywords_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="is no option here"):
        NebulaVideoRunnable(**options, promt="x")  # type: ignore[call-arg]


# --- repetitions ---


def repeated_by(how: str, animate: Any) -> Any:
    """What LangChain and LangGraph put around a runnable to repeat it."""
    if how == "with_retry":
        return animate.with_retry(wait_exponential_jitter=False, stop_after_attempt=3)
    if how == "with_retry around a chain":
        chain = RunnableLambda(dict) | animate
        return chain.with_retry(wait_exponential_jitter=False, stop_after_attempt=3)
    if how == "with_fallbacks":
        return animate.with_fallbacks([animate])
    graph: Any = StateGraph(cast("Any", dict))
    policies = {
        "any error": RetryPolicy(initial_interval=0.01, jitter=False, retry_on=Exception),
        "default": RetryPolicy(),
    }

    def node(state: dict[str, Any]) -> dict[str, Any]:
        return {"video": animate.invoke(state)}

    graph.add_node("animate", node, retry_policy=policies[how])
    graph.add_edge(START, "animate")
    return graph.compile()


@pytest.mark.parametrize("how", ["with_retry", "with_retry around a chain", "with_fallbacks", "default", "any error"])
@pytest.mark.parametrize("kind", ["runnable", "tool"])
def test_a_lost_answer_is_one_post_whatever_repeats_the_call(
    options: dict[str, Any], gateway: Gateway, kind: str, how: str
) -> None:
    gateway.submits = [httpx.ReadTimeout("lost")]
    tool = NebulaVideoTool(**options, handle_tool_error=False)
    animate: Any = tool if kind == "tool" else NebulaVideoRunnable(**options)
    with pytest.raises(SubmissionUnconfirmedError):
        repeated_by(how, animate).invoke({"prompt": "x", "image": URL})
    assert gateway.posts == 1


def test_a_language_model_that_calls_again_after_a_lost_answer_pays_nothing(
    options: dict[str, Any], gateway: Gateway
) -> None:
    gateway.submits = [httpx.ReadTimeout("lost")]
    tool = NebulaVideoTool(**options)
    for call_id in ("call_1", "call_2"):
        call = {"type": "tool_call", "id": call_id, "name": tool.name, "args": {"prompt": "x", "image": URL}}
        message = tool.invoke(call, {"configurable": {"thread_id": "t"}})
        assert "may have been spent" in message.content
    assert gateway.posts == 1


def test_with_retry_goes_on_with_a_task_that_took_too_long(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [{"task_id": "task-1", "status": "in_progress"}] * 20 + [succeeded()]
    animate = NebulaVideoRunnable(**options, prompt="x", timeout=100, poll_interval=10)
    video = animate.with_retry(wait_exponential_jitter=False, stop_after_attempt=4).invoke(URL)
    assert video.task_id == "task-1"
    assert gateway.posts == 1


def test_the_same_input_twice_in_one_chain_makes_two_videos(options: dict[str, Any], gateway: Gateway) -> None:
    animate = NebulaVideoRunnable(**options, prompt="x")
    RunnableParallel(left=animate, right=animate).invoke(URL)
    assert gateway.posts == 2
