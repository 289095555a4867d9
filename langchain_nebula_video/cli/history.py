"""The commands for what the journal holds: tasks and resume."""

# Typer reads the annotations, so they are evaluated here.
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.cli.journal import Book
from langchain_nebula_video.cli.output import Voice
from langchain_nebula_video.cli.prepare import Access
from langchain_nebula_video.errors import NebulaVideoError
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.saving.storage import check_target, is_there
from langchain_nebula_video.schema import Video, dollars

__all__ = ["resume", "tasks"]

_Gateway = Annotated[str | None, typer.Option("--gateway", help="Of this gateway alone.")]
_State = Annotated[
    list[EntryState] | None, typer.Option("--state", help="In this state alone; may be repeated.", show_choices=True)
]
_Days = Annotated[float | None, typer.Option("--days", min=0, help="Not older than this.")]
_Limit = Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")]
_WIDE = 120
"""Columns from which on there is room for the model and the file."""
_OPEN = (EntryState.SUBMITTING, EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED)


def tasks(
    *,
    gateway: _Gateway = None,
    state: _State = None,
    days: _Days = None,
    limit: _Limit = 20,
    as_json: opt.AsJson = False,
) -> None:
    """List what was paid for, or may have been: every task that this command line has made, and the totals."""
    voice = Voice(as_json=as_json)
    with voice.reporting():
        since = None if days is None else datetime.now(UTC) - timedelta(days=days)
        found = Book().entries(states=state, gateway=gateway, since=since, newest_first=True)
        totals = _totals(found)
        shown = found[:limit]
        voice.answer({"tasks": [_plain(entry) for entry in shown], "totals": totals}, _table(shown))
        counts = ", ".join(f"{count} {name}" for name, count in totals["states"].items()) or "none"
        voice.say(
            f"{len(found)} in all: {counts}. Billed {totals['billed_usd']}, reserved {totals['reserved_usd']} USD."
        )


def _totals(found: Sequence[Entry]) -> dict[str, Any]:
    billed = sum((entry.billed_usd or Decimal(0) for entry in found), Decimal(0))
    spent = sum((entry.spent_usd for entry in found), Decimal(0))
    states = Counter(entry.state.value for entry in found)
    return {"count": len(found), "states": dict(states), "billed_usd": str(billed), "reserved_usd": str(spent - billed)}


def _table(found: Sequence[Entry]) -> Table:
    """A line a task; the id is there to be copied, so it is never broken, and the rest makes room for it."""
    wide = shutil.get_terminal_size().columns >= _WIDE
    columns: list[str | Column] = ["Made (UTC)", "State", Column("USD", justify="right"), Column("Task", no_wrap=True)]
    columns += ["Model", Column("Saved as", overflow="fold")] if wide else []
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for entry in found:
        told = [f"{entry.created_at:%Y-%m-%d %H:%M}", entry.state.value, dollars(entry.spent_usd), entry.task_id or "?"]
        table.add_row(*told, *([entry.model, str((entry.video or {}).get("path") or "")] if wide else []))
    return table


def _plain(entry: Entry) -> dict[str, Any]:
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


def resume(
    ctx: typer.Context,
    *,
    out: opt.Out = opt.HERE,
    download_host: opt.DownloadHosts = None,
    gateway: _Gateway = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    as_json: opt.AsJson = False,
) -> None:
    """Finish all that is unfinished: wait for it, save it; save what was not saved while its URL lives.

    What is unconfirmed is looked for where the gateway lists its tasks, and told.
    """
    voice = Voice(as_json=as_json)
    settings = {"timeout": timeout, "poll_interval": poll_interval, **(ctx.obj or {})}
    with voice.reporting():
        check_target(out)
        book = Book()
        saved: list[Video] = []
        failed: list[dict[str, Any]] = []
        for name in _gateways(book, gateway):
            access = Access(
                place=opt.Place(gateway=name), out=out, download_hosts=download_host, settings=settings, journal=book
            )
            for outcome in _finished(voice, access, book):
                (saved if isinstance(outcome, Video) else failed).append(outcome)  # type: ignore[arg-type]
        unconfirmed = book.entries(states=[EntryState.UNCONFIRMED], gateway=gateway)
        for entry in unconfirmed:
            stake = f"{dollars(entry.reserved_usd)} may have been spent" if entry.reserved_usd else "it may be paid for"
            voice.say(
                f"Unconfirmed: {entry.model} at {entry.gateway}, {entry.created_at:%Y-%m-%d %H:%M:%S} UTC; {stake}. "
                "Look for it in the gateway's console.",
                style="yellow",
            )
        told = {
            "saved": [{"task_id": video.task_id, "path": video.path} for video in saved],
            "failed": failed,
            "unconfirmed": [_plain(entry) for entry in unconfirmed],
        }
        voice.answer(told, "\n".join(str(video.path) for video in saved))
        voice.say(f"{len(saved)} saved, {len(failed)} not, {len(unconfirmed)} unconfirmed.")
    if failed:
        raise typer.Exit(Exit.FAILURE)
    if unconfirmed:
        raise typer.Exit(Exit.UNCONFIRMED)


def _gateways(book: Book, wanted: str | None) -> list[str]:
    """The gateways at which something is open, or was made within the last day."""
    lately = book.entries(states=[EntryState.SUCCEEDED], since=datetime.now(UTC) - timedelta(days=2))
    unsaved = [entry for entry in lately if not _is_saved(entry)]
    names = {entry.gateway for entry in [*book.entries(states=_OPEN), *unsaved]}
    return sorted(name for name in names if wanted in {None, name})


def _finished(voice: Voice, access: Access, book: Book) -> Iterator[Video | dict[str, Any]]:
    """The videos of one gateway, and what could not be had."""
    name = access.place.gateway
    try:
        with access.client() as client:
            waiting = [task.task_id for task in client.resume()]
            waiting += [entry.task_id for entry in _unsaved(book, name) if entry.task_id]
            for task_id in waiting:
                try:
                    video = client.wait(task_id)
                except NebulaVideoError as error:
                    voice.say(str(error), style="bold red")
                    yield {"task_id": task_id, "error": type(error).__name__, "message": str(error)}
                else:
                    voice.say(f"Saved: {video.path}")
                    yield video
    except NebulaVideoError as error:  # no key, no address: the other gateways are seen to all the same
        voice.say(str(error), style="bold red")
        yield {"gateway": name, "error": type(error).__name__, "message": str(error), "exit": int(exit_for(error))}


def _unsaved(book: Book, gateway: str) -> list[Entry]:
    """What was made, is in no file, and can still be fetched."""
    now = datetime.now(UTC)
    made = book.entries(states=[EntryState.SUCCEEDED], gateway=gateway, since=now - timedelta(days=2))
    return [entry for entry in made if not _is_saved(entry) and _expires(entry) > now]


def _is_saved(entry: Entry) -> bool:
    path = (entry.video or {}).get("path")
    return path is not None and is_there(path)


def _expires(entry: Entry) -> datetime:
    told = (entry.video or {}).get("expires_at")
    return datetime.fromisoformat(told) if told else entry.created_at
