"""The tool as agents and graphs meet it."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import ValidationError

from langchain_nebula_video import (
    Budget,
    BudgetExceededError,
    InvalidRequestError,
    ModerationError,
    NebulaVideoTool,
    SqlJournal,
    TaskFailedError,
    TaskTimeoutError,
)
from langchain_nebula_video.langchain.toolkit import NebulaGetVideoTool, NebulaQuoteVideoTool, NebulaSubmitVideoTool
from tests.agents import animates, animating
from tests.conftest import KEY, FakeClock, Gateway, failed, running, submitted, succeeded

ARGS: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
CALL: dict[str, Any] = {"type": "tool_call", "id": "call_1", "name": "nebula_image_to_video", "args": ARGS}
THREAD: Any = {"configurable": {"thread_id": "thread-1"}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


# --- what the language model sees ---


def test_the_schema_holds_what_the_model_takes_and_nothing_else(options: dict[str, Any]) -> None:
    shown = convert_to_openai_tool(NebulaVideoTool(**options))["function"]
    fields = shown["parameters"]["properties"]
    assert set(fields) == {
        "prompt", "image", "duration", "resolution", "smart_rewrite", "generate_audio", "audio_url", "seed",
    }  # fmt: skip
    assert (fields["duration"]["type"], fields["duration"]["description"][:24]) == (
        "integer",
        "Seconds of video: 5, 10.",
    )
    assert fields["resolution"]["enum"] == ["480p", "720p", "1080p"]
    assert shown["parameters"]["required"] == ["prompt"]


def test_the_description_tells_the_price_and_when_not_to_call_again(options: dict[str, Any]) -> None:
    told = NebulaVideoTool(**options).description
    assert "$0.369 at 720p" in told
    assert "do not call it again" in told


def test_where_an_error_says_to_call_again_the_description_lets_it(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [running()]
    tool = NebulaVideoTool(**options, timeout=100)
    told = tool.invoke(ARGS)
    assert "Money may be spent" in told
    assert "Call this tool again" in told
    assert "unless the error itself tells you to" in tool.description


def test_the_price_told_is_that_of_the_accounts_group(options: dict[str, Any]) -> None:
    assert "$0.738 at 720p" in NebulaVideoTool(**options, group_ratio=Decimal(2)).description


def test_a_description_of_ones_own_is_kept(options: dict[str, Any]) -> None:
    assert NebulaVideoTool(**options, description="Animate cats.").description == "Animate cats."


# --- answers ---


def test_the_content_is_compact_json_and_the_artifact_the_same_as_plain_data(options: dict[str, Any]) -> None:
    message = NebulaVideoTool(**options).invoke(CALL)
    facts = json.loads(message.content)
    assert facts == {
        "status": "succeeded",
        "url": "https://results.example.com/video.mp4?Expires=1799999999&Signature=abc",
        "cost_usd": 0.369,
        "duration": 5,
        "resolution": "720p",
        "model": "wan2.5-i2v-preview",
        "task_id": "task-1",
        "expires_at": "2027-01-15T07:59:59+00:00",
    }
    video = message.artifact.pop("video")
    assert message.artifact == facts
    assert (video["type"], video["url"], video["mime_type"]) == ("video", facts["url"], "video/mp4")
    assert json.loads(json.dumps(message.artifact)) == facts


async def test_the_async_tool_gives_the_same(options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options)
    assert json.loads((await tool.ainvoke(CALL)).content)["task_id"] == "task-1"


def test_signed_urls_can_be_left_to_the_artifact(options: dict[str, Any]) -> None:
    message = NebulaVideoTool(**options, url_in_content=False).invoke(CALL)
    assert "url" not in json.loads(message.content)
    assert message.artifact["url"].startswith("https://")


def test_a_video_that_comes_as_a_data_uri_never_reaches_the_content(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [{**succeeded(), "url": "data:video/mp4;base64,AAAAGGZ0eXBpc29t"}]
    message = NebulaVideoTool(**options).invoke(CALL)
    assert "AAAAGGZ0" not in message.content
    assert message.artifact["video"]["base64"] == "AAAAGGZ0eXBpc29t"


@pytest.mark.parametrize("kind", [NebulaVideoTool, NebulaSubmitVideoTool, NebulaGetVideoTool, NebulaQuoteVideoTool])
def test_an_answer_without_its_artifact_is_refused_as_the_model_would_read_all_of_it(
    options: dict[str, Any], kind: Any
) -> None:
    with pytest.raises(InvalidRequestError, match="response_format: must be 'content_and_artifact'"):
        kind(**options, response_format="content")
    assert kind(**options, response_format="content_and_artifact").response_format == "content_and_artifact"


# --- errors ---


def test_an_error_reaches_the_model_as_text_that_names_the_task(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [running()]
    message = NebulaVideoTool(**options, timeout=100).invoke(CALL)
    assert message.status == "error"
    assert "task-1" in message.content
    assert "again with the very same arguments" in message.content


@pytest.mark.parametrize("args", [{**ARGS, "duration": 7}, {**ARGS, "colour": "red"}, {"image": ARGS["image"]}])
def test_arguments_that_do_not_fit_are_told_to_the_model(
    options: dict[str, Any], gateway: Gateway, args: dict[str, Any]
) -> None:
    message = NebulaVideoTool(**options).invoke({**CALL, "args": args})
    assert message.status == "error"
    assert "Nothing was sent and nothing was spent" in message.content
    assert gateway.requests == []


def test_a_path_from_a_language_model_is_never_read(options: dict[str, Any], gateway: Gateway) -> None:
    message = NebulaVideoTool(**options).invoke({**CALL, "args": {**ARGS, "image": "/etc/passwd"}})
    assert "not read as a local path" in message.content
    assert message.content.endswith("Use an image with an https URL, or ask the user to attach the image itself.")
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("setting", "answer", "kind"),
    [
        ({}, failed(), TaskFailedError),
        ({"timeout": 100.0}, running(), TaskTimeoutError),
        ({"budget": "0.10"}, None, BudgetExceededError),
    ],
)
async def test_unhandled_it_is_the_typed_error_that_nobody_repeats(
    options: dict[str, Any], gateway: Gateway, setting: dict[str, Any], answer: Any, kind: type[Exception]
) -> None:
    gateway.fetches = [answer]
    tool = NebulaVideoTool(**options, **setting, handle_tool_error=False)
    for attempt in (lambda: tool.invoke(CALL), lambda: asyncio.run(tool.ainvoke(CALL))):
        with pytest.raises(kind) as caught:
            await asyncio.to_thread(attempt)
        assert isinstance(caught.value, ToolException)
        assert isinstance(caught.value, RuntimeError)
        assert isinstance(caught.value, ModelError)
        assert caught.value.is_retryable is False


def test_an_unhandled_error_can_be_pickled(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(400, json={"code": "DataInspectionFailed", "message": "no"})]
    with pytest.raises(ModerationError) as caught:
        NebulaVideoTool(**options, handle_tool_error=False).invoke(CALL)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert type(copied) is type(caught.value)
    assert str(copied) == str(caught.value)
    assert copied.code == "DataInspectionFailed"


def test_an_unknown_keyword_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="api_kee: is no option here"):
        NebulaVideoTool(**options, api_kee="x")  # type: ignore[call-arg]


def test_a_missing_key_says_which_variable_to_set() -> None:
    with pytest.raises(InvalidRequestError, match="Set NEBULA_API_KEY or pass api_key"):
        NebulaVideoTool()


# --- replay ---


def test_the_same_call_of_the_same_thread_pays_once(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    first = tool.invoke(CALL, config=THREAD)
    second = asyncio.run(tool.ainvoke(CALL, config=THREAD))
    assert first.artifact["task_id"] == second.artifact["task_id"]
    assert gateway.posts == 1


def test_without_a_thread_an_identical_call_gives_the_same_video_and_says_so(
    options: dict[str, Any], gateway: Gateway
) -> None:
    tool = NebulaVideoTool(**options)
    first, again = tool.invoke(CALL), tool.invoke({**CALL, "id": "call_2"})
    assert gateway.posts == 1
    content = json.loads(again.content)
    assert (content["task_id"], content["reused"], again.artifact["reused"]) == ("task-1", True, True)
    assert "task task-1 of an earlier identical request; nothing was paid again" in content["note"]
    assert "another seed" in content["note"]
    assert {**content, "reused": None, "note": None} == {**json.loads(first.content), "reused": None, "note": None}
    assert "reused" not in first.artifact
    tool.invoke({**CALL, "args": {**CALL["args"], "seed": 2}})
    assert gateway.posts == 2


async def test_two_equal_calls_of_one_message_without_a_thread_are_one_video(
    options: dict[str, Any], gateway: Gateway
) -> None:
    # The machine's clock: on one that moves by itself, the call that joins would outwait the other's lease.
    tool = NebulaVideoTool(**{**options, "clock": None, "poll_interval": 0.01})
    contents = [json.loads(message.content) for message in await asyncio.gather(*(tool.ainvoke(CALL) for _ in "ab"))]
    assert sorted(content.get("reused", False) for content in contents) == [False, True]
    assert gateway.posts == 1


@pytest.mark.parametrize("other", [{"repeat_window": None}, {"repeat_window": 1e-6}], ids=["off", "over"])
def test_outside_the_window_every_call_without_a_thread_is_its_own(
    options: dict[str, Any], gateway: Gateway, other: dict[str, Any]
) -> None:
    tool = NebulaVideoTool(**options, **other)
    tool.invoke(CALL)
    tool.invoke(CALL)
    assert gateway.posts == 2


def test_a_task_that_failed_is_not_joined(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [failed(), succeeded()]
    tool = NebulaVideoTool(**options)
    assert "Nothing was spent" in tool.invoke(CALL).content
    assert "reused" not in json.loads(tool.invoke(CALL).content)
    assert gateway.posts == 2


def test_a_call_that_was_refused_is_not_joined(options: dict[str, Any], gateway: Gateway) -> None:
    refusal = httpx.Response(400, json={"code": "DataInspectionFailed", "message": "no"})
    gateway.submits = [refusal, submitted()]
    tool = NebulaVideoTool(**options)
    assert "Nothing was spent" in tool.invoke(CALL).content
    assert json.loads(tool.invoke(CALL).content)["status"] == "succeeded"


def test_with_a_thread_the_key_decides_and_not_the_window(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    tool.invoke(CALL, config=THREAD)
    assert "reused" not in json.loads(tool.invoke(CALL, config=THREAD).content)
    assert gateway.posts == 1
    tool.invoke({**CALL, "id": "call_2"}, config=THREAD)
    tool.invoke(CALL)
    assert gateway.posts == 3


def test_a_memory_journal_says_once_that_it_cannot_keep_that_across_processes(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO", "langchain_nebula_video")
    for journal in (None, SqlJournal(f"sqlite:///{tmp_path / 'j.db'}")):
        tool = NebulaVideoTool(**options, journal=journal)
        for seed in (1, 2):
            tool.invoke({**CALL, "args": {**CALL["args"], "seed": seed}})
        tool.invoke(CALL, config=THREAD)
    assert caplog.text.count("repeats are recognized within this process only") == 1


def test_other_calls_and_other_threads_pay_for_themselves(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    tool.invoke(CALL, config=THREAD)
    tool.invoke({**CALL, "id": "call_2"}, config=THREAD)
    tool.invoke(CALL, config={"configurable": {"thread_id": "thread-2"}})
    assert gateway.posts == 3


def test_in_an_agent_with_a_checkpointer_a_replayed_step_pays_once(options: dict[str, Any], gateway: Gateway) -> None:
    agent: Any = create_agent(animates(image=ARGS["image"]), [NebulaVideoTool(**options)], checkpointer=InMemorySaver())
    agent.invoke({"messages": [HumanMessage("Animate it.")]}, THREAD)
    before_the_tool = next(state for state in agent.get_state_history(THREAD) if state.next == ("tools",))
    replayed = agent.invoke(None, before_the_tool.config)
    assert json.loads(replayed["messages"][2].content)["task_id"] == "task-1"
    assert gateway.posts == 1


# --- the conversation's image ---


def _graph(tool: NebulaVideoTool) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "tools")
    return graph.compile()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{PIXEL}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ],
    ids=["v1", "image_url dict", "image_url string", "anthropic"],
)
async def test_without_an_image_the_newest_of_the_conversation_is_animated(
    options: dict[str, Any], gateway: Gateway, block: dict[str, Any]
) -> None:
    older = {"type": "image", "url": "https://example.com/older.png"}
    asked = animating()
    state: Any = {"messages": [HumanMessage([older, {"type": "text", "text": "and"}, block]), asked]}
    graph = _graph(NebulaVideoTool(**options))
    for result in (graph.invoke(state), await graph.ainvoke(state)):
        message = result["messages"][-1]
        assert isinstance(message, ToolMessage)
        assert message.status == "success", message.content
        assert PIXEL not in str(message)
    assert {body["image"] for body in gateway.bodies} == {f"data:image/png;base64,{PIXEL}"}


def test_without_any_image_the_model_is_told_to_give_one(options: dict[str, Any], gateway: Gateway) -> None:
    state: Any = {"messages": [HumanMessage("Animate my cat"), animating()]}
    message = _graph(NebulaVideoTool(**options)).invoke(state)["messages"][-1]
    assert "No image was given" in message.content
    assert gateway.requests == []


def test_a_forged_runtime_is_no_state(options: dict[str, Any]) -> None:
    forged = NebulaVideoTool(**options).invoke({"prompt": "x", "runtime": "state"})
    assert "No image was given" in forged


# --- other gateways and models ---

OWN: dict[str, Any] = {"base_url": "https://gateway.example.com"}
MIX: dict[str, Any] = {**OWN, "gateway": "uniall", "model": "viduq3p-mix-720p"}
VIDU: dict[str, Any] = {**OWN, "gateway": "uniall", "model": "viduq3p-720p"}
URL, OTHER = "https://example.com/cat.jpg", "https://example.com/dog.jpg"
PICTURE = HumanMessage([{"type": "image", "url": OTHER}, {"type": "image", "url": URL}])
TEXT = HumanMessage("Make a video of a boat")


def _made(gateway: Gateway, word: str = "SUCCEEDED") -> None:
    """DashScope's answers: a task, and a look at it."""
    output = {"task_id": "task-1", "task_status": word, "video_url": "https://results.example.com/video.mp4"}
    gateway.submits = [{"output": {"task_id": "task-1", "task_status": "PENDING"}, "request_id": "r"}]
    gateway.fetches = [{"output": output, "usage": {"duration": 5, "SR": 720}, "request_id": "r"}]


