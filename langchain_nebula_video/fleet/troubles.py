"""What of a fleet needs a person, worst first: what happened, and what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import (
    AuthenticationError,
    BudgetExceededError,
    InvalidInputError,
    InvalidRequestError,
    ModerationError,
    SetupError,
)
from langchain_nebula_video.fleet.hours import is_within
from langchain_nebula_video.fleet.states import NO_MONEY, BatchState, ItemState
from langchain_nebula_video.fleet.words import amount, count_all

if TYPE_CHECKING:  # it needs the extra, and this does not
    from langchain_nebula_video.fleet.status import AccountStatus, BatchStatus, FleetStatus, WorkerStatus

__all__ = ["Trouble", "TroubleKind", "find_troubles", "seconds_left", "why_it_waits"]


class TroubleKind(StrEnum):
    """How bad it is, worst first."""

    UNCONFIRMED = "unconfirmed"
    """Money may have been spent for nothing."""
    STANDSTILL = "standstill"
    """Videos wait, and none will be made until somebody does something."""
    FAILED = "failed"
    """Videos were not made, and will not be."""
    NOTICE = "notice"
    """The fleet goes on by itself."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that somebody should know."""

    kind: TroubleKind
    about: str
    """The batch, account or worker."""
    what: str
    """What happened."""
    remedy: str
    """What to do."""


_ERROR = re.compile(r"^(?:[\w.-]+: )?\w+Error: ")
"""How the reason begins for which a worker paused a batch: it may name itself. A person's reason may be any text."""
_WORKERS_BUDGET = f"{BudgetExceededError.__name__}: "
_OVER_BUDGET = "Restart the workers with a higher --budget: it holds for the whole journal, over all batches."
_REFUSED = tuple(f"{each.__name__}: " for each in (ModerationError, InvalidInputError, InvalidRequestError))
"""How errors begin that tell of the request itself."""
_KEY_REFUSED = f"{AuthenticationError.__name__}: "
_MANY_REFUSALS = 5
"""In a row, with pauses between them that grow: a minute and a half without a video."""
_NO_WORKER = "Run one: nebula-video fleet worker"


def find_troubles(status: FleetStatus) -> list[Trouble]:
    """Return what of a fleet needs a person, worst first."""
    found = [trouble for batch in status.batches for trouble in _of_batch(batch, status)]
    used = {batch.account for batch in status.batches if batch.left and batch.state is not BatchState.CANCELED}
    found += [trouble for account in status.accounts if account.id in used for trouble in _of_account(account)]
    found += [trouble for worker in status.workers for trouble in _of_worker(worker)]
    order = list(TroubleKind)
    return sorted(found, key=lambda trouble: order.index(trouble.kind))


def why_it_waits(batch: BatchStatus, status: FleetStatus) -> str | None:
    """Return for what moment a batch waits by itself; `None`: for none."""
    if batch.state is not BatchState.RUNNING or not batch.left:
        return None
    if batch.not_before is not None and batch.not_before > status.at:
        return f"not before {batch.not_before:%Y-%m-%d %H:%M %Z}"
    try:
        if batch.hours is not None and not is_within(batch.hours, status.at):
            return f"outside of its hours, {batch.hours}"
    except SetupError as error:  # the workers may know the time zone
        return error.what
    account = next((each for each in status.accounts if each.id == batch.account), None)
    if account is not None and account.paused_until is not None:
        until = "a person resumes it" if account.needs_a_person else f"{account.paused_until:%H:%M:%S %Z}"
        return f"the account is paused until {until}: {account.reason}"
    return None


def seconds_left(status: FleetStatus) -> float | None:
    """Return how long the batches that move still take; `None`: none moves, or nobody can tell."""
    stands = {each.about for each in find_troubles(status) if each.kind is TroubleKind.STANDSTILL}
    left = sum(
        batch.left
        for batch in status.batches
        if batch.state is BatchState.RUNNING
        and not stands & {batch.name, batch.account}
        and why_it_waits(batch, status) is None
    )
    return left / status.per_minute * 60 if left and status.per_minute else None


def _of_batch(batch: BatchStatus, status: FleetStatus) -> Iterator[Trouble]:
    name = shlex.quote(batch.name)
    doubtful, failed = (batch.counts.get(each, 0) for each in (ItemState.UNCONFIRMED, ItemState.FAILED))
    if doubtful:
        yield Trouble(
            TroubleKind.UNCONFIRMED,
            batch.name,
            f"{count_all(doubtful, 'unconfirmed submit')}: {amount(batch.maybe_spent)} may have been spent",
            "Look: nebula-video reconcile, which names the tasks that you may --take. "
            f"Then: nebula-video fleet retry {name} --unconfirmed",
        )
    if batch.state is not BatchState.CANCELED and batch.left and _ERROR.search(batch.reason or ""):
        runs = batch.state is BatchState.RUNNING
        yield Trouble(
            TroubleKind.STANDSTILL,
            batch.name,
            f"it is {'held up, and tried again now and then' if runs else 'paused'}: {batch.reason}",
            _OVER_BUDGET
            if _WORKERS_BUDGET in (batch.reason or "")
            else f"{'See to that. At once' if runs else 'Go on'}: nebula-video fleet resume {name}",
        )
    standstill = _standstill(batch, status)
    if standstill is not None:
        yield Trouble(TroubleKind.STANDSTILL, batch.name, *standstill)
    if failed:
        yield Trouble(TroubleKind.FAILED, batch.name, f"{failed:,} failed", _after_failures(batch, failed, status))
    if batch.broken:
        yield Trouble(
            TroubleKind.NOTICE,
            batch.name,
            f"{count_all(batch.broken, 'row')} of its lists cannot become videos",
            f"See: nebula-video fleet status {name} --broken",
        )


