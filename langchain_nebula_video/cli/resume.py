"""The command `resume`: finishes and saves every task that the journal holds unfinished."""

# Typer reads the annotations, so they are evaluated here.
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.entries import entry_as_dict, is_elsewhere, short_id
from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.cli.output import Output, count_of
from langchain_nebula_video.cli.reconcile import find_lost_hint
from langchain_nebula_video.errors import NebulaVideoError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.protocols import PROTOCOLS
from langchain_nebula_video.saving.targets import check_target, exists
from langchain_nebula_video.schema import Video, dollars

__all__ = ["resume"]

_OPEN = (EntryState.SUBMITTING, EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED)
_URL_LIFETIME = timedelta(days=2)
"""An entry older than this has no URL that still works."""


def resume(
    ctx: typer.Context,
    *,
    out: opt.Out = opt.DEFAULT_OUT,
    download_host: opt.DownloadHosts = None,
    gateway: opt.GatewayFilter = None,
    allow_http: opt.AllowHttp = False,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    sole_account: opt.SoleAccount = False,
    as_json: opt.AsJson = False,
) -> None:
    """Wait for every unfinished task and save its video. Also save what is finished but not saved, while its URL works.

    An unconfirmed submit is looked up in the gateway's list of tasks, if there is one, and is reported.
    """
    output = Output(as_json=as_json)
    settings = {"timeout": timeout, "poll_interval": poll_interval, "sole_account": sole_account, **(ctx.obj or {})}
    with output.report_errors():
        check_target(out)
        journal = CommandJournal()
        saved: list[Video] = []
        failed: list[dict[str, Any]] = []
        for name in _open_gateways(journal, gateway, out):
            factory = ClientFactory(
                target=opt.GatewayOptions(gateway=name, allow_http=allow_http),
                out=out,
                download_hosts=download_host,
                settings=settings,
                journal=journal,
            )
            for outcome in _finish_tasks(output, factory):
                (saved if isinstance(outcome, Video) else failed).append(outcome)  # type: ignore[arg-type]
        unconfirmed = [
            entry
            for entry in journal.entries(states=[EntryState.UNCONFIRMED], gateway=gateway)
            if not is_elsewhere(entry)
        ]
        for entry in unconfirmed:
            stake = f"{dollars(entry.reserved_usd)} may have been spent" if entry.reserved_usd else "it may be paid for"
            output.print_message(
                f"Unconfirmed: {entry.model} at {entry.gateway}, {entry.created_at:%Y-%m-%d %H:%M:%S} UTC; {stake}. "
                f"{_next_step(entry)} If there is none: nebula-video forget {short_id(entry)}",
                style="yellow",
            )
        left_alone = _left_alone(journal, gateway)
        if left_alone:
            output.print_message(
                f"Left alone: {count_of(len(left_alone), 'task')} at another address, or of another key, than the "
                "environment names now. Set these, or write the tasks off: nebula-video forget "
                + " ".join(printable(entry.task_id or short_id(entry)) for entry in left_alone[:3])
                + (" …" if len(left_alone) > 3 else "")
            )
        data = {
            "saved": [{"task_id": video.task_id, "path": video.path} for video in saved],
            "failed": failed,
            "unconfirmed": [entry_as_dict(entry) for entry in unconfirmed],
            "left_alone": [entry_as_dict(entry) for entry in left_alone],
        }
        output.print_result(data, "\n".join(printable(video.path) for video in saved))
        output.print_message(f"{len(saved)} saved, {len(failed)} not, {len(unconfirmed)} unconfirmed.")
    if failed:
        raise typer.Exit(Exit.FAILURE)
    if unconfirmed:
        raise typer.Exit(Exit.UNCONFIRMED)


def _next_step(entry: Entry) -> str:
    """Return what a person can do about an unconfirmed submit, after the gateway's list was searched."""
    row = GATEWAYS.get(entry.gateway)
    listed = row is not None and PROTOCOLS[row.protocol].extensions is not None
    return "Look for it in the gateway's console." if listed else find_lost_hint(row)


def _open_gateways(journal: CommandJournal, wanted: str | None, out: str | None) -> list[str]:
    """Return the gateways that have an open task, or a recent video that was not saved."""
    recent = journal.entries(states=[EntryState.SUCCEEDED], since=datetime.now(UTC) - _URL_LIFETIME)
    unsaved = [entry for entry in recent if not _is_saved(entry, out)]
    reachable = [entry for entry in journal.entries(states=_OPEN) if not is_elsewhere(entry)]
    names = {entry.gateway for entry in [*reachable, *unsaved]}
    return sorted(name for name in names if wanted in {None, name})


def _finish_tasks(output: Output, factory: ClientFactory) -> Iterator[Video | dict[str, Any]]:
    """Yield each video of one gateway, or the error as JSON data."""
    name = factory.target.gateway
    try:
        with factory.client() as client:
            left_alone = {entry.task_id for entry in _left_alone(factory.journal, name)}
            waiting = [task.task_id for task in client.resume() if task.task_id not in left_alone]
            waiting += [entry.task_id for entry in _unsaved_entries(factory, name) if entry.task_id]
            for task_id in waiting:
                try:
                    video = client.wait(task_id)
                except NebulaVideoError as error:
                    output.print_message(str(error), style="bold red")
                    yield {"task_id": task_id, "error": type(error).__name__, "message": str(error)}
                else:
                    output.print_message(f"Saved: {printable(video.path)}")
                    yield video
    except NebulaVideoError as error:  # no key or no address: the other gateways are still finished
        output.print_message(str(error), style="bold red")
        yield {"gateway": name, "error": type(error).__name__, "message": str(error), "exit": int(exit_for(error))}


def _left_alone(journal: CommandJournal, gateway: str | None) -> list[Entry]:
    """Return the unfinished entries that no account of the environment can look at: asking would only fail."""
    return [entry for entry in journal.entries(states=_OPEN, gateway=gateway) if is_elsewhere(entry)]


def _unsaved_entries(factory: ClientFactory, gateway: str) -> list[Entry]:
    """Return the entries whose video is in no file and can still be fetched."""
    now = datetime.now(UTC)
    made = factory.journal.entries(states=[EntryState.SUCCEEDED], gateway=gateway, since=now - _URL_LIFETIME)
    return [entry for entry in made if not _is_saved(entry, factory.out) and _expiry(entry) > now]


def _is_saved(entry: Entry, out: str | None) -> bool:
    path = (entry.video or {}).get("path")
    return path is not None and exists(path, out)


def _expiry(entry: Entry) -> datetime:
    expires_at = (entry.video or {}).get("expires_at")
    return datetime.fromisoformat(expires_at) if expires_at else entry.created_at