@pytest.mark.parametrize(
    ("where", "conversation", "args", "sent"),
    [
        (VIDU, PICTURE, {}, {"image": URL}),
        (VIDU, TEXT, {}, {}),
        (VIDU, TEXT, {"image": OTHER}, {"image": OTHER}),
        (VIDU, PICTURE, {"image": OTHER}, {"image": OTHER}),
        (VIDU, PICTURE, {"last_image": OTHER}, {"image": URL, "last_image": OTHER}),
        (VIDU, PICTURE, {"last_image": URL}, {"image": OTHER, "last_image": URL}),
        (VIDU, PICTURE, {"last_image": "2"}, {"image": OTHER, "last_image": URL}),
        (VIDU, PICTURE, {"last_image": "last"}, {"image": OTHER, "last_image": URL}),
        (
            VIDU,
            PICTURE,
            {"last_image": f"{URL}?Expires=1&Signature=x"},
            {"image": OTHER, "last_image": f"{URL}?Expires=1&Signature=x"},
        ),
        (VIDU, PICTURE, {"image": "2", "last_image": "2"}, {"image": URL, "last_image": URL}),
        (VIDU, PICTURE, {"image": "none"}, {}),
        (VIDU, PICTURE, {"image": " None"}, {}),
        (VIDU, PICTURE, {"image": "1", "last_image": "none"}, {"image": OTHER}),
        (VIDU, PICTURE, {"image": None}, {"image": URL}),
        (VIDU, PICTURE, {"image": ""}, {"image": URL}),
        (VIDU, PICTURE, {"reference_images": [OTHER]}, {"reference_image_urls": [OTHER]}),
        (VIDU, PICTURE, {"reference_images": []}, {"image": URL}),
        (VIDU, PICTURE, {"reference_images": [OTHER], "image": "none"}, {"reference_image_urls": [OTHER]}),
        (MIX, PICTURE, {}, {"reference_image_urls": [URL]}),
        (MIX, PICTURE, {"reference_images": [OTHER]}, {"reference_image_urls": [OTHER]}),
        (MIX, PICTURE, {"reference_images": []}, {"reference_image_urls": [URL]}),
        (MIX, TEXT, {"reference_images": [OTHER, URL]}, {"reference_image_urls": [OTHER, URL]}),
    ],
)
async def test_the_conversation_s_image_goes_where_the_model_wants_it(
    options: dict[str, Any], gateway: Gateway, where: Any, conversation: Any, args: Any, sent: dict[str, Any]
) -> None:
    graph = _graph(NebulaVideoTool(**options, **where))
    state: Any = {"messages": [conversation, animating(**args)]}
    for result in (graph.invoke(state), await graph.ainvoke(state)):
        assert result["messages"][-1].status == "success", result["messages"][-1].content
    images = ("image", "last_image", "reference_image_urls")
    for body in gateway.bodies:
        assert {name: body[name] for name in images if name in body} == sent
    assert gateway.posts == 2


