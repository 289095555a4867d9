"""Submitting: the row, the one paid POST, and what is left true whatever becomes of it."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import (
    InvalidRequestError,
    Money,
    NebulaVideoError,
    NotSentError,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.journal import Entry, EntryState, limits
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.lease import LEASE_DURATION, is_dead
from langchain_nebula_video.lifecycle.orders import Order, check_time_left
from langchain_nebula_video.lifecycle.reconciling import Reconciler
from langchain_nebula_video.lifecycle.uploads import ImageUploader
from langchain_nebula_video.protocols import Reply, Submission, WireRequest
from langchain_nebula_video.schema import Task, TaskStatus
from langchain_nebula_video.transport import MAX_SUBMITS, Runtime
from langchain_nebula_video.transport.retry import retry

__all__ = ["Submitter", "run_cleanup"]

logger = logging.getLogger("langchain_nebula_video")

_SUBMIT_SECONDS = 120.0
"""For one submit: it may carry 7 MB of image, and the gateway looks at the image before it answers."""
_MIN_ANSWER_SECONDS = 15.0
"""Seconds that a submit must have left to be sent at all; half of what the caller gives, if that is less."""
_PEER_PAUSE_SECONDS = 0.25
_IN_FLIGHT_GRACE = timedelta(seconds=30)
"""How much longer than its POST may last a submit counts as under way."""
_IN_DOUBT_NOTE = "The submit was under way: money may have been spent. Its journal entry is unconfirmed."


async def run_cleanup(runtime: Runtime, error: BaseException, flow: Coroutine[Any, Any, object]) -> None:
    """Bring the record to its end; a cancellation meanwhile says what the error would have said."""
    try:
        await runtime.run_to_completion(flow)
    except BaseException as second:
        notes = [str(error)] if isinstance(error, NebulaVideoError) else []
        for note in (*notes, *getattr(error, "__notes__", ())):
            second.add_note(note)
        raise


class Submitter:
    """Submits the orders of one client."""

    def __init__(self, context: Context, reconciler: Reconciler) -> None:
        self._context = context
        self._reconciler = reconciler
        self._uploader = ImageUploader(context)
        self._posts_in_flight = 0
        """POSTs under way."""
        self._draining = False

    async def drain(self, grace: float) -> bool:
        """Let no submit begin any more, and wait for those under way; whether all have had their answer."""
        self._draining = True
        end = self._context.runtime.now() + grace
        while self._posts_in_flight and self._context.runtime.now() < end:
            await self._context.runtime.sleep(0.05)
        return not self._posts_in_flight

    async def submit(
        self,
        order: Order,
        key: str | None,
        deadline: float,
        *,
        holder: str,
        adopt: bool,
        search_seconds: float = math.inf,
    ) -> tuple[Task, Entry]:
        """The task of an order, and its row: a new one, or the one that the key has already.

        Args:
            order: What is to be made.
            key: The caller's name for it.
            deadline: When the caller's time is over, on the runtime's clock.
            holder: This call's name in the journal.
            adopt: Whether a repetition goes on with what the first call may have paid for.
            search_seconds: Seconds for which a lost submit may be looked for, within the caller's time.
        """
        context, options = self._context, self._context.options
        if (options.budget is not None or limits.has_limits()) and order.cost.usd is None:
            raise InvalidRequestError(
                f"There is a budget, and no price is known for {order.offer.model.name} on {context.gateway.name!r}.",
                hint=f"Give its price per second with prices={{{order.offer.model.name!r}: '…'}}, choose a model with "
                "a price, or leave the budget out.",
            )
        if key is not None and adopt:  # a key that nobody chose: some language models number their calls anew each turn
            key = f"{key}:{order.digest}"
        while True:
            now = context.runtime.utcnow()
            entry = Entry(
                id=uuid.uuid4().hex,
                key=key,
                gateway=context.gateway.name,
                account=context.account,
                model=order.offer.model.name,
                request=order.summary,
                created_at=now,
                reserved_usd=order.cost.usd or Decimal(0),
                holder=holder,
                held_until=now + LEASE_DURATION,
            )
            state = _SubmitState()
            try:
                owner = await self._reserve(entry, deadline, adopt=adopt)
                if owner.id == entry.id:
                    return await self._upload_and_post(order, entry, state, deadline)
                replayed = self._replay(owner, order)
                if replayed is not None:
                    return replayed
            except BaseException as error:
                await run_cleanup(context.runtime, error, self._clean_up(entry, state, error))
                if state.unconfirmed is None or not isinstance(error, SubmissionUnconfirmedError):
                    raise
                found = await self.reconcile(
                    state.unconfirmed, min(deadline, context.runtime.now() + search_seconds), error
                )
                if found is None:
                    raise RequestError(
                        "The submit got no answer, and half a minute later the gateway's list shows no task of it: "
                        "it counts as not accepted.",
                        hint="Submit it again.",
                    ) from None
                return found
            found = await self.reconcile(owner, min(deadline, context.runtime.now() + search_seconds))
            if found is not None:
                return found

    async def _upload_and_post(
        self, order: Order, entry: Entry, state: _SubmitState, deadline: float
    ) -> tuple[Task, Entry]:
        """Everything between the row and the task."""
        context = self._context
        # A POST that is given no time to be answered is paid for in the dark.
        latest = deadline - min(_MIN_ANSWER_SECONDS, 0.5 * (deadline - context.runtime.now()))
        uploaded_urls = await self._uploader.upload(order, latest)
        if context.options.rate_limiter is not None:
            await context.runtime.acquire(context.options.rate_limiter)
        wire = order.build_submit(context.protocol, uploaded_urls)

        async def attempt() -> tuple[Task, Entry]:
            async with context.runtime.submit_slot():  # whoever is cancelled while waiting has sent nothing
                await self._begin_post(entry, latest, deadline)
                return await context.runtime.run_to_completion(self._post(wire, entry, order, state, deadline))

        return await retry(context.runtime, attempt, deadline=latest)

    async def _reserve(self, entry: Entry, deadline: float, *, adopt: bool) -> Entry:
        """Write the row, or find the one that has the key; wait while a sibling is in mid-submit."""
        context = self._context
        # A process-wide limit may read other journals, and those may block.
        call = context.runtime.call if limits.has_limits() else context.call_journal
        while True:
            owner: Entry = await call(limits.reserve, context.journal, entry, context.options.budget, adopt=adopt)
            mid_submit = owner.id != entry.id and owner.state is EntryState.SUBMITTING
            if not mid_submit or context.runtime.now() >= deadline:
                return owner
            if is_dead(owner.holder):
                await context.update_entry(owner, held_until=context.runtime.utcnow())
            else:
                await context.runtime.sleep(_PEER_PAUSE_SECONDS)
            entry = replace(entry, created_at=context.runtime.utcnow())

    def _replay(self, owner: Entry, order: Order) -> tuple[Task, Entry] | None:
        """The task of the row that has the key; `None`: its submit was lost. Nothing is sent."""
        _check_same_request(owner, order)
        if owner.task_id is not None:
            return self._context.task_from_entry(owner.task_id, owner), owner
        if owner.state is EntryState.SUBMITTING:
            raise _mid_submit_error(owner)
        return None

    async def _begin_post(self, entry: Entry, latest: float, deadline: float) -> None:
        """Have it on disk that the POST leaves now, once fewer than four are under way in all processes together."""
        context = self._context
        while True:
            if self._draining:
                raise NotSentError("This client is being shut down.", hint="Repeat it with another: that is safe.")
            check_time_left(context.runtime.now(), latest)
            now = context.runtime.utcnow()
            until = now + timedelta(seconds=context.clamp_timeout(_SUBMIT_SECONDS, deadline)) + _IN_FLIGHT_GRACE
            if await context.call_journal(
                context.journal.begin, entry.id, holder=entry.holder, now=now, until=until, cap=MAX_SUBMITS
            ):
                return
            await context.runtime.sleep(_PEER_PAUSE_SECONDS)

    async def _post(
        self, wire: WireRequest, entry: Entry, order: Order, state: _SubmitState, deadline: float
    ) -> tuple[Task, Entry]:
        """One POST and its record. Runs to its end even if the caller is cancelled."""
        context = self._context
        state.in_flight = True
        self._posts_in_flight += 1
        try:
            reply = await context.send(wire, deadline, seconds=_SUBMIT_SECONDS, paid=True)
            submission = context.protocol.parse_submit(reply)
            if submission is None:
                raise tasks.missing_data_error(SubmissionUnconfirmedError, reply, "names no task")
        except NebulaVideoError as error:
            state.in_flight = isinstance(error, SubmissionUnconfirmedError)
            if not state.in_flight:  # not accepted, so nothing of it is under way while it waits to be repeated
                await context.update_entry(entry, sent_at=None)
            raise
        finally:
            self._posts_in_flight -= 1
        state.task_id = submission.task_id
        task = self._initial_task(submission, entry, order, reply)
        entry = await context.update_entry(
            entry, task_id=task.task_id, state=EntryState.SUBMITTED, reserved_usd=task.cost.usd or Decimal(0)
        )
        logger.info("task %s submitted to %s: %s", task.task_id, context.gateway.name, task.cost)
        return task, entry

    def _initial_task(self, submission: Submission, entry: Entry, order: Order, reply: Reply) -> Task:
        context, answer = self._context, submission.snapshot
        if answer.group_ratio:
            context.options.record_group_ratio(answer.group_ratio)  # so that later estimates are those of this account
        cost = order.offer.estimate(order.request, context.group_ratio)
        known = context.task_from_entry(submission.task_id, entry)
        status = answer.status if not answer.status.finished else TaskStatus.QUEUED
        updates = {"status": status, "progress": answer.progress, "request_id": answer.request_id, "raw": answer.raw}
        return known.model_copy(update={"submitted_at": reply.received_at, "cost": cost, **updates})

    async def _clean_up(self, entry: Entry, state: _SubmitState, error: BaseException) -> None:
        """Leave the journal true after a submit that did not end well, and name what goes on."""
        context = self._context
        if state.task_id is not None:
            await context.update_entry(entry, task_id=state.task_id, state=EntryState.SUBMITTED, abandoned=True)
            await context.call_journal(context.journal.release, entry.id, entry.holder)
            error.add_note(
                f"Task {state.task_id} was accepted by {entry.gateway} and goes on; "
                f"it is billed when it succeeds. Go on with wait({state.task_id!r})."
            )
        elif state.in_flight:
            if not isinstance(error, Exception):
                error.add_note(_IN_DOUBT_NOTE)
            now = context.runtime.utcnow()
            changes = {"state": EntryState.UNCONFIRMED, "abandoned": True, "lost_at": now}
            changes |= {"holder": None, "held_until": None}
            state.unconfirmed = await context.update_entry(entry, **changes)
        else:
            await context.call_journal(context.journal.forget, entry.id)

    async def reconcile(
        self, entry: Entry, until: float, error: SubmissionUnconfirmedError | None = None
    ) -> tuple[Task, Entry] | None:
        """The task of a lost submit; `None`: there is none, and its row is forgotten.

        Raises:
            SubmissionUnconfirmedError: it cannot be told; the row stays.
        """
        error = error or _unconfirmed_error(entry)
        context = self._context
        try:
            task_id = await self._reconciler.find_task_id(entry, until)
        except RequestError as failure:
            logger.warning("a submit is unconfirmed: %s may have been spent", tasks.amount_at_risk(entry))
            if isinstance(failure, SubmissionUnconfirmedError):  # what is known of the submit itself is kept
                error.what, error.hint = f"{error.what} {failure.what}", failure.hint
            else:
                error.add_note(failure.what)
            raise error from None
        except BaseException as stopped:
            stopped.add_note(_IN_DOUBT_NOTE)
            raise
        if task_id is None:
            if await context.call_journal(context.journal.forget, entry.id):
                return None
            now = next((e for e in await context.call_journal(context.journal.entries) if e.id == entry.id), None)
            if now is None or now.task_id is None:
                raise error
            return context.task_from_entry(now.task_id, now), now  # somebody else has found it meanwhile
        owner: Entry | None = await context.call_journal(context.journal.claim, entry.id, task_id)
        if owner is None:  # somebody else was quicker
            raise error
        logger.info("the submit of %s was found: it is task %s", entry.created_at, task_id)
        return context.task_from_entry(task_id, owner), owner


def _check_same_request(owner: Entry, order: Order) -> None:
    differing = [
        name for name in {*owner.request, *order.summary} if owner.request.get(name) != order.summary.get(name)
    ]
    if differing:
        raise InvalidRequestError(
            f"The key {owner.key!r} belongs to another request: it differs in {', '.join(sorted(differing))}.",
            hint="Give each video a key of its own.",
            task_id=owner.task_id,
        )


def _unconfirmed_error(owner: Entry) -> SubmissionUnconfirmedError:
    return SubmissionUnconfirmedError(
        f"The same video was submitted at {owner.created_at:%Y-%m-%d %H:%M} UTC, and no answer came. "
        "It was not sent again."
    )


def _mid_submit_error(owner: Entry) -> NotSentError:
    return NotSentError(
        f"Another call has been submitting this very video since {owner.sent_at or owner.created_at:%H:%M:%S} UTC, and "
        "had no answer when this call's time was over. This call has sent nothing.",
        money=Money.MAYBE,
        hint="Repeat the same call: it goes on with the other one's task.",
    )


@dataclass(slots=True)
class _SubmitState:
    """How far a submit got, for whoever has to clean up after it."""

    in_flight: bool = False
    task_id: str | None = None
    unconfirmed: Entry | None = None
    """The row, once it is unconfirmed."""
