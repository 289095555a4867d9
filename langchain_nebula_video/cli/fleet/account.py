"""The command `fleet account`: limits, pauses and resumes an account, and replaces its key."""

# Typer reads the annotations, so they are evaluated here.
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.confirmation import ask
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.fleet.place import DatabaseUrl, do, open_fleet
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.words import amount

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import Fleet

__all__ = ["account"]

_Mark = Annotated[str, typer.Argument(metavar="MARK", help="The account's mark, as status shows it.")]
_Cap = Annotated[int | None, typer.Option("--cap", min=0, help="The most videos under way at once; 0: no limit.")]
_Rate = Annotated[int | None, typer.Option("--rate", min=0, help="The most videos begun in a minute; 0: no limit.")]
_Pause = Annotated[bool, typer.Option("--pause", help="Begin nothing more with it.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with it, after a pause of yours or of an error.")]
_NewKey = Annotated[
    bool,
    typer.Option(
        "--new-key", help="Pay its batches with the key in the environment from now on: the old one was taken back."
    ),
]
_Sure = Annotated[bool, typer.Option("--yes", "-y", help="Give the new key without being asked.")]


def account(
    *,
    mark: _Mark,
    cap: _Cap = None,
    rate: _Rate = None,
    pause: _Pause = False,
    resume: _Resume = False,
    new_key: _NewKey = False,
    yes: _Sure = False,
    database: DatabaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Limit, pause or resume an account, or give its batches a new key.

    An account is a key at a gateway. Its mark tells neither. Before another key pays, you are asked.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        limits = cap is not None or rate is not None
        if pause and resume:
            raise InvalidRequestError("--pause and --resume exclude each other.", hint="Choose one.")
        if new_key and (limits or pause or resume):
            raise InvalidRequestError("--new-key stands alone.", hint="Then change the new account, which it names.")
        if not (new_key or limits or pause or resume):
            raise InvalidRequestError(
                "There is nothing to change.", hint="Give --cap, --rate, --pause, --resume or --new-key."
            )
        if new_key:
            _replace_key(output, fleet, mark, yes=yes)
            return
        do(fleet.change_account(mark, cap=cap, rate=rate, paused=pause or (False if resume else None)))
        found = next(each for each in do(fleet.status(errors=0)).accounts if each.id == mark)
        limited = [f"at most {found.cap} at once" if found.cap else "", f"{found.rate} a minute" if found.rate else ""]
        state = "is paused" if found.paused_until is not None else "is not paused"
        output.print_message(f"Account {mark} {state}; {', '.join(filter(None, limited)) or 'no limits'}.")
        paused = found.paused_until is not None
        output.print_result({"account": mark, "cap": found.cap, "rate": found.rate, "paused": paused})


def _replace_key(output: Output, fleet: "Fleet", mark: str, *, yes: bool) -> None:
    found = [each for each in do(fleet.status(errors=0)).batches if each.account == mark]
    if found and not yes:
        listed = ", ".join(each.name for each in found)
        output.print_message(
            f"Account {mark} pays for {listed}: {amount(sum((each.estimate for each in found), Decimal(0)))} to come."
        )
        if not ask(output, "Pay that with the key that is here?", "this changes who pays", "to change it"):
            output.print_message("Declined. Nothing was changed.")
            raise typer.Exit(Exit.FAILURE)
    new, names = do(fleet.replace_key(mark))
    told = (
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} paid with account {new}"
        if names
        else "no batch had it"
    )
    output.print_message(f"Account {mark}: {told}. Workers need the new key too: restart them with it.")
    output.print_result({"account": mark, "new_account": new, "batches": names})