@pytest.mark.parametrize(
    ("where", "args", "told"),
    [
        (MIX, {}, "No image was given, and there is none in the conversation"),
        (VIDU, {"last_image": URL}, "There is a last_image and no image"),
        (VIDU, {"reference_images": [URL], "image": OTHER}, "There are frames and reference images"),
        (VIDU, {"last_image": URL, "image": "none"}, "There is a last_image and no image"),
        ({}, {"image": "none"}, "No image was given, and there is none in the conversation"),
        (MIX, {"reference_images": [URL], "prompt": "@Image2 waves"}, "The prompt names @Image2"),
        (MIX, {"reference_images": ["/etc/passwd"]}, "not read as a local path"),
        (MIX, {"reference_images": [URL] * 5}, "at most 4 items"),
        (VIDU, {"duration": 17}, "duration"),
    ],
)
def test_what_cannot_be_made_of_text_alone_is_told_to_the_model(
    options: dict[str, Any], gateway: Gateway, where: Any, args: Any, told: str
) -> None:
    state: Any = {"messages": [TEXT, animating(**args)]}
    message = _graph(NebulaVideoTool(**options, **where)).invoke(state)["messages"][-1]
    assert (message.status, told in message.content) == ("error", True), message.content
    assert "Nothing was sent and nothing was spent" in message.content
    assert gateway.requests == []


