"""Entries of the journal as the commands show them: as JSON data, as CSV, and by short ids."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.account import account_id, environment_key, resolve_base_url

__all__ = ["current_account", "entries_as_csv", "entry_as_dict", "is_elsewhere", "prompt_of", "short_id"]

_SHORT = 8
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet begins a formula (OWASP, "CSV Injection")."""


def entry_as_dict(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON data."""
    video = entry.video or {}
    return {
        "created_at": entry.created_at.isoformat(),
        "gateway": entry.gateway,
        "model": entry.model,
        "state": entry.state.value,
        "task_id": entry.task_id,
        "key": entry.key,
        "reserved_usd": str(entry.reserved_usd),
        "billed_usd": None if entry.billed_usd is None else str(entry.billed_usd),
        "url": video.get("url"),
        "expires_at": video.get("expires_at"),
        "path": video.get("path"),
        "reason": entry.reason,
        "id": entry.id,
        "prompt": prompt_of(entry),
        "host": entry.host,
        "play_money": entry.play_money,
        "elsewhere": is_elsewhere(entry),
    }


def entries_as_csv(entries: Iterable[Entry]) -> str:
    """Return entries as CSV with a line of column names. No cell begins a formula."""
    rows = [entry_as_dict(entry) for entry in entries]
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


# Without the URL: its signature opens the video to whoever gets the table.
_CSV_COLUMNS = (
    *("created_at", "gateway", "model", "state", "reserved_usd", "billed_usd"),
    *("prompt", "path", "task_id", "key", "reason", "host", "play_money", "id"),
)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def prompt_of(entry: Entry) -> str | None:
    """Return the prompt of an entry, or its template."""
    found = entry.request.get("prompt") or entry.request.get("template")
    return None if found is None else str(found)


def short_id(entry: Entry) -> str:
    """Return the beginning of the journal's own id, which names an entry that has no task."""
    return entry.id[:_SHORT]


def current_account(gateway: str) -> str | None:
    """Return the account that the environment names for a gateway; `None`: it names none."""
    row = GATEWAYS.get(gateway)
    try:
        key = None if row is None else environment_key(row)
        return None if row is None or key is None else account_id(resolve_base_url(row, None, allow_http=True), key)
    except InvalidRequestError:
        return None


def is_elsewhere(entry: Entry) -> bool:
    """Return whether an entry is of another address or key than the environment names, such as a former emulator's."""
    account = current_account(entry.gateway)
    return account is not None and entry.account not in {None, account}
