"""Find the fields of a JSON response. Gateways of one family use many shapes, so every known path is tried.

The shapes come from the Nebula page, from the open-source gateway that Nebula and others are forks of
(github.com/QuantumNous/new-api), and from Alibaba's DashScope behind them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs, urlsplit

from langchain_nebula_video.media.urls import split_url
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

_BEIJING = timezone(timedelta(hours=8))
MAX_TASK_ID = 512
"""Characters."""
_MAX_TEXT = 2000
_MAX_OBJECTS = 8
"""JSON objects in one answer."""
_BLANKS = re.compile("[\ufeff \\t\\r\\n]*")
_MAX_PROMPT = 20_000

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
_ERROR_PATHS = (
    ("metadata.output.code", "metadata.output.message"),
    ("error.code", "error.message"),
    ("data.fail_code", "data.fail_reason"),
    ("output.code", "output.message"),
    ("code", "message"),
)
_SUCCESS_CODES = frozenset({"success", "ok", "200", "0"})


def parse_json_object(body: bytes) -> dict[str, Any] | None:
    """Return the first JSON object in a body, or `None`. Some bodies hold two, one after the other."""
    try:
        value, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


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


def get_value(body: object, path: str) -> Any:
    """Return the value at a dotted path, or `None` if the path does not exist."""
    for name in path.split("."):
        if not isinstance(body, Mapping):
            return None
        body = body.get(name)
    return body


def get_text(body: object, *paths: str, max_length: int = _MAX_TEXT) -> str | None:
    """Return the first of these values that is a string or an integer, as truncated valid text."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 10**30 else None
        if isinstance(value, str) and value:
            return value[:max_length].encode("utf-8", "replace").decode("utf-8")
    return None


def get_prompt(body: object, *paths: str) -> str | None:
    """Like `get_text`, with a higher length limit: prompts are compared, not only shown."""
    return get_text(body, *paths, max_length=_MAX_PROMPT)


def get_decimal(body: object, *paths: str) -> Decimal | None:
    """Return the first of these values that is 0, or between 1e-19 and 1,000,000."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            number = Decimal(str(value))
        except (InvalidOperation, ValueError):
            continue
        if number.is_finite() and 0 <= number < 1_000_000 and (not number or number.adjusted() > -20):
            return number
    return None


def get_int(body: object, *paths: str) -> int | None:
    """Return the first of these values that is a whole number above 0. Some gateways send `"5"` or 5.0."""
    for path in paths:
        number = get_decimal(body, path)
        if number is not None and number == number.to_integral_value() and number > 0:
            return int(number)
    return None


def get_seconds(body: object, *paths: str) -> Decimal | None:
    """Return the first of these values that is a number of seconds above 0. Some gateways send `"5"` or 5.04."""
    return next((number for path in paths if (number := get_decimal(body, path))), None)


def find_task_id(body: Mapping[str, Any]) -> str | None:
    """Return the task id as an opaque string."""
    for path in _TASK_ID_PATHS:
        value = get_value(body, path)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**30:
            return str(value)
        if isinstance(value, str) and 0 < len(value.strip()) <= MAX_TASK_ID and is_encodable(value):
            if path == "data" and (" " in value.strip() or find_error(body)[0]):
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


def find_error(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the error code and message. A vendor error that the gateway wrapped into text is unwrapped."""
    for code_path, message_path in _ERROR_PATHS:
        code, message = get_text(body, code_path), get_text(body, message_path)
        if code and code.lower() in _SUCCESS_CODES:
            code = None
        if code or message:
            return _unwrap_vendor_error(code, get_value(body, message_path), message)
    text = get_text(body, "error", "data.result_url")  # newer new-api versions put the error text into the URL field
    return None, None if text is None or split_url(text, ("https", "http")) is not None else text


def _unwrap_vendor_error(code: str | None, wrapped: object, message: str | None) -> tuple[str | None, str | None]:
    """Return the vendor's code and message, which a `fail_to_fetch_task` holds as JSON text in its `message`.

    The gateway masks dotted words in that text, which can break the JSON. Then a regular expression extracts the
    parts that are intact.
    """
    if not isinstance(wrapped, str) or "{" not in wrapped:
        return code, message
    inner = parse_json_object(wrapped[wrapped.index("{") :].encode("utf-8", "replace"))
    if inner is not None:
        inner_code, inner_message = find_error(inner)
    else:
        inner_code, inner_message = (_extract_string(name, wrapped) for name in ("code", "message"))
    return inner_code or code, inner_message or message


def _extract_string(name: str, text: str) -> str | None:
    match = re.search(rf'"{name}"\s*:\s*"([^"]{{1,500}})"', text)
    return match.group(1) if match else None


def find_time(body: object, *paths: str) -> datetime | None:
    """Return the first of these values that is a time: epoch seconds, epoch milliseconds, or ISO 8601."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float) and 10**9 < value < 10**13:
            return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value.strip())
                # The page names no time zone. The vendor's service runs on Beijing time.
                return (moment if moment.tzinfo else moment.replace(tzinfo=_BEIJING)).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
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
