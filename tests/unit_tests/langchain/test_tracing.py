"""What traces show: the cost and the task; never an image's bytes, never a key."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from langchain_nebula_video import NebulaVideoRunnable, NebulaVideoTool, NebulaVideoToolkit
from langchain_nebula_video.langchain.tracing import redact, redact_value
from tests.conftest import KEY, Gateway, failed, png

PICTURE = png(200, 150) + bytes(4000)
BASE64 = base64.b64encode(PICTURE).decode()
URI = f"data:image/png;base64,{BASE64}"


class Tracer(LangChainTracer):
    """Keeps the runs that it would send."""

    def __init__(self) -> None:
        super().__init__(client=Client(api_url="http://127.0.0.1:9", api_key="x", auto_batch_tracing=False))
        self.runs: list[Any] = []

    def _persist_run_single(self, run: Any) -> None:
        pass

    def _end_trace(self, run: Any) -> None:
        self.runs.append(run)


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


def tool_run(tracer: Tracer) -> Any:
    (run,) = [run for run in tracer.runs if run.run_type == "tool"]
    return run


def written(tracer: Tracer) -> str:
    """Everything that would go to the server."""
    return json.dumps([[run.inputs, run.outputs, run.extra, run.serialized] for run in tracer.runs], default=str)


def _is_told(run: Any, *, basis: str = "billed", counted: bool = True) -> None:
    metadata = run.extra["metadata"]
    assert ("usage_metadata" in metadata) == counted
    assert not counted or metadata["usage_metadata"]["total_cost"] == 0.369
    assert metadata["nebula_video_cost_usd"] == 0.369
    assert metadata["ls_provider"] == "nebula"
    assert metadata["ls_model_name"] == "wan2.5-i2v-preview"
    assert metadata["nebula_video_task_id"] == "task-1"
    assert metadata["nebula_video_cost_basis"] == basis


async def test_a_tool_s_run_has_cost_model_and_task(options: dict[str, Any], tracer: Tracer) -> None:
    NebulaVideoTool(**options).invoke({"prompt": "x", "image": "https://example.com/c.png"}, {"callbacks": [tracer]})
    _is_told(tool_run(tracer))


async def test_an_async_one_too(options: dict[str, Any], tracer: Tracer) -> None:
    tool = NebulaVideoTool(**options)
    await tool.ainvoke({"prompt": "x", "image": "https://example.com/c.png"}, {"callbacks": [tracer]})
    _is_told(tool_run(tracer))


async def test_a_runnable_s_run_as_well(options: dict[str, Any], tracer: Tracer) -> None:
    animate = NebulaVideoRunnable(**options, prompt="x")
    animate.invoke("https://example.com/c.png", {"callbacks": [tracer]})
    await animate.ainvoke("https://example.com/d.png", {"callbacks": [tracer]})
    for run in tracer.runs:
        _is_told(run)


async def test_a_video_counts_once_however_often_it_is_asked_after(options: dict[str, Any], tracer: Tracer) -> None:
    """In the run that was the first to see it finished."""
    _, submit, get, _ = NebulaVideoToolkit(**options).get_tools()
    config: Any = {"callbacks": [tracer]}
    submit.invoke({"prompt": "x", "image": "https://example.com/c.png"}, config)
    _is_told(tracer.runs[0], basis="estimated", counted=False)
    get.invoke({"task_id": "task-1", "wait_seconds": 600}, config)
    _is_told(tracer.runs[1])
    get.invoke({"task_id": "task-1"}, config)
    await get.ainvoke({"task_id": "task-1", "wait_seconds": 600}, config)
    for run in tracer.runs[2:]:
        _is_told(run, counted=False)


async def test_a_run_that_is_repeated_does_not_count_again(options: dict[str, Any], tracer: Tracer) -> None:
    animate = NebulaVideoRunnable(**options, prompt="x")
    for _ in range(2):
        animate.invoke("https://example.com/c.png", {"callbacks": [tracer]}, key="cat")
        await animate.ainvoke("https://example.com/c.png", {"callbacks": [tracer]}, key="cat")
    assert [len(run.extra["metadata"].get("usage_metadata", {})) for run in tracer.runs] == [1, 0, 0, 0]


def test_what_fails_for_free_does_not_count(options: dict[str, Any], gateway: Gateway, tracer: Tracer) -> None:
    gateway.fetches = [failed()]
    _, submit, get, _ = NebulaVideoToolkit(**options).get_tools()
    submit.invoke({"prompt": "x", "image": "https://example.com/c.png"}, {"callbacks": [tracer]})
    get.invoke({"task_id": "task-1"}, {"callbacks": [tracer]})
    assert all("usage_metadata" not in run.extra["metadata"] for run in tracer.runs)


def test_outside_of_a_trace_nothing_is_missed(options: dict[str, Any]) -> None:
    NebulaVideoTool(**options).invoke({"prompt": "x", "image": "https://example.com/c.png"})


# --- images ---


@pytest.mark.parametrize(
    "given",
    [
        PICTURE,
        URI,
        {"image": PICTURE},
        {"image": URI, "prompt": "The cat"},
        {"image": {"type": "image", "base64": BASE64, "mime_type": "image/png"}},
        AIMessage([{"type": "image", "base64": BASE64, "mime_type": "image/png"}]),
        [AIMessage([{"type": "image_url", "image_url": {"url": URI}}])],
    ],
    ids=["bytes", "URI", "bytes in a dict", "URI in a dict", "a block", "a message", "messages"],
)
def test_a_runnable_s_input_is_traced_without_the_image(
    options: dict[str, Any], gateway: Gateway, tracer: Tracer, given: Any
) -> None:
    NebulaVideoRunnable(**options, prompt="x").invoke(given, {"callbacks": [tracer]})
    assert gateway.posts == 1
    assert BASE64[:200] not in written(tracer)
    assert "kB>" in written(tracer)
    assert KEY not in written(tracer)


async def test_a_tool_s_arguments_are_traced_without_the_image(
    options: dict[str, Any], gateway: Gateway, tracer: Tracer
) -> None:
    tool = NebulaVideoTool(**options)
    for number, ask in enumerate((tool.invoke, tool.ainvoke)):
        made = ask({"prompt": f"x{number}", "image": URI}, {"callbacks": [tracer]})
        _ = await made if not isinstance(made, str) else made
    assert BASE64 in json.dumps(gateway.bodies[0])
    assert BASE64 in json.dumps(gateway.bodies[1])
    assert BASE64[:200] not in written(tracer)
    assert "<image/png, 4 kB> #1" in written(tracer)


def test_what_stands_for_an_image_says_its_type_and_size() -> None:
    assert redact_value(URI) == "<image/png, 4 kB>"
    assert redact_value(bytes(500)) == "<image data, 500 bytes>"
    assert redact_value(BASE64) == "<base64, 4 kB>"
    assert redact_value("https://example.com/cat.png") == "https://example.com/cat.png"
    assert redact({"a": [URI, 1, None], "b": ("x",)}) == {"a": ["<image/png, 4 kB>", 1, None], "b": ["x"]}
