"""The paid POST: what happens between the reserved journal entry and the task.

The order of the effects is the safety argument:

1. Upload the images, wait for the rate limiter and for a submit slot. A failure here has cost nothing. Meanwhile the
   lease is renewed in the background, so no other process takes the entry.
2. `Journal.begin` records that the POST leaves now.
3. Send the POST. Nothing waits between `begin` and the first byte. If something delays it all the same (a slow
   handshake, a frozen container, a machine asleep), a late POST is broken off before its first byte.
4. Record the task id before anything else happens.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from langchain_nebula_video.errors import (
    JournalError,
    NebulaVideoError,
    NotSentError,
    SubmissionUnconfirmedError,
    printable,
)
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.deadline import Deadline
from langchain_nebula_video.lifecycle.lease import keep_lease
from langchain_nebula_video.lifecycle.orders import Order, check_time_left
from langchain_nebula_video.lifecycle.publishing import ImagePublisher, add_bytes_hint
from langchain_nebula_video.lifecycle.uploads import ImageUploader
from langchain_nebula_video.protocols import Reply, Submission, WireRequest
from langchain_nebula_video.saving.trial import try_target
from langchain_nebula_video.schema import Task, TaskStatus
from langchain_nebula_video.transport import FIRST_BYTE_SECONDS, MAX_SUBMITS, OnWait, SendWindow
from langchain_nebula_video.transport.retry import retry

__all__ = ["PaidPostSender", "PostState"]

logger = logging.getLogger("langchain_nebula_video")

_SUBMIT_SECONDS = 120.0
"""Timeout of one POST. It may carry 7 MB of image, and the gateway reads the image before it answers."""
_PEER_PAUSE_SECONDS = 0.25
_LIMITER_PAUSE_SECONDS = 0.1
_DRAIN_PAUSE_SECONDS = 0.05
_IN_FLIGHT_GRACE = timedelta(seconds=30)
"""How long a POST still counts as in flight after its timeout."""


@dataclass(slots=True)
class PostState:
    """How far a submit got. The cleanup after an error depends on it."""

    in_flight: bool = False
    """A POST has left, and it is not known that it was refused."""
    lent: bool = False
    """Whether images have been put into the caller's image store."""
    task_id: str | None = None
    unconfirmed: Entry | None = None
    """The entry, once it is marked as unconfirmed."""