def test_the_newest_image_is_the_first_of_two_frames(options: dict[str, Any], gateway: Gateway) -> None:
    _made(gateway)
    tool = NebulaVideoTool(**options, gateway="dashscope", model="wan2.2-kf2v-flash")
    state: Any = {"messages": [PICTURE, animating(last_image=OTHER)]}
    assert _graph(tool).invoke(state)["messages"][-1].status == "success"
    (body,) = gateway.bodies
    assert (body["input"]["first_frame_url"], body["input"]["last_frame_url"]) == (URL, OTHER)


def test_one_image_is_not_both_frames_unless_that_is_said(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options, gateway="dashscope", model="wan2.2-kf2v-flash")
    alone = HumanMessage([{"type": "image", "url": URL}])
    state: Any = {"messages": [alone, animating(last_image="1")]}
    message = _graph(tool).invoke(state)["messages"][-1]
    assert "No image was given, and there is no other in the conversation" in message.content
    assert gateway.requests == []


def test_an_effect_needs_no_prompt(options: dict[str, Any], gateway: Gateway) -> None:
    _made(gateway)
    tool = NebulaVideoTool(**options, gateway="dashscope", model="wanx2.1-i2v-turbo")
    message = tool.invoke({**CALL, "args": {"image": URL, "template": "flying", "duration": 3}})
    assert message.status == "success", message.content
    (body,) = gateway.bodies
    assert body["input"] == {"img_url": URL, "template": "flying"}
    assert (body["parameters"]["duration"], body["parameters"]["resolution"]) == (3, "720P")


