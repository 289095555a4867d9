"""Comparing the journal with the log of the key at the gateway: lost submits, and what was really paid.

The log has a row for each task of this key that has succeeded, with its amount; none for tasks under way, and none for
failed ones. So a task in the log may be that of a lost submit, and a submit that is not in the log proves nothing. A
row has no prompt and says when the task was charged, not when it was submitted. The gateway's answer about the task
tells when, and often the prompt.

Whose a task is, is decided as for the gateways that list their tasks (see `reconciling`), with one difference. A task
whose prompt is not told is taken too, under `sole_account`, if it is the only one of the submit's moment, has its
model, seconds and resolution, and no other submit in doubt of that moment has them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError, RequestError, SubmissionUnconfirmedError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.arguments import check_task_id
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.key_log import KeyLog
from langchain_nebula_video.lifecycle.lease import is_dead, judge_leases
from langchain_nebula_video.lifecycle.listing import (
    MAX_CLOCK_SKEW,
    Listing,
    clock_offset,
    is_model,
    windows_overlap,
)
from langchain_nebula_video.lifecycle.looking import FETCH_SECONDS, Looker
from langchain_nebula_video.lifecycle.matching import Match, match_task
from langchain_nebula_video.lifecycle.reconciling import Reconciler
from langchain_nebula_video.lifecycle.searching import Finding, TaskSearch
from langchain_nebula_video.protocols import Charge, ListedTask, Reply, TaskSnapshot
from langchain_nebula_video.schema import LostSubmit, Reconciliation, Task, TaskStatus

__all__ = ["Bookkeeper"]

logger = logging.getLogger("langchain_nebula_video")

_SEARCH_SECONDS = 120.0
_LONGEST_TASK = timedelta(hours=24)
"""How long after its submit a task can be charged. The gateway's vendor keeps no task for longer."""
_IN_DOUBT = (EntryState.SUBMITTING, EntryState.UNCONFIRMED)
_MAX_LOOKS = 200
_LOOKS_AT_ONCE = 8
_NOT_IN_LOG = "The key's log has no video of that moment: nothing was charged for it so far."


