"""A replayed step never pays again: agents that are killed and resumed, retry policies, retry middleware.

The emulator's ledger is the judge.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, Send, interrupt

from langchain_nebula_video import NebulaVideoClient, NebulaVideoRunnable, NebulaVideoTool, SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import video_graph
from langchain_nebula_video.testing import ScriptedChatModel
from tests.agents import animates
from tests.gateways import BOTH, INTERVAL
from tests.processes import fork
from tests.replay import worker

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
OTHER = {**ASK, "prompt": "The cat yawns"}
THREAD: Any = {"configurable": {"thread_id": "1"}}
NEVER = 10_000
DIED = 9


def submits(emulator: Emulator) -> int:
    return sum(request.point == "submit" for request in emulator.requests)


def life(
    emulator: Emulator, folder: Path, dies_at: int, *calls: dict[str, Any], **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """A process with an agent, from its beginning to its end."""
    asked = {
        "journal": f"sqlite:///{folder}/journal.db",
        "checkpoints": f"{folder}/checkpoints.db",
        "dies_at": dies_at,
        "calls": calls or [ASK],
        "options": {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": INTERVAL},
        **more,
    }
    return fork(worker.main, asked, cwd=folder)


def live(emulator: Emulator, folder: Path, dies_at: int, *calls: dict[str, Any], **more: Any) -> Any:
    """One life of the agent; its answer, or `None` if it was killed."""
    done = life(emulator, folder, dies_at, *calls, **more)
    if done.returncode == DIED:
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def moments(emulator: Emulator, folder: Path) -> int:
    """How many there are in an undisturbed life."""
    folder.mkdir()
    return int(live(emulator, folder, NEVER)["moments"])


def test_an_agent_that_is_killed_at_any_moment_and_resumed_pays_once(emulator: Emulator, tmp_path: Path) -> None:
    """From the model's call to the tool's answer: each life ends one moment later than the one before."""
    count = moments(emulator, tmp_path / "undisturbed")
    assert count >= 10
    for dies_at in range(count):
        folder = tmp_path / str(dies_at)
        folder.mkdir()
        before, paid = len(emulator.tasks), emulator.bill.usd
        assert live(emulator, folder, dies_at) is None
        answer = live(emulator, folder, NEVER)
        assert answer["last"] == "Done."
        assert len(emulator.tasks) - before <= 1, dies_at
        assert emulator.bill.usd - paid <= paid or not before
        (told,) = answer["answers"]
        if len(emulator.tasks) - before == 1 and "may have been spent" not in told:
            assert json.loads(told)["status"] == "succeeded", (dies_at, told)
        else:  # killed within the POST: paid at most once, and the model is told
            assert "Do not ask for this video again" in told, (dies_at, told)


@BOTH
def test_an_agent_that_is_killed_again_and_again_pays_once(emulator: Emulator, tmp_path: Path) -> None:
    for dies_at in (12, 3, 5, 2, 4, 1):
        live(emulator, tmp_path, dies_at)
    assert live(emulator, tmp_path, NEVER)["last"] == "Done."
    assert len(emulator.tasks) == 1


@BOTH
def test_two_calls_at_once_one_of_which_fails_are_two_submits_in_all(emulator: Emulator, tmp_path: Path) -> None:
    """The failing one ends the agent, and with it its sibling; resumed, neither submits again."""
    emulator.faults.add("submit", "reset_after")
    first = life(emulator, tmp_path, NEVER, ASK, OTHER, handled=False)
    assert b"SubmissionUnconfirmedError" in first.stderr
    answer = live(emulator, tmp_path, NEVER, ASK, OTHER)
    assert answer["last"] == "Done."
    assert sum("succeeded" in told for told in answer["answers"]) == 1
    assert submits(emulator) == 2
    assert len(emulator.tasks) == 2


# --- what repeats by itself, at its defaults ---


@pytest.fixture
def lost(emulator: Emulator) -> Emulator:
    """Every answer to a submit is lost after it was accepted."""
    emulator.faults.add("submit", "reset_after", times=None)
    return emulator


@pytest.mark.parametrize("handled", [True, False])
def test_tool_retry_middleware_submits_once(lost: Emulator, options: dict[str, Any], handled: bool) -> None:
    tool = NebulaVideoTool(**options, handle_tool_error=handled)
    retries = ToolRetryMiddleware(initial_delay=0, jitter=False)
    agent: Any = create_agent(animates(**ASK), [tool], middleware=[retries])
    with contextlib.nullcontext() if handled else pytest.raises(RuntimeError, match="may have been spent"):
        agent.invoke({"messages": [("user", "Go")]})
    assert submits(lost) == 1


class State(TypedDict, total=False):
    url: str


def _graph(node: Any, **more: Any) -> Any:
    return (
        StateGraph(State)
        .add_node("node", node, **more)
        .add_edge(START, "node")
        .add_edge("node", END)
        .compile(checkpointer=InMemorySaver())
    )


def test_a_node_s_retry_policy_does_not_repeat_a_lost_submit(lost: Emulator, options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options, handle_tool_error=False)

    def node(state: State) -> State:
        return {"url": tool.invoke(dict(ASK))}

    with pytest.raises(RuntimeError, match="may have been spent"):
        _graph(node, retry_policy=RetryPolicy(initial_interval=0.01, jitter=False)).invoke(
            {}, {"configurable": {"thread_id": "1"}}
        )
    assert submits(lost) == 1


def test_a_retry_policy_that_retries_everything_does_not_repeat_a_lost_submit(
    lost: Emulator, options: dict[str, Any]
) -> None:
    animate = NebulaVideoRunnable(**options)

    def node(state: State) -> State:
        return {"url": animate.invoke(ASK).url}

    policy = RetryPolicy(initial_interval=0.01, jitter=False, retry_on=Exception)
    with pytest.raises(RuntimeError, match="may have been spent"):
        _graph(node, retry_policy=policy).invoke({}, {"configurable": {"thread_id": "1"}})
    assert submits(lost) == 1


def test_a_node_that_fails_after_its_video_was_made_does_not_make_another(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    """The node's own task id is the key: it stays the same when the node is retried, and when the run is resumed."""
    animate = NebulaVideoRunnable(**options)
    falls = iter([True, True, False])

    def node(state: State) -> State:
        url = animate.invoke(ASK).url
        if next(falls):
            raise ConnectionError("after the video was made")
        return {"url": url}

    thread: Any = {"configurable": {"thread_id": "1"}}
    graph = _graph(node, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01, jitter=False))
    with pytest.raises(ConnectionError):
        graph.invoke({}, thread)
    assert graph.invoke(None, thread)["url"]
    assert submits(emulator) == 1


