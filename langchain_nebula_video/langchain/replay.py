"""Idempotency keys inside agents and graphs: a step that runs again resumes its video instead of paying again.

| where the call is                          | its key is made from                                           |
|--------------------------------------------|----------------------------------------------------------------|
| in a graph inside a node                   | thread, task of the outermost node, path from there            |
| in a model's message, with a thread id     | thread, message, call id: also after a crash or time travel    |
| in a node, directly or by a tool in it     | thread, task of the node, call id                              |
| anywhere else, with a thread id            | thread, call id                                                |
| anywhere else                              | there is no key                                                |

Callers pass `adopt=True`, which adds the request to the key. So two different videos of one node have two keys.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import quote

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langchain_nebula_video.journal.limits import add_scope
from langchain_nebula_video.langchain.progress import graph_runtime

__all__ = ["count_for_thread", "node_key", "scope_hash", "thread_key_prefix", "thread_scope", "tool_call_key"]

_SEPARATOR = "|"
"""Separates the segments of LangGraph's checkpoint namespaces. LangGraph forbids it in names of nodes."""


def thread_key_prefix(thread_id: object) -> str:
    """The prefix of all keys of a thread, and of no other thread's keys."""
    return f"{quote(str(thread_id), safe='')}:"


def thread_scope(thread_id: object) -> str:
    """What the journal entries of a thread count for; see `Entry.scopes`."""
    return scope_hash("thread", str(thread_id))


def scope_hash(kind: str, *parts: str) -> str:
    """A scope of one length, whatever a thread is called."""
    text = "\n".join((kind, *parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"nebula-scope").hexdigest()


@contextmanager
def count_for_thread(config: RunnableConfig | None = None) -> Iterator[None]:
    """Let what the body pays for count for its thread. Without a config, for the thread of the current node."""
    if config is None and graph_runtime() is not None:
        config = sys.modules["langgraph.config"].get_config()
    thread_id = _thread_id(config)
    with nullcontext() if thread_id is None else add_scope(thread_scope(thread_id)):
        yield


def tool_call_key(config: RunnableConfig | None, call_id: str | None, messages: Iterable[Any] = ()) -> str | None:
    """The key of a tool call; `None` if nothing identifies it.

    Args:
        config: The run's configuration, which may have a thread id.
        call_id: The id that the model gave. Some models restart their numbering each turn, so the message counts too.
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
    """The key of the current LangGraph node; `None` outside of graphs."""
    info = getattr(graph_runtime(), "execution_info", None)
    if info is None:
        return None
    config = sys.modules["langgraph.config"].get_config()
    # A retried node gives new task ids to the graph inside it, and to that graph's nodes. Three things stay: the id of
    # the outermost task, the names on the path from there, and the step with the place among its tasks.
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
    """The id of the newest message with this call; if it has none, its position."""
    found = None
    for number, message in enumerate(messages):
        if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
            found = message.id or f"#{number}"
    return found
