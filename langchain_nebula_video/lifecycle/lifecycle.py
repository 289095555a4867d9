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
    check_timeout,
    checked_id,
    make_order,
)
from langchain_nebula_video.lifecycle.polling import Looking
from langchain_nebula_video.lifecycle.reconciling import Search
from langchain_nebula_video.lifecycle.submitting import Submitting, afterwards
from langchain_nebula_video.saving import storage
from langchain_nebula_video.schema import (
    OnProgress,
    Task,
    TaskStatus,
    Video,
    VideoRequest,
)
from langchain_nebula_video.transport import Runtime
from langchain_nebula_video.transport.retry import retrying

__all__ = ["Lifecycle"]

logger = logging.getLogger("langchain_nebula_video")

_FETCH_SECONDS = 90.0
_OPEN = (EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED)
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
        self._looking = Looking(self._context)
        self._submitting = Submitting(self._context, Search(self._context, self._looking))

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
            order, deadline = await self._ready(request, key)
            holder = new_holder()
            task, entry = await self._submitting.submit(order, key, deadline, holder=holder, adopt=adopt)
            return await self._to_the_end(task, entry, holder, deadline, on_progress)

    async def submit(self, request: VideoRequest, *, key: str | None = None, adopt: bool | None = None) -> Task:
        """One paid POST, at most; the task."""
        adopt = key is None if adopt is None else adopt
        async with self.runtime.session():
            order, deadline = await self._ready(request, key)
            holder = new_holder()
            task, entry = await self._submitting.submit(
                order, key, deadline, holder=holder, adopt=adopt, search=_SEARCH_SECONDS
            )
            await Lease(self._context, entry, holder).release()
            return task

    async def fetch(self, task_id: str) -> Task:
        """A fresh look at a task."""
        task_id = checked_id(task_id, self._context.gateway)
        entry = await self._context.find(task_id)
        known = self._context.known(task_id, entry)
        deadline = self.runtime.now() + _FETCH_SECONDS
        try:
            answer = await retrying(self.runtime, partial(self._looking.look, task_id, deadline), deadline=deadline)
        except RequestError as error:
            raise tasks.about(error, known) from None
        return await self._looking.note(known, entry, answer)

    async def wait(
        self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None
    ) -> Video:
        """Fetch until the task is finished."""
        task_id = checked_id(task, self._context.gateway)
        check_timeout(timeout)
        self._check_progress(on_progress)
        async with self.runtime.session():
            entry = await self._context.find(task_id)
            known = task if isinstance(task, Task) else self._context.known(task_id, entry)
            limit = timeout or self.options.timeout or self._context.model(known.model).timeout
            return await self._to_the_end(known, entry, new_holder(), self.runtime.now() + limit, on_progress)

    async def download(self, video: Video, path: str | Path) -> Video:
        """Save a video; the video with its `path`."""
        check_download(video, path)
        async with self.runtime.session():
            return await self._saved(video, await self._context.find(video.task_id), path)

    async def cancel(self, task: Task | str) -> Task:
        """Take a task back, where the gateway can; the task as it is then."""
        gateway, extensions = self._context.gateway, self._context.protocol.extensions
        task_id = checked_id(task, gateway)
        entry = await self._context.find(task_id)
        seen = tasks.last_seen(self._context.known(task_id, entry), entry)
        if extensions is None:
            goes_on = Money.RUNNING, "It goes on to its end; leave it, or wait for it."
            money, hint = tasks.outlook(seen) or goes_on
            raise InvalidRequestError(
                f"The gateway {gateway.name!r} documents no way to cancel a task.",
                money=money,
                task_id=task_id,
                hint=hint,
            )
        deadline = self.runtime.now() + _FETCH_SECONDS
        attempt = partial(self._context.ask, extensions.build_cancel(task_id), deadline)
        async with self.runtime.session():
            try:
                await retrying(self.runtime, attempt, deadline=deadline)
            except RequestError as error:
                # An answer that was lost, and the repetition refused because the first one had worked.
                fresh = await self.fetch(task_id) if isinstance(error, RefusedError) else None
                if fresh is None or fresh.status is not TaskStatus.CANCELED:
                    raise tasks.about(error, fresh or seen) from None
                return fresh
            return await self.fetch(task_id)

    async def resume(self) -> list[Task]:
        """The tasks that the journal holds unfinished and nobody works on.

        What died in mid-submit is seen to first, and what is unconfirmed is looked for where the gateway lists tasks.
        """
        context, now = self._context, self.runtime.utcnow()
        async with self.runtime.session():
            for entry in await context.call(context.journal.entries, states=[EntryState.SUBMITTING]):
                if is_dead(entry.holder):
                    await context.write(entry, held_until=now)
            await context.call(context.journal.sweep, now)
            entries = await context.call(context.journal.entries, states=_OPEN, gateway=context.gateway.name)
            free = [e for e in entries if e.held_until is None or e.held_until <= now or is_dead(e.holder)]
            until = self.runtime.now() + _SEARCH_SECONDS
            return [task for entry in free if (task := await self._recovered(entry, until)) is not None]

    async def _recovered(self, entry: Entry, until: float) -> Task | None:
        """The task of an entry that nobody works on, if it has one."""
        if entry.unfinished and entry.task_id:
            return self._context.known(entry.task_id, entry)
        try:
            found = await self._submitting.found(entry, until)
        except SubmissionUnconfirmedError:
            return None  # it stays as it is, and has been logged
        return None if found is None else found[0]

    async def drain(self, grace: float) -> bool:
        """Let no submit begin any more; wait for those under way."""
        return await self._submitting.drain(grace)

    async def budget_left(self) -> Decimal | None:
        """What the budget still holds; `None`: there is none."""
        budget = self.options.budget
        if budget is None:
            return None
        since = None if budget.per is None else self.runtime.utcnow() - budget.per
        spent: Decimal = await self._context.call(self._context.journal.spent, since)
        return max(budget.usd - spent, Decimal(0))

    # --- the steps between ---

    def _check_progress(self, on_progress: OnProgress | None) -> None:
        if not self.runtime.can_wait:
            check_progress(on_progress)

    async def _ready(self, request: VideoRequest, key: str | None) -> tuple[Order, float]:
        """The order, in a thread of its own where that matters, as images may have to be read; and its deadline."""
        check_key(key)
        if self.options.save_to is not None:
            await self.runtime.call(storage.check_target, self.options.save_to)
        offer = self.options.offer(request.model)
        folder = self.options.image_folder
        order = await self.runtime.call(make_order, request, offer, self._context.group_ratio, folder)
        return order, self.runtime.now() + (self.options.timeout or offer.model.timeout)

    async def _to_the_end(
        self, task: Task, entry: Entry | None, holder: str, deadline: float, on_progress: OnProgress | None
    ) -> Video:
        """The video, saved if it is to be; else the entry is marked as abandoned, and the error names the task."""
        lease = Lease(self._context, entry, holder)
        try:
            video = await self._stored(entry)
            if video is None:
                video = tasks.video_of(await self._looking.poll(task, entry, lease, deadline, on_progress))
            if self.options.save_to is not None and not await self._is_there(video):
                fresh = await lease.obtain(deadline)
                known = await self._stored(fresh) or video
                if await self._is_there(known):  # another process was quicker
                    video = known
                else:
                    video = await self._saved(video, entry, self.options.save_to, None if fresh is None else lease)
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled, or Ctrl-C
                error.add_note(f"Task {task.task_id} goes on at {task.gateway}. Go on with wait({task.task_id!r}).")
            if entry is not None and not isinstance(error, TaskNotFoundError):
                await afterwards(self.runtime, error, self._left(entry, lease))
            raise
        if entry is not None and entry.abandoned:
            await self._context.write(entry, abandoned=False)
        await lease.release()
        return video

    async def _left(self, entry: Entry, lease: Lease) -> None:
        await self._context.write(entry, abandoned=True)
        await lease.release()

    async def _is_there(self, video: Video) -> bool:
        return video.path is not None and await self.runtime.call(storage.is_there, video.path)

    async def _saved(self, video: Video, entry: Entry | None, save_to: str | Path, lease: Lease | None = None) -> Video:
        renew = partial(self._renewed, video) if video.gateway == self._context.gateway.name else None
        keep = lease.keep if lease is not None else None
        video = await storage.save(self.runtime, video, save_to, renew, keep)
        if entry is not None:
            given_back = lease.handed_back() if lease is not None else {}
            kept = tasks.plain(video) | {"path": storage.anchored(str(video.path))}
            await self._context.write(entry, video=kept, **given_back)
        return video

    async def _renewed(self, video: Video) -> Video:
        """The video as the gateway shows it now: its address may be signed anew."""
        task = await self.fetch(video.task_id)
        return tasks.video_of(task) if task.url is not None else video

    async def _stored(self, entry: Entry | None) -> Video | None:
        """The video of an entry that has succeeded and is billed, while its URL lives or its file is there."""
        if entry is None or entry.state is not EntryState.SUCCEEDED or entry.video is None:
            return None
        video = Video.model_validate(entry.video)
        if await self._is_there(video):
            return video
        fresh = video.url and video.expires_at > self.runtime.utcnow()
        final = video.cost.basis == "billed" or not self._context.gateway.bills
        return video if fresh and final else None
