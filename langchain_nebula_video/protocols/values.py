"""Read values of a JSON answer: objects, texts, numbers, times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = [
    "find_time",
    "get_decimal",
    "get_int",
    "get_object",
    "get_prompt",
    "get_seconds",
    "get_text",
    "get_value",
    "parse_json_object",
]

_BEIJING = timezone(timedelta(hours=8))
_MAX_TEXT = 2000
_MAX_PROMPT = 20_000


def parse_json_object(body: bytes) -> dict[str, Any] | None:
    """Return the first JSON object in a body, or `None`. Some bodies hold two, one after the other."""
    try:
        value, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def get_object(value: object) -> Mapping[str, Any] | None:
    """Return a value as an object, also if it is written as JSON text, or is a list of one object."""
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
    for name in path.split("."):
        inside = get_object(body)
        if inside is None:
            return None
        body = inside.get(name)
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


def get_decimal(body: object, *paths: str, below: int = 1_000_000) -> Decimal | None:
    """Return the first of these values that is 0, or between 1e-19 and a limit."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            number = Decimal(str(value))
        except (InvalidOperation, ValueError):
            continue
        if number.is_finite() and 0 <= number < below and (not number or number.adjusted() > -20):
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


def find_time(body: object, *paths: str) -> datetime | None:
    """Return the first of these values that is a time: epoch seconds, epoch milliseconds, or ISO 8601."""
    for path in paths:
        value = get_value(body, path)
        if isinstance(value, bool):
            continue
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
            value = int(value)  # one of UniAll's examples has the epoch as text
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
