"""Consent and budgets for agents."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool as a_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from PIL import Image

from langchain_nebula_video import (
    BudgetExceededError,
    InvalidRequestError,
    MemoryJournal,
    NebulaQuoteVideoTool,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    NebulaVideoToolkit,
    SqlJournal,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.graph import video_graph
from langchain_nebula_video.middleware import VideoBudgetMiddleware, spend_approval
from langchain_nebula_video.testing import ScriptedChatModel, tool_call
from tests.gateways import BOTH, INTERVAL, SPEED, all_gateways, reached
from tests.processes import barrier, fork
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
GO: dict[str, Any] = {"messages": [{"role": "user", "content": "Go"}]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
EACH = 0.1845


def calls(*wanted: dict[str, Any], first: int = 0, name: str = "nebula_image_to_video") -> AIMessage:
    """One turn of a model that calls several times at once."""
    made = [{"name": name, "args": args, "id": f"call_{first + number}"} for number, args in enumerate(wanted)]
    return AIMessage("", tool_calls=made)


def agent(options: dict[str, Any], *lines: AIMessage, middleware: list[Any], **more: Any) -> Any:
    model = ScriptedChatModel(lines=[*lines, AIMessage("Done.")])
    return create_agent(
        model, NebulaVideoToolkit(**options, **more).get_tools(), middleware=middleware, checkpointer=InMemorySaver()
    )


def told(answer: dict[str, Any]) -> list[ToolMessage]:
    return [message for message in answer["messages"] if isinstance(message, ToolMessage)]


def numbered(count: int) -> list[dict[str, Any]]:
    return [{**ASK, "prompt": f"Scene {number}"} for number in range(count)]


def submits(emulator: Emulator) -> int:
    return sum(request.point == "submit" for request in emulator.requests)


def with_tool(tool: Any, *lines: AIMessage, middleware: list[Any], saver: Any = None) -> Any:
    """An agent of one tool."""
    model = ScriptedChatModel(lines=[*lines, AIMessage("Done.")])
    return create_agent(model, [tool], middleware=middleware, checkpointer=saver or InMemorySaver())


def person(tool: Any, **more: Any) -> HumanInTheLoopMiddleware:
    return HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool), **more)


def edit(name: str, **args: Any) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": name, "args": args}}


def decided(graph: Any, *decisions: dict[str, Any], thread: Any = THREAD) -> dict[str, Any]:
    """The answer once a person has decided on all that they are asked about, at once or call by call."""
    interrupts = graph.get_state(thread).interrupts
    if "action_requests" in interrupts[0].value:
        resume: Any = {"decisions": list(decisions)}
    else:
        resume = {interrupt.id: decision for interrupt, decision in zip(interrupts, decisions, strict=True)}
    answer: dict[str, Any] = graph.invoke(Command(resume=resume), thread)
    return answer


APPROVE = {"type": "approve"}

# --- consent ---


def asking(options: dict[str, Any], over_usd: str = "0", **args: Any) -> Any:
    tool = NebulaVideoTool(**options)
    asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd=over_usd))
    model = ScriptedChatModel(lines=[calls({**ASK, **args}), AIMessage("Done.")])
    return create_agent(model, [tool], middleware=[asks], checkpointer=InMemorySaver())


def test_a_person_reads_the_price_before_anything_is_sent(emulator: Emulator, options: dict[str, Any]) -> None:
    (question,) = asking(options, duration=10).invoke(GO, THREAD)["__interrupt__"]
    (action,) = question.value["action_requests"]
    assert "for about $0.369" in action["description"]
    assert "duration: 10" in action["description"]
    assert set(question.value["review_configs"][0]["allowed_decisions"]) == {"approve", "edit", "reject"}
    assert submits(emulator) == 0


@pytest.mark.parametrize("fit", [True, False])
def test_a_person_is_asked_about_every_image_that_the_tool_would_pay_for(fit: bool) -> None:
    """An image that is only taken with `fit` is asked about with it, and refused without it."""
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 1500)).save(buffer, "GIF")
    shown = {"type": "image", "base64": base64.b64encode(buffer.getvalue()).decode(), "mime_type": "image/gif"}
    with all_gateways(speed=SPEED) as emulator:
        tool = NebulaVideoTool(**reached(emulator, "dashscope-intl"), fit=fit)
        consent = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool))
        model = ScriptedChatModel(lines=[calls({"prompt": "The cat blinks", "image": "1"}), AIMessage("Done.")])
        asking: Any = create_agent(model, [tool], middleware=[consent], checkpointer=InMemorySaver())
        answer = asking.invoke({"messages": [{"role": "user", "content": [shown]}]}, THREAD)
        assert ("__interrupt__" in answer, len(emulator.tasks)) == (fit, 0)


@BOTH
def test_an_approved_call_is_made(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = asking(options)
    graph.invoke(GO, THREAD)
    answer = graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    assert json.loads(str(told(answer)[0].content))["status"] == "succeeded"
    assert emulator.bill.usd > 0


def test_an_edited_call_is_made_as_the_person_wants_it(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = asking(options, resolution="1080p", duration=10)
    graph.invoke(GO, THREAD)
    edited = {"name": "nebula_image_to_video", "args": {**ASK, "duration": 5}}
    graph.invoke(Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]}), THREAD)
    assert float(emulator.bill.usd) == EACH


def test_a_rejected_call_sends_nothing(emulator: Emulator, options: dict[str, Any]) -> None:
    graph = asking(options)
    graph.invoke(GO, THREAD)
    graph.invoke(Command(resume={"decisions": [{"type": "reject", "message": "Too dear"}]}), THREAD)
    assert submits(emulator) == 0


def test_what_costs_no_more_than_the_limit_is_not_asked_about(emulator: Emulator, options: dict[str, Any]) -> None:
    assert "__interrupt__" not in asking(options, "0.1845").invoke(GO, THREAD)
    assert "__interrupt__" in asking(options, "0.18").invoke(GO, THREAD)


def test_both_tools_that_pay_are_asked_about_and_no_other() -> None:
    assert set(spend_approval()) == {"nebula_image_to_video", "nebula_submit_video"}


def test_a_tool_is_asked_about_by_its_own_name(emulator: Emulator, options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options, name="animate_cheaply")
    assert set(spend_approval([tool, NebulaQuoteVideoTool(**options)])) == {"animate_cheaply"}
    graph = with_tool(tool, calls(ASK, name=tool.name), middleware=[person(tool)])
    assert "__interrupt__" in graph.invoke(GO, THREAD)
    assert submits(emulator) == 0


def test_consent_for_tools_that_do_not_pay_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="None of these tools pays"):
        spend_approval(NebulaQuoteVideoTool(**options))


CAT = {"type": "image", "url": "https://example.com/cat.png?Signature=secret"}
DOG = {"type": "image", "url": "https://example.com/dog.png"}


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({}, "image: number 2: https://example.com/dog.png, by the user"),
        ({"image": "1"}, "image: number 1: https://example.com/cat.png, by the user"),
        ({"image": "https://example.com/bird.png"}, "image: https://example.com/bird.png, chosen by the model"),
    ],
    ids=["none is named", "one is named", "one from elsewhere"],
)
def test_a_person_is_told_which_image_it_will_be(options: dict[str, Any], named: dict[str, str], told: str) -> None:
    tool = NebulaVideoTool(**options)
    graph = with_tool(tool, calls({"prompt": "It blinks", **named}), middleware=[person(tool)])
    (question,) = graph.invoke({"messages": [HumanMessage([CAT]), HumanMessage([DOG])]}, THREAD)["__interrupt__"]
    written = ["", "Written by the model:", "prompt: It blinks"]
    assert question.value["action_requests"][0]["description"].splitlines()[2:] == [told, *written]


def test_without_a_tool_the_defaults_count(options: dict[str, Any]) -> None:
    asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval())
    graph = with_tool(NebulaVideoTool(**options), calls({"prompt": "It blinks"}), middleware=[asks])
    (question,) = graph.invoke({"messages": [HumanMessage([CAT])]}, THREAD)["__interrupt__"]
    description = question.value["action_requests"][0]["description"]
    assert "for about $0.369" in description
    assert "image: number 1: https://example.com/cat.png" in description


# --- an account whose prices are three times as high ---


def test_a_budget_reckons_with_the_prices_that_the_gateway_has_told() -> None:
    with Emulator(speed=SPEED, group_ratio=3) as emulator:
        options: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": INTERVAL}
        turns = [calls({**ASK, "prompt": f"Scene {number}"}, first=number) for number in range(3)]
        answer = agent(options, *turns, middleware=[VideoBudgetMiddleware("1.00")]).invoke(GO, THREAD)
        assert "would cost $0.5535" in str(told(answer)[1].content)
        assert float(emulator.bill.usd) == pytest.approx(3 * EACH)


async def test_a_person_s_question_and_a_quote_show_the_price_that_the_gateway_has_told() -> None:
    with Emulator(speed=SPEED, group_ratio=3) as emulator:
        options: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": INTERVAL}
        tools = {tool.name: tool for tool in NebulaVideoToolkit(**options).get_tools()}
        await tools["nebula_submit_video"].ainvoke(ASK)
        quoted = tools["nebula_quote_video"].invoke({"resolution": "480p"})
        assert json.loads(quoted)["cost_usd"] == pytest.approx(3 * EACH)
        waits = tools["nebula_image_to_video"]
        (question,) = with_tool(waits, calls(ASK), middleware=[person(waits)]).invoke(GO, THREAD)["__interrupt__"]
        assert "for about $0.5535" in question.value["action_requests"][0]["description"]


def test_whether_a_person_is_asked_does_not_change_while_the_run_is_paused() -> None:
    """What is learnt of prices is lost with the process, and would let through what the person has rejected."""
    with Emulator(speed=SPEED, group_ratio="0.5") as emulator:
        options: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": INTERVAL}
        tool = NebulaVideoTool(**options)
        asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd="0.15"))
        graph = with_tool(tool, calls(ASK), middleware=[asks])
        graph.invoke(GO, THREAD)
        tool.invoke({**ASK, "prompt": "Another"})
        decided(graph, {"type": "reject"})
        assert submits(emulator) == 1


# --- budgets ---


@pytest.mark.parametrize("thread", [THREAD, None], ids=["in a thread", "without one"])
def test_calls_at_the_same_time_cannot_overdraw_a_budget(
    emulator: Emulator, options: dict[str, Any], thread: Any
) -> None:
    graph = agent(options, calls(*numbered(8)), middleware=[VideoBudgetMiddleware(usd="0.60")])
    if thread is None:
        graph.checkpointer = None
    answer = graph.invoke(GO, thread)
    assert [message.status for message in told(answer)].count("error") == 5
    assert float(emulator.bill.usd) == pytest.approx(3 * EACH)
    refusal = next(message for message in told(answer) if message.status == "error")
    assert "would cost $0.1845, and $0.0465 of the budget of $0.60 per run is left" in refusal.content
    assert "Nothing was sent and nothing was spent" in refusal.content


async def test_calls_at_the_same_time_in_an_async_run_cannot_overdraw_a_budget(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    graph = agent(options, calls(*numbered(8)), middleware=[VideoBudgetMiddleware(usd="0.60")])
    answer = await graph.ainvoke(GO, THREAD)
    assert [message.status for message in told(answer)].count("error") == 5
    assert float(emulator.bill.usd) == pytest.approx(3 * EACH)


@BOTH
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


def test_another_thread_has_its_own_budget(emulator: Emulator, options: dict[str, Any]) -> None:
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


@BOTH
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
    model = ScriptedChatModel(lines=[calls(ASK), AIMessage("Done.")])
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
        model = ScriptedChatModel(lines=[calls(ASK, {**ASK, "duration": 10}), AIMessage("Done.")])
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
    model = ScriptedChatModel(lines=[calls({"prompt": "A boat"}), AIMessage("Done.")])
    graph: Any = create_agent(model, [tool], middleware=[VideoBudgetMiddleware("5")])
    assert "has no known price" in str(told(graph.invoke(GO))[0].content)


def test_tools_that_are_not_ours_are_left_alone(options: dict[str, Any]) -> None:
    @a_tool
    def draw(subject: str) -> str:
        """Draws."""
        return subject

    model = ScriptedChatModel(lines=[tool_call("draw", subject="cat"), "Done."])
    graph: Any = create_agent(model, [draw, NebulaVideoTool(**options)], middleware=[VideoBudgetMiddleware("0")])
    assert told(graph.invoke(GO))[0].content == "cat"


@pytest.mark.parametrize("wrong", [{"usd": "much"}, {"usd": "-1"}, {"usd": "1", "per": "week"}])
def test_what_is_no_budget_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        VideoBudgetMiddleware(**wrong)


# --- budgets that hold, whatever has changed since the model spoke ---


def test_a_tool_of_another_name_is_held_to_it_too(emulator: Emulator, options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options, name="animate_cheaply")
    graph = with_tool(tool, calls(ASK, name=tool.name), middleware=[VideoBudgetMiddleware("0.10")])
    assert "would cost $0.1845" in str(told(graph.invoke(GO, THREAD))[0].content)
    assert submits(emulator) == 0


BOTH_ORDERS = pytest.mark.parametrize("first", ["person", "budget"])


def both(first: str, asks: Any, budget: Any) -> list[Any]:
    return [asks, budget] if first == "person" else [budget, asks]


@BOTH_ORDERS
def test_a_server_that_restarts_while_a_person_thinks_overdraws_nothing(
    emulator: Emulator, options: dict[str, Any], first: str
) -> None:
    tool, saver = NebulaVideoTool(**options, journal=MemoryJournal()), InMemorySaver()
    for life in range(2):
        middleware = both(first, person(tool), VideoBudgetMiddleware("0.40", per="thread"))
        graph = with_tool(tool, calls(*numbered(6)), middleware=middleware, saver=saver)
        if life == 0:
            (question,) = graph.invoke(GO, THREAD)["__interrupt__"]
            asked = len(question.value["action_requests"])
            assert asked == (2 if first == "person" else 6)
        else:
            assert [answer.status for answer in told(decided(graph, *[APPROVE] * asked))].count("success") == 2
    assert float(emulator.bill.usd) == pytest.approx(2 * EACH)


@BOTH_ORDERS
@pytest.mark.parametrize("mode", ["batched", "per_call"])
def test_edits_of_a_person_overdraw_nothing(emulator: Emulator, options: dict[str, Any], first: str, mode: str) -> None:
    """Each of two edits fits by itself, and both together do not."""
    tool = NebulaVideoTool(**options)
    middleware = both(first, person(tool, interrupt_mode=mode), VideoBudgetMiddleware("0.60", per="thread"))
    graph = with_tool(tool, calls(*numbered(2)), middleware=middleware)
    graph.invoke(GO, THREAD)
    longer = [edit(tool.name, **{**args, "duration": 10}) for args in numbered(2)]
    answer = decided(graph, *longer)
    assert sorted(message.status for message in told(answer)) == ["error", "success"]
    assert float(emulator.bill.usd) == pytest.approx(2 * EACH)


@BOTH_ORDERS
@pytest.mark.parametrize("mode", ["batched", "per_call"])
def test_below_the_note_on_an_edit_the_json_and_the_artifact_tell_what_is_left(
    options: dict[str, Any], first: str, mode: str
) -> None:
    """LangChain puts its note before the JSON, so a program reads the artifact."""
    tool = NebulaVideoTool(**options)
    middleware = both(first, person(tool, interrupt_mode=mode), VideoBudgetMiddleware("1.00", tools=tool))
    graph = with_tool(tool, calls({**ASK, "duration": 10}), middleware=middleware)
    graph.invoke(GO, THREAD)
    (answer,) = told(decided(graph, edit(tool.name, **ASK)))
    note, _, facts = str(answer.content).rpartition("\n")
    assert note.startswith("Note: a human reviewer replaced this tool call")
    assert json.loads(facts)["budget_left_usd"] == answer.artifact["budget_left_usd"] == pytest.approx(1 - EACH)
    assert answer.artifact["duration"] == 5


def test_without_the_note_the_content_is_json_after_an_edit_too(options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options)
    graph = with_tool(tool, calls({**ASK, "duration": 10}), middleware=[person(tool, edit_notice=None)])
    graph.invoke(GO, THREAD)
    (answer,) = told(decided(graph, edit(tool.name, **ASK)))
    assert json.loads(str(answer.content))["duration"] == 5


@each_row(
    ("content", "told"),
    [
        ('{"a": 1}', '{"a": 1, "budget_left_usd": 0.5}'),
        ('Note.\n\nTool response:\n{"a": "ä"}', 'Note.\n\nTool response:\n{"a": "ä", "budget_left_usd": 0.5}'),
        ('{\n  "a": 1\n}', '{"a": 1, "budget_left_usd": 0.5}'),
        ("[1]", "[1]"),
        ("It failed.", "It failed. Left of the budget: $0.50."),
        ('Two lines.\nwith arguments {"a": 1}.', 'Two lines.\nwith arguments {"a": 1}. Left of the budget: $0.50.'),
    ],
)
def test_what_is_left_is_told_in_json_where_there_is_some(options: dict[str, Any], content: str, told: str) -> None:
    tool = NebulaVideoTool(**options)
    budget = VideoBudgetMiddleware("0.50", tools=tool)
    request = SimpleNamespace(
        tool=tool, tool_call={"name": tool.name}, state={}, runtime=SimpleNamespace(execution_info=None)
    )
    answer = budget.wrap_tool_call(request, lambda _: ToolMessage(content, tool_call_id="1"))
    assert answer.content == told


# --- one question for each call ---


def per_call(tool: Any, *wanted: dict[str, Any], over_usd: str = "0", **more: Any) -> Any:
    asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd=over_usd), interrupt_mode="per_call")
    return with_tool(tool, calls(*wanted), middleware=[asks], **more)


def test_in_the_mode_per_call_each_call_has_its_question_and_its_answer(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    tool = NebulaVideoTool(**options)
    graph = per_call(tool, *numbered(2))
    questions = graph.invoke(GO, THREAD)["__interrupt__"]  # in the order in which the calls came to it
    first, second = sorted(questions, key=lambda question: str(question.value["description"]))
    assert "for about $0.1845" in first.value["description"]
    assert "prompt: Scene 1" in second.value["description"]
    assert "action_requests" not in first.value
    graph.invoke(Command(resume={first.id: APPROVE}), THREAD)
    assert submits(emulator) == 1
    answer = graph.invoke(Command(resume={second.id: {"type": "reject", "message": "Too dear"}}), THREAD)
    assert sorted(message.status for message in told(answer)) == ["error", "success"]
    assert submits(emulator) == 1


def test_in_that_mode_too_nobody_is_asked_about_what_is_cheap_enough(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    tool = NebulaVideoTool(**options)
    questions = per_call(tool, ASK, {**ASK, "duration": 10}, over_usd="0.1845").invoke(GO, THREAD)["__interrupt__"]
    assert ["duration: 10" in question.value["description"] for question in questions] == [True]


@each_row(("edited", "taken"), [({"resolution": 480}, True), ({"duration": "10"}, True), ({"duration": None}, False)])
def test_what_a_person_writes_is_checked_by_field_before_it_is_taken(
    options: dict[str, Any], edited: dict[str, Any], taken: bool
) -> None:
    """By LangChain, with the tool's own schema: what a person leaves out is left out, and is not null."""
    tool = NebulaVideoTool(**options)
    graph = per_call(tool, ASK)
    graph.invoke(GO, THREAD)
    if taken:
        assert told(decided(graph, edit(tool.name, **{**ASK, **edited})))[0].status == "success"
    else:
        with pytest.raises(ValueError, match="duration"):
            decided(graph, edit(tool.name, **{**ASK, **edited}))


