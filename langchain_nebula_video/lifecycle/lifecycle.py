"""Submit, fetch, wait, generate, download, cancel, resume: written once, for both kinds of client.

The code is `async` and waits for nothing but its `Runtime` (see `_runtime`).
"""

from __future__ import annotations

import logging
from decimal import Decimal
from functools import partial
from pathlib import Path

from langchain_nebula_video.errors import (
    InvalidRequestError,
    Money,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
    TaskNotFoundError,
)
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.lease import Lease, is_dead, new_holder
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.lifecycle.orders import (
    Order,
    check_download,
    check_key,
    check_progress,
    check_task_id,
    check_timeout,
    make_order,
)
from langchain_nebula_video.lifecycle.polling import Poller
from langchain_nebula_video.lifecycle.reconciling import Reconciler
from langchain_nebula_video.lifecycle.submitting import Submitter, run_cleanup
from langchain_nebula_video.saving import storage
from langchain_nebula_video.schema import (
    OnProgress,
    Task,
    TaskStatus,
    Video,
    VideoRequest,
)
from langchain_nebula_video.transport import Runtime
from langchain_nebula_video.transport.retry import retry

__all__ = ["Lifecycle"]

logger = logging.getLogger("langchain_nebula_video")

_FETCH_SECONDS = 90.0
_UNFINISHED = (EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED)
_SEARCH_SECONDS = 60.0
"""How long `submit`, which is to return at once, looks for a submit whose answer was lost."""


