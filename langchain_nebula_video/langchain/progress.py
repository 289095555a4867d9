"""Progress events on every channel of LangChain.

| channel                       | read with                                          | without a run or a graph |
|-------------------------------|----------------------------------------------------|--------------------------|
| custom events of callbacks    | `astream_events(version="v2")`, a callback handler | nothing is written       |
| a graph's custom stream       | `stream_mode="custom"`                             | nothing is written       |
| a graph's stream of its tools | `stream_mode="tools"`                              | nothing is written       |

The event is `VideoProgress.as_dict()`. In plain Python, use `on_progress` instead.
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
"""The name of the custom event, and the `type` of the objects in the streams."""


def progress_to(config: RunnableConfig | None, runtime: Any = None) -> Callable[[VideoProgress], None]:
    """Return an `on_progress` for blocking code inside a run.

    Args:
        config: The run's configuration. Its callbacks get the events.
        runtime: LangGraph's runtime of the tool or node. `None`: the runtime of the current node, if there is one.
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
    """Return an `on_progress` for async code; see `progress_to`."""
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
    """The runtime of the current LangGraph node; `None` outside of nodes. It does not import LangGraph."""
    graphs = sys.modules.get("langgraph.runtime")
    if graphs is None:
        return None
    try:
        return graphs.get_runtime()
    except (RuntimeError, KeyError):  # outside a runnable; inside a runnable that is not a graph
        return None


def _stream_writers(runtime: Any) -> list[Callable[[Any], Any]]:
    """The graph's stream writers. Outside a graph a caller may pass anything as `runtime`, so it is checked."""
    runtime = graph_runtime() if runtime is None else runtime
    found = (getattr(runtime, name, None) for name in ("stream_writer", "emit_output_delta"))
    return [write for write in found if callable(write)]
