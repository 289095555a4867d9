"""The command `forget`: lets go of an entry whose money is not settled, after a confirmation that nobody overlooks."""

# Typer reads the annotations, so they are evaluated here.
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import typer

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.confirmation import ask_for_word
from langchain_nebula_video.cli.entries import entry_as_dict, short_id
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import InvalidRequestError, Money, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.journal.entries import FORGETTABLE_STATES
from langchain_nebula_video.journal.table import prompt_of
from langchain_nebula_video.lifecycle.lease import is_alive, is_dead
from langchain_nebula_video.schema import dollars

__all__ = ["forget"]

_MIN_PREFIX = 4
_WRITTEN_OFF = "written off by hand on {:%Y-%m-%d}; it may have been billed"
_WORD = "forget"

_Tasks = Annotated[
    list[str],
    typer.Argument(metavar="TASK...", help="A task's id, or the id that tasks shows of a submit without one."),
]
_AcceptLoss = Annotated[
    str | None,
    typer.Option(
        "--accept-loss",
        metavar="USD",
        help="What may be lost, exactly as the question names it: then nobody is asked.",
    ),
]


def forget(*, tasks: _Tasks, accept_loss: _AcceptLoss = None, as_json: opt.AsJson = False) -> None:
    """Let go of a task or submit that nobody can settle any more. What it may have cost counts in no budget then.

    A submit in doubt is deleted, and its key is free: the same request pays again. A task that never ends, such as one
    of an emulator that is gone, is written off: its row stays, as canceled. What is settled stays as it is.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        journal = CommandJournal()
        found = list({entry.id: entry for entry in (_find(journal, name) for name in tasks)}.values())
        for entry in found:
            _check(entry)
        for entry in found:
            _warn(output, entry)
        stake = sum((entry.reserved_usd for entry in found), Decimal(0))
        word = dollars(stake).removeprefix("$") if stake else _WORD
        if not _is_accepted(output, word, accept_loss):
            output.print_message("Nothing was forgotten.")
            raise typer.Exit(Exit.FAILURE)
        data = [{**entry_as_dict(entry), "forgotten": _let_go(journal, entry)} for entry in found]
        kept = [row for row in data if not row["forgotten"]]
        output.print_result({"tasks": data})
        changed = f", {len(kept)} not: something has changed meanwhile" if kept else ""
        output.print_message(f"{len(data) - len(kept)} forgotten{changed}.")
    if kept:
        raise typer.Exit(Exit.FAILURE)


def _find(journal: CommandJournal, name: str) -> Entry:
    """Return the entry of a task's id, or of the beginning of the journal's own id."""
    at_gateways = (journal.find(gateway=gateway, task_id=name) for gateway in GATEWAYS)
    found: list[Entry] = [entry for entry in at_gateways if entry is not None]
    if not found and len(name) >= _MIN_PREFIX:
        found = [entry for entry in journal.entries(states=FORGETTABLE_STATES) if entry.id.startswith(name)]
    if len(found) != 1:
        what = "There is no task" if not found else f"There are {len(found)} tasks"
        raise InvalidRequestError(f"{what} {name!r} in the journal.", hint="nebula-video tasks lists them.")
    return found[0]


def _check(entry: Entry) -> None:
    """Refuse what is settled, and what a process is working on.

    Raises:
        InvalidRequestError: it must not be forgotten.
    """
    named = printable(entry.task_id or short_id(entry))
    if not entry.unfinished and entry.state not in FORGETTABLE_STATES:
        raise InvalidRequestError(
            f"Task {named} is settled ({entry.state}).",
            money=Money.SPENT if entry.spent_usd else Money.REFUSED,
            hint="The journal keeps it, as the record of what was paid.",
        )
    held = entry.held_until is not None and entry.held_until > datetime.now(UTC) and not is_dead(entry.holder)
    if held or is_alive(entry.holder):
        raise InvalidRequestError(
            f"A command is working on {named} now.", money=Money.RUNNING, hint="End that command first."
        )


def _warn(output: Output, entry: Entry) -> None:
    row = GATEWAYS.get(entry.gateway)
    place = (entry.gateway if row is None else row.title) + (f" ({entry.host})" if entry.host else "")
    what = f"Task {entry.task_id}" if entry.task_id else f"The submit {short_id(entry)}, whose answer was lost,"
    stake = dollars(entry.reserved_usd) if entry.reserved_usd else "a price that is not known"
    output.print_message(f"{what} at {place}, {entry.created_at:%Y-%m-%d %H:%M} UTC: {entry.model}", style="bold red")
    if prompt_of(entry):
        output.print_message(f"  {prompt_of(entry)}")
    money = ", in play money" if entry.play_money else ""
    told = f"  It may be billed, or has been: {stake}{money}. No budget will count that any more."
    output.print_message(told, style="red")
    if entry.task_id is None:
        output.print_message("  The same request will be paid for again. Look at the gateway's console first.")
    else:
        output.print_message(f"  If it still runs, its video is yours: nebula-video wait {printable(entry.task_id)}")


def _is_accepted(output: Output, word: str, accept_loss: str | None) -> bool:
    if accept_loss is None:
        return ask_for_word(output, word, "--accept-loss")
    if accept_loss.removeprefix("$") != word:
        raise InvalidRequestError(
            f"--accept-loss is {accept_loss}, and what may be lost is {word}.", hint="Give exactly this."
        )
    return True


def _let_go(journal: CommandJournal, entry: Entry) -> bool:
    """Delete a submit in doubt, or write a task off. Returns whether that was done."""
    if entry.task_id is None:
        return bool(journal.forget(entry.id))
    try:
        _check(_find(journal, entry.task_id))
    except InvalidRequestError:  # while the question was open, it has ended, or a command has taken it up
        return False
    reason = _WRITTEN_OFF.format(datetime.now(UTC))
    journal.update(entry.id, state=EntryState.CANCELED, reason=reason, abandoned=False, holder=None, held_until=None)
    return True
