"""Entries as database rows, and rows as entries."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.journal.budget import to_trillionths
from langchain_nebula_video.journal.entries import Entry, EntryState
from langchain_nebula_video.journal.stretches import to_microseconds

__all__ = [
    "FIELDS",
    "SCOPE_SEPARATOR",
    "clean_text",
    "index_text",
    "to_columns",
    "to_entries",
    "to_entry",
    "to_row",
    "to_scopes",
    "to_state",
]

logger = logging.getLogger("langchain_nebula_video")

FIELDS = (
    "id", "gateway", "model", "request", "created_at", "state", "key", "task_id", "reserved_usd", "billed_usd",
    "video", "reason", "sent_at", "lost_at", "abandoned", "holder", "held_until", "updated_at", "account",
    "host", "play_money",
)  # fmt: skip
"""The columns that are fields of an entry, in the order in which rows are read."""

SCOPE_SEPARATOR = "\n"
"""Joins the scopes of an entry. They are hashes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_INDEX_TEXT = 500
"""Characters; an index of PostgreSQL takes 2,700 bytes."""


def _from_microseconds(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def clean_text(value: str) -> str:
    """Escape what a database does not store: PostgreSQL takes no NUL, and UTF-8 has no lone surrogates."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def index_text(value: str) -> str:
    """Return a key or a task id short enough for an index; a digest replaces the end of a long one."""
    clean = clean_text(value)
    if len(clean) <= _MAX_INDEX_TEXT:
        return clean
    return f"{clean[:_MAX_INDEX_TEXT]}… sha256:{hashlib.sha256(clean.encode()).hexdigest()}"


def _to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _to_request(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        message = "it is no JSON object"
        raise ValueError(message)  # noqa: TRY004 as for text that is no JSON
    return value


def _to_video(text: str) -> dict[str, Any] | None:
    """Return a video. One of another form counts as none, and the gateway is asked for it again."""
    value = json.loads(text)
    return value if isinstance(value, dict) else None


def _to_canonical_json(request: Mapping[str, Any]) -> str:
    """Return the same text for the same request, whatever the order of its fields."""
    return json.dumps(request, separators=(",", ":"), default=str, sort_keys=True)


def _digest(gateway: str, request: str) -> int:
    """Return the number by which entries of the same request are found; their texts are compared too."""
    return int.from_bytes(hashlib.sha256(f"{gateway} {request}".encode()).digest()[:8], signed=True)


def _optional(convert: Any) -> Any:
    return lambda value: None if value is None else convert(value)


_TO_COLUMN: dict[str, Any] = {
    "id": str,
    "gateway": clean_text,
    "model": clean_text,
    "request": _to_canonical_json,
    "created_at": to_microseconds,
    "state": str,
    "key": _optional(index_text),
    "task_id": _optional(index_text),
    "reserved_usd": str,
    "billed_usd": _optional(str),
    "video": _optional(_to_json),
    "reason": _optional(clean_text),
    "sent_at": _optional(to_microseconds),
    "lost_at": _optional(to_microseconds),
    "abandoned": bool,
    "holder": _optional(clean_text),
    "held_until": _optional(to_microseconds),
    "updated_at": _optional(to_microseconds),
    "account": _optional(clean_text),
    "host": _optional(clean_text),
    "play_money": bool,
}
_STATES = frozenset(EntryState)


def to_state(value: str) -> EntryState:
    """Return the state of a row."""
    return EntryState(value) if value in _STATES else EntryState.UNKNOWN


_FROM_COLUMN: dict[str, Any] = {
    "request": _to_request,
    "created_at": _from_microseconds,
    "state": to_state,
    "reserved_usd": Decimal,
    "billed_usd": Decimal,
    "video": _to_video,
    "sent_at": _from_microseconds,
    "lost_at": _from_microseconds,
    "abandoned": bool,
    "play_money": bool,
    "held_until": _from_microseconds,
    "updated_at": _from_microseconds,
}
_FROM_ROW: tuple[Any, ...] = tuple(_FROM_COLUMN.get(name) for name in FIELDS)


def to_columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of an entry as columns, and amounts in trillionths of a dollar too."""
    row = {name: _TO_COLUMN[name](value) for name, value in changes.items()}
    if "reserved_usd" in changes:
        row["reserved"] = to_trillionths(changes["reserved_usd"])
    if "billed_usd" in changes:
        billed = changes["billed_usd"]
        row["billed"] = None if billed is None else to_trillionths(billed)
    return row


def to_row(entry: Entry) -> dict[str, Any]:
    """Return all columns of an entry."""
    row = to_columns({name: getattr(entry, name) for name in FIELDS})
    row["digest"] = _digest(row["gateway"], row["request"])
    row["counted"] = to_trillionths(entry.spent_usd)
    return row


def to_scopes(entry: Entry) -> list[dict[str, str]]:
    """Return the rows of an entry's scopes."""
    return [{"scope": index_text(scope), "entry_id": entry.id} for scope in entry.scopes]


def to_entry(row: Sequence[Any]) -> Entry:
    """Return the entry of a row that was read in the order of `FIELDS`, with its scopes, joined, as the last column."""
    *columns, scopes = row
    values = [
        value if value is None or convert is None else convert(value)
        for value, convert in zip(columns, _FROM_ROW, strict=True)
    ]
    joined = tuple(scopes.split(SCOPE_SEPARATOR)) if scopes else ()
    return Entry(**dict(zip(FIELDS, values, strict=True)), scopes=joined)


def to_entries(rows: Sequence[Sequence[Any]]) -> list[Entry]:
    """Return the entries of rows. One that cannot be read is logged and left out: it must not hide the others."""
    found: list[Entry] = []
    for row in rows:
        try:
            found.append(to_entry(row))
        except (ValueError, TypeError, ArithmeticError) as error:  # another version's state, or no JSON
            logger.warning("the journal entry %r cannot be read, and stays as it is: %s", row[0], type(error).__name__)
    return found
