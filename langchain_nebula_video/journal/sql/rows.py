"""An entry as a row of the database, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.journal.entries import Entry, EntryState, counted

__all__ = ["FIELDS", "as_entry", "as_row", "changed", "digest", "micros", "named", "text", "usd"]

FIELDS = (
    "id", "gateway", "model", "request", "created_at", "state", "key", "task_id", "reserved_usd", "billed_usd",
    "video", "reason", "sent_at", "lost_at", "abandoned", "holder", "held_until", "updated_at", "account",
)  # fmt: skip
"""The columns that are fields of an entry, in the order in which rows are read."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST = 2**63 - 1
_LONGEST_NAME = 500
"""Characters; PostgreSQL's indexes take 2,700 bytes."""


def micros(moment: datetime) -> int:
    """A moment as the database has it."""
    return (moment - _EPOCH) // _MICROSECOND


def _moment(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def text(value: str) -> str:
    """A text that every database takes: PostgreSQL has no NUL, and UTF-8 has no halves of characters."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def named(value: str) -> str:
    """A key or a task id, short enough for an index."""
    clean = text(value)
    if len(clean) <= _LONGEST_NAME:
        return clean
    return f"{clean[:_LONGEST_NAME]}… sha256:{hashlib.sha256(clean.encode()).hexdigest()}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _request(request: Mapping[str, Any]) -> str:
    """A request as the database has it: the same for the same request, whatever its order."""
    return json.dumps(request, separators=(",", ":"), default=str, sort_keys=True)


def digest(gateway: str, request: str) -> int:
    """Finds entries of the same request; what is found is compared."""
    return int.from_bytes(hashlib.sha256(f"{gateway} {request}".encode()).digest()[:8], signed=True)


def _trillionths(amount: Decimal) -> int:
    return min(int(counted(amount).scaleb(12)), _MOST)


def usd(trillionths: int) -> Decimal:
    """A sum as an amount of dollars, without zeros at its end."""
    amount = Decimal(trillionths).scaleb(-12).normalize()
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount


def _optional(convert: Any) -> Any:
    return lambda value: None if value is None else convert(value)


_TO_ROW: dict[str, Any] = {
    "id": str, "gateway": text, "model": text, "request": _request, "created_at": micros, "state": str,
    "key": _optional(named), "task_id": _optional(named), "reserved_usd": str, "billed_usd": _optional(str),
    "video": _optional(_json), "reason": _optional(text), "sent_at": _optional(micros),
    "lost_at": _optional(micros), "abandoned": bool, "holder": _optional(text), "held_until": _optional(micros),
    "updated_at": _optional(micros), "account": _optional(text),
}  # fmt: skip
_FROM_ROW: tuple[Any, ...] = tuple(
    {
        "request": json.loads, "created_at": _moment, "state": EntryState, "reserved_usd": Decimal,
        "billed_usd": Decimal, "video": json.loads, "sent_at": _moment, "lost_at": _moment, "abandoned": bool,
        "held_until": _moment, "updated_at": _moment,
    }.get(name)
    for name in FIELDS
)  # fmt: skip


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an entry as columns."""
    row = {name: _TO_ROW[name](value) for name, value in changes.items()}
    if "reserved_usd" in changes:
        row["reserved"] = _trillionths(changes["reserved_usd"])
    if "billed_usd" in changes:
        billed = changes["billed_usd"]
        row["billed"] = None if billed is None else _trillionths(billed)
    return row


def as_row(entry: Entry) -> dict[str, Any]:
    """All columns of an entry."""
    row = changed({name: getattr(entry, name) for name in FIELDS})
    row["digest"] = digest(row["gateway"], row["request"])
    row["counted"] = _trillionths(entry.spent_usd)
    return row


def as_entry(row: Sequence[Any]) -> Entry:
    """The entry of a row, read in the order of `FIELDS`."""
    values = [
        value if value is None or convert is None else convert(value)
        for value, convert in zip(row, _FROM_ROW, strict=True)
    ]
    return Entry(**dict(zip(FIELDS, values, strict=True)))
