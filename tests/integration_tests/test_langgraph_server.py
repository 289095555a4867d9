"""Graphs and agents behind a real LangGraph server, asked with its SDK and over MCP."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import ConflictError, UnprocessableEntityError

from langchain_nebula_video.emulator import Emulator
from tests.environments import NotInstalledError, environment, give_up
from tests.langgraph_servers import PINS, LangGraphServer

CODE = """
    import os

    from langchain.agents import create_agent
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from langchain_nebula_video import NebulaVideoClient, NebulaVideoTool, SqlJournal
    from langchain_nebula_video.graph import video_graph


    class Model(BaseChatModel):
        _llm_type = "scripted"

        def bind_tools(self, tools, **kwargs):
            return self

        def _generate(self, messages, *args, **kwargs):
            arguments = {"prompt": "It blinks", "image": "https://example.com/cat.jpg"}
            call = {"name": "nebula_image_to_video", "args": arguments, "id": "call_1"}
            done = isinstance(messages[-1], ToolMessage)
            line = AIMessage("Done.") if done else AIMessage("", tool_calls=[call])
            return ChatResult(generations=[ChatGeneration(message=line)])


    options = {"journal": SqlJournal("sqlite:///videos.db"), "poll_interval": 0.1}
    short = video_graph(NebulaVideoClient(**options), name="short_film", description="Makes a short film.")
    sharp = video_graph(NebulaVideoClient(**options), name="sharp_film")
    agent = create_agent(Model(), [NebulaVideoTool(**options)])
    patient = create_agent(Model(), [NebulaVideoTool(**{**options, "poll_interval": 6})])
"""
GRAPHS = {
    "short": {"path": "./graphs.py:short", "description": "Makes a short film, for money."},
    "sharp": "./graphs.py:sharp",
    "agent": "./graphs.py:agent",
    "patient": "./graphs.py:patient",
}
SPEED = 60
STARTED = "Application started up"
GO = {"messages": [{"role": "user", "content": "Make it blink"}]}
ASK = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg", "resolution": "480p"}


@pytest.fixture(scope="session")
def installed() -> Path:
    try:
        return environment("langgraph-server", PINS)
    except NotInstalledError as error:
        give_up(error)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Emulator]:
    """A video takes two seconds."""
    with Emulator(speed=SPEED) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def server(installed: Path, gateway: Emulator, tmp_path_factory: pytest.TempPathFactory) -> LangGraphServer:
    variables = {"NEBULA_BASE_URL": gateway.url, "NEBULA_API_KEY": gateway.api_key}
    return LangGraphServer(installed, tmp_path_factory.mktemp("server"), CODE, GRAPHS, variables)


@pytest.fixture(scope="module")
def url(server: LangGraphServer) -> Iterator[str]:
    with server.running("--no-reload", "--n-jobs-per-worker", "10"):
        yield server.url


@pytest.fixture
async def client(url: str) -> AsyncIterator[Any]:
    async with get_client(url=url) as client:
        yield client


def count(gateway: Emulator, point: str) -> int:
    return sum(request.point == point for request in gateway.requests)


@pytest.fixture
def posts(gateway: Emulator) -> Any:
    """How many videos were paid for since the test began."""
    before = count(gateway, "submit")
    return lambda: count(gateway, "submit") - before


async def over_mcp(url: str, method: str, **params: Any) -> Any:
    headers = {"accept": "application/json, text/event-stream"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, follow_redirects=True) as client:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return (await client.post("/mcp", json=asked)).json()["result"]


async def test_a_run_of_the_graph_pays_once_and_shows_its_progress(client: Any, posts: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    seen: Counter[str] = Counter()
    statuses = set()
    async for part in client.runs.stream(thread, "short", input={"request": ASK}, stream_mode=["custom", "updates"]):
        seen[part.event] += 1
        if part.event == "custom":
            assert part.data["type"] == "nebula_video_progress"
            statuses.add(part.data["status"])
    state = await client.threads.get_state(thread)
    assert (state["values"]["video"]["resolution"], posts()) == ("480p", 1)
    assert seen["custom"] > 2
    assert "succeeded" in statuses
    assert seen["error"] == 0


async def test_a_run_of_an_agent_pays_once_and_its_answer_has_the_artifact(client: Any, posts: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    custom = [
        part.data
        async for part in client.runs.stream(thread, "agent", input=GO, stream_mode="custom")
        if part.event == "custom"
    ]
    messages = (await client.threads.get_state(thread))["values"]["messages"]
    assert (messages[-2]["artifact"]["status"], posts()) == ("succeeded", 1)
    assert custom[-1]["status"] == "succeeded"


async def test_an_agent_that_looks_rarely_tells_its_progress_every_few_seconds_and_names_its_call(
    client: Any, gateway: Emulator, posts: Any
) -> None:
    """Real seconds: a video takes some twelve, and the tool looks every six."""
    thread = (await client.threads.create())["thread_id"]
    gateway.speed = 8
    told, came = [], []
    async for part in client.runs.stream(thread, "patient", input=GO, stream_mode="custom"):
        if part.event == "custom":
            told.append(part.data)
            came.append(time.monotonic())
    gateway.speed = SPEED
    assert {event["tool_call_id"] for event in told} == {"call_1"}
    assert told[-1]["status"] == "succeeded"
    elapsed = [0.0, *(event["elapsed"] for event in told)]
    assert elapsed[-1] > 10
    for moments in (elapsed, came):
        assert max(later - earlier for earlier, later in pairwise(moments)) < 5
    assert posts() == 1


async def test_the_server_refuses_the_stream_of_tools_before_anything_is_paid(client: Any, posts: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    modes: Any = ["tools"]
    with pytest.raises(UnprocessableEntityError, match="tools"):
        async for _ in client.runs.stream(thread, "agent", input={"messages": []}, stream_mode=modes):
            pass
    assert posts() == 0


async def test_two_graphs_of_one_server_are_two_typed_tools_over_mcp(url: str, posts: Any) -> None:
    tools = {tool["name"]: tool for tool in (await over_mcp(url, "tools/list"))["tools"]}
    assert {"short_film", "sharp_film", "agent"} <= set(tools)
    short = tools["short_film"]
    assert short["description"] == "Makes a short film, for money."
    assert short["inputSchema"]["description"] == "Makes a short film."
    assert set(short["inputSchema"]["properties"]) == {"request", "key"}
    assert "enum" in short["inputSchema"]["$defs"]["VideoRequestFields"]["properties"]["resolution"]
    for name in ("short_film", "sharp_film"):
        answer = await over_mcp(url, "tools/call", name=name, arguments={"request": {**ASK, "prompt": name}})
        assert "'video': {'task_id'" in answer["content"][0]["text"]
    assert posts() == 2


async def test_studio_reads_what_goes_in_and_what_comes_out(client: Any) -> None:
    (assistant,) = await client.assistants.search(graph_id="short")
    assert (assistant["name"], assistant["description"]) == ("short_film", "Makes a short film, for money.")
    schemas = await client.assistants.get_schemas(assistant["assistant_id"])
    given, returned = schemas["input_schema"], schemas["output_schema"]
    assert set(given["properties"]) == {"request", "key"}
    assert {"url", "expires_at"} <= set(returned["$defs"]["Video"]["properties"])


@pytest.mark.parametrize(("strategy", "videos"), [("reject", 1), ("enqueue", 2), ("interrupt", 1), ("rollback", 1)])
async def test_a_second_message_while_a_video_is_made(
    client: Any, gateway: Emulator, posts: Any, strategy: Any, videos: int
) -> None:
    """`interrupt` and `rollback` end the first run; the second one, in the same words, goes on with its task."""
    thread = (await client.threads.create())["thread_id"]
    asked: Any = {"request": {**ASK, "prompt": f"It yawns, {strategy}"}}
    polls = count(gateway, "query")
    gateway.speed = 1
    await client.runs.create(thread, "short", input=asked)
    await until(lambda: count(gateway, "query") > polls)
    if strategy == "reject":
        with pytest.raises(ConflictError, match="already running"):
            await client.runs.create(thread, "short", input=asked, multitask_strategy=strategy)
    else:
        second = await client.runs.create(thread, "short", input=asked, multitask_strategy=strategy)
        if strategy != "enqueue":
            await started(client, thread, second["run_id"])
    gateway.speed = SPEED
    await idle(client, thread)
    assert (await client.threads.get_state(thread))["values"]["video"]["url"]
    assert posts() == videos


@pytest.fixture
def own(installed: Path, tmp_path: Path) -> Iterator[tuple[LangGraphServer, Emulator]]:
    """A server that is not started yet, and its gateway, whose videos take some seconds."""
    with Emulator(speed=12) as gateway:
        variables = {"NEBULA_BASE_URL": gateway.url, "NEBULA_API_KEY": gateway.api_key}
        yield LangGraphServer(installed, tmp_path, CODE, GRAPHS, variables), gateway


async def start_agent(client: Any, gateway: Emulator) -> str:
    """Start a run in a thread, and return when its tool waits for the video."""
    thread: str = (await client.threads.create())["thread_id"]
    await client.runs.create(thread, "agent", input=GO)
    await until(lambda: count(gateway, "query") > 0)
    return thread


async def made(client: Any, thread: str) -> str:
    """The task of the tool's answer, once the thread is idle."""
    await idle(client, thread)
    messages = (await client.threads.get_state(thread))["values"]["messages"]
    task_id: str = messages[-2]["artifact"]["task_id"]
    return task_id


