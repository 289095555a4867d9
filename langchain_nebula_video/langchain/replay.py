"""What a video is called inside agents and graphs, so that a step that runs again goes on with it.

| where the call is                          | its key                                                        |
|--------------------------------------------|----------------------------------------------------------------|
| in a graph that runs within a node         | thread, the task of the outermost node, the way from there     |
| in a model's message, under a thread id    | thread, message, call id: also after a crash, or time travel   |
| in a node, also by a tool in it            | thread, the node's task, and a call's id                       |
| anywhere else, under a thread id           | thread, call id                                                |
| anywhere else                              | none                                                           |

What was asked for becomes part of each (`adopt=True`): two different videos of one node are two.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langchain_nebula_video.langchain.progress import graph_runtime

__all__ = ["node_key", "thread_key_prefix", "tool_call_key"]

_SEPARATOR = "|"
"""Between the segments of LangGraph's checkpoint namespaces, and in no name of a node."""


def thread_key_prefix(thread_id: object) -> str:
    """What the keys of a thread begin with, and those of no other."""
    return f"{quote(str(thread_id), safe='')}:"


def tool_call_key(config: RunnableConfig | None, call_id: str | None, messages: Iterable[Any] = ()) -> str | None:
    """The key of a tool call.

    Args:
        config: The run's configuration, which may have a thread id.
        call_id: The model's. Some models number their calls anew each turn, so it takes the message to know one.
        messages: The conversation, inside a graph.
    """
    thread_id = _thread_id(config)
    node = node_key()
    if (
        node is not None and _SEPARATOR in node
    ):  # an agent within a node begins anew with it, and its model's ids with it
        return node
    if thread_id is not None and call_id and (message_id := _message_with_call(call_id, messages)):
        return f"{thread_key_prefix(thread_id)}{message_id}:{call_id}"
    if node is not None:
        return f"{node}:{call_id or ''}"
    return f"{thread_key_prefix(thread_id)}{call_id}" if thread_id is not None and call_id else None


def node_key() -> str | None:
    """The key of what the node around the running code makes; `None` outside of graphs."""
    info = getattr(graph_runtime(), "execution_info", None)
    if info is None:
        return None
    config = sys.modules["langgraph.config"].get_config()
    # A graph within a node gets new task ids when that node is retried, and so do its own nodes; what stays is the
    # outermost task, and the way from there: names, the step, and the place among the tasks of that step.
    outermost, *inner = str(info.checkpoint_ns or info.task_id).split(_SEPARATOR)
    key = f"{thread_key_prefix(_thread_id(config) or '')}node:{outermost}"
    if inner:
        names = [segment.partition(":")[0] for segment in inner if not segment.isdigit()]
        metadata = config.get("metadata") or {}
        path = repr((names, metadata.get("langgraph_step"), metadata.get("langgraph_path")))
        key += f"{_SEPARATOR}{hashlib.blake2b(path.encode(), digest_size=8).hexdigest()}"
    return key


def _thread_id(config: RunnableConfig | None) -> object:
    return ((config or {}).get("configurable") or {}).get("thread_id")


def _message_with_call(call_id: str, messages: Iterable[Any]) -> str | None:
    """The newest message that has the call: its id, or else which one it is."""
    found = None
    for number, message in enumerate(messages):
        if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
            found = message.id or f"#{number}"
    return found
