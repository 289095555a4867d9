"""The scripted chat model: its lines, in the order of a conversation."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_nebula_video.testing import ScriptedChatModel, tool_call

MODEL = ScriptedChatModel(lines=[tool_call(prompt="The cat blinks"), "There it is."])
ASKED: list[BaseMessage] = [HumanMessage("Go")]


def after_a_call(messages: list[BaseMessage]) -> list[BaseMessage]:
    """The conversation in which the first line was said, and its tool has answered."""
    said = MODEL.invoke(messages)
    return [*messages, said, ToolMessage("made", tool_call_id=said.tool_calls[0]["id"])]


def test_it_calls_the_tool_and_then_says_its_next_line() -> None:
    (call,) = MODEL.invoke(ASKED).tool_calls
    assert (call["name"], call["args"]) == ("nebula_image_to_video", {"prompt": "The cat blinks"})
    assert MODEL.invoke(after_a_call(ASKED)).text == "There it is."


def test_the_script_starts_again_with_each_message_of_the_user() -> None:
    again = [*after_a_call(ASKED), AIMessage("There it is."), HumanMessage("Another one")]
    assert MODEL.invoke(again).tool_calls
    assert MODEL.invoke(after_a_call(again)).text == "There it is."


def test_calls_of_one_conversation_have_different_ids_and_a_repeated_turn_the_same() -> None:
    first = MODEL.invoke(ASKED).tool_calls[0]["id"]
    later = MODEL.invoke([*after_a_call(ASKED), AIMessage("There it is."), HumanMessage("More")]).tool_calls[0]["id"]
    assert first != later
    assert MODEL.invoke(ASKED).tool_calls[0]["id"] == first


def test_an_id_of_one_s_own_stays() -> None:
    call = {"name": "draw", "args": {}, "id": "mine"}
    assert ScriptedChatModel(lines=[AIMessage("", tool_calls=[call])]).invoke(ASKED).tool_calls[0]["id"] == "mine"


def test_a_line_may_be_made_from_what_was_said() -> None:
    model = ScriptedChatModel(lines=[lambda messages: f"You said {messages[-1].text}."])
    assert model.invoke(ASKED).text == "You said Go."


async def test_one_model_serves_many_conversations_at_once() -> None:
    conversations = [ASKED if number % 2 else after_a_call(ASKED) for number in range(20)]
    answers = await asyncio.gather(*(MODEL.ainvoke(messages) for messages in conversations))
    assert [bool(answer.tool_calls) for answer in answers] == [bool(number % 2) for number in range(20)]


def test_a_turn_more_than_there_are_lines_is_an_error_that_shows_what_was_read() -> None:
    ended = [*after_a_call(ASKED), AIMessage("There it is."), ToolMessage("again", tool_call_id="x")]
    with pytest.raises(IndexError, match=r"has 2 lines.*one more.*tool: again"):
        MODEL.invoke(ended)


def test_what_it_read_is_kept() -> None:
    model = ScriptedChatModel(lines=["Yes."])
    model.bind_tools([]).invoke(ASKED)
    assert [[message.text for message in messages] for messages in model.seen] == [["Go"]]


def test_a_call_that_no_language_model_could_write_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        tool_call(image=b"bytes")
