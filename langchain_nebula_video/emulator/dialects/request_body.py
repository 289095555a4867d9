"""Parsing of JSON bodies by a table of fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SEED = 2**31 - 1

_TYPE_NAMES = {
    str: "a string",
    int: "an integer",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a page's table of parameters."""

    name: str
    type: type
    required: Reason | None = None
    """The reason to refuse a request without the field; None if it is optional."""


def read_object(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in a body.

    Raises:
        Refusal: The body is not a JSON object.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.MALFORMED, f"invalid JSON: {error}") from error
    if not isinstance(payload, dict):
        raise Refusal(Reason.MALFORMED, "the body must be a JSON object")
    return payload


def read_fields(payload: Mapping[str, Any], fields: Iterable[Field], prefix: str = "") -> dict[str, Any]:
    """Return the fields of a table, and no others. Null counts as absent.

    Args:
        payload: The JSON object.
        fields: The table.
        prefix: The prefix of field names in messages.

    Raises:
        Refusal: A field has the wrong type, or a required field is missing.
    """
    values = {}
    for field in fields:
        value = payload.get(field.name)
        # An exact comparison, because bool is a subclass of int.
        if value is not None and type(value) is not field.type:
            raise Refusal(Reason.MALFORMED, f"{prefix}{field.name} must be {_TYPE_NAMES[field.type]}")
        blank = value is None or (isinstance(value, str) and not value.strip())
        if field.required is not None and blank:
            raise Refusal(field.required, f"{prefix}{field.name} is required")
        values[field.name] = replace_surrogates(value)
    return values


def replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which JSON can express and UTF-8 cannot."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_seed(seed: int | None, *, least: int = 0) -> None:
    """Check the range of a seed.

    Raises:
        Refusal: The seed is out of range.
    """
    if seed is not None and not least <= seed <= MAX_SEED:
        raise Refusal(Reason.PARAMETER, f"seed must be between {least} and {MAX_SEED}")
