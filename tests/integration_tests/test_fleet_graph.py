"""A node hands its videos to the fleet; the graph sleeps in its checkpointer and is resumed when they have ended."""

from __future__ import annotations

import asyncio
import operator
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict
from unittest import mock

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, ItemState, waiters
from langchain_nebula_video.graph import FleetState, fleet_node, resume_graphs
from langchain_nebula_video.graph import fleet as graphs
from tests.fleets import PATIENCE, asks, submits_of, until, working
from tests.processes import fork


class Film(FleetState, total=False):
    """The state of a graph around the node."""

    cut: str


def cut(state: Film) -> Film:
    made = [video for video in state["videos"] if video]
    return {"cut": f"{len(made)} of {len(state['requests'])}"}


def film(fleet: Fleet, options: dict[str, Any], checkpointer: Any, after: Any = cut) -> Any:
    graph = StateGraph(Film)
    graph.add_node("make", fleet_node(fleet, batch="films", **options))
    graph.add_node("cut", after)
    graph.add_edge(START, "make")
    graph.add_edge("make", "cut")
    graph.add_edge("cut", END)
    return graph.compile(checkpointer=checkpointer)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as made:
        yield made


async def ended(fleet: Fleet) -> bool:
    batches = (await fleet.status()).batches
    return bool(batches) and all(batch.size and not batch.left for batch in batches)


async def resume(fleet: Fleet, graph: Any, **more: Any) -> int:
    """Make passes until something was resumed: a waiter may just have been looked at."""
    resumed = 0

    async def some() -> bool:
        nonlocal resumed
        resumed += await resume_graphs(fleet, graph, once=True, **more)
        return resumed > 0

    await until(some, "a graph's resumption")
    return resumed


async def test_a_graph_sleeps_while_its_videos_are_made_and_is_resumed_with_them(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    graph = film(fleet, options, saver)
    requests = asks(3)
    paused = await graph.ainvoke({"requests": requests}, thread("a"))
    (question,) = paused["__interrupt__"]
    assert question.value == {
        "type": "nebula_video_fleet",
        "batch": question.value["batch"],
        "requests": 3,
        "left": 3,
        "usd": 0.5535,
    }
    assert question.value["batch"].startswith("films-")
    assert await resume_graphs(fleet, graph, once=True) == 0
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    assert await resume(fleet, graph) == 1
    state = (await graph.aget_state(thread("a"))).values
    assert state["cut"] == "3 of 3"
    assert [video["prompt"] for video in state["videos"]] == [request["prompt"] for request in requests]
    assert state["failed"] == []
    assert await resume_graphs(fleet, graph, once=True) == 0
    assert len(emulator.tasks) == 3


async def test_a_blocking_graph_with_a_blocking_checkpointer_works_too(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], tmp_path: Path
) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        graph = film(fleet, options, saver)
        graph.invoke({"requests": asks(2)}, thread("a"))  # in a thread whose event loop runs
        async with working(fleet_url):
            await until(lambda: ended(fleet))
        assert await resume(fleet, graph) == 1
        assert graph.get_state(thread("a")).values["cut"] == "2 of 2"