def test_a_node_that_is_visited_again_makes_another_video(emulator: Emulator, options: dict[str, Any]) -> None:
    animate = NebulaVideoRunnable(**options)

    def node(state: State) -> State:
        return {"url": animate.invoke(ASK).url}

    graph = _graph(node)
    for _ in range(2):
        graph.invoke({}, {"configurable": {"thread_id": "1"}})
    assert submits(emulator) == 2


async def test_an_async_node_that_fails_after_its_video_was_made_does_not_make_another(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    animate = NebulaVideoRunnable(**options)
    falls = iter([True, False])

    async def node(state: State) -> State:
        url = (await animate.ainvoke(ASK)).url
        if next(falls):
            raise ConnectionError("after the video was made")
        return {"url": url}

    thread: Any = {"configurable": {"thread_id": "1"}}
    graph = _graph(node)
    with pytest.raises(ConnectionError):
        await graph.ainvoke({}, thread)
    assert (await graph.ainvoke(None, thread))["url"]
    assert submits(emulator) == 1


def test_a_thread_s_call_ids_may_begin_anew_each_turn(emulator: Emulator, options: dict[str, Any]) -> None:
    model = ScriptedChatModel(
        lines=[
            AIMessage("", tool_calls=[{"name": "nebula_image_to_video", "args": args, "id": "call_0"}])
            if args
            else AIMessage("Done.")
            for args in (ASK, None, ASK, None)
        ]
    )
    agent: Any = create_agent(model, [NebulaVideoTool(**options)], checkpointer=InMemorySaver())
    for _ in range(2):
        agent.invoke({"messages": [("user", "Go")]}, {"configurable": {"thread_id": "1"}})
    assert submits(emulator) == 2


@pytest.mark.parametrize("thread", [{}, {"configurable": {"thread_id": "1"}}], ids=["no thread", "a thread"])
def test_a_model_that_asks_for_the_same_twice_in_one_message_gets_one_video(
    emulator: Emulator, options: dict[str, Any], thread: Any
) -> None:
    """Another seed is another take, and so is the same wish in a later message."""
    called = [
        [("call_1", ASK), ("call_2", dict(ASK)), ("call_3", {**ASK, "seed": 7})],
        [("call_4", ASK)],
    ]
    lines = [
        AIMessage("", tool_calls=[{"name": "nebula_image_to_video", "args": args, "id": name} for name, args in calls])
        for calls in called
    ]
    model = ScriptedChatModel(lines=[*lines, AIMessage("Done.")])
    agent: Any = create_agent(model, [NebulaVideoTool(**options)], checkpointer=InMemorySaver() if thread else None)
    answer = agent.invoke({"messages": [("user", "Go")]}, thread)
    made = [json.loads(message.content)["task_id"] for message in answer["messages"] if message.type == "tool"]
    assert made[0] == made[1]
    assert len(set(made)) == submits(emulator) == 3


@pytest.mark.parametrize("thread", [{}, {"configurable": {"thread_id": "1"}}], ids=["no thread", "a thread"])
@pytest.mark.parametrize("called", [True, False], ids=["called in a node", "as a node"])
def test_the_same_call_twice_in_one_message_of_a_nested_agent_makes_one_video(
    emulator: Emulator, options: dict[str, Any], thread: Any, called: bool
) -> None:
    twice = [{"name": "nebula_image_to_video", "args": dict(ASK), "id": f"call_{number}"} for number in (1, 2)]
    model = ScriptedChatModel(lines=[AIMessage("", tool_calls=twice), AIMessage("Done.")])
    agent: Any = create_agent(model, [NebulaVideoTool(**options)])

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": agent.invoke(state)["messages"][-1:]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("ask", ask if called else agent)
    graph.add_edge(START, "ask")
    graph.compile(checkpointer=InMemorySaver() if thread else None).invoke({"messages": [("user", "Go")]}, thread)
    assert submits(emulator) == 1


def test_a_wish_that_failed_for_free_may_be_repeated_in_the_next_turn(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    """Also by a model that numbers its calls anew."""
    doomed = {**ASK, "prompt": "[fail] The cat blinks"}
    call = {"name": "nebula_image_to_video", "args": doomed, "id": "call_0"}
    lines = [AIMessage("", tool_calls=[call]), AIMessage("", tool_calls=[call]), AIMessage("Done.")]
    agent: Any = create_agent(
        ScriptedChatModel(lines=lines), [NebulaVideoTool(**options)], checkpointer=InMemorySaver()
    )
    answer = agent.invoke({"messages": [("user", "Go")]}, THREAD)
    told = [message.content for message in answer["messages"] if message.type == "tool"]
    assert ["Nothing was spent" in each for each in told] == [True, True]
    assert submits(emulator) == 2


# --- what is made in a node, by whatever means ---


def _with_a_dict(options: dict[str, Any]) -> Callable[[], str]:
    animate = NebulaVideoTool(**options)
    return lambda: str(json.loads(animate.invoke(dict(ASK)))["url"])


def _with_a_call(options: dict[str, Any]) -> Callable[[], str]:
    animate = NebulaVideoTool(**options)
    call = {"type": "tool_call", "id": "call_1", "name": animate.name, "args": ASK}
    return lambda: str(animate.invoke(call).artifact["url"])


def _with_a_runnable(options: dict[str, Any]) -> Callable[[], str]:
    runnable = NebulaVideoRunnable(**options)
    return lambda: runnable.invoke(ASK).url


def _with_a_graph(options: dict[str, Any]) -> Callable[[], str]:
    graph = video_graph(NebulaVideoClient(**options))
    return lambda: str(graph.invoke({"request": ASK})["video"]["url"])


MAKERS = [_with_a_dict, _with_a_call, _with_a_runnable, _with_a_graph]


@pytest.fixture(params=MAKERS, ids=[maker.__name__.strip("_") for maker in MAKERS])
def make(request: pytest.FixtureRequest, options: dict[str, Any]) -> Callable[[], str]:
    """Makes a video; its address."""
    maker: Callable[[], str] = request.param(options)
    return maker


@pytest.fixture(params=[True, False], ids=["kept", "not kept"])
def saver(request: pytest.FixtureRequest) -> InMemorySaver | None:
    return InMemorySaver() if request.param else None


@pytest.fixture
def falls() -> Callable[[], None]:
    """What goes wrong after the video was made, twice."""
    times = iter([True, True])

    def fall() -> None:
        if next(times, False):
            raise ConnectionError("for a moment")

    return fall


RETRY = RetryPolicy(initial_interval=0.01, jitter=False)


def test_a_node_that_is_retried_makes_one(
    emulator: Emulator, make: Callable[[], str], falls: Callable[[], None], saver: InMemorySaver | None
) -> None:
    def node(state: State) -> State:
        url = make()
        falls()
        return {"url": url}

    graph = StateGraph(State).add_node("node", node, retry_policy=RETRY).add_edge(START, "node")
    assert graph.compile(checkpointer=saver).invoke({}, THREAD)["url"]
    assert submits(emulator) == 1


def test_a_graph_within_a_node_that_is_retried_makes_one(
    emulator: Emulator, make: Callable[[], str], falls: Callable[[], None], saver: InMemorySaver | None
) -> None:
    """Its own tasks have new ids each time."""

    def deliver(state: State) -> State:
        falls()
        return {}

    inner = StateGraph(State).add_node("film", lambda _: {"url": make()}).add_node("deliver", deliver)
    inner.add_edge(START, "film").add_edge("film", "deliver")
    outer = StateGraph(State).add_node("inner", inner.compile(), retry_policy=RETRY).add_edge(START, "inner")
    assert outer.compile(checkpointer=saver).invoke({}, THREAD)["url"]
    assert submits(emulator) == 1


def test_an_agent_within_a_node_that_is_retried_makes_one(
    emulator: Emulator, options: dict[str, Any], falls: Callable[[], None], saver: InMemorySaver | None
) -> None:
    """It is asked anew, and its model numbers its calls anew; what it wants is the same."""
    lines = []
    for number in range(3):
        call = {"name": "nebula_image_to_video", "args": ASK, "id": f"call_{number}"}
        lines += [AIMessage("", tool_calls=[call]), AIMessage("Done.")]
    inner: Any = create_agent(ScriptedChatModel(lines=lines), [NebulaVideoTool(**options)])

    def node(state: State) -> State:
        answer = inner.invoke({"messages": [("user", "Go")]})
        falls()
        return {"url": answer["messages"][-2].artifact["url"]}

    graph = StateGraph(State).add_node("node", node, retry_policy=RETRY).add_edge(START, "node")
    assert graph.compile(checkpointer=saver).invoke({}, THREAD)["url"]
    assert submits(emulator) == 1


def test_a_workflow_that_asks_in_between_makes_one(emulator: Emulator, make: Callable[[], str]) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    def workflow(_: str) -> str:
        url = make()
        return url if interrupt("Use it?") else ""

    workflow.invoke("go", THREAD)
    assert workflow.invoke(Command(resume=True), THREAD)
    assert submits(emulator) == 1


def _sent_twice(make: Callable[[], str]) -> Any:
    def film(state: State) -> State:
        make()
        return {}

    def twice(state: State) -> list[Send]:
        return [Send("film", {}), Send("film", {})]

    return StateGraph(State).add_node("film", film).add_conditional_edges(START, twice, ["film"]).compile()


def test_a_node_that_is_sent_to_twice_makes_two(emulator: Emulator, make: Callable[[], str]) -> None:
    _sent_twice(make).invoke({})
    assert submits(emulator) == 2


def test_a_node_within_another_graph_that_is_sent_to_twice_makes_two(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    """Where tasks have no ids that stay."""
    inner = _sent_twice(_with_a_runnable(options))
    StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile().invoke({})
    assert submits(emulator) == 2


def test_tools_of_a_node_that_is_retried_make_one(
    emulator: Emulator, options: dict[str, Any], falls: Callable[[], None]
) -> None:
    """Also without a thread: a sibling fails after the video was made."""

    @tool
    def deliver() -> str:
        """Delivers it."""
        falls()
        return "done"

    calls = [
        {"name": "nebula_image_to_video", "args": ASK, "id": "call_1"},
        {"name": "deliver", "args": {}, "id": "call_2"},
    ]
    node = ToolNode([NebulaVideoTool(**options), deliver], handle_tool_errors=False)
    graph = StateGraph(MessagesState).add_node("tools", node, retry_policy=RETRY).add_edge(START, "tools").compile()
    graph.invoke({"messages": [AIMessage("", tool_calls=calls)]})
    assert submits(emulator) == 1


# --- processes that die ---


def test_a_graph_whose_process_died_in_mid_wait_goes_on(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path
) -> None:
    """Submit and wait as two nodes; the journal outlives the client as it would the process."""
    url = f"sqlite:///{tmp_path}/journal.db"
    saver = InMemorySaver()
    thread: Any = {"configurable": {"thread_id": "1"}}
    emulator.faults.add("query", "status", code=500, times=None)
    hasty = NebulaVideoClient(**options, journal=SqlJournal(url), timeout=3)
    with pytest.raises(RuntimeError, match="still"):
        video_graph(hasty, checkpointer=saver).invoke({"request": ASK}, thread, durability="sync")
    emulator.faults.clear()
    graph = video_graph(NebulaVideoClient(**options, journal=SqlJournal(url)), checkpointer=saver)
    assert graph.invoke(None, thread)["video"]["url"]
    assert submits(emulator) == 1
