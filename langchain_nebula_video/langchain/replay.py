"""Idempotency keys inside agents and graphs: a step that runs again resumes its video instead of paying again.

| where the call is                          | its key is made from                                           |
|--------------------------------------------|----------------------------------------------------------------|
| in a graph inside a node                   | thread, task of the outermost node, path from there            |
| in a model's message, with a thread id     | thread, message, call id: also after a crash or time travel    |
| in a node, directly or by a tool in it     | thread, task of the node, call id                              |
| anywhere else, with a thread id            | thread, call id                                                |
| anywhere else                              | there is no key                                                |

Equal calls in one message (same tool, same arguments) share the key of the first: models repeat themselves, and who
wants two takes gives two seeds.

Callers pass `adopt=True`, which adds the request to the key. So two different videos of one node have two keys.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from urllib.parse import quote

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langchain_nebula_video.journal.limits import add_scope
from langchain_nebula_video.langchain.progress import graph_runtime

__all__ = ["count_for_thread", "node_key", "scope_hash", "thread_key_prefix", "thread_scope", "tool_call_key"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
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
    origin = _find_call(call_id, messages) if call_id else None
    node = node_key(None if origin is None or not origin.repeated else origin.first_place)
    if (
        node is not None and _SEPARATOR in node
    ):  # an agent within a node begins anew with it, and its model's ids with it
        return node
    if thread_id is not None and origin is not None:
        return f"{thread_key_prefix(thread_id)}{origin.message_id}:{origin.first_id}"
    if node is not None:
        if origin is not None and origin.repeated and _UUID.search(origin.message_id):
            return f"message:{origin.message_id}:{origin.first_id}"  # each of the calls is in a task of its own
        return f"{node}:{call_id or ''}"
    return f"{thread_key_prefix(thread_id)}{call_id}" if thread_id is not None and call_id else None


def node_key(place: int | None = None) -> str | None:
    """The key of the current LangGraph node; `None` outside of graphs.

    `place` stands for the node's own place among the tasks of its step: equal calls share that of the first.
    """
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
        own_place = metadata.get("langgraph_path") if place is None else place
        path = repr((names, metadata.get("langgraph_step"), own_place))
        key += f"{_SEPARATOR}{hashlib.blake2b(path.encode(), digest_size=8).hexdigest()}"
    return key


def _thread_id(config: RunnableConfig | None) -> object:
    return ((config or {}).get("configurable") or {}).get("thread_id")


class _CallOrigin(NamedTuple):
    """Where a call comes from."""

    message_id: str
    """The id of the message, or its position."""
    first_id: str
    """The id of the first call in the message with the same tool and arguments."""
    first_place: int
    """Its place among the calls of the message."""
    repeated: bool
    """Whether the message has several such calls."""


def _find_call(call_id: str, messages: Iterable[Any]) -> _CallOrigin | None:
    """Return where a call comes from: from the newest message that has it."""
    found = None
    for number, message in enumerate(messages):
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        asked = next((call for call in calls if call["id"] == call_id), None)
        if asked is not None:
            wanted = (asked["name"], asked["args"])
            equal = [place for place, call in enumerate(calls) if (call["name"], call["args"]) == wanted]
            first = str(calls[equal[0]]["id"])
            found = _CallOrigin(message.id or f"#{number}", first, equal[0], len(equal) > 1)
    return found