def _after_failures(batch: BatchStatus, failed: int, status: FleetStatus) -> str:
    """Return what to do about items that failed. Only the newest errors are known."""
    retry = f"nebula-video fleet retry {shlex.quote(batch.name)}"
    errors = [each.error for each in status.errors if each.batch == batch.name and each.state is ItemState.FAILED]
    refused = sum(error.startswith(_REFUSED) for error in errors)
    if not refused:
        return f"Try again: {retry}"
    change = "The same request is refused again: change its row, and enqueue the list"
    return f"{change}." if refused == failed else f"{change}. Try the others again: {retry}"


def _standstill(batch: BatchStatus, status: FleetStatus) -> tuple[str, str] | None:
    """Return why nothing of a running batch can be begun, and the remedy."""
    if batch.state is not BatchState.RUNNING or not batch.left:
        return None
    waiting = f"{count_all(batch.left, 'video')} left"
    lively = [worker for worker in status.workers if worker.lives and not worker.draining]
    if not lively:
        return f"no worker runs, with {waiting}", _NO_WORKER
    if not any(batch.account in worker.accounts for worker in lively):
        account = next((each for each in status.accounts if each.id == batch.account), None)
        row = None if account is None else GATEWAYS.get(account.gateway)
        variable = "the variable of its gateway" if row is None else row.key_variable
        return (
            f"no worker has the key of account {batch.account}, with {waiting}",
            f"Run one with {variable}, or: nebula-video fleet account {batch.account} --new-key",
        )
    if _budget_is_used_up(batch):
        return (
            f"its budget of {amount(batch.budget or batch.committed)} is used up, with {waiting}",
            f"Raise it: nebula-video fleet resume {shlex.quote(batch.name)} --budget USD",
        )
    return None


def _budget_is_used_up(batch: BatchStatus) -> bool:
    """Whether the next video does not fit: the feeder says so, or the average one does not."""
    waiting = batch.counts.get(ItemState.WAITING, 0)
    begun = batch.counts.get(ItemState.QUEUED, 0) + batch.counts.get(ItemState.RUNNING, 0)
    return (
        batch.budget is not None
        and waiting > 0
        and not begun
        and batch.estimate > 0
        and ((batch.reason or "").startswith(NO_MONEY) or batch.budget - batch.committed < batch.estimate / waiting)
    )


def _of_account(account: AccountStatus) -> Iterator[Trouble]:
    if account.needs_a_person:
        by_error = _ERROR.search(account.reason or "")
        yield Trouble(
            TroubleKind.STANDSTILL if by_error else TroubleKind.NOTICE,
            account.id,
            f"the account at {account.gateway} is paused: {account.reason}",
            _after_pause(account, by_error=by_error is not None),
        )
    elif account.refusals >= _MANY_REFUSALS:
        yield Trouble(
            TroubleKind.STANDSTILL,
            account.id,
            f"{account.gateway} has refused {account.refusals:,} times in a row: {account.reason}",
            "It is tried again by itself. See whether the gateway and its address are right.",
        )


def _after_pause(account: AccountStatus, *, by_error: bool) -> str:
    resume = f"nebula-video fleet account {account.id} --resume"
    if _KEY_REFUSED in (account.reason or ""):
        return (
            "Mend the key first, in the gateway's console. "
            f"With another one: nebula-video fleet account {account.id} --new-key. With the same one: {resume}"
        )
    return f"{'See to that first. Then' if by_error else 'Go on'}: {resume}"


def _of_worker(worker: WorkerStatus) -> Iterator[Trouble]:
    if not worker.lives:
        taken = f"{'Others took up' if worker.died else 'Others take up'} its {count_all(worker.running, 'video')}."
        yield Trouble(
            TroubleKind.NOTICE,
            worker.id,
            worker.note or "it is dead",
            taken if worker.running else "It had no video under way.",
        )
        return
    if worker.note:
        yield Trouble(TroubleKind.NOTICE, worker.id, worker.note, "It waits, and looks again by itself.")
    ours = version("langchain-nebula-video")
    if worker.version != ours:
        yield Trouble(
            TroubleKind.NOTICE,
            worker.id,
            f"it has version {worker.version}, and here is {ours}",
            "Upgrade the older one.",
        )
