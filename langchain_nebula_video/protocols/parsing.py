"""Find the task that an answer is about. Gateways of one family use many shapes, so every known path is tried.

The shapes come from the Nebula page, from the open-source gateway that Nebula and others are forks of
(github.com/QuantumNous/new-api), and from Alibaba's DashScope behind them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.protocols.failures import find_error, says_error
from langchain_nebula_video.protocols.values import (
    BLANKS,
    MAX_JSON_VALUES,
    find_time,
    get_decimal,
    get_text,
    get_value,
)
from langchain_nebula_video.schema import is_encodable

__all__ = [
    "MAX_TASK_ID",
    "find_error",
    "find_lone_request_id",
    "find_submitted",
    "find_task_id",
    "find_time",
    "get_decimal",
    "get_text",
    "get_value",
    "is_whole",
    "names_other_task",
]

MAX_TASK_ID = 512
"""Characters."""

_TASK_ID_PATHS = (
    "task_id",
    "id",
    "taskId",
    "data.task_id",
    "data.taskId",
    "output.task_id",
    "metadata.output.task_id",
    "data.output.task_id",
    "data.id",
    "data",
)
_WEAK_ID_PATHS = frozenset({"data.id", "data"})
"""No ids beside an error."""
_OTHER_ID_PATHS = ("data.data.task_id", "data.data.id", "data.data.output.task_id", "data.metadata.output.task_id")
"""Where a fetch may have further ids: the vendor's task."""


def is_whole(body: bytes) -> bool:
    """Whether a body is nothing but JSON objects: nothing behind them is cut off, or was left unread."""
    text = body.decode("utf-8", "replace")
    end, decoder = 0, json.JSONDecoder()
    for _ in range(MAX_JSON_VALUES):
        end = BLANKS.match(text, end).end()  # type: ignore[union-attr]
        if end == len(text):
            return True
        try:
            _, end = decoder.raw_decode(text, end)
        except (ValueError, RecursionError):
            return False
    return not text[end:].strip()


def find_submitted(objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the object of a submit's answer that names the task, or `None`.

    A gateway that has asked its vendor twice answers with two objects, one after the other. The last task is the one
    that it knows (new-api's controller/relay.go, 2025-12). An error after the task may mean that the gateway has lost
    it: `refusals` decides that by what is known of the gateway. Otherwise a look tells.
    """
    return next((value for value in reversed(objects) if find_task_id(value) is not None), None)


def find_task_id(body: Mapping[str, Any]) -> str | None:
    """Return the task id as an opaque string. A `request_id` is none."""
    weak = not says_error(body)
    for path in _TASK_ID_PATHS:
        if path in _WEAK_ID_PATHS and not weak:
            continue
        value = get_value(body, path)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**30:
            return str(value)
        if isinstance(value, str) and 0 < len(value.strip()) <= MAX_TASK_ID and is_encodable(value):
            if path == "data" and " " in value.strip():
                continue  # a message, not an id
            return value.strip()
    return None


def find_lone_request_id(body: Mapping[str, Any]) -> str | None:
    """Return the `request_id` of an answer that has nothing else: xAI's page on video generation, 2026."""
    return find_task_id({"task_id": body["request_id"]}) if body.keys() == {"request_id"} else None


def names_other_task(body: Mapping[str, Any], task_id: str, own_paths: tuple[str, ...]) -> bool:
    """Return whether a body is about another task than this one.

    Gateways may have two ids for a task, their own and the vendor's. So a body that has this id anywhere is about this
    task. Otherwise a different id counts only where the protocol puts the id that was asked for.

    Args:
        body: The answer to a fetch.
        task_id: The id that was asked for.
        own_paths: Where the protocol puts it.
    """
    asked = task_id.strip().casefold()
    if any((get_text(body, path) or "").strip().casefold() == asked for path in own_paths):
        return False
    ids = {path: text.strip().casefold() for path in (*own_paths, *_TASK_ID_PATHS, *_OTHER_ID_PATHS)
           if (text := get_text(body, path)) and text.strip()}  # fmt: skip
    return asked not in ids.values() and any(path in ids for path in own_paths)