class Lifecycle:
    """What happens to a task, from the request to the saved video.

    Args:
        options: What the caller set.
        runtime: All that may be waited for.
    """

    def __init__(self, options: Options, runtime: Runtime) -> None:
        self.options = options
        self.runtime = runtime
        self._context = Context(options, runtime)
        self._poller = Poller(self._context)
        self._submitter = Submitter(self._context, Reconciler(self._context, self._poller))

    # --- the verbs ---

    async def generate(
        self,
        request: VideoRequest,
        *,
        key: str | None = None,
        adopt: bool | None = None,
        on_progress: OnProgress | None = None,
    ) -> Video:
        """Submit and wait; save if the options say where."""
        self._check_progress(on_progress)
        adopt = key is None if adopt is None else adopt
        async with self.runtime.session():
            order, deadline = await self._prepare(request, key)
            holder = new_holder()
            task, entry = await self._submitter.submit(order, key, deadline, holder=holder, adopt=adopt)
            return await self._finish(task, entry, holder, deadline, on_progress)

    async def submit(self, request: VideoRequest, *, key: str | None = None, adopt: bool | None = None) -> Task:
        """One paid POST, at most; the task."""
        adopt = key is None if adopt is None else adopt
        async with self.runtime.session():
            order, deadline = await self._prepare(request, key)
            holder = new_holder()
            task, entry = await self._submitter.submit(
                order, key, deadline, holder=holder, adopt=adopt, search_seconds=_SEARCH_SECONDS
            )
            await Lease(self._context, entry, holder).release()
            return task

    async def fetch(self, task_id: str) -> Task:
        """A fresh look at a task."""
        task_id = check_task_id(task_id, self._context.gateway)
        entry = await self._context.find_entry(task_id)
        known = self._context.task_from_entry(task_id, entry)
        deadline = self.runtime.now() + _FETCH_SECONDS
        try:
            answer = await retry(
                self.runtime, partial(self._poller.request_status, task_id, deadline), deadline=deadline
            )
        except RequestError as error:
            raise tasks.task_error(error, known) from None
        return await self._poller.record(known, entry, answer)

    async def wait(
        self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None
    ) -> Video:
        """Fetch until the task is finished."""
        task_id = check_task_id(task, self._context.gateway)
        check_timeout(timeout)
        self._check_progress(on_progress)
        async with self.runtime.session():
            entry = await self._context.find_entry(task_id)
            known = task if isinstance(task, Task) else self._context.task_from_entry(task_id, entry)
            limit = timeout or self.options.timeout or self._context.model(known.model).timeout
            return await self._finish(known, entry, new_holder(), self.runtime.now() + limit, on_progress)

    async def download(self, video: Video, path: str | Path) -> Video:
        """Save a video; the video with its `path`."""
        check_download(video, path)
        async with self.runtime.session():
            return await self._save(video, await self._context.find_entry(video.task_id), path)

    async def cancel(self, task: Task | str) -> Task:
        """Take a task back, where the gateway can; the task as it is then."""
        gateway, extensions = self._context.gateway, self._context.protocol.extensions
        task_id = check_task_id(task, gateway)
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
        deadline = self.runtime.now() + _FETCH_SECONDS
        attempt = partial(self._context.send, extensions.build_cancel(task_id), deadline)
        async with self.runtime.session():
            try:
                await retry(self.runtime, attempt, deadline=deadline)
            except RequestError as error:
                # An answer that was lost, and the repetition refused because the first one had worked.
                fresh = await self.fetch(task_id) if isinstance(error, RefusedError) else None
                if fresh is None or fresh.status is not TaskStatus.CANCELED:
                    raise tasks.task_error(error, fresh or seen) from None
                return fresh
            return await self.fetch(task_id)

    async def resume(self) -> list[Task]:
        """The tasks that the journal holds unfinished and nobody works on.

        What died in mid-submit is seen to first, and what is unconfirmed is looked for where the gateway lists tasks.
        """
        context, now = self._context, self.runtime.utcnow()
        async with self.runtime.session():
            for entry in await context.call_journal(context.journal.entries, states=[EntryState.SUBMITTING]):
                if is_dead(entry.holder):
                    await context.update_entry(entry, held_until=now)
            await context.call_journal(context.journal.sweep, now)
            entries = await context.call_journal(
                context.journal.entries, states=_UNFINISHED, gateway=context.gateway.name
            )
            free = [e for e in entries if e.held_until is None or e.held_until <= now or is_dead(e.holder)]
            until = self.runtime.now() + _SEARCH_SECONDS
            return [task for entry in free if (task := await self._recover(entry, until)) is not None]

    async def _recover(self, entry: Entry, until: float) -> Task | None:
        """The task of an entry that nobody works on, if it has one."""
        if entry.unfinished and entry.task_id:
            return self._context.task_from_entry(entry.task_id, entry)
        try:
            found = await self._submitter.reconcile(entry, until)
        except SubmissionUnconfirmedError:
            return None  # it stays as it is, and has been logged
        return None if found is None else found[0]

    async def drain(self, grace: float) -> bool:
        """Let no submit begin any more; wait for those under way."""
        return await self._submitter.drain(grace)

    async def budget_left(self) -> Decimal | None:
        """What the budget still holds; `None`: there is none."""
        budget = self.options.budget
        if budget is None:
            return None
        since = None if budget.per is None else self.runtime.utcnow() - budget.per
        spent: Decimal = await self._context.call_journal(self._context.journal.spent, since)
        return max(budget.usd - spent, Decimal(0))

    # --- the steps between ---

    def _check_progress(self, on_progress: OnProgress | None) -> None:
        if not self.runtime.can_await:
            check_progress(on_progress)

    async def _prepare(self, request: VideoRequest, key: str | None) -> tuple[Order, float]:
        """The order, in a thread of its own where that matters, as images may have to be read; and its deadline."""
        check_key(key)
        if self.options.save_to is not None:
            await self.runtime.call(storage.check_target, self.options.save_to)
        offer = self.options.offer(request.model)
        folder = self.options.image_folder
        order = await self.runtime.call(make_order, request, offer, self._context.group_ratio, folder)
        return order, self.runtime.now() + (self.options.timeout or offer.model.timeout)

    async def _finish(
        self, task: Task, entry: Entry | None, holder: str, deadline: float, on_progress: OnProgress | None
    ) -> Video:
        """The video, saved if it is to be; else the entry is marked as abandoned, and the error names the task."""
        lease = Lease(self._context, entry, holder)
        try:
            video = await self._journaled_video(entry)
            if video is None:
                video = tasks.task_to_video(await self._poller.poll(task, entry, lease, deadline, on_progress))
            if self.options.save_to is not None and not await self._file_exists(video):
                fresh = await lease.acquire(deadline)
                known = await self._journaled_video(fresh) or video
                if await self._file_exists(known):  # another process was quicker
                    video = known
                else:
                    video = await self._save(video, entry, self.options.save_to, None if fresh is None else lease)
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled, or Ctrl-C
                error.add_note(f"Task {task.task_id} goes on at {task.gateway}. Go on with wait({task.task_id!r}).")
            if entry is not None and not isinstance(error, TaskNotFoundError):
                await run_cleanup(self.runtime, error, self._abandon(entry, lease))
            raise
        if entry is not None and entry.abandoned:
            await self._context.update_entry(entry, abandoned=False)
        await lease.release()
        return video

    async def _abandon(self, entry: Entry, lease: Lease) -> None:
        await self._context.update_entry(entry, abandoned=True)
        await lease.release()

    async def _file_exists(self, video: Video) -> bool:
        return video.path is not None and await self.runtime.call(storage.exists, video.path)

    async def _save(self, video: Video, entry: Entry | None, save_to: str | Path, lease: Lease | None = None) -> Video:
        renew = partial(self._refresh, video) if video.gateway == self._context.gateway.name else None
        keep = lease.renew if lease is not None else None
        video = await storage.save(self.runtime, video, save_to, renew, keep)
        if entry is not None:
            released = lease.release_fields() if lease is not None else {}
            kept = tasks.video_to_json(video) | {"path": storage.absolute_name(str(video.path))}
            await self._context.update_entry(entry, video=kept, **released)
        return video

    async def _refresh(self, video: Video) -> Video:
        """The video as the gateway shows it now: its address may be signed anew."""
        task = await self.fetch(video.task_id)
        return tasks.task_to_video(task) if task.url is not None else video

    async def _journaled_video(self, entry: Entry | None) -> Video | None:
        """The video of an entry that has succeeded and is billed, while its URL lives or its file is there."""
        if entry is None or entry.state is not EntryState.SUCCEEDED or entry.video is None:
            return None
        video = Video.model_validate(entry.video)
        if await self._file_exists(video):
            return video
        fresh = video.url and video.expires_at > self.runtime.utcnow()
        final = video.cost.basis == "billed" or not self._context.gateway.bills
        return video if fresh and final else None
