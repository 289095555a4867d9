"""The command `tasks`: the entries of the journal, and their totals."""

# Typer reads the annotations, so they are evaluated here.
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.journal.entries import Summary
from langchain_nebula_video.schema import dollars

__all__ = ["entry_as_dict", "tasks"]

_State = Annotated[
    list[EntryState] | None, typer.Option("--state", help="Only in this state; may be repeated.", show_choices=True)
]
_Days = Annotated[float | None, typer.Option("--days", min=0, help="Only from this many last days.")]
_Limit = Annotated[int, typer.Option("--limit", min=1, help="At most this many, newest first.")]
_WIDE = 120
"""From this width on, the table has room for the model and the file."""


def tasks(
    *,
    gateway: opt.GatewayFilter = None,
    state: _State = None,
    days: _Days = None,
    limit: _Limit = 20,
    as_json: opt.AsJson = False,
) -> None:
    """List every task that this command line has submitted, with the totals."""
    output = Output(as_json=as_json)
    with output.report_errors():
        since = None if days is None else datetime.now(UTC) - timedelta(days=days)
        filters: dict[str, Any] = {"states": state, "gateway": gateway, "since": since}
        journal = CommandJournal()
        listed = journal.entries(**filters, newest_first=True, limit=limit)
        totals = _totals(journal.summarize(**filters))
        output.print_result({"tasks": [entry_as_dict(entry) for entry in listed], "totals": totals}, _table(listed))
        counts = ", ".join(f"{count} {name}" for name, count in totals["states"].items()) or "none"
        output.print_message(
            f"{totals['count']} in all: {counts}. Billed {totals['billed_usd']}, reserved {totals['reserved_usd']} USD."
        )


def _totals(summary: Summary) -> dict[str, Any]:
    return {
        "count": summary.count,
        "states": {state.value: summary.states[state] for state in EntryState if state in summary.states},
        "billed_usd": str(summary.billed_usd),
        "reserved_usd": str(summary.spent_usd - summary.billed_usd),
    }


def _table(found: Sequence[Entry]) -> Table:
    """Return a table of one line per task. A task's id is never broken, so that it can be copied."""
    wide = shutil.get_terminal_size().columns >= _WIDE
    columns: list[str | Column] = ["Made (UTC)", "State", Column("USD", justify="right"), Column("Task", no_wrap=True)]
    columns += ["Model", Column("Saved as", overflow="fold")] if wide else []
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for entry in found:
        cells = [
            f"{entry.created_at:%Y-%m-%d %H:%M}",
            entry.state.value,
            dollars(entry.spent_usd),
            printable(entry.task_id or "?"),
        ]
        path = (entry.video or {}).get("path") or ""
        table.add_row(*cells, *([printable(entry.model), printable(path)] if wide else []))
    return table


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
    }
