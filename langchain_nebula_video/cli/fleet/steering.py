"""The commands `pause`, `resume`, `cancel`, `retry` and `forget` of a fleet: what a person decides about a batch."""

# Typer reads the annotations, so they are evaluated here.
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.confirmation import ask
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.fleet.consent import ask_to_pay
from langchain_nebula_video.cli.fleet.options import NewBudget, NewHours, NewNotBefore, Priority
from langchain_nebula_video.cli.fleet.place import BatchName, DatabaseUrl, do, find_batch, open_fleet
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.states import BatchState, ItemState
from langchain_nebula_video.fleet.troubles import TroubleKind, find_troubles, why_it_waits
from langchain_nebula_video.fleet.words import amount, count_all

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import BatchStatus, Fleet

__all__ = ["cancel", "forget", "pause", "resume", "retry"]

_NOT_BEGUN = (ItemState.WAITING, ItemState.DELAYED)

_Abandon = Annotated[
    bool,
    typer.Option(
        "--abandon", help="Let go of what runs, too. The gateway goes on and bills; nebula-video resume takes it up."
    ),
]
_Unconfirmed = Annotated[
    bool,
    typer.Option(
        "--unconfirmed",
        help="Try the unconfirmed ones instead, after you have looked at the gateway what became of them.",
    ),
]
_Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do it without being asked.")]


def pause(*, batch: BatchName, database: DatabaseUrl = None, as_json: opt.AsJson = False) -> None:
    """Begin nothing more of a batch. What runs goes on.

    Some items that are in the queue already are begun all the same.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        found = find_batch(fleet, batch)
        if found.state is BatchState.CANCELED:
            raise InvalidRequestError(f"The batch {batch!r} is canceled.", hint="There is nothing to pause.")
        _leave_if_ended(found)
        do(fleet.pause(batch))
        begun = sum(found.counts.get(state, 0) for state in (ItemState.QUEUED, ItemState.RUNNING))
        rest = f" {count_all(begun, 'video')} under way or next in the queue will still be made." if begun else ""
        output.print_message(f"{batch} is paused.{rest}")
        output.print_result({"batch": batch, "state": BatchState.PAUSED.value, "under_way": begun})


def resume(
    *,
    batch: BatchName,
    budget: NewBudget = None,
    priority: Priority = None,
    not_before: NewNotBefore = None,
    hours: NewHours = None,
    yes: opt.Yes = False,
    database: DatabaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Go on with a batch that is paused or canceled, also under another budget or other hours. Asks for its price.

    Of a canceled batch, what was canceled waits again. The options change a batch that runs, too.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        found = find_batch(fleet, batch)
        limit = found.budget if budget is None else budget.value
        count, usd = _to_pay(found, ItemState.CANCELED)
        raised = found.budget is not None and (limit is None or limit > found.budget)
        if (found.state is not BatchState.RUNNING or raised) and count:
            _ask_or_leave(output, found, count, usd, limit, yes=yes)
        limits = {"budget": budget, "not_before": not_before, "hours": hours}
        changes = {name: each.value for name, each in limits.items() if each is not None}
        without = [name for name, value in changes.items() if value is None]
        do(fleet.change_batch(batch, priority=priority, without=without, **changes))
        canceled = do(fleet.resume(batch))
        again = f" {count_all(canceled, 'canceled video')} wait again." if canceled else ""
        output.print_message(f"{batch} {_outlook(fleet, batch)}.{again}")
        output.print_result({"batch": batch, "state": BatchState.RUNNING.value, "waiting_again": canceled})


def cancel(
    *,
    batch: BatchName,
    abandon: _Abandon = False,
    yes: _Sure = False,
    database: DatabaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Cancel what has not begun of a batch. What runs goes on to its end, because it is billed in any case.

    resume takes it back: what was canceled waits again then.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        found = find_batch(fleet, batch)
        _leave_if_ended(found)
        running = found.counts.get(ItemState.RUNNING, 0)
        if abandon and running:
            output.print_message(
                f"{count_all(running, 'video')} of {batch} under way go on at the gateway and are billed; no worker "
                "saves them. nebula-video resume does, on a machine with the journal.",
                style="yellow",
            )
            if not yes and not ask(output, "Let go of them?", "this cannot be undone", "to do it"):
                raise _left(output)
        canceled = do(fleet.cancel(batch, abandon=abandon))
        rest = f" {count_all(running, 'video')} under way will still be made." if running and not abandon else ""
        output.print_message(f"{batch} is canceled: {count_all(canceled, 'video')} had not begun.{rest}")
        output.print_result({"batch": batch, "state": BatchState.CANCELED.value, "canceled": canceled})


def retry(
    *,
    batch: BatchName,
    unconfirmed: _Unconfirmed = False,
    yes: opt.Yes = False,
    database: DatabaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Try the failed videos of a batch again, or its unconfirmed ones. Asks for their price.

    What may be paid for keeps its key, so it is never paid twice: a lost submit stays unconfirmed until reconcile finds
    it, or forget lets go of it.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        found = find_batch(fleet, batch)
        state = ItemState.UNCONFIRMED if unconfirmed else ItemState.FAILED
        count = found.counts.get(state, 0)
        if count:
            budget = None if unconfirmed else found.budget  # what may be spent already is in it
            _ask_or_leave(output, found, count, found.usd.get(state, Decimal(0)), budget, yes=yes)
            count = do(fleet.retry(batch, (state,)))
        paused = "" if found.state is BatchState.RUNNING else f" The batch is {found.state}."
        output.print_message(f"{count_all(count, f'{state} video')} of {batch} wait again.{paused}")
        output.print_result({"batch": batch, "waiting_again": count})


def forget(*, batch: BatchName, yes: _Sure = False, database: DatabaseUrl = None, as_json: opt.AsJson = False) -> None:
    """Delete a batch from the fleet, with its images and errors. Videos and the journal of payments stay.

    A list that is enqueued again later is not paid again: the journal has its keys.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        found = find_batch(fleet, batch)
        lost = sum(found.counts.get(state, 0) for state in (*_NOT_BEGUN, ItemState.CANCELED))
        doubt = found.counts.get(ItemState.UNCONFIRMED, 0)
        told = [f"{lost:,} of them never made" if lost else "", f"{doubt:,} unconfirmed" if doubt else ""]
        output.print_message(f"{batch}: {', '.join(filter(None, [count_all(found.size, 'video'), *told]))}.")
        if not yes and not ask(output, f"Delete the batch {batch}?", "this cannot be undone", "to delete it"):
            raise _left(output)
        deleted = do(fleet.forget(batch))
        output.print_message(f"{batch} is deleted: {count_all(deleted, 'video')}. The journal keeps what was paid.")
        output.print_result({"batch": batch, "deleted": deleted})


