"""Consent and budgets for agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_nebula_video import (
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoTool,
    NebulaVideoToolkit,
    SqlJournal,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.middleware import VideoBudgetMiddleware, spend_approval
from tests.agents import ScriptedModel

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
GO: dict[str, Any] = {"messages": [{"role": "user", "content": "Go"}]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
EACH = 0.1845


def calls(*wanted: dict[str, Any], first: int = 0, name: str = "nebula_image_to_video") -> AIMessage:
    """One turn of a model that calls several times at once."""
    made = [{"name": name, "args": args, "id": f"call_{first + number}"} for number, args in enumerate(wanted)]
    return AIMessage("", tool_calls=made)


def agent(options: dict[str, Any], *lines: AIMessage, middleware: list[Any], **more: Any) -> Any:
    model = ScriptedModel(lines=[*lines, AIMessage("Done.")])
    return create_agent(
        model, NebulaVideoToolkit(**options, **more).get_tools(), middleware=middleware, checkpointer=InMemorySaver()
    )


def told(answer: dict[str, Any]) -> list[ToolMessage]:
    return [message for message in answer["messages"] if isinstance(message, ToolMessage)]


def numbered(count: int) -> list[dict[str, Any]]:
    return [{**ASK, "prompt": f"Scene {number}"} for number in range(count)]


def submits(emulator: Emulator) -> int:
    return sum(request.point == "submit" for request in emulator.requests)


# --- consent ---


def asking(options: dict[str, Any], over_usd: str = "0", **args: Any) -> Any:
    tool = NebulaVideoTool(**options)
    asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd=over_usd))
    model = ScriptedModel(lines=[calls({**ASK, **args}), AIMessage("Done.")])
    return create_agent(model, [tool], middleware=[asks], checkpointer=InMemorySaver())


def test_a_person_reads_the_price_before_anything_is_sent(emulator: Emulator, options: dict[str, Any]) -> None:
    (question,) = asking(options, duration=10).invoke(GO, THREAD)["__interrupt__"]
    (action,) = question.value["action_requests"]
    assert "for about $0.369" in action["description"]
    assert "duration: 10" in action["description"]
    assert set(question.value["review_configs"][0]["allowed_decisions"]) == {"approve", "edit", "reject"}
    assert submits(emulator) == 0


def test_approved_it_is_made(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = asking(options)
    graph.invoke(GO, THREAD)
    answer = graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    assert json.loads(str(told(answer)[0].content))["status"] == "succeeded"
    assert emulator.bill.usd > 0


def test_edited_it_is_made_as_the_person_wants_it(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = asking(options, resolution="1080p", duration=10)
    graph.invoke(GO, THREAD)
    edited = {"name": "nebula_image_to_video", "args": {**ASK, "duration": 5}}
    graph.invoke(Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]}), THREAD)
    assert float(emulator.bill.usd) == EACH


def test_rejected_nothing_is_sent(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = asking(options)
    graph.invoke(GO, THREAD)
    graph.invoke(Command(resume={"decisions": [{"type": "reject", "message": "Too dear"}]}), THREAD)
    assert submits(emulator) == 0


def test_what_costs_no_more_than_the_limit_is_not_asked_about(emulator: Emulator, options: dict[str, Any]) -> None:
    assert "__interrupt__" not in asking(options, "0.1845").invoke(GO, THREAD)
    assert "__interrupt__" in asking(options, "0.18").invoke(GO, THREAD)


def test_both_tools_that_pay_are_asked_about_and_no_other() -> None:
    assert set(spend_approval()) == {"nebula_image_to_video", "nebula_submit_video"}


# --- budgets ---


@pytest.mark.parametrize("thread", [THREAD, None], ids=["in a thread", "without one"])
def test_calls_at_the_same_time_cannot_overdraw_it(emulator: Emulator, options: dict[str, Any], thread: Any) -> None:
    graph = agent(options, calls(*numbered(8)), middleware=[VideoBudgetMiddleware(usd="0.60")])
    if thread is None:
        graph.checkpointer = None
    answer = graph.invoke(GO, thread)
    assert [message.status for message in told(answer)].count("error") == 5
    assert float(emulator.bill.usd) == pytest.approx(3 * EACH)
    refusal = next(message for message in told(answer) if message.status == "error")
    assert "would cost $0.1845, and $0.0465 of the budget of $0.60 per run is left" in refusal.content
    assert "Nothing was sent and nothing was spent" in refusal.content


async def test_nor_in_an_async_run(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = agent(options, calls(*numbered(8)), middleware=[VideoBudgetMiddleware(usd="0.60")])
    answer = await graph.ainvoke(GO, THREAD)
    assert [message.status for message in told(answer)].count("error") == 5
    assert float(emulator.bill.usd) == pytest.approx(3 * EACH)


def test_each_video_tells_the_model_what_is_left(options: dict[str, Any]) -> None:
    graph = agent(options, calls(ASK), middleware=[VideoBudgetMiddleware(usd="0.60")])
    (message,) = told(graph.invoke(GO, THREAD))
    assert json.loads(str(message.content))["budget_left_usd"] == pytest.approx(0.4155)
    assert message.artifact["video"]["mime_type"] == "video/mp4"


def test_a_run_begins_anew_and_a_thread_does_not(emulator: Emulator, options: dict[str, Any]) -> None:
    for per, made in (("run", 2), ("thread", 1)):
        before = submits(emulator)
        lines = [calls(ASK), AIMessage("Done."), calls({**ASK, "prompt": "Again"}, first=5)]
        graph = agent(options, *lines, middleware=[VideoBudgetMiddleware("0.30", per=per)])  # type: ignore[arg-type]
        for _ in range(2):
            graph.invoke(GO, THREAD)
        assert submits(emulator) - before == made, per


def test_another_thread_has_its_own(emulator: Emulator, options: dict[str, Any]) -> None:
    lines = [calls(ASK), AIMessage("Done."), calls({**ASK, "prompt": "Again"}, first=5)]
    graph = agent(options, *lines, middleware=[VideoBudgetMiddleware("0.30", per="thread")])
    for thread in ("1", "10"):
        graph.invoke(GO, {"configurable": {"thread_id": thread}})
    assert submits(emulator) == 2


def test_a_day_counts_everything_in_the_journal(emulator: Emulator, options: dict[str, Any], tmp_path: Path) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    budget = VideoBudgetMiddleware("0.30", per="day")
    for thread in ("1", "2"):
        graph = agent(options, calls(ASK), middleware=[budget], journal=journal)
        graph.invoke(GO, {"configurable": {"thread_id": thread}})
    assert submits(emulator) == 1
    journal.close()


def test_a_failure_that_may_be_paid_for_counts_and_one_that_is_free_does_not(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    """The journal knows: unconfirmed keeps its reservation, refused and failed leave none."""
    for fault, made in ((("submit", "reset_after", {}), 1), (("submit", "status", {"code": 400}), 2)):
        point, kind, params = fault
        emulator.faults.add(point, kind, **params)
        before = submits(emulator)
        lines = [calls(ASK), calls({**ASK, "prompt": "Again"}, first=5)]
        graph = agent(options, *lines, middleware=[VideoBudgetMiddleware("0.30")], journal=MemoryJournal())
        graph.invoke(GO, THREAD)
        assert submits(emulator) - before == made, kind


def test_a_person_who_makes_it_dearer_is_held_to_it_too(emulator: Emulator, options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options)
    middleware = [HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool)), VideoBudgetMiddleware("0.30")]
    model = ScriptedModel(lines=[calls(ASK), AIMessage("Done.")])
    graph: Any = create_agent(model, [tool], middleware=middleware, checkpointer=InMemorySaver())
    graph.invoke(GO, THREAD)
    edited = {"name": tool.name, "args": {**ASK, "duration": 10}}
    answer = graph.invoke(Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]}), THREAD)
    assert "would cost $0.369" in str(told(answer)[0].content)
    assert submits(emulator) == 0


def test_a_run_that_another_process_resumes_is_held_to_it_too(emulator: Emulator, options: dict[str, Any]) -> None:
    """The new process has not seen the model's call: it learns the tools when they are called."""
    saver, journal = InMemorySaver(), MemoryJournal()
    tool = NebulaVideoTool(**options, journal=journal)
    for life in range(2):
        asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool))
        model = ScriptedModel(lines=[calls(ASK, {**ASK, "duration": 10}), AIMessage("Done.")], turn=life)
        middleware = [VideoBudgetMiddleware("0.30"), asks]
        graph: Any = create_agent(model, [tool], middleware=middleware, checkpointer=saver)
        if life == 0:
            assert "__interrupt__" in graph.invoke(GO, THREAD)
        else:
            approved = {"decisions": [{"type": "approve"}] * 2}
            answer = graph.invoke(Command(resume=approved), THREAD)
            assert sorted(message.status for message in told(answer)) == ["error", "success"]
    assert submits(emulator) == 1


