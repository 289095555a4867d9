"""Progress wherever people look: callbacks, streams of graphs and agents, plain Python. In order, and once each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from threading import Thread
from typing import Any, TypedDict
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.stream import CustomTransformer

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    Video,
    VideoProgress,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import VideoState, video_graph
from langchain_nebula_video.langchain.progress import EVENT
from langchain_nebula_video.langchain.toolkit import NebulaGetVideoTool, NebulaSubmitVideoTool
from langchain_nebula_video.testing import EmulatorClock, ScriptedChatModel
from tests.agents import animates
from tests.conftest import settle
from tests.gateways import BOTH, standing_clock
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
STEPS = ["queued", "running", "succeeded"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """On a clock that moves when the client sleeps, so that each status is seen."""
    with Emulator(clock=standing_clock()) as running:
        yield running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    clock = EmulatorClock(emulator)
    return {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 15.0, "clock": clock}


def steps(events: list[Any], call_id: str | None = None) -> list[str]:
    """The statuses in the order in which they were told, repetitions left out. Nowhere is a silence of five seconds."""
    assert all(event["type"] == EVENT for event in events)
    assert len({event["task_id"] for event in events}) == 1
    assert {event.get("tool_call_id") for event in events} == {call_id}
    assert max(later["elapsed"] - earlier["elapsed"] for earlier, later in pairwise(events)) < 5
    assert events[0]["elapsed"] < 5
    assert [event["polls"] for event in events] == sorted(event["polls"] for event in events)
    assert [event["fraction"] for event in events][-1] == 1.0
    return [status for status, _ in groupby(event["status"] for event in events)]


class Listener(BaseCallbackHandler):
    """What a program hangs on to a run."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.tool_runs: set[UUID] = set()
        self.told_by: set[UUID] = set()

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **_: Any) -> None:
        self.tool_runs.add(run_id)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        assert name == EVENT
        self.told_by.add(run_id)
        self.heard.append(data)


def told_by_tool(events: list[Any]) -> list[Any]:
    """The progress in a stream of events, every one of which belongs to the run of the tool."""
    (tool,) = [event for event in events if event["event"] == "on_tool_start"]
    told = [event for event in events if event["event"] == "on_custom_event"]
    assert tool["name"] == "nebula_image_to_video"
    assert {(event["name"], event["run_id"]) for event in told} == {(EVENT, tool["run_id"])}
    return [event["data"] for event in told]


# --- a tool alone ---

CALL = {"type": "tool_call", "id": "call_7", "name": "nebula_image_to_video", "args": ASK}


@each_row(("asked", "call_id"), [(ASK, None), (CALL, "call_7")])
async def test_the_events_of_a_tool_alone_carry_its_progress(
    options: dict[str, Any], asked: dict[str, Any], call_id: str | None
) -> None:
    found = [event async for event in NebulaVideoTool(**options).astream_events(dict(asked), version="v2")]
    assert steps(told_by_tool(found), call_id) == STEPS


@each_row(("asked", "call_id"), [(ASK, None), (CALL, "call_7")])
async def test_a_callback_handler_hears_the_progress_of_a_tool_alone(
    options: dict[str, Any], asked: dict[str, Any], call_id: str | None
) -> None:
    tool = NebulaVideoTool(**options, repeat_window=None)
    for invoke in (tool.invoke, tool.ainvoke):
        listener = Listener()
        await settle(invoke(dict(asked), {"callbacks": [listener]}))
        assert steps(listener.heard, call_id) == STEPS
        assert listener.told_by == listener.tool_runs


async def test_who_waits_for_a_submitted_video_hears_of_it(options: dict[str, Any]) -> None:
    submit, get = NebulaSubmitVideoTool(**options, repeat_window=None), NebulaGetVideoTool(**options)
    started = {**CALL, "name": submit.name}
    for ask in ("invoke", "ainvoke"):
        message = await settle(getattr(submit, ask)(started))
        listener = Listener()
        look = {"type": "tool_call", "id": "call_8", "name": get.name}
        args = {"task_id": message.artifact["task_id"], "wait_seconds": 600}
        await settle(getattr(get, ask)({**look, "args": args}, {"callbacks": [listener]}))
        assert steps(listener.heard, "call_8") == STEPS
        assert listener.told_by == listener.tool_runs


# --- an agent ---


def agent(options: dict[str, Any]) -> Any:
    return create_agent(animates(image=ASK["image"], resolution="480p"), [NebulaVideoTool(**options)])


QUESTION = {"messages": [{"role": "user", "content": "Make the cat blink."}]}


def test_an_agent_s_custom_stream_carries_progress(options: dict[str, Any]) -> None:
    assert steps(list(agent(options).stream(QUESTION, stream_mode="custom")), "call_1") == STEPS


