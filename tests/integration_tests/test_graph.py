"""Submit, wait and save as nodes of a graph."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, TimeoutPolicy

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    NebulaVideoClient,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import approval_node, submit_node, video_graph, wait_node
from tests.conftest import png
from tests.gateways import ASK, BOTH, HurriedClock

EXAMPLES = Path(__file__).parents[2] / "examples"
THREAD: Any = {"configurable": {"thread_id": "1"}}


def submits(emulator: Emulator) -> int:
    return sum(request.point == "submit" for request in emulator.requests)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> InMemorySaver:
    """A checkpointer that takes plain data and LangChain's own classes, and refuses all others."""
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    return InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=False))


@BOTH
def test_a_graph_submits_waits_and_saves(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path, strict: InMemorySaver
) -> None:
    graph = video_graph(NebulaVideoClient(**options), save_to=tmp_path, checkpointer=strict)
    done = graph.invoke({"request": ASK}, THREAD, durability="sync")
    assert Path(done["video"]["path"]).stat().st_size > 10_000
    assert done["video"]["task_id"] == done["task"]["task_id"] == emulator.tasks[0].id
    assert graph.get_state(THREAD).values["video"] == done["video"]
    assert os.environ["LANGGRAPH_STRICT_MSGPACK"] == "true"


@BOTH
async def test_an_async_graph_submits_waits_and_saves(
    options: dict[str, Any], tmp_path: Path, strict: InMemorySaver
) -> None:
    graph = video_graph(AsyncNebulaVideoClient(**options), save_to=tmp_path, checkpointer=strict)
    done = await graph.ainvoke({"request": ASK}, THREAD, durability="sync")
    assert Path(done["video"]["path"]).exists()


async def test_either_kind_of_client_serves_either_kind_of_run(options: dict[str, Any]) -> None:
    assert (await video_graph(NebulaVideoClient(**options)).ainvoke({"request": ASK}))["video"]["url"]
    assert video_graph(AsyncNebulaVideoClient(**options)).invoke({"request": ASK})["video"]["url"]


def test_only_what_costs_nothing_is_retried(emulator: Emulator, options: dict[str, Any], tmp_path: Path) -> None:
    emulator.faults.add("submit", "reset_after", times=None)
    with pytest.raises(RuntimeError, match="may have been spent"):
        video_graph(NebulaVideoClient(**options), save_to=tmp_path).invoke({"request": ASK})
    assert submits(emulator) == 1
    emulator.faults.clear()
    emulator.faults.add("download", "status", code=503, times=4)
    client = NebulaVideoClient(**options, clock=HurriedClock())
    done = video_graph(client, save_to=tmp_path).invoke({"request": ASK, "key": "another"})
    assert Path(done["video"]["path"]).exists()
    assert submits(emulator) == 2


def test_a_run_that_failed_in_waiting_goes_on_there(emulator: Emulator, options: dict[str, Any]) -> None:
    saver = InMemorySaver()
    emulator.faults.add("query", "status", code=401, times=None)
    graph = video_graph(NebulaVideoClient(**options, clock=HurriedClock()), checkpointer=saver)
    with pytest.raises(RuntimeError, match="401"):
        graph.invoke({"request": ASK}, THREAD, durability="sync")
    emulator.faults.clear()
    assert graph.invoke(None, THREAD)["video"]["url"]
    assert submits(emulator) == 1


async def test_waiting_may_have_a_timeout_of_langgraph(emulator: Emulator, options: dict[str, Any]) -> None:
    emulator.faults.add("query", "stall_after", seconds=20, times=None)
    client = AsyncNebulaVideoClient(**options)
    graph = video_graph(client, wait_timeout=TimeoutPolicy(run_timeout=0.5), checkpointer=InMemorySaver())
    with pytest.raises(Exception, match=r"timeout|timed out|exceeded"):
        await graph.ainvoke({"request": ASK}, THREAD)
    emulator.faults.clear()
    assert (await video_graph(client).ainvoke({"request": ASK}))["video"]["url"]