class PaidPostSender:
    """Sends the paid POSTs of one client."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uploader = ImageUploader(context)
        self._publisher = ImagePublisher(context)
        self._in_flight: set[tuple[int, str]] = set()
        """Process ids and entry ids. A fork copies the set, not the requests."""
        self._draining = False

    async def drain(self, grace: float) -> bool:
        """Start no more POSTs and wait up to `grace` seconds; whether each POST in flight was answered."""
        self._draining = True
        end = self._context.runtime.now() + grace
        while self._is_in_flight() and self._context.runtime.now() < end:
            await self._context.runtime.sleep(_DRAIN_PAUSE_SECONDS)
        return not self._is_in_flight()

    def _is_in_flight(self) -> bool:
        return any(process == os.getpid() for process, _ in tuple(self._in_flight))

    async def send(
        self, order: Order, entry: Entry, state: PostState, deadline: Deadline, on_wait: OnWait | None
    ) -> tuple[Task, Entry]:
        """Try where the video will be saved, upload the images, send the POST and record its task.

        Args:
            order: What to submit.
            entry: Its reserved journal entry.
            state: Updated as the submit proceeds.
            deadline: Its time begins anew with its turn.
            on_wait: Called every few seconds while the submit waits for its turn.
        """
        context, runtime = self._context, self._context.runtime
        latest = deadline.latest_submit
        async with keep_lease(context, entry) as lease:
            if order.save_to is not None:
                await context.runtime.call(try_target, order.save_to, order.expected_size)
            if self._publisher.is_wanted:
                state.lent = True
                uploaded_urls = await self._publisher.publish(order, entry, latest)
            else:
                uploaded_urls = await self._uploader.upload(order, latest)
            await self._wait_for_limiter(latest)
            check_time_left(runtime.now(), latest)
            wire = order.build_submit(context.protocol, uploaded_urls)

            async def attempt() -> tuple[Task, Entry]:
                until = deadline.at if deadline.has_turn else math.inf
                patience = min(deadline.patience, deadline.refusals)
                await context.wait_for_turn(context.pace.submits, until, on_wait, patience=patience)
                # A caller that is cancelled while it waits has sent nothing.
                async with runtime.submit_slot(deadline.patience, on_wait):
                    deadline.take_turn(runtime.now())
                    while True:
                        async with lease.paused():  # or a renewal could shorten what `begin` writes
                            window = await self._begin(entry, deadline.latest_submit, deadline.at)
                            if window is not None:
                                post = self._post(wire, entry, order, state, deadline.at, window)
                                return await runtime.run_to_completion(post)
                        await runtime.sleep(_PEER_PAUSE_SECONDS)

            return await retry(runtime, attempt, deadline=lambda: deadline.latest_repetition)

    async def _wait_for_limiter(self, latest: float) -> None:
        """Wait for the caller's rate limiter, but not longer than there is time."""
        runtime, limiter = self._context.runtime, self._context.options.rate_limiter
        while limiter is not None and not await runtime.try_acquire(limiter):
            check_time_left(runtime.now(), latest)
            await runtime.sleep(_LIMITER_PAUSE_SECONDS)

    async def _begin(self, entry: Entry, latest: float, deadline: float) -> SendWindow | None:
        """Record that the POST leaves now. `None`: `MAX_SUBMITS` are in flight in all processes together."""
        context = self._context
        if self._draining:
            raise NotSentError("This client is being shut down.", hint="Repeat it with another: that is safe.")
        check_time_left(context.runtime.now(), latest)
        now, seconds = context.runtime.utcnow(), context.clamp_timeout(_SUBMIT_SECONDS, deadline)
        until = now + timedelta(seconds=seconds) + _IN_FLIGHT_GRACE
        leaves_in = min(seconds, FIRST_BYTE_SECONDS)
        window = SendWindow(context.runtime.now() + leaves_in, now + timedelta(seconds=leaves_in))
        begun = await context.call_journal(
            context.journal.begin, entry.id, holder=entry.holder, now=now, until=until, cap=MAX_SUBMITS
        )
        return window if begun else None

    async def _post(
        self,
        wire: WireRequest,
        entry: Entry,
        order: Order,
        state: PostState,
        deadline: float,
        window: SendWindow,
    ) -> tuple[Task, Entry]:
        """Send one POST and record its outcome. Runs to completion even if the caller is cancelled."""
        context = self._context
        state.in_flight = True
        self._in_flight.add((os.getpid(), entry.id))
        try:
            reply = await context.send(
                wire, deadline, seconds=_SUBMIT_SECONDS, window=window, pace=context.pace.submits
            )
            submission = context.protocol.parse_submit(reply)
            if submission is None:
                raise tasks.missing_data_error(SubmissionUnconfirmedError, reply, "names no task")
        except NebulaVideoError as error:
            state.in_flight = isinstance(error, SubmissionUnconfirmedError)
            if not state.in_flight:  # refused or not sent: it must not count as in flight while it waits
                add_bytes_hint(error, entry, context)
                await self._take_back(entry, error)
            raise
        finally:
            self._in_flight.discard((os.getpid(), entry.id))
        state.task_id = submission.task_id
        task = self._initial_task(submission, entry, order, reply)
        reserved = max(entry.reserved_usd, task.cost.usd or Decimal(0))
        with tasks.journal_errors_about(task.task_id):
            entry = await context.update_entry(
                entry,
                task_id=task.task_id,
                state=EntryState.SUBMITTED,
                reserved_usd=reserved,
                reason=submission.warning,
                play_money=context.experience.speed is not None,
            )
        logger.info("task %s submitted to %s: %s", printable(task.task_id), context.gateway.name, task.cost)
        if submission.warning is not None:
            logger.warning("task %s: %s", printable(task.task_id), printable(submission.warning))
        return task, entry

    async def _take_back(self, entry: Entry, error: NebulaVideoError) -> None:
        """Record that a POST was not accepted."""
        try:
            await self._context.update_entry(entry, sent_at=None)
        except KeyError:  # the lease was over, and another process has forgotten the entry
            pass
        except JournalError as second:  # the first error says what happened to the money
            error.add_note(f"Afterwards: {second}")

    def _initial_task(self, submission: Submission, entry: Entry, order: Order, reply: Reply) -> Task:
        context, snapshot = self._context, submission.snapshot
        if snapshot.group_ratio:  # later estimates use it
            context.options.record_group_ratio(snapshot.group_ratio)
        estimate = order.offer.estimate(order.request, context.group_ratio)
        cost = context.pricing.cost_of_submit(estimate, snapshot.amount_usd)
        known = tasks.task_from_entry(
            submission.task_id, entry, context.gateway, entry.model, cost, context.runtime.utcnow()
        )
        return known.model_copy(
            update={
                "submitted_at": reply.received_at,
                "status": snapshot.status if not snapshot.status.finished else TaskStatus.QUEUED,
                "progress": snapshot.progress,
                "request_id": snapshot.request_id,
                "warning": submission.warning,
                "raw": snapshot.raw,
            }
        )
