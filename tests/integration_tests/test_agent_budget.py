"""An agent's budget counts all that is paid for inside its calls: whoever pays, in whatever journal, with any key."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    BudgetExceededError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoError,
    NebulaVideoRunnable,
    NebulaVideoTool,
    SqlJournal,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.middleware import VideoBudgetMiddleware
from langchain_nebula_video.testing import ScriptedChatModel
from tests.gateways import BOTH

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
GO: dict[str, Any] = {"messages": [("user", "Go")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
EACH = Decimal("0.1845")
CALLS = 4
BUDGET = "0.50"
"""For two videos."""

Film = Callable[[int], Any]


def wish(number: int) -> dict[str, Any]:
    return {**ASK, "prompt": f"Scene {number}"}


def subagent(options: dict[str, Any], journal: Any) -> Film:
    def film(number: int) -> Any:
        tool = NebulaVideoTool(**options, journal=journal)
        call = {"name": tool.name, "args": wish(number), "id": "call"}
        model = ScriptedChatModel(lines=[AIMessage("", tool_calls=[call]), AIMessage("Done.")])
        inner: Any = create_agent(model, [tool], checkpointer=InMemorySaver())
        return inner.invoke(GO, {"configurable": {"thread_id": f"inner {number}"}})

    return film


def keyless(options: dict[str, Any], journal: Any) -> Film:
    return lambda number: NebulaVideoClient(**options, journal=journal).generate(wish(number))


def keyed(options: dict[str, Any], journal: Any) -> Film:
    return lambda number: NebulaVideoClient(**options, journal=journal).generate(wish(number), key=f"mine {number}")


def submitted(options: dict[str, Any], journal: Any) -> Film:
    return lambda number: NebulaVideoClient(**options, journal=journal).submit(wish(number), key=f"mine {number}")


def runnable(options: dict[str, Any], journal: Any) -> Film:
    return lambda number: NebulaVideoRunnable(**options, journal=journal).invoke(wish(number))


def keyed_runnable(options: dict[str, Any], journal: Any) -> Film:
    return lambda number: NebulaVideoRunnable(**options, journal=journal).invoke(wish(number), key=f"mine {number}")


def each_with_a_journal(options: dict[str, Any], journal: Any) -> Film:
    return lambda number: NebulaVideoClient(**options).generate(wish(number))


MEANS = pytest.mark.parametrize(
    "means", [keyless, keyed, submitted, runnable, keyed_runnable, subagent, each_with_a_journal]
)


def own_tool(film: Film) -> Any:
    """A tool of the user's own, which says what became of its video."""

    def run(number: int) -> str:
        try:
            film(number)
        except NebulaVideoError as error:
            return str(error)
        return "made"

    return StructuredTool.from_function(run, name="film", description="Makes a film.")


def run_agent(options: dict[str, Any], tool: Any, budget: VideoBudgetMiddleware, thread: Any, **more: Any) -> list[str]:
    """Four calls of an own tool, one a turn; the agent may also call the package's tool, on another journal."""
    lines = [AIMessage("", tool_calls=[{"name": "film", "args": {"number": n}, "id": str(n)}]) for n in range(CALLS)]
    tools = [tool, NebulaVideoTool(**options, **more)]
    saver = None if thread is None else InMemorySaver()
    model = ScriptedChatModel(lines=[*lines, AIMessage("Done.")])
    graph: Any = create_agent(model, tools, middleware=[budget], checkpointer=saver)
    answer = graph.invoke(GO, thread)
    return [str(message.content) for message in answer["messages"] if message.type == "tool"]


