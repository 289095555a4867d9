"""The command `fleet status`: how the fleet is, and what needs a person."""

# Typer reads the annotations, so they are evaluated here.
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.fleet.place import DatabaseUrl, do, open_fleet
from langchain_nebula_video.cli.fleet.report import as_data, report
from langchain_nebula_video.cli.fleet.watch import watch_fleet
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.fleet.troubles import Trouble, TroubleKind, find_troubles
from langchain_nebula_video.fleet.words import count_all

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import Failure, Fleet, FleetStatus

__all__ = ["status"]

_Batch = Annotated[str | None, typer.Argument(metavar="BATCH", help="Only this batch. Default: all.")]
_Watch = Annotated[bool, typer.Option("--watch", help="Show it again and again, with the throughput, until Ctrl-C.")]
_Broken = Annotated[bool, typer.Option("--broken", help="List the batch's broken rows instead.")]
_Failed = Annotated[bool, typer.Option("--failed", help="List the batch's failed and unconfirmed videos instead.")]
_LONGEST_PROMPT = 80


def status(
    *,
    batch: _Batch = None,
    watch: _Watch = False,
    broken: _Broken = False,
    failed: _Failed = False,
    database: DatabaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Show batches, money, workers, accounts, and what needs a person. The exit code tells whether anything does.

    It is 7 if submits are unconfirmed, 1 if a batch stands still, 5 if videos have failed, else 0.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        if watch + broken + failed > 1 or (watch and as_json):
            raise InvalidRequestError(
                "--watch, --broken, --failed and --json are ways to show it.",
                hint="Choose one; --json goes with --broken and --failed.",
            )
        fleet = open_fleet(output, database)
        if broken:
            _print_broken(output, fleet, batch)
            return
        if failed:
            _print_failed(output, fleet, batch)
            return
        if watch:
            watch_fleet(output, lambda: _look(fleet, batch))
            return
        found, troubles = _look(fleet, batch)
        lines = report(found, troubles)
        for line in lines:
            line.no_wrap = not sys.stdout.isatty()
            line.overflow = "ignore" if line.no_wrap else "fold"
        output.print_result(as_data(found, troubles), Group(*lines))
    code = _exit_code(troubles)
    if code is not Exit.OK:
        raise typer.Exit(code)


def _look(fleet: "Fleet", batch: str | None) -> tuple["FleetStatus", list[Trouble]]:
    """Return how the fleet is, and its troubles: with a batch, those that concern it."""
    found = do(fleet.status(batch))
    troubles = find_troubles(found)
    if batch is not None:
        concerned = {batch, *(each.account for each in found.batches)}
        troubles = [each for each in troubles if each.about in concerned or each.kind is TroubleKind.NOTICE]
    return found, troubles


def _exit_code(troubles: list[Trouble]) -> Exit:
    codes = {
        TroubleKind.UNCONFIRMED: Exit.UNCONFIRMED,
        TroubleKind.STANDSTILL: Exit.FAILURE,
        TroubleKind.FAILED: Exit.TASK,
        TroubleKind.NOTICE: Exit.OK,
    }
    return codes[troubles[0].kind] if troubles else Exit.OK  # the worst is the first


def _print_broken(output: Output, fleet: "Fleet", batch: str | None) -> None:
    if batch is None:
        raise InvalidRequestError("--broken is for one batch.", hint="nebula-video fleet status BATCH --broken")
    rows = do(fleet.broken(batch))
    text = "\n".join(f"{printable(place)}: {printable(reason)}" for place, reason in rows)
    output.print_result({"broken": [{"where": place, "reason": reason} for place, reason in rows]}, text)
    output.print_message(f"{count_all(len(rows), 'broken row')}.")


def _print_failed(output: Output, fleet: "Fleet", batch: str | None) -> None:
    if batch is None:
        raise InvalidRequestError("--failed is for one batch.", hint="nebula-video fleet status BATCH --failed")
    found = do(fleet.failures(batch))
    output.print_result({"failed": [asdict(each) for each in found]}, "\n".join(map(_tell_failure, found)))
    output.print_message(f"{count_all(len(found), 'failed or unconfirmed video')}.")


def _tell_failure(item: "Failure") -> str:
    """Return a line: number, image or prompt, tag, state and error."""
    prompt = item.prompt if len(item.prompt) <= _LONGEST_PROMPT else f"{item.prompt[:_LONGEST_PROMPT]}…"
    tag = "" if item.tag is None else f", tag {json.dumps(item.tag, ensure_ascii=False)}"
    return printable(f"{item.number}: {item.image or prompt}{tag}: {item.state}: {item.error}")
