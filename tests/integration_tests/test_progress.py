"""Progress wherever people look: callbacks, streams of graphs and agents, plain Python. In order, and once each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.graph import END, START, StateGraph

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient, NebulaVideoRunnable, NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import video_graph
from langchain_nebula_video.langchain.progress import EVENT
from tests.agents import animates
from tests.gateways import BOTH, EmulatedClock, standing_clock

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
STEPS = ["queued", "running", "succeeded"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """On a clock that moves when the client sleeps, so that each status is seen."""
    with Emulator(clock=standing_clock()) as running:
        yield running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    clock = EmulatedClock(emulator)
    return {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 15.0, "clock": clock}


def steps(events: list[Any]) -> list[str]:
    """The statuses in the order in which they were told, repetitions left out."""
    assert all(event["type"] == EVENT for event in events)
    assert len({event["task_id"] for event in events}) == 1
    assert [event["polls"] for event in events] == sorted(event["polls"] for event in events)
    assert [event["fraction"] for event in events][-1] == 1.0
    return [status for status, _ in groupby(event["status"] for event in events)]


class Listener(BaseCallbackHandler):
    """What a program hangs on to a run."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        assert name == EVENT
        self.heard.append(data)


# --- an agent ---


def agent(options: dict[str, Any]) -> Any:
    return create_agent(animates(image=ASK["image"], resolution="480p"), [NebulaVideoTool(**options)])


QUESTION = {"messages": [{"role": "user", "content": "Make the cat blink."}]}


def test_an_agent_s_custom_stream_carries_progress(options: dict[str, Any]) -> None:
    assert steps(list(agent(options).stream(QUESTION, stream_mode="custom"))) == STEPS


@BOTH
async def test_an_agent_s_async_custom_stream_carries_progress(options: dict[str, Any]) -> None:
    assert steps([event async for event in agent(options).astream(QUESTION, stream_mode="custom")]) == STEPS


def _deltas(events: list[Any]) -> list[Any]:
    return [event["delta"] for event in events if event.get("event") == "tool-output-delta"]


def test_an_agent_s_stream_of_tools_carries_progress(options: dict[str, Any]) -> None:
    assert steps(_deltas(list(agent(options).stream(QUESTION, stream_mode="tools")))) == STEPS


async def test_an_agent_s_async_stream_of_tools_carries_progress(options: dict[str, Any]) -> None:
    found = [event async for event in agent(options).astream(QUESTION, stream_mode="tools")]
    assert steps(_deltas(found)) == STEPS


async def test_an_agent_s_events_carry_progress(options: dict[str, Any]) -> None:
    found = [
        event["data"]
        async for event in agent(options).astream_events(QUESTION, version="v2")
        if event["event"] == "on_custom_event" and event["name"] == EVENT
    ]
    assert steps(found) == STEPS


def test_a_callback_handler_hears_the_progress_of_an_agent(options: dict[str, Any]) -> None:
    listener = Listener()
    agent(options).invoke(QUESTION, {"callbacks": [listener]})
    assert steps(listener.heard) == STEPS


async def test_a_callback_handler_hears_the_progress_of_an_async_agent(options: dict[str, Any]) -> None:
    listener = Listener()
    await agent(options).ainvoke(QUESTION, {"callbacks": [listener]})
    assert steps(listener.heard) == STEPS


# --- a tool alone, a runnable and a graph ---


def test_a_tool_that_is_called_alone_tells_the_callbacks_of_its_run(options: dict[str, Any]) -> None:
    listener = Listener()
    NebulaVideoTool(**options).invoke(ASK, {"callbacks": [listener]})
    assert steps(listener.heard) == STEPS


async def test_the_events_of_a_tool_that_is_called_alone_carry_progress(options: dict[str, Any]) -> None:
    found = [
        event["data"]
        async for event in NebulaVideoTool(**options).astream_events(ASK, version="v2")
        if event["event"] == "on_custom_event"
    ]
    assert steps(found) == STEPS


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


# --- plain Python ---


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