class Bookkeeper:
    """Compares a client's journal with the log of its key."""

    def __init__(self, context: Context, looker: Looker, reconciler: Reconciler) -> None:
        self._context = context
        self._looker = looker
        self._reconciler = reconciler

    async def reconcile(self, *, key_in_address: bool, take: Sequence[str]) -> Reconciliation:
        """Settle what the key's log proves.

        Args:
            key_in_address: See `KeyLog.read`.
            take: Tasks that a person has recognized as those of lost submits.

        Raises:
            InvalidRequestError: the gateway documents no log; or a task cannot be taken.
            RequestError: the log cannot be read.
        """
        context, now = self._context, self._context.runtime.utcnow()
        charges, reply = await KeyLog(context).read(key_in_address=key_in_address)
        ratio = next((charge.group_ratio for charge in reversed(charges) if charge.group_ratio is not None), None)
        if ratio is not None:
            context.options.record_group_ratio(ratio)
        await judge_leases(context, now)
        await context.call_journal(context.journal.sweep, now)
        found = [await self._take(check_task_id(task_id, context.gateway)) for task_id in take]
        more, still_open = await self._search(_LoggedTasks(context, self._looker, charges, reply))
        found += more
        billed = [task for charge in charges if (task := await self._record_bill(charge)) is not None]
        return Reconciliation(
            found=tuple([await self._refresh(task) for task in found]),
            billed=tuple(billed),
            open=tuple(still_open),
            group_ratio=ratio,
        )

    async def _unconfirmed(self) -> list[Entry]:
        context = self._context
        entries: list[Entry] = await context.call_journal(
            context.journal.entries, states=[EntryState.UNCONFIRMED], gateway=context.gateway.name
        )
        return [entry for entry in entries if not self._is_held(entry)]

    def _is_held(self, entry: Entry) -> bool:
        """Whether a process that lives works on the entry."""
        held = entry.held_until is not None and entry.held_until > self._context.runtime.utcnow()
        return held and not is_dead(entry.holder)

    # --- lost submits ---

    async def _search(self, listed: _LoggedTasks) -> tuple[list[Task], list[LostSubmit]]:
        """Look for the tasks of lost submits in the log."""
        entries = await self._unconfirmed()
        if not entries:
            return [], []
        until = self._context.runtime.now() + _SEARCH_SECONDS
        outcomes = await TaskSearch(self._context, self._looker, listed).examine(entries, until)
        in_doubt = await self._context.call_journal(
            self._context.journal.entries, states=_IN_DOUBT, gateway=self._context.gateway.name
        )
        found, still_open = [], []
        for entry in entries:
            outcome = outcomes[entry.id]
            if isinstance(outcome, Finding) and self._is_only_fit(entry, outcome, listed.snapshots, in_doubt):
                outcome = replace(outcome, exact=outcome.undecidable, undecidable=[])
            try:
                settled = await self._reconciler.settle(entry, outcome)
            except SubmissionUnconfirmedError:
                still_open.append(_describe_open(entry, outcome, sole=self._context.options.sole_account))
            else:
                found += [] if settled is None else [settled[0]]
        return found, still_open

    def _is_only_fit(
        self, entry: Entry, finding: Finding, snapshots: Mapping[str, TaskSnapshot], in_doubt: Iterable[Entry]
    ) -> bool:
        """Return whether one task alone can be the entry's, and has told all its figures but no prompt."""
        if len(finding.undecidable) != 1 or finding.exact or finding.similar or finding.pending:
            return False
        snapshot = snapshots[finding.undecidable[0]]
        wanted = _figures(entry)
        if snapshot.prompt is not None or (snapshot.seconds, snapshot.resolution) != wanted or None in wanted:
            return False
        return not any(
            other.id != entry.id
            and (other.model, _figures(other)) == (entry.model, wanted)
            and windows_overlap(entry, other, self._context.gateway)
            for other in in_doubt
        )

    async def _take(self, task_id: str) -> Task:
        """Give a task to the lost submit that it fits, because a person has said so.

        Raises:
            InvalidRequestError: the journal has it already; or it fits no lost submit, or several different ones.
        """
        context = self._context
        owner = await context.find_entry(task_id)
        if owner is not None:
            raise InvalidRequestError(
                f"The journal has task {task_id} already.", task_id=task_id, hint=f"Go on with wait({task_id!r})."
            )
        snapshot = await self._looker.request_status(task_id, context.runtime.now() + FETCH_SECONDS)
        entries = [
            entry
            for entry in await self._unconfirmed()
            if entry.account in {None, context.account} and match_task(entry.request, snapshot) is not Match.NONE
        ]
        exact = [entry for entry in entries if match_task(entry.request, snapshot) is Match.EXACT]
        fitting = exact or entries
        if not fitting:
            raise InvalidRequestError(
                f"No lost submit of this journal can have made task {task_id}.",
                task_id=task_id,
                hint=f"wait({task_id!r}) fetches its video all the same.",
            )
        if any(entry.request != fitting[0].request for entry in fitting):
            moments = ", ".join(f"{entry.created_at:%Y-%m-%d %H:%M:%S} UTC" for entry in fitting)
            raise InvalidRequestError(
                f"Task {task_id} fits several lost submits: those of {moments}.",
                task_id=task_id,
                hint=f"wait({task_id!r}) fetches its video all the same.",
            )
        entry = await context.call_journal(context.journal.claim, fitting[0].id, task_id)
        if entry is None:
            raise InvalidRequestError(f"Another call has settled it meanwhile: {task_id}.", task_id=task_id)
        logger.info("task %s was taken for the submit of %s", printable(task_id), entry.created_at)
        return context.task_from_entry(task_id, entry)

    async def _refresh(self, task: Task) -> Task:
        """Return a task as the journal has it now."""
        entry = await self._context.find_entry(task.task_id)
        return tasks.with_entry_status(self._context.task_from_entry(task.task_id, entry), entry)

    # --- bills ---

    async def _record_bill(self, charge: Charge) -> Task | None:
        """Record what a task has cost; `None`: the journal does not have the task, or has this bill already."""
        context = self._context
        entry = await context.find_entry(charge.task_id)
        if entry is None or not charge.amount_usd or self._is_held(entry) or entry.state is EntryState.UNKNOWN:
            return None
        if charge.times > 1:
            logger.warning("task %s was charged %d times", printable(charge.task_id), charge.times)
        was_billed = context.task_from_entry(charge.task_id, entry).cost.basis == "billed"
        before = entry.billed_usd if was_billed else None
        if entry.state is not EntryState.SUCCEEDED:
            entry = await self._look(entry)
        task = tasks.with_entry_status(context.task_from_entry(charge.task_id, entry), entry)
        cost = context.pricing.cost_of_answer(task, _bill_of(charge))
        if cost.usd == before:
            return None
        reserved = max(entry.reserved_usd, cost.usd or Decimal(0))
        if entry.state is not EntryState.SUCCEEDED:  # without its video, a bill would be lost at the next look
            await context.update_entry(entry, reserved_usd=reserved)
            return None
        if entry.billed_usd != cost.usd or task.cost.basis != "billed":
            video = None if entry.video is None else {**entry.video, "cost": cost.model_dump(mode="json")}
            await context.update_entry(entry, billed_usd=cost.usd, reserved_usd=reserved, video=video)
        return task.model_copy(update={"cost": cost})

    async def _look(self, entry: Entry) -> Entry:
        """Return the entry as it is after a look at its task. Without an answer, it stays as it is."""
        try:
            await self._looker.fetch(str(entry.task_id))
        except RequestError as error:
            logger.info("task %s could not be looked at: %s", printable(str(entry.task_id)), printable(error.what))
        return await self._context.find_entry(str(entry.task_id)) or entry


