"""Read values of a JSON answer: objects, texts, numbers, times. `as_` takes a value, `get_` a body and paths."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

__all__ = [
    "BLANKS",
    "MAX_JSON_VALUES",
    "as_decimal",
    "as_flag",
    "as_positive",
    "as_prompt",
    "as_text",
    "as_time",
    "find_time",
    "first",
    "get_decimal",
    "get_object",
    "get_text",
    "get_value",
    "parse_json_object",
    "parse_json_values",
    "share_names",
]

T = TypeVar("T")
MAX_JSON_VALUES = 8
"""In one answer."""
BLANKS = re.compile("[\ufeff \\t\\r\\n]*")
_DECODER = json.JSONDecoder()
_BEIJING = timezone(timedelta(hours=8))
_MAX_TEXT = 2000
_MAX_PROMPT = 20_000


def parse_json_values(body: bytes) -> list[Any]:
    """Return the JSON values of a body, which may hold several, one after the other."""
    text = body.decode("utf-8", "replace")
    found: list[Any] = []
    end = 0
    for _ in range(MAX_JSON_VALUES):
        try:
            value, end = _DECODER.raw_decode(text, BLANKS.match(text, end).end())  # type: ignore[union-attr]
        except (ValueError, RecursionError):
            break
        found.append(value)
        if end == len(text):
            break
    return found


def parse_json_object(body: bytes) -> dict[str, Any] | None:
    """Return the first JSON object in a body, or `None`. Some bodies hold two, one after the other."""
    try:
        value, _ = _DECODER.raw_decode(body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def share_names(value: object, levels: int = 4) -> Any:
    """Return JSON data whose names are one text each in all answers: a task that waits keeps its newest answer."""
    if levels == 0 or not isinstance(value, dict):
        return value
    return {_shared(name): share_names(each, levels - 1) for name, each in value.items()}


@functools.lru_cache(maxsize=512)
def _shared(name: str) -> str:
    return name


def get_object(value: object) -> Mapping[str, Any] | None:
    """Return a value as an object, also if it is written as JSON text, or is a list of one object."""
    if type(value) is dict:  # by far the most usual; the checks of abstract types below cost ten times as much
        return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and value[:64].lstrip()[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None


def get_value(body: object, path: str) -> Any:
    """Return the value at a dotted path, or `None` if the path does not exist."""
    for name in path.split(".") if "." in path else (path,):
        inside = get_object(body)
        if inside is None:
            return None
        body = inside.get(name)
    return body


def first(parse: Callable[[Any], T | None], found: Iterable[Any]) -> T | None:
    """Return the first of these values that can be parsed."""
    return next((value for raw in found if (value := parse(raw)) is not None), None)


def as_text(value: object, *, max_length: int = _MAX_TEXT) -> str | None:
    """Return a string or an integer as truncated valid text."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**30 else None
    if isinstance(value, str) and value:
        text = value[:max_length]
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    return None


def as_prompt(value: object) -> str | None:
    """Like `as_text`, with a higher length limit: prompts are compared, not only shown."""
    return as_text(value, max_length=_MAX_PROMPT)


def as_decimal(value: object, *, below: int = 1_000_000) -> Decimal | None:
    """Return a number that is 0, or between 1e-19 and a limit. Some gateways send `"5"` or 5.04."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    sensible = number.is_finite() and 0 <= number < below and (not number or number.adjusted() > -20)
    return number if sensible else None


def as_positive(value: object) -> Decimal | None:
    """Like `as_decimal`, but not 0."""
    return as_decimal(value) or None


def as_flag(value: object) -> bool | None:
    """Return a truth value, also one that is written as text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def as_time(value: object) -> datetime | None:
    """Return a time: epoch seconds, epoch milliseconds, or ISO 8601."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)  # UniAll's page on Happy Horse has the epoch as text
    if isinstance(value, int | float) and 10**9 < value < 10**13:
        return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        # The page names no time zone. The vendor's service runs on Beijing time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=_BEIJING)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def get_text(body: object, *paths: str) -> str | None:
    """Return the value at the first of these paths that is a text."""
    return first(as_text, (get_value(body, path) for path in paths))


def get_decimal(body: object, *paths: str) -> Decimal | None:
    """Return the value at the first of these paths that is a sensible number."""
    return first(as_decimal, (get_value(body, path) for path in paths))


def find_time(body: object, *paths: str) -> datetime | None:
    """Return the value at the first of these paths that is a time."""
    return first(as_time, (get_value(body, path) for path in paths))
