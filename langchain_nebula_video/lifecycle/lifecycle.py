"""Generate, submit, fetch, wait, download, cancel, resume: one implementation for both kinds of client.

The code is `async`, and awaits only its `Runtime`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

from langchain_nebula_video.errors import (
    InvalidRequestError,
    Money,
    RefusedError,
    RequestError,
    printable,
)
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.arguments import (
    check_download,
    check_key,
    check_progress,
    check_task_id,
    check_timeout,
)
from langchain_nebula_video.lifecycle.bookkeeping import Bookkeeper
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.deadline import Deadline
from langchain_nebula_video.lifecycle.finishing import Finisher
from langchain_nebula_video.lifecycle.lease import Lease, is_dead, judge_leases, new_holder
from langchain_nebula_video.lifecycle.looking import FETCH_SECONDS, Looker
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.lifecycle.orders import Order, order_for, reads_files
from langchain_nebula_video.lifecycle.polling import Poller
from langchain_nebula_video.lifecycle.progress import ProgressReporter
from langchain_nebula_video.lifecycle.publishing import ImagePublisher
from langchain_nebula_video.lifecycle.reconciling import Reconciler
from langchain_nebula_video.lifecycle.submitting import Submitter
from langchain_nebula_video.saving.targets import check_target
from langchain_nebula_video.schema import OnProgress, Reconciliation, Task, TaskStatus, Video, VideoRequest
from langchain_nebula_video.transport import OnWait, Runtime
from langchain_nebula_video.transport.retry import retry

__all__ = ["Lifecycle"]

logger = logging.getLogger("langchain_nebula_video")

_RESUMABLE = (EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED)
_SEARCH_SECONDS = 60.0
"""How long `submit` and `resume`, which should return at once, look for a submit whose answer was lost."""


class Lifecycle:
    """The verbs of a client.

    Args:
        options: What the caller set.
        runtime: Where time, HTTP and threads come from.
    """

    def __init__(self, options: Options, runtime: Runtime) -> None:
        self.options = options
        self.runtime = runtime
        self._context = Context(options, runtime)
        self._looker = Looker(self._context)
        self._publisher = ImagePublisher(self._context)
        self._reconciler = Reconciler(self._context, self._looker)
        self._submitter = Submitter(self._context, self._reconciler)
        self._finisher = Finisher(self._context, self._looker, Poller(self._context, self._looker))
        self._bookkeeper = Bookkeeper(self._context, self._looker, self._reconciler)

    async def generate(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        adopt: bool | None = None,
        on_progress: OnProgress | None = None,
    ) -> Video:
        """Submit and wait; save the video if the options say where."""
        self._check_progress(on_progress)
        async with self.runtime.session():
            submitting = self._submit(request, key, adopt=adopt, on_progress=on_progress)
            del request  # its images are not needed while the task is waited for
            finishing = self._finisher.finish(*await submitting, on_progress)
            del submitting
            return await finishing

    async def preview(self, request: VideoRequest) -> tuple[Order, Task | None]:
        """Return the checked order of a request, and the task that it would join without paying again.

        Nothing is sent. Whoever asks a person before paying need not ask if there is such a task, and passes it to
        `wait`, which never pays.
        """
        async with self.runtime.session():
            order = await self._prepare(request, None)
            return order, await self._submitter.find_repeated(order)

    async def submit(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        adopt: bool | None = None,
        exact_key: bool = False,
        save_to: str | Path | None = None,
    ) -> Task:
        """Send at most one paid POST and return its task.

        `exact_key` is as for `Submitter.submit`. `save_to` is where the caller will save the video, if that is not
        where the options say.
        """
        async with self.runtime.session():
            task, entry, holder, _ = await self._submit(
                request, key, adopt=adopt, exact_key=exact_key, save_to=save_to, search_seconds=_SEARCH_SECONDS
            )
            await Lease(self._context, entry, holder).release()
            return task

    async def fetch(self, task_id: str) -> Task:
        """Fetch a task once."""
        return await self._looker.fetch(task_id)

    async def wait(
        self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None
    ) -> Video:
        """Fetch a task until it is finished; save the video if the options say where."""
        task_id = check_task_id(task, self._context.gateway)
        check_timeout(timeout)
        self._check_progress(on_progress)
        async with self.runtime.session():
            with tasks.journal_errors_about(task_id):
                entry = await self._context.find_entry(task_id)
            known = task if isinstance(task, Task) else self._context.task_from_entry(task_id, entry)
            limit = timeout or self.options.timeout or self._context.model(known.model).timeout
            deadline = self.runtime.now() + limit
            finishing = self._finisher.finish(known, entry, new_holder(), deadline, on_progress)
            del known, task
            return await finishing

    async def download(self, video: Video, path: str | Path, *, on_progress: OnProgress | None = None) -> Video:
        """Save a video and return it with its `path`."""
        check_download(video, path)
        self._check_progress(on_progress)
        async with self.runtime.session():
            with tasks.journal_errors_about(video.task_id, paid=True):
                entry = await self._context.find_entry(video.task_id)
                return await self._finisher.download(video, entry, path, on_progress)

    async def cancel(self, task: Task | str) -> Task:
        """Cancel a task where the gateway can, and return it as it is then."""
        gateway, extensions = self._context.gateway, self._context.protocol.extensions
        task_id = check_task_id(task, gateway)
        with tasks.journal_errors_about(task_id):
            entry = await self._context.find_entry(task_id)
        seen = tasks.with_entry_status(self._context.task_from_entry(task_id, entry), entry)
        if extensions is None:
            goes_on = Money.RUNNING, "It goes on to its end; leave it, or wait for it."
            money, hint = tasks.outcome(seen) or goes_on
            raise InvalidRequestError(
                f"The gateway {gateway.name!r} documents no way to cancel a task.",
                money=money,
                task_id=task_id,
                hint=hint,
            )
        deadline = self.runtime.now() + FETCH_SECONDS

        async def attempt() -> None:
            reply = await self._context.send(extensions.build_cancel(task_id), deadline)
            self._context.check_task(reply, task_id)

        async with self.runtime.session():
            try:
                await retry(self.runtime, attempt, deadline=deadline)
            except RequestError as error:
                # If the first answer was lost, the retry is refused because the task is canceled already.
                fresh = await self.fetch(task_id) if isinstance(error, RefusedError) else None
                if fresh is None or fresh.status is not TaskStatus.CANCELED:
                    raise tasks.task_error(error, fresh or seen) from None
                return fresh
            return await self.fetch(task_id)

    async def resume(self) -> list[Task]:
        """Return the unfinished tasks in the journal that no process works on.

        Entries of processes that died while submitting are settled first. Unconfirmed submits are looked for where
        the gateway lists its tasks; the tasks that are found so come last. An entry that cannot be settled stays, and
        is logged.
        """
        context, now = self._context, self.runtime.utcnow()
        async with self.runtime.session():
            await judge_leases(context, now)
            await context.call_journal(context.journal.sweep, now)
            entries = await context.call_journal(
                context.journal.entries, states=_RESUMABLE, gateway=context.gateway.name
            )
            free = [e for e in entries if e.held_until is None or e.held_until <= now or is_dead(e.holder)]
            running = [task for e in free if e.unfinished and (task := self._known_task(e)) is not None]
            lost = [e for e in free if not e.unfinished]
            until = self.runtime.now() + _SEARCH_SECONDS
            return running + (await self._reconciler.resolve_all(lost, until) if lost else [])

    async def reconcile(self, *, key_in_address: bool, take: Sequence[str]) -> Reconciliation:
        """See `Bookkeeper.reconcile`."""
        async with self.runtime.session():
            return await self._bookkeeper.reconcile(key_in_address=key_in_address, take=take)

    def _known_task(self, entry: Entry) -> Task | None:
        """Return the task of an entry; `None`: the entry cannot be read, and is logged."""
        try:
            return self._context.task_from_entry(entry.task_id, entry) if entry.task_id else None
        except (AttributeError, TypeError, ValueError):  # one broken entry must not hide the others' tasks
            logger.exception("the journal entry of task %s cannot be read; wait(id) works", printable(entry.task_id))
            return None

    async def drain(self, grace: float) -> bool:
        """See `PaidPostSender.drain`."""
        return await self._submitter.drain(grace)

    async def budget_left(self) -> Decimal | None:
        """Return what the budget still holds, in US dollars; `None`: there is no budget."""
        budget = self.options.budget
        return None if budget is None else max(budget.usd - await self.spent(), Decimal(0))

    async def spent(self) -> Decimal:
        """Return what counts against the budget in the journal, in US dollars; without a budget: all of it."""
        budget = self.options.budget
        since = None if budget is None or budget.per is None else self.runtime.utcnow() - budget.per
        spent: Decimal = await self._context.call_journal(self._context.journal.spent, since)
        return spent

    async def _submit(
        self,
        request: VideoRequest,
        key: str | None,
        *,
        adopt: bool | None,
        save_to: str | Path | None = None,
        on_progress: OnProgress | None = None,
        exact_key: bool = False,
        search_seconds: float = math.inf,
    ) -> tuple[Task, Entry, str, float]:
        """Wait for the call's turn, make its order and submit it.

        Returns:
            The task, its entry, the name of this call in the journal, and the deadline on the runtime's clock.
        """
        check_key(key)
        deadline, holder = self._deadline(request), new_holder()
        on_wait = None if on_progress is None else self._on_wait(request, on_progress)
        async with self.runtime.turn(deadline.patience, on_wait) as leave_line:
            order = await self._prepare(request, save_to)
            deadline = self._deadline(request)
            task, entry = await self._submitter.submit(
                order,
                key,
                deadline,
                holder=holder,
                adopt=key is None if adopt is None else adopt,
                exact_key=exact_key,
                search_seconds=search_seconds,
                on_wait=on_wait,
                leave_line=leave_line,
            )
        task = task.model_copy(update={"image_notes": order.image_notes, "image_name": order.image_name})
        return task, entry, holder, deadline.at

    def _on_wait(self, request: VideoRequest, on_progress: OnProgress) -> OnWait:
        """Return what reports that a submit waits for a place."""
        offer = self.options.offer(request.model)
        expected = partial(self._context.experience.usually_within, offer.model, request.duration)
        reporter = ProgressReporter(self.runtime, self.runtime.utcnow(), expected, on_progress)
        return partial(reporter.report_waiting, offer.quote(request, self.options.current_group_ratio()))

    def _check_progress(self, on_progress: OnProgress | None) -> None:
        if not self.runtime.can_await:
            check_progress(on_progress)

    def _deadline(self, request: VideoRequest) -> Deadline:
        """Return the deadline of a call that begins now."""
        seconds = self.options.timeout or self.options.offer(request.model).model.timeout
        return Deadline(seconds, self.runtime.now() + seconds, self.options.refusal_timeout or math.inf)

    async def _prepare(self, request: VideoRequest, save_to: str | Path | None) -> Order:
        """Return the order of a request. Reads image files, so it may run in a thread."""
        save_to = self.options.save_to if save_to is None else save_to
        if save_to is not None:
            await self.runtime.call(check_target, save_to)
        await self._publisher.check()
        if reads_files(request):
            order = await self.runtime.call(order_for, self.options, request)
        else:
            order = order_for(self.options, request)
        return replace(order, save_to=save_to)