def _leave_if_ended(found: "BatchStatus") -> None:
    if found.size and not found.left:
        raise InvalidRequestError(f"The batch {found.name!r} has ended.", hint="Nothing of it is left to begin.")


def _outlook(fleet: "Fleet", batch: str) -> str:
    """Return what becomes of a batch that was resumed."""
    status = do(fleet.status(batch))
    (found,) = status.batches
    if found.size and not found.left:
        return "has ended: nothing of it is left to make"
    troubles = [each for each in find_troubles(status) if each.about in {batch, found.account}]
    stands = (each.what for each in troubles if each.kind is TroubleKind.STANDSTILL)
    why = why_it_waits(found, status) or next(stands, None)
    return f"is resumed, and waits: {why}" if why else "goes on"


def _to_pay(found: "BatchStatus", *more: ItemState) -> tuple[int, Decimal]:
    """Return how many videos of a batch are begun if it goes on, and what they cost."""
    states = (*_NOT_BEGUN, *more)
    canceled = sum((found.usd.get(state, Decimal(0)) for state in more), Decimal(0))
    return sum(found.counts.get(state, 0) for state in states), found.estimate + canceled


def _ask_or_leave(
    output: Output, found: "BatchStatus", count: int, usd: Decimal, budget: Decimal | None, *, yes: bool
) -> None:
    left = None
    if budget is not None:
        left = max(budget - found.committed, Decimal(0))
        used = f"{amount(found.committed)} of it is spent or reserved"
        output.print_message(f"The budget of {found.name} is {amount(budget)}; {used}.")
    if not yes and not ask_to_pay(output, count, usd, left=left):
        raise _left(output)


def _left(output: Output) -> typer.Exit:
    output.print_message("Declined. Nothing was changed.")
    return typer.Exit(Exit.FAILURE)
