"""Progress events on every channel of LangChain.

| channel                       | read with                                          | without a run or a graph |
|-------------------------------|----------------------------------------------------|--------------------------|
| custom events of callbacks    | `astream_events(version="v2")`, a callback handler | nothing is written       |
| a graph's custom stream       | `stream_mode="custom"`                             | nothing is written       |
| a graph's stream of its tools | `stream_mode="tools"`                              | nothing is written       |

The event is `VideoProgress.as_dict()`, with `tool_call_id` in a tool call. The stream of tools carries it as JSON text.
In plain Python, use `on_progress` instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config

from langchain_nebula_video.schema import VideoProgress

__all__ = ["EVENT", "progress_to", "progress_to_async"]

EVENT = "nebula_video_progress"
"""The name of the custom event, and the `type` of the objects in the streams."""


def progress_to(
    config: RunnableConfig | None = None, runtime: Any = None, *, call_id: str | None = None
) -> Callable[[VideoProgress], None]:
    """Return an `on_progress` for blocking code inside a run.

    Args:
        config: A configuration whose callbacks get the events if no run is under way. In a run, its own callbacks do:
            the `config` that LangChain gives to the body of a tool is that of the run around the tool.
        runtime: LangGraph's runtime of the tool or node. `None`: the runtime of the current node, if there is one.
        call_id: The id of the tool call. `None`: that of the runtime, if it has one.
    """
    runtime = graph_runtime() if runtime is None else runtime
    write, call = _stream_writer(runtime), _call_facts(runtime, call_id)
    run = _run_under_way(config)
    has_parent_run = get_callback_manager_for_config(run).parent_run_id is not None

    def report(progress: VideoProgress) -> None:
        event = {**progress.as_dict(), **call}
        write(event)
        if has_parent_run:
            dispatch_custom_event(EVENT, event, config=run)

    return report


def progress_to_async(
    config: RunnableConfig | None = None, runtime: Any = None, *, call_id: str | None = None
) -> Callable[[VideoProgress], Awaitable[None]]:
    """Return an `on_progress` for async code; see `progress_to`."""
    runtime = graph_runtime() if runtime is None else runtime
    write, call = _stream_writer(runtime), _call_facts(runtime, call_id)
    run = _run_under_way(config)
    has_parent_run = get_async_callback_manager_for_config(run).parent_run_id is not None

    async def report(progress: VideoProgress) -> None:
        event = {**progress.as_dict(), **call}
        write(event)
        if has_parent_run:
            await adispatch_custom_event(EVENT, event, config=run)

    return report


def graph_runtime() -> Any:
    """The runtime of the current LangGraph node; `None` outside of nodes. It does not import LangGraph."""
    graphs = sys.modules.get("langgraph.runtime")
    if graphs is None:
        return None
    try:
        return graphs.get_runtime()
    except (RuntimeError, KeyError):  # outside a runnable; inside a runnable that is not a graph
        return None


def _run_under_way(config: RunnableConfig | None) -> RunnableConfig:
    """The configuration of the run that is under way here; `config` if none is."""
    current = ensure_config()
    if get_callback_manager_for_config(current).parent_run_id is None and config is not None:
        return config
    return current


def _call_facts(runtime: Any, call_id: str | None) -> dict[str, str]:
    found = getattr(runtime, "tool_call_id", None) if call_id is None else call_id
    return {"tool_call_id": found} if isinstance(found, str) and found else {}


def _stream_writer(runtime: Any) -> Callable[[dict[str, Any]], None]:
    """Write to the graph's streams. Outside a graph a caller may pass anything as `runtime`, so it is checked."""
    to_custom, to_tools = (getattr(runtime, name, None) for name in ("stream_writer", "emit_output_delta"))

    def write(event: dict[str, Any]) -> None:
        if callable(to_custom):
            to_custom(event)
        if callable(to_tools):
            # langchain-protocol 0.0.20 types a delta as text; langgraph-sdk 0.4.14 drops others (run on 2026-11-27).
            to_tools(json.dumps(event, ensure_ascii=False))

    return write
