"""The tools outside of LangChain: what other frameworks read of them, call, and get back."""

from __future__ import annotations

import base64
import copy
import inspect
import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from langchain_mcp_adapters.tools import to_fastmcp
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from openai.lib._pydantic import to_strict_json_schema
from pydantic import SecretStr

from langchain_nebula_video import (
    InvalidRequestError,
    MemoryJournal,
    ModerationError,
    NebulaVideoTool,
    NebulaVideoToolkit,
    TaskTimeoutError,
)
from langchain_nebula_video.langchain.tool_base import VideoTool
from tests.agents import animating
from tests.conftest import KEY, Gateway, jpeg, running, settle, submitted
from tests.tables import each_row
from tests.unit_tests.catalog.test_limits import CAT, each_offer
from tests.unit_tests.langchain.test_tool_schema import fields_of, required_of, tool_of

ARGS: dict[str, Any] = {"prompt": "The cat blinks", "image": CAT}
EVERY = {**ARGS, "duration": 10, "resolution": "480p", "smart_rewrite": True, "generate_audio": False,
         "audio_url": "https://example.com/a.mp3", "seed": 7}  # fmt: skip
SENT = {"image", "prompt", "duration", "resolution", "seed"}
NAMES = ["nebula_image_to_video", "nebula_submit_video", "nebula_get_video", "nebula_quote_video"]
MIX = "viduq3p-mix-720p"
TOO_BIG = (
    "The image has 4000 x 2000 pixels; the model reads sides of 360 to 2000 pixels. Nothing was sent and nothing was "
    "spent. Use another image, or ask the user for one. Whoever runs this tool can have images made to fit: fit=True "
    "in Python, --fit on the command line."
)


@pytest.fixture
def tools(options: dict[str, Any]) -> dict[str, VideoTool]:
    found = {tool.name: tool for tool in NebulaVideoToolkit(**options).get_tools()}
    assert list(found) == NAMES
    return {name: tool for name, tool in found.items() if isinstance(tool, VideoTool)}


def needs_of(gateway: str, model: str) -> set[str]:
    """What a call without a conversation has to say."""
    offer = tool_of(gateway, model).offer()
    return required_of(model) | {name for name in ("image", "reference_images") if offer.requires(name)}


# --- what an adapter reads of `_run` ---


@each_offer
def test_the_signature_names_every_field_of_the_row_and_nothing_else(gateway: str, model: str) -> None:
    tool = tool_of(gateway, model)
    for function in (tool._run, tool._arun, tool.as_function(), tool.as_async_function()):
        parameters = inspect.signature(function).parameters
        assert set(parameters) == fields_of(gateway, model)
        assert {each.kind for each in parameters.values()} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        needed = {name for name, each in parameters.items() if each.default is inspect.Parameter.empty}
        assert needed == needs_of(gateway, model)


@each_offer
def test_the_annotations_are_types_that_a_schema_can_be_made_of(gateway: str, model: str) -> None:
    function = tool_of(gateway, model).as_function()
    assert inspect.get_annotations(function, eval_str=True).items() >= {"prompt": str, "duration": int}.items()
    for one in inspect.signature(function).parameters.values():
        chosen = [one.annotation, *get_args(one.annotation)]
        assert all(len(get_args(kind)) > 1 for kind in chosen if get_origin(kind) is Literal), one
    declared = convert_to_openai_function(function)
    assert (declared["name"], set(declared["parameters"]["required"])) == (
        "nebula_image_to_video",
        needs_of(gateway, model),
    )
    assert all(field["description"] for field in declared["parameters"]["properties"].values())


def test_a_tool_s_own_name_and_description_are_the_function_s(options: dict[str, Any]) -> None:
    function = NebulaVideoTool(**options, name="animate", description="Animates cats.").as_function()
    assert function.__name__ == "animate"
    assert (inspect.getdoc(function) or "").startswith("Animates cats.\n\nArgs:\n    prompt: What happens in the video")


@each_offer
def test_a_function_speaks_of_no_conversation(gateway: str, model: str) -> None:
    tool = tool_of(gateway, model)
    for told in (
        tool.as_function().__doc__,
        tool._run.__doc__,
        tool_of(gateway, model, conversation=False).description,
    ):
        assert "conversation" not in str(told)


