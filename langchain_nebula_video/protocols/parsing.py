"""Reading answers by their shape: gateways of one family answer in many shapes, so all are looked for.

The shapes are those of the Nebula page, of the open-source gateway that it and others are forks of
(github.com/QuantumNous/new-api), and of Alibaba's DashScope behind them.
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
    "get_text",
    "get_value",
    "parse_json_object",
    "parse_status",
    "url_expiry",
]

_BEIJING = timezone(timedelta(hours=8))
MAX_TASK_ID = 512
"""Characters."""
_MAX_TEXT = 2000
_MAX_PROMPT = 20_000

# Status words by class, whatever their case. `""` and `unknown` are what a gateway says before its own first
# poll of the vendor, or when that poll failed: passing states, not ends.
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
    "data.fail_reason",  # older revisions put the video's URL here on success
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
    """The first JSON object of a body; `None` if it holds none. Bodies can hold two, one after the other."""
    try:
        value, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def get_value(body: object, path: str) -> Any:
    """The value at a dotted path; `None` where the path ends early."""
    for name in path.split("."):
        if not isinstance(body, Mapping):
            return None
        body = body.get(name)
    return body


def get_text(body: object, *paths: str, max_length: int = _MAX_TEXT) -> str | None:
    """The first of these that is a text, or a number as one; bounded, and free of half characters."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 10**30 else None
        if isinstance(value, str) and value:
            return value[:max_length].encode("utf-8", "replace").decode("utf-8")
    return None


def get_prompt(body: object, *paths: str) -> str | None:
    """`text_at` of a prompt, which is compared, and may be longer than what is only shown."""
    return get_text(body, *paths, max_length=_MAX_PROMPT)


def get_decimal(body: object, *paths: str) -> Decimal | None:
    """The first of these that is a sensible amount: finite, not negative, below a million, not minute."""
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
    """The first of these that is a whole number above 0; gateways send some as text, some as 5.0."""
    for path in paths:
        number = get_decimal(body, path)
        if number is not None and number == number.to_integral_value() and number > 0:
            return int(number)
    return None


def find_task_id(body: Mapping[str, Any]) -> str | None:
    """The task's id, wherever it stands; opaque text."""
    for path in _TASK_ID_PATHS:
        value = get_value(body, path)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**30:
            return str(value)
        if isinstance(value, str) and 0 < len(value.strip()) <= MAX_TASK_ID and is_encodable(value):
            if path == "data" and (" " in value.strip() or find_error(body)[0]):
                continue  # words beside an error code, no id
            return value.strip()
    return None


def parse_status(word: object) -> TaskStatus | None:
    """The class of a status word; `None` for one that nobody documented."""
    return _STATUS_BY_WORD.get(word.strip().lower()) if isinstance(word, str) else None


def _candidate_urls(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        found = item.get("url") or item.get("video_url") if isinstance(item, Mapping) else item
        if isinstance(found, str):
            yield _encode_spaces(found.strip())


def _encode_spaces(address: str) -> str:
    """Some gateways sign what they have not encoded: a space in a path is meant as one."""
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host}{slash}{path.replace(' ', '%20')}"


def find_url(body: Mapping[str, Any]) -> str | None:
    """The video's address or `data:` URI, wherever it stands; what is no address is passed over."""
    for path in _URL_PATHS:
        for text in _candidate_urls(get_value(body, path)):
            if text[:11].lower() == "data:video/" or split_url(text, ("https", "http")) is not None:
                return text if is_encodable(text) else None
    return None


def find_error(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Code and words of what went wrong, unwrapped where the gateway packed the vendor's answer into text."""
    for code_path, message_path in _ERROR_PATHS:
        code, message = get_text(body, code_path), get_text(body, message_path)
        if code and code.lower() in _SUCCESS_CODES:
            code = None
        if code or message:
            return _unwrap_vendor_error(code, get_value(body, message_path), message)
    told = get_text(body, "error", "data.result_url")  # newer revisions put a failure's text where the URL goes
    return None, None if told is None or split_url(told, ("https", "http")) is not None else told


def _unwrap_vendor_error(code: str | None, packed: object, message: str | None) -> tuple[str | None, str | None]:
    """A `fail_to_fetch_task` holds the vendor's own answer, code and words, as text in its `message`.

    The gateway masks dotted words in the packed text, which can break the JSON: then the parts that still
    stand are picked out.
    """
    if not isinstance(packed, str) or "{" not in packed:
        return code, message
    inner = parse_json_object(packed[packed.index("{") :].encode("utf-8", "replace"))
    if inner is not None:
        inner_code, inner_message = find_error(inner)
    else:
        inner_code, inner_message = (_extract_string(name, packed) for name in ("code", "message"))
    return inner_code or code, inner_message or message


def _extract_string(name: str, text: str) -> str | None:
    found = re.search(rf'"{name}"\s*:\s*"([^"]{{1,500}})"', text)
    return found.group(1) if found else None


def find_time(body: object, *paths: str) -> datetime | None:
    """The first of these that is a point in time: epoch seconds or milliseconds, or Beijing wall time."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float) and 10**9 < value < 10**13:
            return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value.strip())
                # The page does not name the zone; the vendor's service runs on Beijing time.
                return (moment if moment.tzinfo else moment.replace(tzinfo=_BEIJING)).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
    return None


_URL_LIFETIME = timedelta(hours=24)
_CLOCK_SKEW = timedelta(minutes=10)


def url_expiry(url: str, finished_at: datetime | None, received_at: datetime) -> datetime:
    """When a signed URL stops working: as it says itself, else 24 hours after the task finished."""
    if split_url(url, ("https", "http")) is not None:
        query = parse_qs(urlsplit(url).query)
        signed = find_time({name: _parse_epoch(values[0]) for name, values in query.items()}, "Expires", "expires")
        if signed is not None:
            return signed
    # A finish in the future, or longer ago than gateways remember, is misread: then the answer's own moment counts.
    earliest, latest = received_at - _URL_LIFETIME - _CLOCK_SKEW, received_at + _CLOCK_SKEW
    since = finished_at if finished_at and earliest <= finished_at <= latest else received_at
    return since + _URL_LIFETIME


def _parse_epoch(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 14 else None
