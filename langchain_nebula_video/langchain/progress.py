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
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.callbacks.manager import AsyncCallbackManager, CallbackManager
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config

from langchain_nebula_video.schema import VideoProgress

__all__ = ["EVENT", "heard_progress", "heard_progress_async", "progress_to", "progress_to_async"]

_Manager = TypeVar("_Manager", CallbackManager, AsyncCallbackManager)

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
    return heard_progress(config, runtime, call_id=call_id) or _tell_nobody


def progress_to_async(
    config: RunnableConfig | None = None, runtime: Any = None, *, call_id: str | None = None
) -> Callable[[VideoProgress], Awaitable[None]]:
    """Return an `on_progress` for async code; see `progress_to`."""
    return heard_progress_async(config, runtime, call_id=call_id) or _tell_nobody_async


def _tell_nobody(progress: VideoProgress) -> None:
    pass


async def _tell_nobody_async(progress: VideoProgress) -> None:
    pass


def heard_progress(
    config: RunnableConfig | None = None, runtime: Any = None, *, call_id: str | None = None
) -> Callable[[VideoProgress], None] | None:
    """Return the same as `progress_to`; `None` if there is nobody to tell: then no wait is cut into beats."""
    channels = _channels(runtime, call_id)
    callbacks = _run_callbacks(config, get_callback_manager_for_config)
    if callbacks is None and not channels.writes:
        return None

    def report(progress: VideoProgress) -> None:
        event = channels.write(progress)
        if callbacks is not None:
            callbacks.on_custom_event(EVENT, event, run_id=callbacks.parent_run_id)

    return report


def heard_progress_async(
    config: RunnableConfig | None = None, runtime: Any = None, *, call_id: str | None = None
) -> Callable[[VideoProgress], Awaitable[None]] | None:
    """Return the same as `progress_to_async`; see `heard_progress`."""
    channels = _channels(runtime, call_id)
    callbacks = _run_callbacks(config, get_async_callback_manager_for_config)
    if callbacks is None and not channels.writes:
        return None

    async def report(progress: VideoProgress) -> None:
        event = channels.write(progress)
        if callbacks is not None:
            await callbacks.on_custom_event(EVENT, event, run_id=callbacks.parent_run_id)

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


def _run_callbacks(config: RunnableConfig | None, configure: Callable[[RunnableConfig], _Manager]) -> _Manager | None:
    """Return the callbacks of the run that is under way here, or of that of `config`; `None`: nobody listens."""
    found = configure(ensure_config())
    if found.parent_run_id is None and config is not None:
        found = configure(config)
    return found if found.parent_run_id is not None and found.handlers else None


@dataclass(frozen=True, slots=True)
class _Channels:
    """The streams of a graph."""

    writes: tuple[Callable[[dict[str, Any]], object], ...]
    facts: dict[str, str]
    """What each event has besides the progress."""

    def write(self, progress: VideoProgress) -> dict[str, Any]:
        """Write the event of a progress, and return it."""
        event = {**progress.as_dict(), **self.facts}
        for write in self.writes:
            write(event)
        return event


def _channels(runtime: Any, call_id: str | None) -> _Channels:
    """Return the graph's streams. Outside a graph a caller may pass anything as `runtime`, so it is checked."""
    runtime = graph_runtime() if runtime is None else runtime
    found = getattr(runtime, "tool_call_id", None) if call_id is None else call_id
    to_custom, to_tools = (getattr(runtime, name, None) for name in ("stream_writer", "emit_output_delta"))
    writes: list[Callable[[dict[str, Any]], object]] = [to_custom] if callable(to_custom) else []
    if callable(to_tools):
        # langchain-protocol 0.0.20 types a delta as text; langgraph-sdk 0.4.14 drops others (run on 2026-11-27).
        writes.append(lambda event: to_tools(json.dumps(event, ensure_ascii=False)))
    return _Channels(tuple(writes), {"tool_call_id": found} if isinstance(found, str) and found else {})
