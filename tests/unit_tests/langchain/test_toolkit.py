"""The tools of an agent that need not wait."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage

from langchain_nebula_video import (
    InvalidRequestError,
    NebulaVideoTool,
    NebulaVideoToolkit,
    TaskTimeoutError,
)
from tests.conftest import Gateway, failed, running, succeeded
from tests.storage import MOVIE

ASK = {"prompt": "The cat blinks", "image": "https://example.com/cat.png"}


def call(name: str, call_id: str = "call_1", **args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "name": name, "id": call_id, "args": args}


@pytest.fixture
def tools(options: dict[str, Any]) -> dict[str, Any]:
    return {tool.name: tool for tool in NebulaVideoToolkit(**options, budget="5.00").get_tools()}


def facts(message: Any) -> dict[str, Any]:
    assert isinstance(message, ToolMessage)
    assert message.status == "success", message.content
    assert isinstance(message.content, str)
    found: dict[str, Any] = json.loads(message.content)
    return found


def test_there_are_four(tools: dict[str, Any]) -> None:
    assert list(tools) == ["nebula_image_to_video", "nebula_submit_video", "nebula_get_video", "nebula_quote_video"]


def test_they_share_one_journal_and_its_budget(options: dict[str, Any], gateway: Gateway) -> None:
    tools = {tool.name: tool for tool in NebulaVideoToolkit(**options, budget="0.50").get_tools()}
    tools["nebula_submit_video"].invoke(call("nebula_submit_video", **ASK))
    told = tools["nebula_image_to_video"].invoke(call("nebula_image_to_video", **ASK, duration=10))
    assert "budget" in told.content
    assert gateway.posts == 1


async def test_starting_a_video_returns_at_once(tools: dict[str, Any], gateway: Gateway) -> None:
    for submit in (tools["nebula_submit_video"].invoke, tools["nebula_submit_video"].ainvoke):
        message = submit(call("nebula_submit_video", **ASK))
        found = facts(await message if not isinstance(message, ToolMessage) else message)
        assert (found["status"], found["task_id"], found["cost_usd"]) == ("queued", "task-1", 0.369)
        assert found["ready_in_seconds"] == [60, 120]
    assert gateway.gets == 0


def test_a_call_that_is_replayed_starts_nothing_anew(tools: dict[str, Any], gateway: Gateway) -> None:
    thread = {"configurable": {"thread_id": "chat-1"}}
    for _ in range(2):
        tools["nebula_submit_video"].invoke(call("nebula_submit_video", **ASK), thread)
    assert gateway.posts == 1


async def test_asking_looks_once_and_never_pays(tools: dict[str, Any], gateway: Gateway) -> None:
    tools["nebula_submit_video"].invoke(call("nebula_submit_video", **ASK))
    get = tools["nebula_get_video"]
    gateway.fetches = [running(), running(), succeeded()]
    assert facts(get.invoke(call(get.name, task_id="task-1")))["status"] == "running"
    assert facts(await get.ainvoke(call(get.name, task_id="task-1")))["status"] == "running"
    assert gateway.gets == 2
    message = get.invoke(call(get.name, task_id="task-1"))
    assert facts(message)["url"].startswith("https://results.example.com/")
    assert message.artifact["video"]["mime_type"] == "video/mp4"
    assert gateway.posts == 1


async def test_it_waits_as_long_as_it_is_told(tools: dict[str, Any], gateway: Gateway) -> None:
    get = tools["nebula_get_video"]
    gateway.fetches = [running()]
    for ask in (get.invoke, get.ainvoke):
        message = ask(call(get.name, task_id="task-1", wait_seconds=30))
        found = facts(await message if not isinstance(message, ToolMessage) else message)
        assert (found["status"], found["task_id"]) == ("running", "task-1")
    gateway.fetches = [running(), running(), succeeded()]
    assert facts(get.invoke(call(get.name, task_id="task-1", wait_seconds=300)))["status"] == "succeeded"


def test_a_task_that_failed_is_told_with_its_reason_and_that_it_is_free(
    tools: dict[str, Any], gateway: Gateway
) -> None:
    gateway.fetches = [failed("DataInspectionFailed", "Inappropriate content")]
    found = facts(tools["nebula_get_video"].invoke(call("nebula_get_video", task_id="task-1", wait_seconds=60)))
    assert found["status"] == "failed"
    assert found["cost_usd"] == 0
    assert "Inappropriate content" in found["reason"]


def test_no_more_than_a_quarter_of_an_hour_is_waited_in_one_call(tools: dict[str, Any], gateway: Gateway) -> None:
    message = tools["nebula_get_video"].invoke(call("nebula_get_video", task_id="task-1", wait_seconds=901))
    assert message.status == "error"
    assert "wait_seconds" in message.content
    assert gateway.requests == []


@pytest.mark.parametrize("seconds", [None, 0, "0", 0.0])
def test_no_time_to_wait_is_one_look(tools: dict[str, Any], gateway: Gateway, seconds: object) -> None:
    gateway.fetches = [running()]
    assert facts(tools["nebula_get_video"].invoke(call("x", task_id="task-1", wait_seconds=seconds)))
    assert gateway.gets == 1


@pytest.mark.parametrize("seconds", ["300", 300.0, "299.5", 299.5])
def test_a_time_to_wait_is_read_however_it_is_written(tools: dict[str, Any], gateway: Gateway, seconds: object) -> None:
    gateway.fetches = [running(), running(), succeeded()]
    message = tools["nebula_get_video"].invoke(call("x", task_id="task-1", wait_seconds=seconds))
    assert facts(message)["status"] == "succeeded"


def test_a_task_s_id_may_be_written_as_a_number(tools: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [{**succeeded(), "task_id": 12345}]
    assert facts(tools["nebula_get_video"].invoke(call("x", task_id=12345)))["task_id"] == "12345"
    assert gateway.requests[0].url.path.endswith("/12345")


@pytest.mark.parametrize("task_id", ["", "   ", None, "a" * 3000, "\ud83d"])
def test_what_can_be_no_task_s_id_is_neither_sent_nor_repeated(
    tools: dict[str, Any], gateway: Gateway, task_id: object
) -> None:
    message = tools["nebula_get_video"].invoke(call("x", task_id=task_id))
    assert message.status == "error"
    assert "Nothing was sent" in message.content
    assert len(message.content) < 300
    assert gateway.requests == []


async def test_the_price_is_told_before_and_what_is_left(tools: dict[str, Any], gateway: Gateway) -> None:
    quote = tools["nebula_quote_video"]
    found = facts(quote.invoke(call(quote.name, duration=10, resolution="1080p")))
    assert found == {
        "cost_usd": 1.233,
        "seconds": 10,
        "basis": "estimated",
        "model": "wan2.5-i2v-preview",
        "budget_left_usd": 5.0,
    }
    tools["nebula_submit_video"].invoke(call("nebula_submit_video", **ASK))
    assert facts(await quote.ainvoke(call(quote.name)))["budget_left_usd"] == 4.631
    assert gateway.posts == 1


def test_without_a_budget_nothing_is_said_of_one(options: dict[str, Any]) -> None:
    quote = NebulaVideoToolkit(**options).get_tools()[3]
    assert "budget_left_usd" not in json.loads(quote.invoke({}))


def test_after_a_timeout_the_model_is_told_to_ask_and_never_to_start_it_again(
    options: dict[str, Any], gateway: Gateway
) -> None:
    gateway.fetches = [running()]
    tools = {tool.name: tool for tool in NebulaVideoToolkit(**options, timeout=100).get_tools()}
    message = tools["nebula_image_to_video"].invoke(call("nebula_image_to_video", **ASK))
    assert message.status == "error"
    assert "Call nebula_get_video with task_id 'task-1'" in message.content
    assert "Never submit it again" in message.content
    assert "nebula_get_video" in tools["nebula_image_to_video"].description
    assert "nebula_get_video" in tools["nebula_submit_video"].description


def test_alone_the_tool_does_not_name_a_sibling_that_is_not_there(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [running()]
    message = NebulaVideoTool(**options, timeout=100).invoke(call("nebula_image_to_video", **ASK))
    assert "nebula_get_video" not in message.content
    assert "nebula_get_video" not in NebulaVideoTool(**options).description


def test_signed_addresses_can_be_kept_from_the_model(options: dict[str, Any], gateway: Gateway) -> None:
    for tool in NebulaVideoToolkit(**options, url_in_content=False).get_tools()[:3:2]:
        args = {"task_id": "task-1"} if tool.name == "nebula_get_video" else ASK
        message = tool.invoke(call(tool.name, **args))
        assert "url" not in facts(message)
        assert facts(message)["task_id"] == "task-1"
        assert message.artifact["url"].startswith("https://")


@pytest.mark.parametrize("saved", [True, False])
def test_a_model_is_given_no_link_that_only_the_key_opens(
    options: dict[str, Any], gateway: Gateway, tmp_path: Path, saved: bool
) -> None:
    """It would present it to a user, whose browser has no key."""
    gateway.fetches = [{"task_id": "task-1", "status": "completed"}, httpx.Response(200, content=MOVIE)]
    toolkit = NebulaVideoToolkit(**options, save_to=tmp_path if saved else None)
    for name, arguments in (("nebula_image_to_video", ASK), ("nebula_get_video", {"task_id": "task-1"})):
        tool = next(tool for tool in toolkit.get_tools() if tool.name == name)
        message = tool.invoke({"type": "tool_call", "id": "1", "name": name, "args": arguments})
        told = json.loads(message.content)
        assert "url" not in told
        assert "/content" not in message.content
        assert "opens with its API key only, so there is no link" in told["no_link"]
        assert ("save_to=" in told["no_link"]) is ("path" not in told)
        assert message.artifact["url"].endswith("/v1/videos/task-1/content")
        gateway.fetches = [{"task_id": "task-1", "status": "completed"}]


def test_an_id_that_the_gateway_does_not_know_is_an_error_that_says_so(tools: dict[str, Any], gateway: Gateway) -> None:
    import httpx

    gateway.fetches = [httpx.Response(400, json={"code": "task_not_exist", "message": "task not exist"})]
    message = tools["nebula_get_video"].invoke(call("nebula_get_video", task_id="task-9"))
    assert message.status == "error"
    assert "task-9" in message.content


def test_errors_can_be_raised_instead(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [running()]
    tool = NebulaVideoToolkit(**options, timeout=100).get_tools()[0]
    tool.handle_tool_error = False
    with pytest.raises(TaskTimeoutError):
        tool.invoke(call(tool.name, **ASK))


def test_what_all_its_tools_may_be_told_alike_the_toolkit_takes(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.fetches = [running()]
    heard: list[str] = []

    class Hears(BaseCallbackHandler):
        def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
            heard.append(f"{kwargs['tags']} {kwargs['metadata']['customer']}")

    kit = NebulaVideoToolkit(
        **options,
        timeout=100,
        handle_tool_error=False,
        handle_validation_error="Read the schema.",
        callbacks=[Hears()],
        tags=["films"],
        metadata={"customer": 7},
    )
    for tool in kit.get_tools()[:2]:
        assert tool.invoke({**call(tool.name), "args": {"colour": "red"}}).content == "Read the schema."
    with pytest.raises(TaskTimeoutError):
        kit.get_tools()[0].invoke(call("x", **ASK))
    assert heard == ["['films'] 7"] * 3


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="colour"):
        NebulaVideoToolkit(colour="red", api_key="sk-x")  # type: ignore[call-arg]


def test_they_can_be_pickled(options: dict[str, Any]) -> None:
    tools: list[Any] = NebulaVideoToolkit(**options).get_tools()
    for tool in tools:
        assert pickle.loads(pickle.dumps(tool)).args_schema.model_json_schema() == tool.args_schema.model_json_schema()


@pytest.mark.parametrize("number", range(4))
def test_a_model_is_shown_plain_schemas(options: dict[str, Any], number: int) -> None:
    tool: Any = NebulaVideoToolkit(**options).get_tools()[number]
    assert "runtime" not in tool.tool_call_schema.model_json_schema()["properties"]
