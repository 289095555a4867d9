"""One event, every LangChain channel.

| channel                       | read with                                                | outside of it |
|-------------------------------|----------------------------------------------------------|---------------|
| custom events of callbacks    | `astream_events(version="v2")`, a callback handler       | silent        |
| a graph's custom stream       | `stream_mode="custom"`                                   | silent        |
| a graph's stream of its tools | `stream_mode="tools"`                                    | silent        |

The event is `VideoProgress.as_dict()`. Plain Python has `on_progress`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config

from langchain_nebula_video.schema import VideoProgress

__all__ = ["EVENT", "progress_to", "progress_to_async"]

EVENT = "nebula_video_progress"
"""The custom event's name, and the `type` of what the streams carry."""


def progress_to(config: RunnableConfig | None, runtime: Any = None) -> Callable[[VideoProgress], None]:
    """An `on_progress` for blocking code inside a run.

    Args:
        config: The run's configuration: whose callbacks are told.
        runtime: What LangGraph gave the tool or the node; `None`: that of the node around it, if there is one.
    """
    writers = _stream_writers(runtime)
    has_parent_run = config is not None and get_callback_manager_for_config(config).parent_run_id is not None

    def report(progress: VideoProgress) -> None:
        event = progress.as_dict()
        for write in writers:
            write(event)
        if has_parent_run:
            dispatch_custom_event(EVENT, event, config=config)

    return report


def progress_to_async(config: RunnableConfig | None, runtime: Any = None) -> Callable[[VideoProgress], Awaitable[None]]:
    """The same for async code."""
    writers = _stream_writers(runtime)
    has_parent_run = config is not None and get_async_callback_manager_for_config(config).parent_run_id is not None

    async def report(progress: VideoProgress) -> None:
        event = progress.as_dict()
        for write in writers:
            write(event)
        if has_parent_run:
            await adispatch_custom_event(EVENT, event, config=config)

    return report


def graph_runtime() -> Any:
    """The LangGraph node around the running code; `None` if there is none. LangGraph is not imported for it."""
    graphs = sys.modules.get("langgraph.runtime")
    if graphs is None:
        return None
    try:
        return graphs.get_runtime()
    except (RuntimeError, KeyError):  # outside a runnable; inside one that is no graph
        return None


def _stream_writers(runtime: Any) -> list[Callable[[Any], Any]]:
    """What writes to the streams of the graph. Anybody may call a tool with a `runtime` of their own."""
    runtime = graph_runtime() if runtime is None else runtime
    found = (getattr(runtime, name, None) for name in ("stream_writer", "emit_output_delta"))
    return [write for write in found if callable(write)]
