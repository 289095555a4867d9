"""Find the fields of a JSON response. Gateways of one family use many shapes, so every known path is tried.

The shapes come from the Nebula page, from the open-source gateway that Nebula and others are forks of
(github.com/QuantumNous/new-api), and from Alibaba's DashScope behind them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.protocols.failures import find_error, says_error
from langchain_nebula_video.protocols.values import (
    find_time,
    get_decimal,
    get_int,
    get_prompt,
    get_seconds,
    get_text,
    get_value,
    parse_json_object,
)
from langchain_nebula_video.schema import TaskStatus, is_encodable

__all__ = [
    "MAX_TASK_ID",
    "find_error",
    "find_task_id",
    "find_time",
    "find_url",
    "get_decimal",
    "get_int",
    "get_prompt",
    "get_seconds",
    "get_text",
    "get_value",
    "names_other_task",
    "parse_json_object",
    "parse_json_objects",
    "parse_status",
    "parse_submitted",
    "url_expiry",
]

MAX_TASK_ID = 512
"""Characters."""
_MAX_OBJECTS = 8
"""JSON objects in one answer."""
_BLANKS = re.compile("[\ufeff \\t\\r\\n]*")

# Status words, in lower case. A gateway reports `""` and `unknown` before its own first poll of the vendor, or
# when that poll failed. Both are temporary.
_STATUS_WORDS: dict[TaskStatus, frozenset[str]] = {
    TaskStatus.QUEUED: frozenset(
        {"not_start", "submitted", "queued", "pending", "created", "queueing", "", "unknown"},
    ),
    TaskStatus.RUNNING: frozenset({"in_progress", "processing", "running", "suspended"}),
    TaskStatus.SUCCEEDED: frozenset({"success", "succeed", "succeeded", "completed"}),
    TaskStatus.FAILED: frozenset({"failure", "failed", "error"}),
    TaskStatus.CANCELED: frozenset({"canceled", "cancelled"}),
}
_STATUS_BY_WORD = {word: status for status, words in _STATUS_WORDS.items() for word in words}

_TASK_ID_PATHS = ("task_id", "id", "data.task_id", "output.task_id", "metadata.output.task_id", "data")
_OTHER_ID_PATHS = ("data.id", "data.output.task_id", "data.data.task_id", "data.data.output.task_id")
"""Where a fetch may have further ids: the gateway's own row, the vendor's task."""
_URL_PATHS = (
    "url",
    "video_url",
    "result_url",
    "result.video_url",
    "result.outputs",
    "metadata.url",
    "metadata.output.video_url",
    "output.video_url",
    "data.result_url",
    "data.fail_reason",  # older new-api versions put the video's URL here on success
    "data.data.output.video_url",
)


def parse_json_objects(body: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects of a body, which may hold several, one after the other."""
    text = body.decode("utf-8", "replace")
    found, end, decoder = [], 0, json.JSONDecoder()
    for _ in range(_MAX_OBJECTS):
        try:
            value, end = decoder.raw_decode(text, _BLANKS.match(text, end).end())  # type: ignore[union-attr]
        except (ValueError, RecursionError):
            break
        if isinstance(value, dict):
            found.append(value)
    return found


def parse_submitted(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a submit's answer that names the task, or `None`.

    A gateway that has asked its vendor twice answers with two objects, one after the other. The last task is the one
    that it knows (new-api's controller/relay.go, 2025-12). An error after the task may mean that the gateway has lost
    it: `refusals` decides that by what is known of the gateway. Otherwise a look tells.
    """
    return next((value for value in reversed(parse_json_objects(body)) if find_task_id(value) is not None), None)


def find_task_id(body: Mapping[str, Any]) -> str | None:
    """Return the task id as an opaque string."""
    for path in _TASK_ID_PATHS:
        value = get_value(body, path)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**30:
            return str(value)
        if isinstance(value, str) and 0 < len(value.strip()) <= MAX_TASK_ID and is_encodable(value):
            if path == "data" and (" " in value.strip() or says_error(body)):
                continue  # an error message, not an id
            return value.strip()
    return None


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
    ids = {path: text.strip().casefold() for path in (*own_paths, *_TASK_ID_PATHS, *_OTHER_ID_PATHS)
           if (text := get_text(body, path)) and text.strip()}  # fmt: skip
    return asked not in ids.values() and any(path in ids for path in own_paths)


def parse_status(word: object) -> TaskStatus | None:
    """Return the status for a status word, or `None` if the word is undocumented."""
    return _STATUS_BY_WORD.get(word.strip().lower()) if isinstance(word, str) else None


def _candidate_urls(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        url = item.get("url") or item.get("video_url") if isinstance(item, Mapping) else item
        if isinstance(url, str):
            yield _encode_spaces(url.strip())


def _encode_spaces(url: str) -> str:
    """Percent-encode spaces in the path. Some gateways sign URLs that they have not encoded."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host}{slash}{path.replace(' ', '%20')}"


def find_url(body: Mapping[str, Any]) -> str | None:
    """Return the first URL or `data:` URI of a video. Values that are no URL are skipped."""
    for path in _URL_PATHS:
        for url in _candidate_urls(get_value(body, path)):
            if url[:11].lower() == "data:video/" or split_url(url, ("https", "http")) is not None:
                return url if is_encodable(url) else None
    return None


_URL_LIFETIME = timedelta(hours=24)
_CLOCK_SKEW = timedelta(minutes=10)


def url_expiry(url: str, finished_at: datetime | None, received_at: datetime) -> datetime:
    """Return when a signed URL expires: its own parameter, otherwise 24 hours after the task finished."""
    if split_url(url, ("https", "http")) is not None:
        query = parse_qs(urlsplit(url).query)
        signed = find_time({name: _parse_epoch(values[0]) for name, values in query.items()}, "Expires", "expires")
        if signed is not None:
            return signed
    # A finish time in the future, or more than 24 hours ago, was misread. Then the time of the response counts.
    earliest, latest = received_at - _URL_LIFETIME - _CLOCK_SKEW, received_at + _CLOCK_SKEW
    since = finished_at if finished_at and earliest <= finished_at <= latest else received_at
    return since + _URL_LIFETIME


def _parse_epoch(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 14 else None