@BOTH
async def test_an_agent_s_async_custom_stream_carries_progress(options: dict[str, Any]) -> None:
    events = [event async for event in agent(options).astream(QUESTION, stream_mode="custom")]
    assert steps(events, "call_1") == STEPS


def _deltas(events: list[Any]) -> list[Any]:
    """Text, as langchain-protocol says: langgraph-sdk drops everything else."""
    deltas = [event for event in events if event.get("event") == "tool-output-delta"]
    assert {event["tool_call_id"] for event in deltas} == {"call_1"}
    return [json.loads(event["delta"]) for event in deltas]


def test_an_agent_s_stream_of_tools_carries_progress(options: dict[str, Any]) -> None:
    assert steps(_deltas(list(agent(options).stream(QUESTION, stream_mode="tools"))), "call_1") == STEPS


async def test_an_agent_s_async_stream_of_tools_carries_progress(options: dict[str, Any]) -> None:
    found = [event async for event in agent(options).astream(QUESTION, stream_mode="tools")]
    assert steps(_deltas(found), "call_1") == STEPS


async def test_an_agent_s_events_carry_progress(options: dict[str, Any]) -> None:
    found = [event async for event in agent(options).astream_events(QUESTION, version="v2")]
    assert steps(told_by_tool(found), "call_1") == STEPS


def test_a_callback_handler_hears_the_progress_of_an_agent(options: dict[str, Any]) -> None:
    listener = Listener()
    agent(options).invoke(QUESTION, {"callbacks": [listener]})
    assert steps(listener.heard, "call_1") == STEPS
    assert listener.told_by == listener.tool_runs


async def test_a_callback_handler_hears_the_progress_of_an_async_agent(options: dict[str, Any]) -> None:
    listener = Listener()
    await agent(options).ainvoke(QUESTION, {"callbacks": [listener]})
    assert steps(listener.heard, "call_1") == STEPS
    assert listener.told_by == listener.tool_runs


# --- an agent inside another graph ---


@each_row(
    ("mode", "everywhere", "outer_id"),
    [("custom", True, None), ("tools", False, "call_task"), ("tools", True, "call_1")],
)
def test_an_agent_that_a_tool_calls_is_heard_outside(
    options: dict[str, Any], mode: Any, everywhere: bool, outer_id: str | None
) -> None:
    inner = create_agent(
        animates(image=ASK["image"], resolution="480p"), [NebulaVideoTool(**options, repeat_window=None)]
    )

    def task(wish: str) -> str:
        """Let another agent do it."""
        return str(inner.invoke({"messages": [{"role": "user", "content": wish}]})["messages"][-1].content)

    call = {"name": "task", "args": {"wish": "Make the cat blink."}, "id": "call_task"}
    outer = create_agent(ScriptedChatModel(lines=[AIMessage("", tool_calls=[call]), AIMessage("Done.")]), [task])
    found = list(outer.stream(QUESTION, stream_mode=mode, subgraphs=everywhere))  # type: ignore[call-overload]
    told = [chunk for _, chunk in found] if everywhere else found
    if mode == "tools":
        deltas = [event for event in told if event["event"] == "tool-output-delta"]
        assert {event["tool_call_id"] for event in deltas} == {outer_id}
        told = [json.loads(event["delta"]) for event in deltas]
    assert steps(told, "call_1") == STEPS


@each_row(("mode", "everywhere"), [("custom", True), ("tools", True), ("custom", False), ("tools", False)])
def test_an_agent_that_is_a_node_is_heard_where_subgraphs_are(
    options: dict[str, Any], mode: Any, everywhere: bool
) -> None:
    inner = create_agent(
        animates(image=ASK["image"], resolution="480p"), [NebulaVideoTool(**options, repeat_window=None)]
    )
    outer = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner").add_edge("inner", END).compile()
    found = list(outer.stream(QUESTION, stream_mode=mode, subgraphs=everywhere))  # type: ignore[call-overload]
    assert bool(found) is everywhere


# --- a runnable and a graph ---


def test_a_runnable_tells_the_callbacks_of_its_run(options: dict[str, Any]) -> None:
    listener = Listener()
    NebulaVideoRunnable(**options).invoke(ASK, {"callbacks": [listener]})
    assert steps(listener.heard) == STEPS


async def test_a_runnable_s_events_carry_progress(options: dict[str, Any]) -> None:
    found = [
        event["data"]
        async for event in NebulaVideoRunnable(**options).astream_events(ASK, version="v2")
        if event["event"] == "on_custom_event"
    ]
    assert steps(found) == STEPS


class State(TypedDict, total=False):
    url: str


def test_a_runnable_in_a_node_writes_to_the_graph_s_stream(options: dict[str, Any]) -> None:
    animate = NebulaVideoRunnable(**options)

    def node(state: State) -> State:
        return {"url": animate.invoke(ASK).url}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()
    assert steps(list(graph.stream({}, stream_mode="custom"))) == STEPS