async def test_what_was_not_made_is_told_in_the_order_of_the_requests(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    graph = film(fleet, options, saver)
    good = asks(2)
    mine = {**good[0], "prompt": "A scene that is forbidden", "key": "mine"}
    moderated = {**good[0], "prompt": "[moderated]"}
    await graph.ainvoke({"requests": [good[0], {"prompt": ""}, mine, moderated, good[1], good[0]]}, thread("a"))
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    await resume(fleet, graph)
    state = (await graph.aget_state(thread("a"))).values
    prompts = [video and video["prompt"] for video in state["videos"]]
    assert prompts == ["Take 1", None, None, None, "Take 2", "Take 1"]
    failed = [(each["number"], each["state"]) for each in state["failed"]]
    assert failed == [(2, "broken"), (3, "failed"), (4, "failed")]
    assert state["failed"][1]["key"] == "mine"
    assert "The task failed: InvalidParameter.DataInspection" in state["failed"][2]["error"]
    assert len(emulator.tasks) == 3, "the same request is one video, and what is forbidden is none"


async def test_a_submit_that_may_be_paid_for_is_told_as_such(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    emulator.faults.add("submit", "reset_after")
    graph = film(fleet, options, saver)
    await graph.ainvoke({"requests": asks(1)}, thread("a"))
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    await resume(fleet, graph)
    state = (await graph.aget_state(thread("a"))).values
    (failed,) = state["failed"]
    assert (failed["state"], state["videos"]) == ("unconfirmed", [None])
    assert "SubmissionUnconfirmedError" in failed["error"]


async def test_a_graph_that_is_resumed_too_early_waits_again(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    graph = film(fleet, options, saver)
    await graph.ainvoke({"requests": asks(2)}, thread("a"))
    for _ in range(2):
        again = await graph.ainvoke(Command(resume=True), thread("a"))
        assert again["__interrupt__"][0].value["left"] == 2
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    assert await resume(fleet, graph) == 1
    assert (await graph.aget_state(thread("a"))).values["cut"] == "2 of 2"
    assert len(emulator.tasks) == 2


async def test_a_person_may_resume_it_and_then_nobody_else_does(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any
) -> None:
    graph = film(fleet, options, saver)
    await graph.ainvoke({"requests": asks(1)}, thread("a"))
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    done = await graph.ainvoke(Command(resume=True), thread("a"))
    assert done["cut"] == "1 of 1"
    assert await resume_graphs(fleet, graph, once=True) == 0
    assert (await graph.ainvoke(Command(resume=True), thread("a")))["cut"] == "1 of 1"


class Branches(TypedDict, total=False):
    """Two branches that run at the same time, and several tasks of one node."""

    left: list[dict[str, Any]]
    right: list[dict[str, Any]]
    left_videos: list[Any]
    right_videos: list[Any]
    left_failed: list[Any]
    right_failed: list[Any]
    count: Annotated[int, operator.add]


async def test_two_branches_at_once_are_each_resumed_when_their_own_batch_has_ended(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    graph = StateGraph(Branches)
    for side in ("left", "right"):
        node = fleet_node(fleet, requests=side, videos=f"{side}_videos", failed=f"{side}_failed", **options)
        graph.add_node(f"make_{side}", node)
        graph.add_edge(START, f"make_{side}")
    graph.add_node("count", lambda state: {"count": len(state["left_videos"]) + len(state["right_videos"])})
    graph.add_edge(["make_left", "make_right"], "count")
    compiled = graph.compile(checkpointer=saver)
    paused = await compiled.ainvoke({"left": asks(2), "right": asks(3)}, thread("a"))
    batches = {each.value["requests"]: each.value["batch"] for each in paused["__interrupt__"]}
    await fleet.pause(batches[3])
    async with working(fleet_url):
        assert await resume(fleet, compiled) == 1
        assert batches[3] in await waiting(fleet)
        assert not (await compiled.aget_state(thread("a"))).values.get("count")
        await fleet.resume(batches[3])
        assert await resume(fleet, compiled) == 1
    assert (await compiled.aget_state(thread("a"))).values["count"] == 5
    assert len(emulator.tasks) == 5


class Made(TypedDict, total=False):
    """What the subgraph returns."""

    videos: Annotated[list[Any], operator.add]
    failed: Annotated[list[Any], operator.add]


class Scenes(TypedDict, total=False):
    """Many tasks of one node."""

    scenes: list[list[dict[str, Any]]]
    requests: list[dict[str, Any]]
    videos: Annotated[list[Any], operator.add]
    failed: Annotated[list[Any], operator.add]


async def test_a_node_in_a_subgraph_that_was_sent_to_three_times_has_three_batches(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    inner = StateGraph(Scenes, output_schema=Made)
    inner.add_node("make", fleet_node(fleet, **options))
    inner.add_edge(START, "make")
    graph = StateGraph(Scenes)
    graph.add_node("scene", inner.compile())
    sends = lambda state: [Send("scene", {"requests": scene}) for scene in state["scenes"]]  # noqa: E731
    graph.add_conditional_edges(START, sends, ["scene"])
    compiled = graph.compile(checkpointer=saver)
    rows = asks(6)
    paused = await compiled.ainvoke({"scenes": [rows[:1], rows[1:3], rows[3:]]}, thread("a"))
    assert sorted(each.value["requests"] for each in paused["__interrupt__"]) == [1, 2, 3]
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    assert await resume(fleet, compiled) == 1, "the three are one thread"
    state = await compiled.aget_state(thread("a"))
    assert (state.next, len(state.values["videos"])) == ((), 6)
    assert len(emulator.tasks) == 6


async def test_two_resumers_at_once_resume_each_thread_once(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any
) -> None:
    cuts: list[str] = []

    def count(state: Film) -> Film:
        cuts.append("cut")
        return cut(state)

    compiled = film(fleet, options, saver, after=count)
    for number in range(6):
        await compiled.ainvoke({"requests": asks(2, seed=number)}, thread(f"t{number}"))
    resumers = [asyncio.create_task(resume_graphs(fleet, compiled)) for _ in range(3)]
    async with working(fleet_url):
        await until(lambda: len(cuts) >= 6)
        await until(lambda: told(fleet))
    for each in resumers:
        each.cancel()
    await asyncio.gather(*resumers, return_exceptions=True)
    assert len(cuts) == 6


async def told(fleet: Fleet) -> bool:
    """Whether nobody waits any more."""
    return not await waiting(fleet)


async def waiting(fleet: Fleet) -> list[str]:
    """The batches that a graph waits for."""

    def read(connection: Any) -> list[str]:
        found = connection.execute(
            "SELECT name FROM nebula_fleet_batches WHERE waiter IS NOT NULL AND waiter->>'told_at' IS NULL"
        )
        return [name for (name,) in found.fetchall()]

    return await fleet._do(read)


async def test_a_thread_that_was_deleted_keeps_no_other_from_being_resumed(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any
) -> None:
    graph = film(fleet, options, saver)
    await graph.ainvoke({"requests": asks(1)}, thread("gone"))
    await graph.ainvoke({"requests": asks(2)}, thread("here"))
    await saver.adelete_thread("gone")
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    assert await resume(fleet, graph) == 1
    assert (await graph.aget_state(thread("here"))).values["cut"] == "2 of 2"
    assert await resume_graphs(fleet, graph, once=True) == 0


async def test_a_graph_that_fails_after_its_videos_is_not_resumed_for_ever(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any
) -> None:
    def fail(_: Film) -> Film:
        raise OSError("the disk is full")

    compiled = film(fleet, options, saver, after=fail)
    await compiled.ainvoke({"requests": asks(1)}, thread("a"))
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    assert await resume(fleet, compiled) == 1
    assert await told(fleet)
    state = await compiled.aget_state(thread("a"))
    assert (state.next, len(state.values["videos"])) == (("cut",), 1)


async def test_a_video_that_another_batch_makes_is_waited_for(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    await fleet.submit_many(asks(1, key="ours"), batch="others", paused=True, **options)
    graph = film(fleet, options, saver)
    await graph.ainvoke({"requests": asks(2, key=None)[1:] + asks(1, key="ours")}, thread("a"))
    async with working(fleet_url):
        await until(lambda: left_is(fleet, 1))
        assert await resume_graphs(fleet, graph, once=True) == 0
        await fleet.resume("others")
        assert await resume(fleet, graph) == 1
    assert (await graph.aget_state(thread("a"))).values["cut"] == "2 of 2"
    assert len(emulator.tasks) == 2


async def left_is(fleet: Fleet, count: int) -> bool:
    return sum(batch.left for batch in (await fleet.status()).batches) == count


async def test_two_threads_with_one_key_for_different_videos_each_get_their_own_or_none(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    graph = film(fleet, options, saver)
    one, other, third = ({**each, "key": "shot 1"} for each in asks(3))
    await graph.ainvoke({"requests": [one, third]}, thread("one"))
    await graph.ainvoke({"requests": [other]}, thread("other"))
    async with working(fleet_url):
        await resume(fleet, graph)

    kept, lost = [(await graph.aget_state(thread(name))).values for name in ("one", "other")]
    assert [video is not None for video in kept["videos"]] == [True, False]
    assert lost["videos"] == [None]
    assert [each["state"] for each in (*kept["failed"], *lost["failed"])] == ["broken", "broken"]
    assert "another video" in lost["failed"][0]["error"]
    assert submits_of(emulator) == {"Take 1": 1}


async def test_a_graph_that_could_not_be_resumed_hands_nothing_over(fleet: Fleet, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="could not be resumed"):
        await film(fleet, options, None).ainvoke({"requests": asks(1)})
    with pytest.raises(InvalidRequestError, match="could not be resumed"):
        await film(fleet, options, None).ainvoke({"requests": asks(1)}, thread("a"))
    graph = film(fleet, options, InMemorySaver())
    with pytest.raises(InvalidRequestError, match="no list of requests"):
        await graph.ainvoke({"cut": ""}, thread("a"))
    with pytest.raises(InvalidRequestError, match="a checkpointer may not keep it"):
        await graph.ainvoke({"requests": [{"prompt": "A cat", "image": Path("cat.jpg")}]}, thread("b"))
    assert (await fleet.status()).batches == ()
    assert (await graph.ainvoke({"requests": []}, thread("c")))["videos"] == []


async def test_a_canceled_batch_resumes_its_graph_too(fleet: Fleet, options: dict[str, Any], saver: Any) -> None:
    graph = film(fleet, options, saver)
    paused = await graph.ainvoke({"requests": asks(2)}, thread("a"))
    await fleet.cancel(paused["__interrupt__"][0].value["batch"])
    assert await resume(fleet, graph) == 1
    failed = (await graph.aget_state(thread("a"))).values["failed"]
    assert [(each["number"], each["state"]) for each in failed] == [(1, ItemState.CANCELED), (2, ItemState.CANCELED)]


async def test_batches_of_graphs_are_deleted_some_time_later_but_for_what_a_person_has_to_decide(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any, emulator: Emulator
) -> None:
    graph = film(fleet, options, saver)
    emulator.faults.add("submit", "reset_after")
    async with working(fleet_url):
        for name in ("lost", "made"):
            await graph.ainvoke({"requests": asks(1)}, thread(name))
            await until(lambda: ended(fleet))
            await resume(fleet, graph)
    assert len((await fleet.status()).batches) == 2
    await resume_graphs(fleet, graph, once=True, keep=None)
    await resume_graphs(fleet, graph, once=True)
    assert len((await fleet.status()).batches) == 2, "they stay for a week"
    await resume_graphs(fleet, graph, once=True, keep=timedelta(0))
    (batch,) = (await fleet.status()).batches
    assert set(batch.counts) == {ItemState.UNCONFIRMED}


# --- processes that die ---


def die_before_the_interrupt(fleet_url: str, options: dict[str, Any], checkpoints: str) -> None:
    def die(*_: Any) -> None:
        os._exit(9)

    with SqliteSaver.from_conn_string(checkpoints) as saver, mock.patch.object(waiters, "arm", die):
        film(Fleet(fleet_url), options, saver).invoke({"requests": asks(3)}, thread("a"), durability="sync")


def die_while_it_is_resumed(fleet_url: str, options: dict[str, Any], checkpoints: str) -> None:
    with SqliteSaver.from_conn_string(checkpoints) as saver:
        graph = film(Fleet(fleet_url), options, saver, after=lambda _: os._exit(9))
        with mock.patch.object(graphs, "_LEASE", timedelta(seconds=1)):
            asyncio.run(resume_graphs(Fleet(fleet_url), graph))


async def test_a_process_may_die_after_it_handed_over_and_while_it_resumes(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], tmp_path: Path, emulator: Emulator
) -> None:
    checkpoints = str(tmp_path / "checkpoints.db")
    died = await asyncio.to_thread(fork, die_before_the_interrupt, fleet_url, options, checkpoints, cwd=tmp_path)
    assert died.returncode == 9, died.stderr
    assert (await fleet.status()).batches[0].size == 3
    with SqliteSaver.from_conn_string(checkpoints) as saver:
        graph = film(fleet, options, saver)
        again = graph.invoke(None, thread("a"))
        assert again["__interrupt__"][0].value["left"] == 3
        async with working(fleet_url):
            await until(lambda: ended(fleet))
    died = await asyncio.to_thread(fork, die_while_it_is_resumed, fleet_url, options, checkpoints, cwd=tmp_path)
    assert died.returncode == 9, died.stderr
    with SqliteSaver.from_conn_string(checkpoints) as saver:
        graph = film(fleet, options, saver)
        assert await resume(fleet, graph) == 1
        assert graph.get_state(thread("a")).values["cut"] == "3 of 3"
        assert await told(fleet)
    assert len(emulator.tasks) == 3


async def test_a_resumer_that_is_stopped_leaves_its_graphs_to_the_next_one(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], saver: Any
) -> None:
    cutting, may_end = asyncio.Event(), asyncio.Event()

    async def slowly(state: Film) -> Film:
        cutting.set()
        await may_end.wait()
        return cut(state)

    graph = film(fleet, options, saver, after=slowly)
    await graph.ainvoke({"requests": asks(1)}, thread("a"))
    async with working(fleet_url):
        await until(lambda: ended(fleet))
    resuming = asyncio.create_task(resume_graphs(fleet, graph))
    await asyncio.wait_for(cutting.wait(), PATIENCE)
    resuming.cancel()
    await asyncio.gather(resuming, return_exceptions=True)
    may_end.set()
    assert await resume(fleet, graph) == 1
    assert (await graph.aget_state(thread("a"))).values["cut"] == "1 of 1"
