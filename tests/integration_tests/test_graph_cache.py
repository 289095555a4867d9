"""Nodes with a `CachePolicy`: the second thread gets the first one's video, as long as its URL works."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy

from langchain_nebula_video import NebulaVideoClient, NebulaVideoRunnable, NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import VideoCache, VideoState, submit_node, video_graph, wait_node
from tests.gateways import ASK
from tests.tables import each_row

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = 3600
KEY = (("node",), "key")


class Recorder(InMemoryCache[Any]):
    """Notes for how long each entry is to be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[int | None] = []

    def set(self, pairs: Mapping[Any, tuple[Any, int | None]]) -> None:
        self.kept += [ttl for _, ttl in pairs.values()]
        super().set(pairs)

    async def aset(self, pairs: Mapping[Any, tuple[Any, int | None]]) -> None:
        self.set(pairs)


def cached(client: NebulaVideoClient, *cached_nodes: str, cache: Any) -> Any:
    """Submit and wait, of which some are cached."""
    graph = StateGraph(VideoState)
    policies: dict[str, CachePolicy[Any]] = {name: CachePolicy() for name in cached_nodes}
    graph.add_node("submit", submit_node(client), cache_policy=policies.get("submit"))
    graph.add_node("wait", wait_node(client), cache_policy=policies.get("wait"))
    graph.add_edge(START, "submit")
    graph.add_edge("submit", "wait")
    graph.add_edge("wait", END)
    return graph.compile(cache=cache, checkpointer=InMemorySaver())


def submits(emulator: Emulator) -> int:
    return sum(request.point == "submit" for request in emulator.requests)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


@pytest.mark.parametrize("nodes", [("submit",), ("wait",), ("submit", "wait")])
def test_what_is_cached_is_kept_as_long_as_the_url_works_and_no_longer(
    emulator: Emulator, options: dict[str, Any], nodes: tuple[str, ...]
) -> None:
    recorder = Recorder()
    graph = cached(NebulaVideoClient(**options), *nodes, cache=VideoCache(recorder))
    done = graph.invoke({"request": ASK}, thread("1"))
    left = (datetime.fromisoformat(done["video"]["expires_at"]) - datetime.now(UTC)).total_seconds()
    assert len(recorder.kept) == len(nodes)
    assert all(kept is not None and left - 2 * HOUR < kept <= left - HOUR + 1 for kept in recorder.kept)


def test_a_cached_video_is_not_paid_for_again_and_shows_no_progress(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    graph = cached(NebulaVideoClient(**options), "submit", "wait", cache=VideoCache(InMemoryCache()))
    seen: dict[str, list[Any]] = {}
    for name in "12":
        parts = list(graph.stream({"request": ASK}, thread(name), stream_mode=["custom", "updates"]))
        seen[name] = [event for mode, event in parts if mode == "custom"]
    assert seen["1"]
    assert seen["2"] == []
    first, second = (graph.get_state(thread(name)).values["video"] for name in "12")
    assert first == second
    assert submits(emulator) == 1


async def test_in_an_async_graph_with_the_whole_graph_as_a_cached_node(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    recorder = Recorder()
    outer = StateGraph(VideoState)
    outer.add_node("film", video_graph(NebulaVideoClient(**options)), cache_policy=CachePolicy())
    outer.add_edge(START, "film")
    graph = outer.compile(cache=VideoCache(recorder))
    first = await graph.ainvoke({"request": ASK})
    assert await graph.ainvoke({"request": ASK}) == first
    assert submits(emulator) == 1
    assert recorder.kept[0] is not None


def test_a_tool_in_a_cached_node_counts_by_its_artifact(emulator: Emulator, options: dict[str, Any]) -> None:
    recorder, tool = Recorder(), NebulaVideoTool(**options)

    def film(state: VideoState) -> dict[str, Any]:
        call = {"type": "tool_call", "id": "1", "name": tool.name, "args": state["request"]}
        return {"video": tool.invoke(call).artifact}

    graph = StateGraph(VideoState)
    graph.add_node("film", film, cache_policy=CachePolicy())
    graph.add_edge(START, "film")
    graph.compile(cache=VideoCache(recorder)).invoke({"request": ASK})
    assert [kept is not None and kept < 24 * HOUR for kept in recorder.kept] == [True]


def test_so_does_a_task_of_the_functional_api(emulator: Emulator, options: dict[str, Any]) -> None:
    recorder, animate = Recorder(), NebulaVideoRunnable(**options)
    always: CachePolicy[Any] = CachePolicy()

    @task(cache_policy=always)
    def film(request: dict[str, Any]) -> dict[str, Any]:
        return animate.invoke(request).model_dump(mode="json", exclude={"raw"})

    @entrypoint(cache=VideoCache(recorder))
    def made(request: dict[str, Any]) -> str:
        return str(film(request).result()["task_id"])

    assert made.invoke(ASK) == made.invoke(ASK)
    assert submits(emulator) == 1
    assert [kept is not None and kept < 24 * HOUR for kept in recorder.kept] == [True]


def at(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).isoformat()


@each_row(
    ("value", "policy", "kept"),
    [
        ({"task_id": "t", "expires_at": at(24)}, None, [23 * HOUR]),
        ({"task_id": "t", "expires_at": at(24)}, 60, [60]),
        ({"task_id": "t", "expires_at": at(2)}, 23 * HOUR, [HOUR]),
        ({"task_id": "t", "expires_at": at(0.5)}, None, []),
        ({"task_id": "t", "expires_at": at(-1)}, None, []),
        ({"task_id": "t", "submitted_at": at(-3), "expires_at": None}, None, [20 * HOUR]),
        ({"task_id": "t", "submitted_at": "no time"}, None, [23 * HOUR]),
        (
            [("a", {"task_id": "t", "expires_at": at(5)}), ("b", [{"task_id": "u", "expires_at": at(3)}])],
            None,
            [2 * HOUR],
        ),
        (ToolMessage("", tool_call_id="1", artifact={"task_id": "t", "expires_at": at(5)}), None, [4 * HOUR]),
        ([("words", "of something else"), ("expires_at", at(1))], None, [None]),
        ({"expires_at": at(1), "token": "of something else"}, 7, [7]),
    ],
)
def test_each_entry_goes_with_its_first_video(value: Any, policy: int | None, kept: list[int | None]) -> None:
    recorder = Recorder()
    VideoCache(recorder, now=lambda: NOW).set({KEY: (value, policy)})
    assert recorder.kept == kept


@each_row("usable_for", [timedelta(hours=20), 20 * HOUR])
async def test_one_may_ask_for_videos_that_last_longer(usable_for: Any) -> None:
    recorder = Recorder()
    cache = VideoCache(recorder, usable_for=usable_for, now=lambda: NOW)
    await cache.aset({KEY: ({"task_id": "t", "expires_at": at(24)}, None)})
    assert recorder.kept == [4 * HOUR]
    assert await cache.aget([KEY]) == cache.get([KEY]) != {}
    await cache.aclear()
    assert cache.get([KEY]) == {}