def test_an_effect_beside_a_prompt_is_made_and_warned_of(options: dict[str, Any], gateway: Gateway) -> None:
    _made(gateway)
    tool = NebulaVideoTool(**options, gateway="dashscope", model="wanx2.1-i2v-turbo")
    with pytest.warns(UserWarning, match="the model ignores the prompt"):
        message = tool.invoke({**CALL, "args": {"prompt": "It flies", "image": URL, "template": "flying"}})
    assert message.status == "success"


@pytest.mark.parametrize(
    ("where", "cost"),
    [
        ({"gateway": "dashscope"}, 0.416667),
        ({"gateway": "dashscope-intl"}, 0.5),
        ({"gateway": "dashscope-passthrough", **OWN}, None),
        ({"gateway": "dashscope-passthrough", **OWN, "prices": {"wan2.5-i2v-preview": "0.36"}}, 0.25),
    ],
)
def test_the_cost_is_told_in_dollars_or_as_unknown(
    options: dict[str, Any], gateway: Gateway, where: Any, cost: float | None
) -> None:
    _made(gateway)
    facts = json.loads(NebulaVideoTool(**options, **where).invoke(CALL).content)
    assert (facts["cost_usd"], facts["duration"], facts["resolution"]) == (cost, 5, "720p")


def test_a_pickled_tool_of_another_gateway_keeps_its_schema_and_asks_for_that_gateway_s_key(
    options: dict[str, Any],
) -> None:
    tool = NebulaVideoTool(**options, gateway="dashscope", model="wanx2.1-i2v-turbo")
    restored = pickle.loads(pickle.dumps(tool))
    assert convert_to_openai_tool(restored) == convert_to_openai_tool(tool)
    with pytest.raises(InvalidRequestError, match="Set DASHSCOPE_API_KEY"):
        restored.resolve_api_key()


