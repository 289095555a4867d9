"""One approval pays for one video, however often, by whatever way and at whatever time its answer arrives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, TimeoutPolicy

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    SqlJournal,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import approval_node, submit_node, video_graph, wait_node

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
THREAD: Any = {"configurable": {"thread_id": "1"}}
ANSWERS = 6


@pytest.fixture(params=["memory", "sql"])
def client(request: pytest.FixtureRequest, options: dict[str, Any], tmp_path: Path) -> Iterator[NebulaVideoClient]:
    journal = MemoryJournal() if request.param == "memory" else SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    yield NebulaVideoClient(**options, journal=journal)
    journal.close()


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield (
            InMemorySaver()
            if request.param == "memory"
            else stack.enter_context(SqliteSaver.from_conn_string(f"{tmp_path}/checkpoints.db"))
        )


class Film(TypedDict, total=False):
    """A state of another graph, which knows nothing of approvals."""

    request: dict[str, Any]
    task: dict[str, Any]
    video: dict[str, Any]
    title: str


def own_graph(client: Any, saver: Any = None) -> Any:
    graph = StateGraph(Film)
    graph.add_node("write", lambda _: {"request": ASK, "title": "Cat"})
    graph.add_node("approve", approval_node(client), destinations=("submit", END))
    graph.add_node("submit", submit_node(client))
    graph.add_node("wait", wait_node(client))
    for before, after in ((START, "write"), ("write", "approve"), ("submit", "wait"), ("wait", END)):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=saver)


def ready(client: Any, saver: Any) -> Any:
    return video_graph(client, approve_over_usd=0, checkpointer=saver)


def nested(client: Any, saver: Any) -> Any:
    outer = StateGraph(Film)
    outer.add_node("film", video_graph(client, approve_over_usd=0))
    outer.add_edge(START, "film")
    outer.add_edge("film", END)
    return outer.compile(checkpointer=saver)


GRAPHS = pytest.mark.parametrize("build", [ready, own_graph, nested], ids=["ready", "own", "nested"])


class MeetingSaver(InMemorySaver):
    """Lets each thread go on only when all have read the paused checkpoint: else one may end before another begins."""

    meeting: threading.Barrier | None = None

    def __init__(self) -> None:
        super().__init__()
        self._met = threading.local()

    def get_tuple(self, config: Any) -> Any:
        found = super().get_tuple(config)
        if self.meeting is not None and not hasattr(self._met, "once"):
            self._met.once = True
            self.meeting.wait(60)
        return found


def answer_at_once(graph: Any, *answers: Any) -> list[Any]:
    """Resume from several threads in the same moment; the states, or the errors."""
    together, outcomes = threading.Barrier(len(answers)), []

    def resume(answer: Any) -> None:
        together.wait()
        try:
            outcomes.append(graph.invoke(Command(resume=answer), THREAD))
        except Exception as error:  # noqa: BLE001 the test looks at it
            outcomes.append(error)

    threads = [threading.Thread(target=resume, args=(answer,)) for answer in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def task_ids(outcomes: list[Any]) -> set[str]:
    return {outcome["task"]["task_id"] for outcome in outcomes}


@GRAPHS
def test_the_same_answer_six_times_at_once_pays_once(
    emulator: Emulator, client: NebulaVideoClient, saver: Any, build: Callable[[Any, Any], Any]
) -> None:
    graph = build(client, saver)
    assert "__interrupt__" in graph.invoke({"request": ASK}, THREAD)
    outcomes = answer_at_once(graph, *[True] * ANSWERS)
    assert task_ids(outcomes) == {emulator.tasks[0].id}
    assert len(emulator.tasks) == 1


@GRAPHS
@pytest.mark.parametrize("kept", ["memory", "sqlite"])
async def test_so_it_does_in_async_runs(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path, build: Callable[[Any, Any], Any], kept: str
) -> None:
    async with AsyncExitStack() as stack:
        opened = AsyncSqliteSaver.from_conn_string(f"{tmp_path}/checkpoints.db")
        saver = InMemorySaver() if kept == "memory" else await stack.enter_async_context(opened)
        graph = build(AsyncNebulaVideoClient(**options), saver)
        await graph.ainvoke({"request": ASK}, THREAD)
        outcomes = await asyncio.gather(*(graph.ainvoke(Command(resume=True), THREAD) for _ in range(ANSWERS)))
        assert task_ids(outcomes) == {emulator.tasks[0].id}
        assert len(emulator.tasks) == 1


async def test_so_it_does_with_a_timeout_of_langgraph(emulator: Emulator, options: dict[str, Any]) -> None:
    client = AsyncNebulaVideoClient(**options)
    bound = TimeoutPolicy(run_timeout=60)
    graph = video_graph(client, approve_over_usd=0, wait_timeout=bound, checkpointer=InMemorySaver())
    await graph.ainvoke({"request": ASK}, THREAD)
    await asyncio.gather(*(graph.ainvoke(Command(resume=True), THREAD) for _ in range(ANSWERS)))
    assert len(emulator.tasks) == 1


def test_the_same_changes_at_once_pay_once(emulator: Emulator, client: NebulaVideoClient) -> None:
    graph = ready(client, InMemorySaver())
    graph.invoke({"request": ASK}, THREAD)
    outcomes = answer_at_once(graph, *[{"resolution": "720p"}] * ANSWERS)
    assert len(emulator.tasks) == len(task_ids(outcomes)) == 1


def test_of_two_different_answers_one_is_followed_and_the_other_says_so(
    emulator: Emulator, client: NebulaVideoClient
) -> None:
    saver = MeetingSaver()
    graph = ready(client, saver)
    graph.invoke({"request": ASK}, THREAD)
    saver.meeting = threading.Barrier(2)
    outcomes = answer_at_once(graph, True, {"resolution": "720p"})
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert isinstance(refused, InvalidRequestError)
    assert f"task {emulator.tasks[0].id} follows the other answer" in str(refused)
    assert len(emulator.tasks) == 1


@GRAPHS
def test_the_approval_of_an_older_checkpoint_pays_nothing_again(
    emulator: Emulator, client: NebulaVideoClient, saver: Any, build: Callable[[Any, Any], Any]
) -> None:
    graph = build(client, saver)
    graph.invoke({"request": ASK}, THREAD)
    graph.invoke(Command(resume=True), THREAD)
    after_approval = [state for state in graph.get_state_history(THREAD) if state.next == ("submit",)]
    for state in after_approval:
        graph.invoke(None, state.config)
    assert len(emulator.tasks) == 1


def test_a_question_that_is_asked_again_by_going_back_is_another_approval(
    emulator: Emulator, client: NebulaVideoClient
) -> None:
    graph = ready(client, InMemorySaver())
    graph.invoke({"request": ASK}, THREAD)
    paused = graph.get_state(THREAD).config
    for _ in range(2):
        graph.invoke(Command(resume=True), paused)
    assert len(emulator.tasks) == 1
    assert "__interrupt__" in graph.invoke(None, paused)
    assert len(emulator.tasks) == 1
    graph.invoke(Command(resume=True), THREAD)
    assert len(emulator.tasks) == 2


def test_each_run_and_each_question_is_an_approval_of_its_own(emulator: Emulator, client: NebulaVideoClient) -> None:
    graph = ready(client, InMemorySaver())
    for number in range(1, 4):
        graph.invoke({"request": ASK}, THREAD)
        graph.invoke(Command(resume=True), THREAD)
        assert len(emulator.tasks) == number


def test_a_video_that_nobody_is_asked_about_is_not_taken_for_an_approved_one(
    emulator: Emulator, client: NebulaVideoClient
) -> None:
    """The first approval's submit was refused, so its key is still in the state."""
    graph = video_graph(client, approve_over_usd="0.30", checkpointer=InMemorySaver())
    emulator.faults.add("submit", "status", code=400)
    graph.invoke({"request": {**ASK, "resolution": "720p"}}, THREAD)
    with pytest.raises(RuntimeError):
        graph.invoke(Command(resume=True), THREAD)
    for _ in range(2):
        graph.invoke({"request": ASK}, THREAD)
    assert len(emulator.tasks) == 2


def test_the_approval_stays_out_of_the_result(client: NebulaVideoClient) -> None:
    graph = ready(client, InMemorySaver())
    graph.invoke({"request": ASK}, THREAD)
    done = graph.invoke(Command(resume=True), THREAD)
    assert set(done) == {"request", "task", "video"}
    assert graph.get_state(THREAD).values.get("nebula_video_approval") is None


def test_an_approved_repetition_goes_on_with_an_abandoned_task(emulator: Emulator, client: NebulaVideoClient) -> None:
    """The body whose answer was lost is found by the next approval of the same request."""
    graph = ready(client, InMemorySaver())
    emulator.faults.add("submit", "reset_after")
    graph.invoke({"request": ASK}, THREAD)
    with pytest.raises(RuntimeError, match="may have been spent"):
        graph.invoke(Command(resume=True), THREAD)
    graph.invoke({"request": ASK}, THREAD)
    with pytest.raises(RuntimeError, match="may have been"):
        graph.invoke(Command(resume=True), THREAD)
    assert len(emulator.tasks) == 1