def test_starting_counts_like_making_and_asking_counts_nothing(emulator: Emulator, options: dict[str, Any]) -> None:
    quote = AIMessage("", tool_calls=[{"name": "nebula_quote_video", "args": {}, "id": "q"}])
    lines = [quote, calls(*numbered(2), name="nebula_submit_video")]
    answer = agent(options, *lines, middleware=[VideoBudgetMiddleware("0.30")]).invoke(GO, THREAD)
    assert submits(emulator) == 1
    assert [message.status for message in told(answer)] == ["success", "error", "success"] or submits(emulator) == 1


def test_a_video_without_a_known_price_is_refused() -> None:
    tool = NebulaVideoTool(gateway="uniall", api_key="sk-x", base_url="https://uniall.example.com")
    model = ScriptedModel(lines=[calls({"prompt": "A boat"}), AIMessage("Done.")])
    graph: Any = create_agent(model, [tool], middleware=[VideoBudgetMiddleware("5")])
    assert "has no known price" in str(told(graph.invoke(GO))[0].content)


def test_tools_that_are_not_ours_are_left_alone(options: dict[str, Any]) -> None:
    from langchain_core.tools import tool

    @tool
    def draw(subject: str) -> str:
        """Draws."""
        return subject

    model = ScriptedModel(lines=[AIMessage("", tool_calls=[{"name": "draw", "args": {"subject": "cat"}, "id": "d"}])])
    model.lines.append(AIMessage("Done."))
    graph: Any = create_agent(model, [draw, NebulaVideoTool(**options)], middleware=[VideoBudgetMiddleware("0")])
    assert told(graph.invoke(GO))[0].content == "cat"


@pytest.mark.parametrize("wrong", [{"usd": "much"}, {"usd": "-1"}, {"usd": "1", "per": "week"}])
def test_what_is_no_budget_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        VideoBudgetMiddleware(**wrong)