async def test_an_async_runnable_in_a_node_writes_to_the_graph_s_stream(options: dict[str, Any]) -> None:
    animate = NebulaVideoRunnable(**options)

    async def node(state: State) -> State:
        return {"url": (await animate.ainvoke(ASK)).url}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()
    assert steps([event async for event in graph.astream({}, stream_mode="custom")]) == STEPS


def test_a_graph_of_submit_and_wait_streams_its_progress(options: dict[str, Any]) -> None:
    graph = video_graph(NebulaVideoClient(**options))
    assert steps(list(graph.stream({"request": ASK}, stream_mode="custom"))) == STEPS


async def test_a_graph_s_events_carry_its_progress(options: dict[str, Any]) -> None:
    found = [
        event["data"]
        async for event in video_graph(AsyncNebulaVideoClient(**options)).astream_events({"request": ASK}, version="v2")
        if event["event"] == "on_custom_event"
    ]
    assert steps(found) == STEPS


# --- the newest streaming of LangGraph ---

EXPERIMENTAL = pytest.mark.filterwarnings("ignore:The v3 streaming protocol")


@EXPERIMENTAL
def test_the_newest_streaming_of_an_agent_has_the_progress_of_its_call_as_text(options: dict[str, Any]) -> None:
    run = agent(options).stream_events(QUESTION, version="v3")
    told = [json.loads(delta) for call in run.tool_calls for delta in call.output_deltas]
    assert steps(told, "call_1") == STEPS


@EXPERIMENTAL
async def test_so_has_an_async_run(options: dict[str, Any]) -> None:
    run = await agent(options).astream_events(QUESTION, version="v3")
    told = [json.loads(delta) async for call in run.tool_calls async for delta in call.output_deltas]
    assert steps(told, "call_1") == STEPS


@EXPERIMENTAL
async def test_the_newest_streaming_of_a_graph_of_videos_has_its_progress(options: dict[str, Any]) -> None:
    run = video_graph(NebulaVideoClient(**options)).stream_events({"request": ASK}, version="v3")
    assert steps(list(run.custom)) == STEPS
    assert run.output["video"]["url"]
    later = await video_graph(AsyncNebulaVideoClient(**options)).astream_events({"request": ASK}, version="v3")
    assert steps([event async for event in later.custom]) == STEPS


@EXPERIMENTAL
def test_a_graph_around_a_graph_of_videos_has_to_ask_for_its_progress(options: dict[str, Any]) -> None:
    inner = video_graph(NebulaVideoClient(**options))
    outer = StateGraph(VideoState).add_node("video", inner).add_edge(START, "video").add_edge("video", END).compile()
    run = outer.stream_events({"request": ASK}, version="v3", transformers=[CustomTransformer])
    assert steps([event for graph in run.subgraphs for event in graph.custom]) == STEPS


# --- plain Python ---


async def test_a_stream_of_either_client_is_the_progress_and_then_the_video(options: dict[str, Any]) -> None:
    *told, video = NebulaVideoClient(**options).stream(**ASK)
    *later, another = [item async for item in AsyncNebulaVideoClient(**options).stream(**ASK)]
    for events in (told, later):
        assert steps([event.as_dict() for event in events if isinstance(event, VideoProgress)]) == STEPS
    assert isinstance(video, Video)
    assert isinstance(another, Video)


def test_a_stream_may_be_read_by_many_threads(emulator: Emulator, options: dict[str, Any], tmp_path: Path) -> None:
    """As a web framework does with an iterator. Its polls share one connection all the same."""
    items = NebulaVideoClient(**options, save_to=tmp_path).stream(**ASK)
    heard: list[Any] = []

    def step() -> None:
        heard.append(next(items, None))

    while not heard or heard[-1] is not None:
        thread = Thread(target=step)
        thread.start()
        thread.join()
    *told, video, _ = heard
    assert steps([event.as_dict() for event in told]) == STEPS
    assert Path(video.path).exists()
    polls = [request.connection for request in emulator.requests if request.point == "query"]
    assert len(polls) > 4
    assert len(set(polls)) == 1


@BOTH
def test_a_client_calls_back_with_its_progress(options: dict[str, Any]) -> None:
    heard: list[Any] = []
    NebulaVideoClient(**options).generate(**ASK, on_progress=lambda progress: heard.append(progress.as_dict()))
    assert steps(heard) == STEPS


async def test_a_coroutine_function_is_awaited_by_an_async_client(options: dict[str, Any]) -> None:
    heard: list[Any] = []

    async def hear(progress: Any) -> None:
        heard.append(progress.as_dict())

    await AsyncNebulaVideoClient(**options).generate(**ASK, on_progress=hear)
    assert steps(heard) == STEPS


def test_a_tool_outside_a_run_logs_no_failure(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    NebulaVideoTool(**options).invoke(dict(ASK))
    assert "failed" not in caplog.text