class Adds(AgentMiddleware[Any, Any, Any]):
    """Adds a tool of which the middleware around it is told nothing."""

    def __init__(self, tool: NebulaVideoTool) -> None:
        super().__init__()
        self.tool = tool

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(request.override(tools=[*request.tools, self.tool]))

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(request.override(tool=self.tool))


@pytest.mark.parametrize("known", [False, True])
def test_a_tool_that_another_middleware_adds_is_held_to_it(
    emulator: Emulator, options: dict[str, Any], known: bool
) -> None:
    tool = NebulaVideoTool(**options)
    budget = VideoBudgetMiddleware("0.20", tools=tool if known else None)
    model = ScriptedChatModel(lines=[calls(*numbered(3)), AIMessage("Done.")])
    graph: Any = create_agent(model, [], middleware=[budget, Adds(tool)], checkpointer=InMemorySaver())
    answer = graph.invoke(GO, THREAD)
    assert [message.status for message in told(answer)].count("success") == 1
    assert float(emulator.bill.usd) == pytest.approx(EACH)


@pytest.mark.parametrize("thread", [THREAD, None], ids=["in a thread", "without one"])
def test_what_other_tools_make_inside_themselves_is_held_to_it(
    emulator: Emulator, options: dict[str, Any], thread: Any
) -> None:
    animate = NebulaVideoRunnable(**options)

    @a_tool
    def film() -> str:
        """Makes two videos."""
        return " ".join(animate.invoke({**ASK, "prompt": prompt}).url for prompt in ("One", "Two"))

    wish = AIMessage("", tool_calls=[{"name": "film", "args": {}, "id": "f"}])
    graph = with_tool(film, wish, middleware=[VideoBudgetMiddleware("0.10")])
    if thread is None:
        graph.checkpointer = None
    with pytest.raises(BudgetExceededError, match=r"\$0.10 of the budget of \$0.10 per run is left"):
        graph.invoke(GO, thread)
    assert submits(emulator) == 0