def test_the_other_tools_have_functions_too(tools: dict[str, VideoTool]) -> None:
    signatures = {name: set(inspect.signature(tool.as_function()).parameters) for name, tool in tools.items()}
    assert signatures["nebula_submit_video"] == signatures["nebula_image_to_video"]
    assert signatures["nebula_get_video"] == {"task_id", "wait_seconds"}
    assert signatures["nebula_quote_video"] == {"duration", "resolution"}


# --- an adapter calls `_run` itself ---


async def test_a_key_counts_there_too(options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    tool = NebulaVideoTool(**options, journal=journal)
    for call in (tool._run, tool._arun):
        await settle(call(**ARGS, key="order-17"))
    assert [entry.key for entry in journal.entries()] == ["order-17"]


@pytest.mark.parametrize("door", ["_run", "_arun", "as_function", "as_async_function"])
async def test_no_field_is_dropped_and_the_content_comes_back_alone(
    options: dict[str, Any], gateway: Gateway, door: str
) -> None:
    tool = NebulaVideoTool(**options)
    function = getattr(tool, door) if door.startswith("_") else getattr(tool, door)()
    answer = await settle(function(**EVERY))
    assert json.loads(answer)["task_id"] == "task-1"
    (body,) = gateway.bodies
    assert {name: body[name] for name in SENT} == {name: EVERY[name] for name in SENT}


async def test_a_call_by_place_is_read_in_the_order_of_the_signature(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    for call in (tool._run, tool._arun):
        await settle(call("The cat blinks", CAT, 10))
    assert [(body["prompt"], body["image"], body["duration"]) for body in gateway.bodies] == [
        ("The cat blinks", CAT, 10)
    ]
    for wrong in ({"args": ["x"] * 9}, {"args": ["x"], "prompt": "y"}):
        with pytest.raises(TypeError, match=r"takes each of these arguments once: prompt, image, duration"):
            tool._run(*wrong.pop("args"), **wrong)


async def test_an_error_comes_back_as_text_as_from_the_tool(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    for call in (tool._run, tool._arun):
        assert "duration: Choose one of: 5, 10 (given: 7)" in await settle(call(**ARGS, duration=7))
        assert "Extra inputs are not permitted" in await settle(call(**ARGS, colour="red"))
        told = await settle(call(prompt="x"))
        assert told.startswith("No image was given, and this tool cannot see the conversation here.")
    assert gateway.requests == []
    with pytest.raises(InvalidRequestError, match="No image was given"):
        NebulaVideoTool(**options, handle_tool_error=False)._run(prompt="x")


async def test_what_langchain_adds_is_no_argument_whoever_invents_it(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    for call in (tool._run, tool._arun):
        given = await settle(call(**ARGS, config=None, runtime="forged", run_manager=None, callbacks=None))
        assert json.loads(given)["status"] == "succeeded"
    assert gateway.posts == 1


def test_a_configuration_that_a_program_gives_counts(options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    node: Any = {"configurable": {"thread_id": "thread-1"}}
    NebulaVideoTool(**options, journal=journal)._run(**ARGS, config=node)
    assert [len(entry.scopes) for entry in journal.entries()] == [1]


# --- functions ---


def test_a_key_is_the_caller_s_and_exact(options: dict[str, Any], gateway: Gateway) -> None:
    journal = MemoryJournal()
    make = NebulaVideoTool(**options, journal=journal).as_function()
    first, again = make(**ARGS, key="order-17"), make(**ARGS, key="order-17")
    assert json.loads(first)["task_id"] == json.loads(again)["task_id"]
    assert [entry.key for entry in journal.entries()] == ["order-17"]
    assert gateway.posts == 1
    assert "order-17" in make(**{**ARGS, "prompt": "Another"}, key="order-17")
    make(**ARGS, key="order-18")
    assert gateway.posts == 2


async def test_a_tool_that_is_invoked_takes_a_key_as_well(options: dict[str, Any], gateway: Gateway) -> None:
    journal = MemoryJournal()
    for name in NAMES[:2]:
        found = {tool.name: tool for tool in NebulaVideoToolkit(**options, journal=journal).get_tools()}
        found[name].invoke(ARGS, key="order-17")
        await found[name].ainvoke(ARGS, key="order-17")
    assert [entry.key for entry in journal.entries()] == ["order-17"]
    assert gateway.posts == 1


def test_no_language_model_is_told_of_the_key(options: dict[str, Any]) -> None:
    make = NebulaVideoTool(**options).as_function()
    assert "key" not in inspect.signature(make).parameters
    assert "key" not in convert_to_openai_function(make)["parameters"]["properties"]
    assert " key:" not in (make.__doc__ or "")


def test_what_costs_nothing_takes_no_key(tools: dict[str, VideoTool]) -> None:
    for name in NAMES[2:]:
        assert "key: Extra inputs are not permitted" in tools[name].as_function()(task_id="task-1", key="order-17")


async def test_the_artifact_comes_along_on_request(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options)
    for make in (tool.as_function(artifact=True), tool.as_async_function(artifact=True)):
        assert "dict" in str(inspect.signature(make).return_annotation)
        text, facts = await settle(make(**ARGS))
        assert facts is not None
        assert (json.loads(text)["task_id"], facts["video"]["mime_type"]) == (facts["task_id"], "video/mp4")
        assert await settle(make(prompt="x")) == (await settle(tool.as_function()(prompt="x")), None)
    assert gateway.posts == 1


@pytest.mark.parametrize("door", ["as_function", "as_async_function"])
async def test_errors_are_raised_on_request(options: dict[str, Any], gateway: Gateway, door: str) -> None:
    make = getattr(NebulaVideoTool(**options, timeout=100), door)(raise_errors=True)
    for wrong in ({**ARGS, "duration": 7}, {"image": CAT}, {"prompt": "x"}, {**ARGS, "image": "/etc/passwd"}):
        with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent"):
            await settle(make(**wrong))
    assert gateway.requests == []
    gateway.submits = [httpx.Response(400, json={"code": "DataInspectionFailed", "message": "no"}), submitted()]
    gateway.fetches = [running()]
    with pytest.raises(ModerationError):
        await settle(make(**ARGS))
    with pytest.raises(TaskTimeoutError) as caught:
        await settle(make(**ARGS))
    assert caught.value.task_id == "task-1"


async def test_a_picture_that_does_not_fit_is_refused_in_words_that_a_language_model_can_follow(
    options: dict[str, Any], gateway: Gateway
) -> None:
    tool = NebulaVideoTool(**options, gateway="dashscope")
    given = {**ARGS, "image": f"data:image/jpeg;base64,{base64.b64encode(jpeg(4000, 2000)).decode()}"}
    for call in (tool.invoke, tool.ainvoke):
        assert await settle(call(dict(given))) == TOO_BIG
    for make in (tool.as_function(), tool.as_async_function()):
        assert await settle(make(**given)) == TOO_BIG
    assert gateway.requests == []


async def test_a_function_in_a_node_that_runs_again_pays_once(options: dict[str, Any], gateway: Gateway) -> None:
    make = NebulaVideoTool(**options, repeat_window=None).as_function()
    answers: list[str] = []

    def node(state: MessagesState) -> None:
        answers.append(make(**ARGS))
        if len(answers) == 1:
            raise RuntimeError("after the video")

    graph: Any = StateGraph(MessagesState)
    graph.add_node("makes", node)
    graph.add_edge(START, "makes")
    compiled = graph.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "thread-1"}}
    with pytest.raises(RuntimeError, match="after the video"):
        compiled.invoke({"messages": []}, thread)
    compiled.invoke(None, thread)
    assert (len(answers), gateway.posts) == (2, 1)


def test_the_toolkit_gives_functions(options: dict[str, Any], gateway: Gateway) -> None:
    makes, submits, gets, quotes = NebulaVideoToolkit(**options, budget="1.00").as_functions()
    assert [each.__name__ for each in (makes, submits, gets, quotes)] == NAMES
    assert json.loads(submits(**ARGS))["status"] == "queued"
    assert json.loads(gets("task-1"))["status"] == "succeeded"
    assert json.loads(quotes())["budget_left_usd"] == 0.631
    assert gateway.posts == 1


async def test_the_toolkit_gives_async_functions(options: dict[str, Any]) -> None:
    functions = NebulaVideoToolkit(**options).as_async_functions(artifact=True)
    assert all(inspect.iscoroutinefunction(each) for each in functions)
    _, facts = await functions[3](duration=10)
    assert facts is not None
    assert facts["cost_usd"] == 0.738


# --- JSON schemas ---


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all that is in it."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts_of(part)


@each_offer
def test_no_schema_has_a_const(gateway: str, model: str) -> None:
    for conversation in (True, False):
        tool: Any = tool_of(gateway, model, conversation=conversation)
        for schema in (tool.args, tool.args_schema.model_json_schema(), tool.tool_call_schema.model_json_schema()):
            assert not any("const" in part for part in parts_of(schema))


@each_offer
def test_args_have_one_type_each_and_say_what_may_be_left_out(gateway: str, model: str) -> None:
    where: dict[str, Any] = {"gateway": gateway, "base_url": "https://gateway.example.com", "model": model}
    for tool in NebulaVideoToolkit(api_key=SecretStr(KEY), **where).get_tools():
        for name, field in tool.args.items():
            assert isinstance(field["type"], str), name
            assert "anyOf" not in field, name
            assert field.get("nullable", False) is ("default" in field), name


@each_offer
def test_what_args_say_may_be_left_out_may_be_null(gateway: str, model: str) -> None:
    tool: Any = tool_of(gateway, model)
    optional = {name for name, field in tool.args.items() if field.get("nullable")}
    assert optional == set(tool.args) - required_of(model)
    given = {"prompt": "x", "last_image": CAT, **dict.fromkeys(optional)}
    tool.args_schema.model_validate({name: value for name, value in given.items() if name in tool.args})


def test_whatever_others_write_into_a_schema_stays_theirs(tools: dict[str, VideoTool]) -> None:
    for tool in tools.values():
        before = copy.deepcopy((tool.args, convert_to_openai_tool(tool), tool.get_input_jsonschema()))
        schema: Any = tool.tool_call_schema
        full: Any = tool.get_input_schema()
        for written in (
            tool.args,
            schema.model_json_schema(),
            full.model_json_schema(),
            tool.get_input_jsonschema(),
            convert_to_openai_tool(tool),
        ):
            for part in list(parts_of(written)):
                part.clear()
        to_strict_json_schema(schema)
        assert (tool.args, convert_to_openai_tool(tool), tool.get_input_jsonschema()) == before, tool.name
        assert tool.tool_call_schema is schema


# --- without a conversation ---


def test_without_a_conversation_the_image_is_required(options: dict[str, Any], gateway: Gateway) -> None:
    tool = NebulaVideoTool(**options, conversation=False)
    assert convert_to_openai_tool(tool)["function"]["parameters"]["required"] == ["prompt", "image"]
    assert "image: Field required" in tool.invoke({"prompt": "x"})
    assert json.loads(tool.invoke(ARGS))["status"] == "succeeded"
    assert gateway.posts == 1


def test_without_a_conversation_none_is_read(options: dict[str, Any], gateway: Gateway) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([NebulaVideoTool(**options, conversation=False)]))
    graph.add_edge(START, "tools")
    state: Any = {"messages": [HumanMessage([{"type": "image", "url": CAT}]), animating(image="1")]}
    message = graph.compile().invoke(state)["messages"][-1]
    assert "'1' is no image's URL, and this tool cannot see the conversation here." in message.content
    assert gateway.requests == []


def test_the_hidden_argument_of_graphs_is_gone_then_so_mcp_takes_the_tools(options: dict[str, Any]) -> None:
    def fields(tool: BaseTool) -> set[str]:
        schema: Any = tool.args_schema
        return set(schema.model_fields)

    for tool in NebulaVideoToolkit(**options, conversation=False).get_tools():
        assert "runtime" not in fields(tool)
        assert to_fastmcp(tool).name == tool.name


def test_an_image_that_need_not_be_is_left_out(options: dict[str, Any]) -> None:
    vidu = {"gateway": "uniall", "base_url": "https://gateway.example.com", "model": "viduq3p-720p"}
    tool = NebulaVideoTool(**{**options, **vidu}, conversation=False)
    assert "Without an image, the video is made of the prompt alone." in tool.description
    told = tool.args["image"]["description"]
    assert told.endswith("never copy base64 data here. Leave it out for a video of the prompt alone.")


@each_row("given", [{}, {"reference_images": []}])
def test_references_are_asked_for_too(given: dict[str, Any]) -> None:
    tool = tool_of("uniall", MIX)
    assert tool.as_function()(prompt="x", **given).startswith("No image was given, and this tool cannot see")