async def test_a_run_that_is_ended_in_mid_wait_goes_on_at_the_next_start_and_pays_once(own: Any) -> None:
    """With a journal in a file. Of a journal in memory nothing would be left."""
    server, gateway = own
    async with get_client(url=server.url) as client:
        with server.running("--no-reload") as process:
            thread = await start_agent(client, gateway)
            server.stop(process)
        polls = count(gateway, "query")
        with server.running("--no-reload"):
            assert await made(client, thread) == gateway.tasks[0].id
    assert count(gateway, "query") > polls
    assert count(gateway, "submit") == 1
    assert "Starting 1 background workers" in server.log()  # one run at a time, as docs/servers.md says


async def test_a_file_that_is_saved_while_a_video_is_made_reloads_the_server_and_pays_nothing_again(own: Any) -> None:
    server, gateway = own
    async with get_client(url=server.url) as client:
        with server.running():
            thread = await start_agent(client, gateway)
            starts = server.log().count(STARTED)
            server.write(CODE + "\n")
            await until(lambda: server.log().count(STARTED) > starts, 60)
            assert await made(client, thread) == gateway.tasks[0].id
    assert count(gateway, "submit") == 1


async def until(is_so: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.05)


async def started(client: Any, thread: str, run: str, seconds: float = 60) -> None:
    """Wait until a run has begun."""
    end = time.monotonic() + seconds
    while (await client.runs.get(thread, run))["status"] == "pending":
        assert time.monotonic() < end, "it did not start"
        await asyncio.sleep(0.05)


async def idle(client: Any, thread: str, seconds: float = 120) -> None:
    """Wait until no run of the thread is under way."""
    end = time.monotonic() + seconds
    while (found := await client.threads.get(thread))["status"] == "busy":
        assert time.monotonic() < end, json.dumps(found)[:500]
        await asyncio.sleep(0.1)
