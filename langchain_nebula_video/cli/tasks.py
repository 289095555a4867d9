"""The command `tasks`: the entries of the journal, and their totals."""

# Typer reads the annotations, so they are evaluated here.
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import ConsoleRenderable, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.entries import entry_as_dict, is_elsewhere, short_id
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.display.player import text_without_secrets
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.journal.entries import Summary
from langchain_nebula_video.journal.table import entries_as_csv, prompt_of
from langchain_nebula_video.schema import dollars

__all__ = ["tasks"]

_State = Annotated[
    list[EntryState] | None, typer.Option("--state", help="Only in this state; may be repeated.", show_choices=True)
]
_Days = Annotated[float | None, typer.Option("--days", min=0, help="Only from this many last days.")]
_Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most this many, newest first. Default: 20; with --csv all.")
]
_AsCsv = Annotated[bool, typer.Option("--csv", help="As CSV on stdout, with prompts, files and costs.")]
_Watch = Annotated[bool, typer.Option("--watch", help="Show it again whenever it changes, until Ctrl-C.")]
_DEFAULT_LIMIT = 20
_WIDE = 140
"""From this width on, each task has one line. Below, a second one has its model, its prompt and its file."""
_WATCH_SECONDS = 2.0
_ELSEWHERE = "*"
_PLAY_MONEY = "+"
_OPEN = frozenset({EntryState.SUBMITTING, EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED})


def tasks(
    *,
    gateway: opt.GatewayFilter = None,
    state: _State = None,
    days: _Days = None,
    limit: _Limit = None,
    watch: _Watch = False,
    as_csv: _AsCsv = False,
    as_json: opt.AsJson = False,
) -> None:
    """List every task that this command line has submitted, with the totals."""
    output = Output(as_json=as_json)
    with output.report_errors():
        if as_csv + as_json + watch > 1:
            raise InvalidRequestError("--csv, --json and --watch are three ways to show it.", hint="Choose one.")
        since = None if days is None else datetime.now(UTC) - timedelta(days=days)
        filters: dict[str, Any] = {"states": state, "gateway": gateway, "since": since}
        journal = CommandJournal()
        most = limit or (None if as_csv else _DEFAULT_LIMIT)

        def look() -> tuple[list[Entry], dict[str, Any]]:
            found = journal.entries(**filters, newest_first=True, limit=most)
            return found, _totals(journal.summarize(**filters))

        if watch:
            _show_changes(output, look)
            return
        listed, totals = look()
        if as_csv:
            output.write(entries_as_csv(listed))
        else:
            data = {"tasks": [entry_as_dict(entry) for entry in listed], "totals": totals}
            output.print_result(data, _table(listed, sys.stdout.isatty(), output.width))
        output.print_message(_totals_line(totals))
        _print_hints(output, listed)


def _show_changes(output: Output, look: Callable[[], tuple[list[Entry], dict[str, Any]]]) -> None:
    """Show the list again and again; without a terminal, print a line for each task that has changed."""
    states: dict[str, tuple[EntryState, str | None]] = {}
    try:
        if output.live:
            with Live(console=output.console, auto_refresh=False, screen=True) as live:
                while True:
                    listed, totals = look()
                    table = _table(listed, True, output.width)
                    live.update(Group(Text(_totals_line(totals)), table), refresh=True)
                    time.sleep(_WATCH_SECONDS)
        while True:
            for entry in reversed(look()[0]):
                seen = (entry.state, (entry.video or {}).get("path"))
                if states.get(entry.id) != seen:
                    states[entry.id] = seen
                    output.write(_line(entry) + "\n")
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def _totals(summary: Summary) -> dict[str, Any]:
    return {
        "count": summary.count,
        "states": {state.value: summary.states[state] for state in EntryState if state in summary.states},
        "billed_usd": str(summary.billed_usd),
        "reserved_usd": str(summary.spent_usd - summary.billed_usd),
    }


def _totals_line(totals: dict[str, Any]) -> str:
    if not totals["count"]:
        return "No task so far. The first one: nebula-video generate IMAGE PROMPT"
    counts = ", ".join(f"{count} {name}" for name, count in totals["states"].items())
    return f"{totals['count']} in all: {counts}. Billed {totals['billed_usd']}, reserved {totals['reserved_usd']} USD."


def _print_hints(output: Output, listed: Sequence[Entry]) -> None:
    if any(entry.play_money for entry in listed):
        output.print_message(f"{_PLAY_MONEY} Play money: an emulator took the task, and nothing was really paid.")
    if any(map(_is_marked, listed)):
        output.print_message(
            f"{_ELSEWHERE} At another address, or of another key, than the environment names now: an emulator that is "
            "gone, say. nebula-video resume leaves it alone; nebula-video forget writes it off."
        )
    lost = next((entry for entry in listed if entry.state is EntryState.UNCONFIRMED), None)
    if lost is not None:
        output.print_message(
            "A submit is in doubt: nebula-video reconcile looks for it. If the gateway's console has no task of that "
            f"moment: nebula-video forget {short_id(lost)}"
        )


def _is_marked(entry: Entry) -> bool:
    return entry.state in _OPEN and is_elsewhere(entry)


def _cells(entry: Entry) -> dict[str, str]:
    """Return what is shown of an entry. A submit without a task has the journal's own id."""
    path = (entry.video or {}).get("path") or ""
    return {
        "made": f"{entry.created_at:%Y-%m-%d %H:%M}",
        "state": entry.state.value + (_ELSEWHERE if _is_marked(entry) else ""),
        "usd": dollars(entry.spent_usd) + (_PLAY_MONEY if entry.play_money else ""),
        "task": printable(entry.task_id or f"none, id {short_id(entry)}"),
        "model": printable(entry.model),
        "prompt": printable(prompt_of(entry) or ""),
        "path": printable(path),
        "reason": printable(text_without_secrets(entry.reason or "")),
    }


def _line(entry: Entry) -> str:
    cells = _cells(entry)
    told = [cells[name] for name in ("made", "state", "usd", "task", "model", "prompt", "path")]
    return "  ".join(filter(None, told))


def _table(found: Sequence[Entry], cut: bool, width: int) -> ConsoleRenderable | str:
    """Return a table of the entries. A task's id is never broken, so that it can be copied.

    Args:
        found: The entries.
        cut: Whether long prompts are cut: on a terminal.
        width: Columns of the terminal.
    """
    if not found:
        return ""
    if width >= _WIDE:
        table = Table(
            "Made (UTC)",
            "State",
            Column("USD", justify="right"),
            Column("Task", no_wrap=True),
            "Model",
            Column("Prompt", overflow="ellipsis", no_wrap=cut),
            Column("Saved as", overflow="fold"),
            box=SIMPLE_HEAD,
            pad_edge=False,
        )
        for entry in found:
            cells = _cells(entry)
            table.add_row(*(cells[name] for name in ("made", "state", "usd", "task", "model", "prompt", "path")))
        return table
    rows: list[Text] = []
    for entry in found:
        cells = _cells(entry)
        what = f"  {cells['model']}: {cells['prompt']}"
        rows.append(
            Text(
                f"{cells['made']}  {cells['state']:<12}  {cells['usd']:>9}  {cells['task']}",
                no_wrap=True,
                overflow="ignore",
            )
        )
        rows.append(Text(what, style="dim", no_wrap=True, overflow="ellipsis"))
        if cells["path"] or cells["reason"]:  # a path is never broken either
            rows.append(Text(f"  → {cells['path'] or cells['reason']}", style="dim", no_wrap=True, overflow="ignore"))
    return Group(*rows)