# --- copies ---


def test_a_copy_shares_the_journal_so_that_it_cannot_pay_again(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    tool.invoke(CALL, config=THREAD)
    for other in (copy.copy(tool), copy.deepcopy(tool), tool.model_copy()):
        other.invoke(CALL, config=THREAD)
    assert gateway.posts == 1


def test_a_pickle_leaves_the_key_behind_and_reads_it_again(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = NebulaVideoTool(**options, budget=Budget(usd="1.00"))
    tool.invoke(CALL)
    pickled = pickle.dumps(tool)
    assert KEY.encode() not in pickled
    restored = pickle.loads(pickled)
    assert restored.args_schema is tool.args_schema
    assert restored.journal is tool.journal
    with pytest.raises(InvalidRequestError, match="Set NEBULA_API_KEY"):
        restored.resolve_api_key()
    monkeypatch.setenv("NEBULA_API_KEY", KEY)
    assert restored.resolve_api_key().get_secret_value() == KEY


# --- paid, and not quite well ---


def test_a_paid_video_that_could_not_be_saved_is_answered_with_its_url(
    options: dict[str, Any], gateway: Gateway, tmp_path: Path
) -> None:
    """The gateway of functions answers every download with JSON, which is no MP4."""
    message = NebulaVideoTool(**options, save_to=tmp_path).invoke(CALL)
    facts = json.loads(message.content)
    assert message.status == "success"
    assert facts["url"].startswith("https://results.example.com/")
    assert "no MP4" in facts["save_error"]
    assert "path" not in facts


def test_a_place_where_nothing_can_be_saved_is_told_before_paying(
    options: dict[str, Any], gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    message = NebulaVideoTool(**options, save_to=tmp_path / "file" / "videos").invoke(CALL)
    assert "Nothing can be saved" in message.content
    assert gateway.requests == []


def test_called_again_after_a_timeout_it_goes_on_waiting(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [running()]
    tool = NebulaVideoTool(**options, timeout=100)
    assert "again with the very same arguments" in tool.invoke(CALL, THREAD).content
    gateway.fetches = [succeeded()]
    assert tool.invoke({**CALL, "id": "call_2"}, THREAD).artifact["task_id"] == "task-1"
    assert gateway.posts == 1


def test_call_ids_that_a_model_numbers_anew_each_turn_do_not_clash(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    tool.invoke(CALL, THREAD)
    tool.invoke({**CALL, "args": {**ARGS, "prompt": "The dog blinks"}}, THREAD)
    assert gateway.posts == 2


def test_a_copy_with_another_budget_keeps_to_it(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    tool.invoke(CALL)
    poor = tool.model_copy(update={"budget": Budget(usd="0.01")})
    assert "left of the budget" in poor.invoke({**CALL, "args": {**ARGS, "prompt": "The dog blinks"}}).content
    assert gateway.posts == 1


@pytest.mark.parametrize(
    "unusable",
    [
        {"type": "image", "file_id": "file-1"},
        {"type": "image", "source_type": "base64"},
        {"type": "image_url", "image_url": {}},
    ],
)
def test_a_newer_block_without_an_image_in_it_is_passed_over(
    options: dict[str, Any], gateway: Gateway, unusable: dict[str, Any]
) -> None:
    messages = [HumanMessage([{"type": "image", "url": "https://example.com/cat.png"}]), HumanMessage([unusable])]
    state: Any = {"messages": [*messages, animating()]}
    assert _graph(NebulaVideoTool(**options)).invoke(state)["messages"][-1].status == "success"
    assert gateway.bodies[0]["image"] == "https://example.com/cat.png"


# --- what a call costs ---


@pytest.mark.parametrize("conversation", [True, False])
@pytest.mark.parametrize("kind", [NebulaVideoTool, NebulaSubmitVideoTool, NebulaGetVideoTool, NebulaQuoteVideoTool])
def test_arguments_are_read_and_traced_as_langchain_would(
    options: dict[str, Any], kind: type[Any], conversation: bool
) -> None:
    """`BaseTool` resolves the annotations of the schema in each call, and so the tools do that themselves."""
    tool = kind(**options, conversation=conversation)
    given: dict[str, Any] = {
        NebulaGetVideoTool: {"task_id": "t", "wait_seconds": "5"},
        NebulaQuoteVideoTool: {"duration": "5"},
    }.get(kind, {**ARGS, "duration": "5", "resolution": "480P", "seed": None})
    traced = {**given, "runtime": object(), "callbacks": [], "run_manager": None, "config": {}, "other": 1}
    assert tool._filter_injected_args(traced) == BaseTool._filter_injected_args(tool, traced)
    if "runtime" in tool.args_schema.model_fields:
        given["runtime"] = object()
    parsed = tool._parse_input(dict(given), "call_1")
    assert {name: value for name, value in parsed.items() if name != "runtime"} == BaseTool._parse_input(
        tool, dict(given), "call_1"
    )
    with pytest.raises(ValidationError):
        tool._parse_input({**given, "unknown": 1}, "call_1")


async def test_a_wait_is_cut_into_beats_only_where_somebody_listens(
    options: dict[str, Any], gateway: Gateway, clock: FakeClock
) -> None:
    class Listener(AsyncCallbackHandler):
        heard = 0

        async def on_custom_event(self, *_: Any, **__: Any) -> None:
            self.heard += 1

    listener = Listener()
    gateway.fetches = [running(), running(), succeeded()]
    for callbacks in list[Any](([], [listener])):
        clock.sleeps.clear()
        tool = NebulaVideoTool(**options, poll_interval=30)
        await tool.ainvoke(ARGS, {"callbacks": callbacks})
        assert (max(clock.sleeps) > 20) is (callbacks == [])
        gateway.fetches = [running(), running(), succeeded()]
    assert listener.heard > 10