@pytest.mark.parametrize("means", ["a tool", "a runnable", "a graph"])
def test_what_is_made_in_the_thread_by_other_means_counts(
    emulator: Emulator, options: dict[str, Any], means: str
) -> None:
    journal, before = MemoryJournal(), {**ASK, "prompt": "Before"}
    if means == "a tool":
        NebulaVideoTool(**options, journal=journal).invoke(before, THREAD)
    elif means == "a runnable":
        NebulaVideoRunnable(**options, journal=journal).invoke(before, THREAD, key="mine")
    else:
        client = NebulaVideoClient(**options, journal=journal)
        video_graph(client, checkpointer=InMemorySaver()).invoke({"request": before, "key": "mine"}, THREAD)
    graph = agent(options, calls(ASK), middleware=[VideoBudgetMiddleware("0.30", per="thread")], journal=journal)
    assert "$0.1155 of the budget" in str(told(graph.invoke(GO, THREAD))[0].content)
    assert submits(emulator) == 1


def test_a_thread_is_not_charged_for_one_whose_name_begins_alike(emulator: Emulator, options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    for thread in ("anna:7", "anna"):
        graph = agent(options, calls(ASK), middleware=[VideoBudgetMiddleware("0.30", per="thread")], journal=journal)
        answer = graph.invoke(GO, {"configurable": {"thread_id": thread}})
        assert json.loads(str(told(answer)[0].content))["budget_left_usd"] == pytest.approx(0.1155), thread
    assert submits(emulator) == 2


async def test_a_day_holds_for_agents_at_the_same_time(emulator: Emulator, options: dict[str, Any]) -> None:
    journal = MemoryJournal()

    async def one(number: int) -> str:
        middleware = [VideoBudgetMiddleware("0.40", per="day")]
        graph = agent(options, calls({**ASK, "prompt": f"Scene {number}"}), middleware=middleware, journal=journal)
        answer = await graph.ainvoke(GO, {"configurable": {"thread_id": str(number)}})
        return str(told(answer)[0].status)

    assert sorted(await asyncio.gather(*map(one, range(6)))) == ["error"] * 4 + ["success"] * 2
    assert float(emulator.bill.usd) == pytest.approx(2 * EACH)


def _elsewhere(name: str, url: str, options: dict[str, Any], all_ready: Barrier) -> None:
    """What each process of the next test does."""
    wanted = [{**ASK, "prompt": f"{name} {number}"} for number in range(4)]
    budget = VideoBudgetMiddleware("0.40", per="day")
    tool = NebulaVideoTool(**options, journal=SqlJournal(url))
    graph = with_tool(tool, calls(*wanted), middleware=[budget])
    all_ready.wait()
    graph.invoke(GO, THREAD)


def test_a_day_holds_for_processes_at_the_same_time(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    all_ready = barrier(3)
    with ThreadPoolExecutor(3) as pool:
        running = [
            pool.submit(fork, _elsewhere, name, url, options, all_ready, cwd=tmp_path) for name in ("A", "B", "C")
        ]
    for process in running:
        assert process.result().returncode == 0, process.result().stderr
    assert submits(emulator) == 2
    assert float(emulator.bill.usd) == pytest.approx(2 * EACH)


class Falls(AgentMiddleware[Any, Any, Any]):
    """Breaks off once, when the video is paid for."""

    fallen = False

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        answer = handler(request)
        if not self.fallen:
            self.fallen = True
            raise ConnectionError
        return answer


def test_a_call_that_is_replayed_is_not_refused_for_its_own_video(emulator: Emulator, options: dict[str, Any]) -> None:
    tool, middleware = NebulaVideoTool(**options), [VideoBudgetMiddleware("0.20", per="thread"), Falls()]
    graph = with_tool(tool, calls(ASK), middleware=middleware)
    with pytest.raises(ConnectionError):
        graph.invoke(GO, THREAD)
    (message,) = told(graph.invoke(None, THREAD))
    assert json.loads(str(message.content))["status"] == "succeeded"
    assert float(emulator.bill.usd) == pytest.approx(EACH)


@pytest.mark.parametrize("emulator", [100], indirect=True)
def test_a_repetition_that_goes_on_with_what_is_paid_for_is_not_refused(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    turns = [calls(ASK, first=number) for number in range(20)]
    middleware = [VideoBudgetMiddleware("0.20", per="thread")]
    answer = agent(options, *turns, middleware=middleware, timeout=0.5).invoke(GO, {**THREAD, "recursion_limit": 200})
    answers = told(answer)
    assert "still running" in str(answers[0].content)
    assert any(message.status == "success" for message in answers)
    assert submits(emulator) == 1


@BOTH_ORDERS
def test_each_call_has_one_answer_and_what_is_refused_is_not_asked_about(
    emulator: Emulator, options: dict[str, Any], first: str
) -> None:
    tool = NebulaVideoTool(**options)
    middleware = both(first, person(tool), VideoBudgetMiddleware("0.30", per="thread"))
    graph = with_tool(tool, calls(*numbered(2)), middleware=middleware)
    (question,) = graph.invoke(GO, THREAD)["__interrupt__"]
    asked = len(question.value["action_requests"])
    assert asked == (1 if first == "person" else 2)
    answer = decided(graph, *[{"type": "reject"}] * asked)
    assert sorted(message.tool_call_id for message in told(answer)) == ["call_0", "call_1"]
    assert submits(emulator) == 0


def test_nobody_is_asked_if_all_is_refused(emulator: Emulator, options: dict[str, Any]) -> None:
    tool = NebulaVideoTool(**options)
    graph = with_tool(tool, calls(ASK), middleware=[person(tool), VideoBudgetMiddleware("0.10")])
    answer = graph.invoke(GO, THREAD)
    assert "__interrupt__" not in answer
    assert answer["messages"][-1].content == "Done."
    assert submits(emulator) == 0


def test_a_run_that_was_paused_before_there_was_a_budget_is_held_to_it(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    tool, saver = NebulaVideoTool(**options, journal=MemoryJournal()), InMemorySaver()
    lines = [calls(*numbered(2)), calls({**ASK, "prompt": "After"}, first=5)]
    with_tool(tool, *lines, middleware=[person(tool)], saver=saver).invoke(GO, THREAD)
    middleware = [person(tool), VideoBudgetMiddleware("0.30")]
    graph = with_tool(tool, *lines, middleware=middleware, saver=saver)
    answer = decided(graph, APPROVE, APPROVE)
    assert [message.status for message in told(answer)].count("error") == 2
    assert answer["messages"][-1].content == "Done."
    assert float(emulator.bill.usd) == pytest.approx(EACH)


def test_without_a_thread_too_what_failed_for_free_does_not_count(emulator: Emulator, options: dict[str, Any]) -> None:
    emulator.faults.add("submit", "status", code=400)
    lines = [calls({**ASK, "prompt": f"Scene {number}"}, first=number) for number in range(3)]
    graph = agent(options, *lines, middleware=[VideoBudgetMiddleware("0.30")])
    graph.checkpointer = None
    assert [message.status for message in told(graph.invoke(GO))] == ["error", "success", "error"]
    assert float(emulator.bill.usd) == pytest.approx(EACH)


def test_an_agent_may_have_a_budget_for_each_window(emulator: Emulator, options: dict[str, Any]) -> None:
    middleware = [VideoBudgetMiddleware("0.20", per="run"), VideoBudgetMiddleware("0.40", per="day")]
    first, second, third = (calls(*numbered(2), first=2 * number) for number in range(3))
    graph = agent(options, first, AIMessage("Done."), second, AIMessage("Done."), third, middleware=middleware)
    for refused in ("$0.20 per run", "$0.40 per day", "$0.40 per day"):
        answer = graph.invoke(GO, THREAD)
        assert any(refused in str(message.content) for message in told(answer)[-2:])
    assert float(emulator.bill.usd) == pytest.approx(2 * EACH)


def test_a_budget_that_is_given_to_a_second_agent_is_refused(emulator: Emulator, options: dict[str, Any]) -> None:
    budget = VideoBudgetMiddleware("0.30")
    with_tool(NebulaVideoTool(**options), middleware=[budget]).invoke(GO, THREAD)
    with pytest.raises(InvalidRequestError, match="Give each agent a middleware of its own"):
        with_tool(NebulaVideoTool(**options), calls(ASK), middleware=[budget]).invoke(GO, THREAD)
    assert submits(emulator) == 0


def test_two_journals_on_one_database_are_counted_once(
    emulator: Emulator, options: dict[str, Any], tmp_path: Path
) -> None:
    budget = VideoBudgetMiddleware("0.40", per="day")
    for number in range(3):
        tool = NebulaVideoTool(**options, journal=SqlJournal(f"sqlite:///{tmp_path}/journal.db"))
        graph = with_tool(tool, calls({**ASK, "prompt": f"Scene {number}"}), middleware=[budget])
        graph.invoke(GO, {"configurable": {"thread_id": str(number)}})
    assert submits(emulator) == 2