def test_a_blocking_run_with_such_a_timeout_is_refused_before_paying(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    """LangGraph would find out when it comes to the node that waits."""
    graph = video_graph(NebulaVideoClient(**options), wait_timeout=TimeoutPolicy(run_timeout=60))
    with pytest.raises(InvalidRequestError, match="async runs only"):
        graph.invoke({"request": ASK})
    assert submits(emulator) == 0


def test_a_state_without_a_request_says_what_is_missing(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="The state has no request"):
        video_graph(NebulaVideoClient(**options)).invoke({"key": "x"})


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_the_newest_streams_show_its_progress(options: dict[str, Any]) -> None:
    graph = video_graph(NebulaVideoClient(**options))
    blocking = graph.stream_events({"request": ASK}, version="v3")
    assert list(blocking.custom)[-1]["status"] == "succeeded"
    assert blocking.output["video"]["url"]
    waiting = await graph.astream_events({"request": ASK}, version="v3")
    assert [event async for event in waiting.custom][-1]["status"] == "succeeded"


# --- nodes of one's own graph ---


class Film(TypedDict, total=False):
    request: dict[str, Any]
    task: dict[str, Any]
    video: dict[str, Any]
    title: str


def test_the_nodes_fit_into_another_graph(options: dict[str, Any]) -> None:
    client = NebulaVideoClient(**options)
    graph = StateGraph(Film)
    graph.add_node("write", lambda _: {"request": ASK, "title": "Cat"})
    graph.add_node("submit", submit_node(client))
    graph.add_node("wait", wait_node(client))
    for before, after in ((START, "write"), ("write", "submit"), ("submit", "wait"), ("wait", END)):
        graph.add_edge(before, after)
    done = graph.compile().invoke({})
    assert (done["title"], done["video"]["resolution"]) == ("Cat", "480p")


@BOTH
def test_ten_images_at_once_keep_to_one_budget(
    emulator: Emulator, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is the example's."""
    monkeypatch.syspath_prepend(EXAMPLES)
    storyboard = importlib.import_module("storyboard").storyboard
    client = NebulaVideoClient(**options, budget="1.00")
    scenes = [{**ASK, "prompt": f"Scene {number}"} for number in range(10)]
    done = storyboard(client).invoke({"scenes": scenes}, {"max_concurrency": 4})
    assert len(done["videos"]) == 5  # of $0.1845 each
    assert len(done["refused"]) == 5
    assert emulator.bill.usd <= 1
    assert emulator.peaks.submits <= 4


# --- approval ---


def test_a_person_sees_the_price_and_nothing_is_sent_before(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd=0, checkpointer=InMemorySaver())
    asked = graph.invoke({"request": {**ASK, "image": png(640, 480) + bytes(5000)}}, THREAD)
    (question,) = asked["__interrupt__"]
    assert question.value["question"] == "Make this video for $0.1845?"
    assert question.value["cost_usd"] == 0.1845
    assert question.value["request"]["image"] == "<image data, 6 kB>"
    assert submits(emulator) == 0


@BOTH
@pytest.mark.parametrize(
    ("answer", "made"), [(True, "480p"), ({"resolution": "720p"}, "720p"), (False, None), ("Too dear", None)]
)
def test_what_the_person_answers_decides(
    emulator: Emulator, options: dict[str, Any], answer: Any, made: str | None
) -> None:
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd="0.10", checkpointer=InMemorySaver())
    graph.invoke({"request": ASK}, THREAD)
    done = graph.invoke(Command(resume=answer), THREAD)
    assert done.get("video", {}).get("resolution") == made
    assert submits(emulator) == (made is not None)
    if made is None:
        assert done["declined"] == (answer or "declined")


def test_what_costs_no_more_is_not_asked_about(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd="0.1845", checkpointer=InMemorySaver())
    assert graph.invoke({"request": ASK}, THREAD)["video"]["url"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"duration": 7}, "duration is 7"),
        ({"resolution": "4k"}, "480p, 720p, 1080p"),
        ({"image": None}, "image"),
        ({"approved": True}, "approved"),
        ({"type": "approve"}, "type"),
        ("yes", "'yes' is no answer"),
        (1, "1 is no answer"),
        (["x"], "no answer"),
    ],
)
def test_after_an_answer_that_cannot_be_followed_it_asks_again(
    emulator: Emulator, options: dict[str, Any], answer: Any, told: str
) -> None:
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd=0, checkpointer=InMemorySaver())
    graph.invoke({"request": ASK}, THREAD)
    asked = graph.invoke(Command(resume=answer), THREAD)
    assert told in asked["__interrupt__"][0].value["error"]
    assert submits(emulator) == 0
    assert graph.invoke(Command(resume={"resolution": "720p"}), THREAD)["video"]["resolution"] == "720p"
    assert submits(emulator) == 1


def test_what_an_earlier_run_has_left_never_passes_for_this_one_s(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = video_graph(NebulaVideoClient(**options), approve_over_usd=0, checkpointer=InMemorySaver())

    def run(answer: Any) -> dict[str, Any]:
        graph.invoke({"request": ASK}, THREAD)
        return {name: value for name, value in graph.invoke(Command(resume=answer), THREAD).items() if value}

    assert set(run("Too dear")) == {"request", "declined"}
    assert set(run(True)) == {"request", "task", "video"}
    assert set(run(False)) == {"request", "declined"}
    assert submits(emulator) == 1


def test_a_video_without_a_known_price_is_always_asked_about() -> None:
    client = NebulaVideoClient(gateway="uniall", api_key="sk-x", base_url="https://uniall.example.com")
    assert client.quote(prompt="x", model="viduq3p-720p").usd is None
    assert callable(approval_node(client, over_usd=100))
