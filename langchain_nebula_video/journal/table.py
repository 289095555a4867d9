"""Entries as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from langchain_nebula_video.display.player import text_without_secrets
from langchain_nebula_video.journal.entries import Entry

__all__ = ["entries_as_csv", "prompt_of"]

# Without the video's URL: its signature opens the video to whoever gets the table.
_COLUMNS = (
    *("created_at", "gateway", "model", "state", "reserved_usd", "billed_usd"),
    *("prompt", "path", "task_id", "key", "reason", "host", "play_money", "id"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""With these a spreadsheet begins a formula (OWASP, "CSV Injection")."""


def entries_as_csv(entries: Iterable[Entry]) -> str:
    """Return entries as CSV with a line of column names. No cell begins a formula, and no reason has a signature."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in entries:
        found = {
            "created_at": entry.created_at.isoformat(),
            "state": entry.state.value,
            "prompt": prompt_of(entry),
            "reason": None if entry.reason is None else text_without_secrets(entry.reason),
            "path": (entry.video or {}).get("path"),
        }
        writer.writerow(_cell(found.get(name, getattr(entry, name, None))) for name in _COLUMNS)
    # Half a surrogate pair, as in the name of a file that is no UTF-8, can be written in no encoding.
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def prompt_of(entry: Entry) -> str | None:
    """Return the prompt of an entry, or its template."""
    found = entry.request.get("prompt") or entry.request.get("template")
    return None if found is None else str(found)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
