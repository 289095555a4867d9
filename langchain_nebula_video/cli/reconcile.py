"""The command `reconcile`: compares the journal with the log of the key at the gateway."""

# Typer reads the annotations, so they are evaluated here.
import shlex
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.confirmation import ask
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.output import Output, as_dict
from langchain_nebula_video.errors import printable
from langchain_nebula_video.protocols import PROTOCOLS
from langchain_nebula_video.schema import LostSubmit, Reconciliation, dollars

__all__ = ["find_lost_hint", "reconcile"]

_Take = Annotated[
    list[str] | None,
    typer.Option("--take", metavar="TASK_ID", help="This task is that of a lost submit; may be repeated."),
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Send the key in an address without being asked.")]


@opt.flatten_groups
def reconcile(
    ctx: typer.Context,
    target: opt.GatewayOptions,
    *,
    take: _Take = None,
    sole_account: opt.SoleAccount = False,
    yes: _Yes = False,
    as_json: opt.AsJson = False,
) -> None:
    """Look in the key's log at the gateway for lost submits and for what was really paid. Costs nothing.

    Some gateways, Nebula among them, read the key only as a part of the address. Servers on the way may log addresses.
    """
    output = Output(as_json=as_json)
    factory = ClientFactory(target=target, settings={"sole_account": sole_account, **(ctx.obj or {})})
    with output.report_errors():
        with factory.client() as client:
            if not yes and not _may_send_key(output, factory.host()):
                output.print_message("Declined. Nothing was sent.")
                raise typer.Exit(Exit.FAILURE)
            settled = client.reconcile(key_in_address=True, take=take or ())
        output.print_result(_to_data(settled), _table(settled))
        _print_rest(output, settled, factory)
    if settled.open:
        raise typer.Exit(Exit.UNCONFIRMED)


def find_lost_hint(gateway: Gateway | None) -> str:
    """Return what to do about a lost submit; `None`: the gateway's row is not known here."""
    protocol = None if gateway is None else PROTOCOLS[gateway.protocol]
    if protocol is not None and protocol.extensions is not None:
        return "nebula-video resume looks for it in the gateway's list of tasks."
    calls = None if protocol is None else protocol.account_calls
    if calls is not None and calls.build_log(key_in_address=False) is not None:
        return "nebula-video reconcile looks for it in the key's log, where it is once it has succeeded."
    return "Look for it in the gateway's console."


def _may_send_key(output: Output, host: str) -> bool:
    output.print_message(
        f"The key may have to be sent to {printable(host)} as a part of an address, over the same connection as "
        "always. Servers on the way may log addresses."
    )
    return ask(output, "Send it?", "the key may go into an address", "to send it")


def _table(settled: Reconciliation) -> Table | str:
    """Return a table of what was settled; an empty text if nothing was."""
    found, billed = ({task.task_id for task in some} for some in (settled.found, settled.billed))
    rows = {task.task_id: task for task in (*settled.found, *settled.billed)}
    if not rows:
        return ""
    table = Table("Made (UTC)", "Settled", Column("USD", justify="right"), Column("Task", no_wrap=True))
    table.box, table.pad_edge = SIMPLE_HEAD, False
    for task_id, task in rows.items():
        what = ", ".join(word for word, ids in (("found", found), ("billed", billed)) if task_id in ids)
        usd = "?" if task.cost.usd is None else dollars(task.cost.usd)
        table.add_row(f"{task.submitted_at:%Y-%m-%d %H:%M}", what, usd, printable(task_id))
    return table


def _to_data(settled: Reconciliation) -> dict[str, Any]:
    return {
        "found": [as_dict(task) for task in settled.found],
        "billed": [as_dict(task) for task in settled.billed],
        "open": [_open_as_dict(lost) for lost in settled.open],
        "group_ratio": None if settled.group_ratio is None else str(settled.group_ratio),
    }


def _open_as_dict(lost: LostSubmit) -> dict[str, Any]:
    return {
        "submitted_at": lost.submitted_at.isoformat(),
        "model": lost.model,
        "reserved_usd": str(lost.reserved_usd),
        "candidates": list(lost.candidates),
        "reason": lost.reason,
    }


def _print_rest(output: Output, settled: Reconciliation, factory: ClientFactory) -> None:
    """Print what a person has to do, and the totals."""
    for lost in settled.open:
        stake = f"{dollars(lost.reserved_usd)} may have been spent" if lost.reserved_usd else "it may be paid for"
        moment = f"{lost.submitted_at:%Y-%m-%d %H:%M:%S} UTC"
        output.print_message(f"Open: {lost.model}, submitted {moment}; {stake}. {lost.reason}", style="yellow")
        for task_id in lost.candidates:
            words = ["nebula-video", "status", task_id, *factory.target_words()]
            output.print_message(f"Look at it: {printable(shlex.join(words))}", no_wrap=True)
            words = ["nebula-video", "reconcile", *factory.target_words(), "--take", task_id]
            output.print_message(f"If it is yours: {printable(shlex.join(words))}", no_wrap=True)
    for task in settled.found:
        output.print_message(f"To save its video: {printable(factory.resume_command(task.task_id))}", no_wrap=True)
    output.print_message(
        f"Lost submits: {len(settled.found)} found, {len(settled.open)} open. Bills recorded: {len(settled.billed)}."
    )
    if settled.group_ratio is not None:
        ratio = f"{settled.group_ratio.normalize():f}"
        output.print_message(f"The last bill has the group ratio {ratio}: --group-ratio {ratio}, group_ratio={ratio}.")