@pytest.fixture(params=["memory", "sql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryJournal() if request.param == "memory" else SqlJournal(f"sqlite:///{tmp_path}/journal.db")


# --- whoever pays ---


@MEANS
@pytest.mark.parametrize(("per", "thread"), [("run", THREAD), ("thread", THREAD), ("day", THREAD), ("thread", None)])
def test_whatever_an_own_tool_pays_with_counts(
    emulator: Emulator, options: dict[str, Any], journal: Any, means: Any, thread: Any, per: Any
) -> None:
    tool = own_tool(means(options, journal))
    answers = run_agent(options, tool, VideoBudgetMiddleware(BUDGET, per=per), thread)
    assert emulator.bill.usd + sum(not task.finished_at for task in emulator.tasks) * EACH <= Decimal(BUDGET)
    assert len(emulator.tasks) == 2
    if means is not subagent:
        assert ["made" in answer for answer in answers] == [True, True, False, False]
        assert f"$0.131 of the budget of $0.50 per {per} is left" in answers[2]


@BOTH
@MEANS
def test_what_a_thread_has_paid_for_counts_in_its_next_run(
    emulator: Emulator, options: dict[str, Any], means: Any
) -> None:
    film, numbers = means(options, MemoryJournal()), itertools.count()
    budget = VideoBudgetMiddleware(BUDGET, per="thread")
    call = {"name": "film", "args": {"number": 0}, "id": "0"}
    tool = own_tool(lambda _: film(next(numbers)))
    saver = InMemorySaver()
    for _ in range(CALLS):
        model = ScriptedChatModel(lines=[AIMessage("", tool_calls=[call]), AIMessage("Done.")])
        graph: Any = create_agent(model, [tool], middleware=[budget], checkpointer=saver)
        graph.invoke(GO, THREAD)
    assert len(emulator.tasks) == 2


@MEANS
def test_another_thread_is_not_charged(emulator: Emulator, options: dict[str, Any], means: Any) -> None:
    film, numbers = means(options, MemoryJournal()), itertools.count()
    tool = own_tool(lambda _: film(next(numbers)))
    for thread in ("1", "2"):
        budget = VideoBudgetMiddleware(BUDGET, per="thread")
        run_agent(options, tool, budget, {"configurable": {"thread_id": thread}})
    assert len(emulator.tasks) == 4


@pytest.mark.parametrize("per", ["run", "thread", "day"])
def test_a_batch_inside_a_tool_is_held_to_it(emulator: Emulator, options: dict[str, Any], per: Any) -> None:
    animate = NebulaVideoRunnable(**options)

    def film(number: int) -> Any:
        return animate.batch([wish(4 * number + each) for each in range(4)], return_exceptions=True)

    run_agent(options, own_tool(film), VideoBudgetMiddleware(BUDGET, per=per), THREAD)
    assert len(emulator.tasks) == 2


@BOTH
async def test_async_clients_count_too(emulator: Emulator, options: dict[str, Any], journal: Any) -> None:
    async def film(number: int) -> str:
        """Makes a film."""
        try:
            await AsyncNebulaVideoClient(**options, journal=journal).generate(wish(number), key=f"mine {number}")
        except NebulaVideoError as error:
            return str(error)
        return "made"

    calls = [{"name": "film", "args": {"number": n}, "id": str(n)} for n in range(CALLS)]
    model = ScriptedChatModel(lines=[AIMessage("", tool_calls=calls), AIMessage("Done.")])
    tool = StructuredTool.from_function(coroutine=film, name="film")
    budget = VideoBudgetMiddleware(BUDGET, per="thread")
    graph: Any = create_agent(model, [tool], middleware=[budget], checkpointer=InMemorySaver())
    answer = await graph.ainvoke(GO, THREAD)
    assert sorted("made" in str(m.content) for m in answer["messages"] if m.type == "tool") == [
        False,
        False,
        True,
        True,
    ]
    assert len(emulator.tasks) == 2


class PaysAtEachTurn(AgentMiddleware[Any, Any, Any]):
    """Makes a video whenever the model is called."""

    def __init__(self, film: Film) -> None:
        super().__init__()
        self.film, self.refusals, self.numbers = film, 0, itertools.count()

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            self.film(next(self.numbers))
        except BudgetExceededError:
            self.refusals += 1
        return handler(request)


@pytest.mark.parametrize("per", ["run", "thread", "day"])
def test_what_another_middleware_pays_for_in_the_model_s_call_counts(
    emulator: Emulator, options: dict[str, Any], per: Any
) -> None:
    pays = PaysAtEachTurn(keyed(options, MemoryJournal()))
    quotes = [AIMessage("", tool_calls=[{"name": "nothing", "args": {}, "id": str(n)}]) for n in range(CALLS)]
    nothing = StructuredTool.from_function(lambda: "nothing", name="nothing", description="Does nothing.")
    model = ScriptedChatModel(lines=[*quotes, AIMessage("Done.")])
    middleware = [VideoBudgetMiddleware(BUDGET, per=per), pays]
    graph: Any = create_agent(model, [nothing], middleware=middleware, checkpointer=InMemorySaver())
    graph.invoke(GO, THREAD)
    assert (len(emulator.tasks), pays.refusals) == (2, CALLS + 1 - 2)


def test_parallel_calls_in_several_journals_overdraw_nothing(emulator: Emulator, options: dict[str, Any]) -> None:
    """Each call has a journal of its own. What is written in one is counted by all others."""
    calls = [{"name": "film", "args": {"number": n}, "id": str(n)} for n in range(8)]
    model = ScriptedChatModel(lines=[AIMessage("", tool_calls=calls), AIMessage("Done.")])
    tool = own_tool(each_with_a_journal(options, None))
    graph: Any = create_agent(model, [tool], middleware=[VideoBudgetMiddleware(BUDGET)], checkpointer=InMemorySaver())
    graph.invoke(GO, THREAD)
    assert len(emulator.tasks) == 2


def test_what_the_journal_says_about_an_entry_names_thread_and_run_by_their_hashes(options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    run_agent(options, own_tool(keyed(options, journal)), VideoBudgetMiddleware(BUDGET), THREAD)
    first, second = journal.entries()
    assert first.scopes == second.scopes
    assert len(first.scopes) == 2
    assert all(len(scope) == 32 and journal.spent(scope=scope) == 2 * EACH for scope in first.scopes)


def test_the_journals_of_a_run_are_let_go_when_it_ends(options: dict[str, Any]) -> None:
    budget = VideoBudgetMiddleware(BUDGET)
    run_agent(options, own_tool(each_with_a_journal(options, None)), budget, THREAD)
    assert budget.budget.kept_journals == 0


# --- whatever the thread is called ---


@pytest.mark.parametrize("name", ["会话" * 60, "x" * 500, "x" * 5000, "a|b:c%/é\x00", "\N{CAT}" * 300])
@pytest.mark.parametrize("per", ["run", "thread"])
def test_a_thread_may_have_any_name(
    emulator: Emulator, options: dict[str, Any], journal: Any, name: str, per: Any
) -> None:
    tool = NebulaVideoTool(**options, journal=journal)
    lines = [AIMessage("", tool_calls=[{"name": tool.name, "args": wish(n), "id": str(n)}]) for n in range(CALLS)]
    model = ScriptedChatModel(lines=[*lines, AIMessage("Done.")])
    middleware = [VideoBudgetMiddleware(BUDGET, per=per)]
    graph: Any = create_agent(model, [tool], middleware=middleware, checkpointer=InMemorySaver())
    graph.invoke(GO, {"configurable": {"thread_id": name}})
    assert len(emulator.tasks) == 2


# --- threads without a context ---


def in_a_pool(film: Film) -> Film:
    def run(number: int) -> Any:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(film, [number]))

    return run


def in_a_thread(film: Film) -> Film:
    def run(number: int) -> None:
        caught: list[BaseException] = []

        def guarded() -> None:
            try:
                film(number)
            except NebulaVideoError as error:
                caught.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        thread.join()
        if caught:
            raise caught[0]

    return run


def in_an_executor(film: Film) -> Film:
    async def run(number: int) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, film, number)

    return lambda number: asyncio.run(run(number))


@pytest.mark.parametrize("wrap", [in_a_pool, in_a_thread, in_an_executor])
@pytest.mark.parametrize("means", [keyless, keyed])
def test_a_day_holds_in_threads_without_a_context(
    emulator: Emulator, options: dict[str, Any], journal: Any, wrap: Any, means: Any
) -> None:
    tool = own_tool(wrap(means(options, journal)))
    run_agent(options, tool, VideoBudgetMiddleware(BUDGET, per="day"), THREAD, journal=journal)
    assert len(emulator.tasks) == 2


def test_a_day_holds_in_another_object_for_the_same_database(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    film: Film = lambda number: NebulaVideoClient(**options, journal=SqlJournal(url)).generate(wish(number))  # noqa: E731
    budget = VideoBudgetMiddleware(BUDGET, per="day")
    run_agent(options, own_tool(in_a_pool(film)), budget, THREAD, journal=SqlJournal(url))
    assert len(emulator.tasks) == 2


@pytest.mark.parametrize("per", ["run", "thread"])
def test_run_and_thread_hold_in_threads_that_get_the_context(
    emulator: Emulator, options: dict[str, Any], journal: Any, per: Any
) -> None:
    film = keyed(options, journal)

    def run(number: int) -> Any:
        with ThreadPoolExecutor() as pool:
            return pool.submit(contextvars.copy_context().run, film, number).result()

    run_agent(options, own_tool(run), VideoBudgetMiddleware(BUDGET, per=per), THREAD, journal=journal)
    assert len(emulator.tasks) == 2


def test_when_the_agent_has_ended_its_day_holds_nobody_else(emulator: Emulator, options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    tool = own_tool(keyed(options, journal))
    run_agent(options, tool, VideoBudgetMiddleware(BUDGET, per="day"), THREAD, journal=journal)
    NebulaVideoClient(**options, journal=journal).generate({**ASK, "prompt": "Afterwards"})
    assert len(emulator.tasks) == 3