def _figures(entry: Entry) -> tuple[Any, Any]:
    return entry.request.get("duration"), entry.request.get("resolution")


def _bill_of(charge: Charge) -> TaskSnapshot:
    return TaskSnapshot(
        status=TaskStatus.SUCCEEDED,
        seconds=charge.seconds,
        resolution=charge.resolution,
        group_ratio=charge.group_ratio,
        amount_usd=charge.amount_usd,
        billed=True,
        raw={},
    )


def _describe_open(entry: Entry, outcome: Finding | RequestError, *, sole: bool) -> LostSubmit:
    candidates: tuple[str, ...] = ()
    if isinstance(outcome, Finding):
        candidates = (*outcome.exact, *outcome.undecidable, *outcome.similar, *outcome.pending)
        own = "" if sole else " With sole_account, the one that fits is taken: if only this journal submits here."
        reason = f"It may be one of these, or they may be another program's.{own}" if candidates else _NOT_IN_LOG
    else:
        reason = outcome.what
    return LostSubmit(entry.sent_at or entry.created_at, entry.model, entry.reserved_usd, candidates, reason)


class _LoggedTasks:
    """The tasks in the log of a key, as a `TaskList`. It never shows that a task does not exist."""

    def __init__(self, context: Context, looker: Looker, charges: Sequence[Charge], reply: Reply) -> None:
        self._context = context
        self._looker = looker
        self._charges = charges
        self._reply = reply
        self.snapshots: dict[str, TaskSnapshot] = {}
        """The answers about the tasks that the journal does not have."""

    def check(self, entry: Entry) -> None:
        """See `TaskList`."""

    async def read(self, model: str, since: datetime, until: datetime, deadline: float) -> Listing:
        """See `TaskList`. The gateway is asked for each task when it was submitted, and with which prompt."""
        offset, slack = clock_offset(self._reply)
        earliest, latest = since - MAX_CLOCK_SKEW, until + _LONGEST_TASK
        charges = [
            charge
            for charge in self._charges
            if earliest <= charge.charged_at <= latest and is_model(charge.model, model)
        ]
        await self._look(charges, deadline)
        rows = [
            ListedTask(charge.task_id, snapshot.submitted_at or charge.charged_at, charge.model)
            for charge in charges
            if (snapshot := self.snapshots.get(charge.task_id)) is not None
        ]
        return Listing(tuple(rows), self._reply.received_at, offset, slack, complete=False, snapshots=self.snapshots)

    async def _look(self, charges: Iterable[Charge], deadline: float) -> None:
        """Ask for the tasks that the journal does not have."""
        context = self._context

        async def look(charge: Charge) -> None:
            if charge.task_id in self.snapshots or await context.find_entry(charge.task_id) is not None:
                return
            try:
                self.snapshots[charge.task_id] = await self._looker.request_status(charge.task_id, deadline)
            except RequestError as error:
                logger.info("task %s could not be looked at: %s", printable(charge.task_id), printable(error.what))

        some = list(charges)[-_MAX_LOOKS:]
        await context.runtime.gather([partial(look, charge) for charge in some], limit=_LOOKS_AT_ONCE)
