"""Submit, fetch, wait, generate, download, resume: written once, for both kinds of client.

The code is `async` and waits for nothing but its `Runtime` (see `_runtime`).
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from langchain_nebula_video import _tasks as tasks
from langchain_nebula_video import storage
from langchain_nebula_video._options import Options
from langchain_nebula_video._orders import (
    Order,
    check_download,
    check_key,
    check_progress,
    check_time,
    check_timeout,
    checked_id,
    make_order,
)
from langchain_nebula_video._retry import backoff, repeatable, retrying
from langchain_nebula_video._runtime import Runtime
from langchain_nebula_video._schedule import Schedule
from langchain_nebula_video._watch import Watch
from langchain_nebula_video.errors import (
    InvalidRequestError,
    Money,
    NebulaVideoError,
    RequestError,
    SubmissionUnconfirmedError,
    TaskNotFoundError,
)
from langchain_nebula_video.journal import Entry, EntryState, Journal
from langchain_nebula_video.models import MODELS, estimate
from langchain_nebula_video.protocols import (
    PROTOCOLS,
    Answer,
    Reply,
    Submission,
    WireRequest,
    is_unknown_task,
)
from langchain_nebula_video.schema import (
    OnProgress,
    Task,
    TaskStatus,
    Video,
    VideoRequest,
    dollars,
)

__all__ = ["Lifecycle"]

logger = logging.getLogger("langchain_nebula_video")

_SUBMIT_SECONDS = 120.0
"""For one submit: it may carry 7 MB of image, and the gateway looks at the image before it answers."""
_SUBMIT_NEEDS = 15.0
"""Seconds that a submit must have left to be sent at all; half of what the caller gives, if that is less."""
_FETCH_SECONDS = 30.0
_FETCH_DEADLINE = 90.0
_MISSING = 3
"""How often a task may be unknown, or succeeded without a URL, before that is believed."""
_PEER_PAUSE = 0.25
_LAST_LOOK = 2.0
"""Seconds before the deadline at which the last look begins, so that it can end in time."""


class Lifecycle:
    """What happens to a task, from the request to the saved video.

    Args:
        options: What the caller set.
        runtime: All that may be waited for.
    """

    def __init__(self, options: Options, runtime: Runtime) -> None:
        self.options = options
        self.runtime = runtime
        self._gateway = options.gateway_row
        self._protocol = PROTOCOLS[self._gateway.protocol]
        self._journal: Journal = options.journal
        self._group_ratio = options.group_ratio

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
        check_progress(on_progress)
        async with self.runtime.session():
            order = await self._ready(request, key)
            deadline = self.runtime.now() + (self.options.timeout or order.model.timeout)
            task, entry = await self._submit(order, key, deadline, adopt=key is None if adopt is None else adopt)
            return await self._to_the_end(task, entry, deadline, on_progress)

    async def submit(self, request: VideoRequest, *, key: str | None = None) -> Task:
        """One paid POST, at most; the task."""
        async with self.runtime.session():
            order = await self._ready(request, key)
            deadline = self.runtime.now() + (self.options.timeout or order.model.timeout)
            task, _ = await self._submit(order, key, deadline, adopt=key is None)
            return task

    async def fetch(self, task_id: str) -> Task:
        """A fresh look at a task."""
        task_id = checked_id(task_id, self._gateway)
        entry = await self._find(task_id=task_id)
        known = self._known(task_id, entry)
        deadline = self.runtime.now() + _FETCH_DEADLINE
        try:
            answer = await retrying(self.runtime, partial(self._look, task_id, deadline), deadline=deadline)
        except RequestError as error:
            raise tasks.about(error, known) from None
        return await self._note(known, entry, answer)

    async def wait(
        self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None
    ) -> Video:
        """Fetch until the task is finished."""
        task_id = checked_id(task, self._gateway)
        check_timeout(timeout)
        check_progress(on_progress)
        async with self.runtime.session():
            entry = await self._find(task_id=task_id)
            known = task if isinstance(task, Task) else self._known(task_id, entry)
            model = MODELS.get(known.model) or MODELS[self.options.model]
            deadline = self.runtime.now() + (timeout or self.options.timeout or model.timeout)
            return await self._to_the_end(known, entry, deadline, on_progress)

    async def download(self, video: Video, path: str | Path) -> Video:
        """Save a video; the video with its `path`."""
        check_download(video, path)
        async with self.runtime.session():
            return await self._saved(video, await self._find(task_id=video.task_id), path)

    async def cancel(self, task: Task | str) -> Task:
        """Take a task back, where the gateway can."""
        task_id = checked_id(task, self._gateway)
        raise InvalidRequestError(
            f"The gateway {self._gateway.name!r} documents no way to cancel a task.",
            money=Money.RUNNING,
            task_id=task_id,
            hint="It goes on to its end; leave it, or wait for it.",
        )

    async def resume(self) -> list[Task]:
        """The tasks that the journal holds unfinished."""
        entries = await self._call(self._journal.entries)
        for entry in entries:
            if entry.state is EntryState.UNCONFIRMED and entry.gateway == self._gateway.name:
                spent = dollars(entry.reserved_usd)
                logger.warning("a submit of %s is unconfirmed: %s may have been spent", entry.created_at, spent)
        return [
            self._known(entry.task_id, entry)
            for entry in entries
            if entry.unfinished and entry.task_id and entry.gateway == self._gateway.name
        ]

    # --- submitting ---

    async def _ready(self, request: VideoRequest, key: str | None) -> Order:
        """The order; in a thread of its own where that matters, as images may have to be read and encoded."""
        check_key(key)
        if self.options.save_to is not None:
            await self.runtime.call(storage.check_target, self.options.save_to)
        folder = self.options.image_folder
        model = self.options.model
        return await self.runtime.call(make_order, request, self._gateway, model, self._group_ratio, folder)

    async def _submit(self, order: Order, key: str | None, deadline: float, *, adopt: bool) -> tuple[Task, Entry]:
        if self.options.budget is not None and order.cost.usd is None:
            raise InvalidRequestError(
                f"There is a budget, and no price is known for {order.model.name} on {self._gateway.name!r}.",
                hint="Choose a model with a price, or leave the budget out.",
            )
        if key is not None and adopt:  # a key that nobody chose: some language models number their calls anew each turn
            key = f"{key}:{order.digest}"
        entry = Entry(
            id=uuid.uuid4().hex,
            key=key,
            gateway=self._gateway.name,
            model=order.model.name,
            request=order.summary,
            created_at=self.runtime.utcnow(),
            reserved_usd=order.cost.usd or Decimal(0),
        )
        sent = _Sent()
        try:
            owner = await self._reserve(entry, deadline, adopt=adopt)
            if owner.id != entry.id:
                return self._replayed(owner, order)
            # A POST that is given no time to be answered is paid for in the dark.
            latest = deadline - min(_SUBMIT_NEEDS, 0.5 * (deadline - self.runtime.now()))
            if self.options.rate_limiter is not None:
                await self.runtime.acquire(self.options.rate_limiter)
            wire = self._protocol.build_submit(order.request, order.images)

            async def attempt() -> tuple[Task, Entry]:
                async with self.runtime.turn():  # whoever is cancelled while waiting has sent nothing
                    check_time(self.runtime.now(), latest)
                    return await self.runtime.finish(self._post(wire, entry, order, sent, deadline))

            return await retrying(self.runtime, attempt, deadline=latest)
        except BaseException as error:
            await self._afterwards(error, self._give_up(entry, sent, error))
            raise

    async def _reserve(self, entry: Entry, deadline: float, *, adopt: bool) -> Entry:
        """Write the row, or find the one that has the key; wait while a sibling is in mid-submit."""
        while True:
            owner: Entry = await self._call(self._journal.reserve, entry, self.options.budget, adopt=adopt)
            mid_submit = owner.id != entry.id and owner.state is EntryState.SUBMITTING
            if not mid_submit or self.runtime.now() >= deadline:
                return owner
            await self.runtime.sleep(_PEER_PAUSE)

    async def _post(
        self, wire: WireRequest, entry: Entry, order: Order, sent: _Sent, deadline: float
    ) -> tuple[Task, Entry]:
        """One POST and its record. Runs to its end even if the caller is cancelled."""
        sent.under_way = True
        try:
            reply = await self.runtime.send(wire, timeout=self._within(_SUBMIT_SECONDS, deadline))
            submission = self._accepted(reply)
        except NebulaVideoError as error:
            sent.under_way = isinstance(error, SubmissionUnconfirmedError)
            raise
        sent.task_id = submission.task_id
        await self._write(entry, task_id=submission.task_id, state=EntryState.SUBMITTED)
        task = self._first_task(submission, entry, order, reply)
        entry = await self._write(entry, reserved_usd=task.cost.usd or Decimal(0))
        logger.info("task %s submitted to %s: %s", task.task_id, self._gateway.name, task.cost)
        return task, entry

    def _accepted(self, reply: Reply) -> Submission:
        refusal = self._protocol.refusal(reply, paid=True)
        if refusal is not None:
            raise refusal
        submission = self._protocol.parse_submit(reply)
        if submission is None:
            raise tasks.silent(SubmissionUnconfirmedError, reply, "names no task")
        return submission

    def _first_task(self, submission: Submission, entry: Entry, order: Order, reply: Reply) -> Task:
        answer = submission.answer
        if answer.group_ratio:
            self._group_ratio = answer.group_ratio  # so that later estimates are those of this account
        known = self._known(submission.task_id, entry).model_copy(
            update={"submitted_at": reply.received_at, "cost": estimate(
                order.request, order.model, self._gateway, self._group_ratio)},
        )  # fmt: skip
        status = answer.status if not answer.status.finished else TaskStatus.QUEUED
        return known.model_copy(update={"status": status, "request_id": answer.request_id, "raw": answer.raw})

    async def _give_up(self, entry: Entry, sent: _Sent, error: BaseException) -> None:
        """Leave the journal true after a submit that did not end well, and name what goes on."""
        if sent.task_id is not None:
            await self._write(entry, abandoned=True)
            error.add_note(
                f"Task {sent.task_id} was accepted by {entry.gateway} and goes on; "
                f"it is billed when it succeeds. Go on with wait({sent.task_id!r})."
            )
        elif sent.under_way:
            if not isinstance(error, Exception):
                error.add_note("The submit was under way: money may have been spent. Its journal entry is unconfirmed.")
            await self._write(entry, state=EntryState.UNCONFIRMED, abandoned=True)
            logger.warning("a submit is unconfirmed: %s may have been spent", dollars(entry.reserved_usd))
        else:
            await self._call(self._journal.forget, entry.id)

    def _replayed(self, owner: Entry, order: Order) -> tuple[Task, Entry]:
        """The task of a key that is known already; nothing is sent."""
        differing = [
            name for name in {*owner.request, *order.summary} if owner.request.get(name) != order.summary.get(name)
        ]
        if differing:
            raise InvalidRequestError(
                f"The key {owner.key!r} belongs to another request: it differs in {', '.join(sorted(differing))}.",
                hint="Give each video a key of its own.",
                task_id=owner.task_id,
            )
        if owner.task_id is None:
            raise SubmissionUnconfirmedError(
                f"The same video was submitted at {owner.created_at:%Y-%m-%d %H:%M} UTC, and no answer came. "
                "It was not sent again."
            )
        return self._known(owner.task_id, owner), owner

    # --- looking ---

    async def _look(self, task_id: str, deadline: float) -> Answer:
        wire = self._protocol.build_fetch(task_id)
        reply = await self.runtime.send(wire, timeout=self._within(_FETCH_SECONDS, deadline))
        refusal = self._protocol.refusal(reply, paid=False)
        if refusal is not None:
            raise refusal
        answer = self._protocol.parse_fetch(reply)
        if answer is None:
            raise tasks.silent(RequestError, reply, "says nothing of the task")
        return answer

    async def _to_the_end(
        self, task: Task, entry: Entry | None, deadline: float, on_progress: OnProgress | None
    ) -> Video:
        """The video, saved if it is to be; else the entry is marked as abandoned, and the error names the task."""
        try:
            video = self._stored(entry)
            if video is None:
                video = tasks.video_of(await self._poll(task, entry, deadline, on_progress))
            save_to = self.options.save_to
            there = video.path is not None and await self.runtime.call(os.path.isfile, video.path)
            if save_to is not None and not there:
                video = await self._saved(video, entry, save_to)
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled, or Ctrl-C
                error.add_note(f"Task {task.task_id} goes on at {task.gateway}. Go on with wait({task.task_id!r}).")
            if entry is not None and not isinstance(error, TaskNotFoundError):
                await self._afterwards(error, self._write(entry, abandoned=True))
            raise
        if entry is not None and entry.abandoned:
            await self._write(entry, abandoned=False)
        return video

    async def _saved(self, video: Video, entry: Entry | None, save_to: str | Path) -> Video:
        video = await storage.save(self.runtime, video, save_to)
        if entry is not None:
            await self._write(entry, video=tasks.plain(video))
        return video

    def _stored(self, entry: Entry | None) -> Video | None:
        """The video of an entry that has succeeded and is billed, while its URL lives."""
        if entry is None or entry.state is not EntryState.SUCCEEDED or entry.video is None:
            return None
        video = Video.model_validate(entry.video)
        fresh = video.url and video.expires_at > self.runtime.utcnow()
        return video if fresh and video.cost.basis == "billed" else None

    async def _poll(self, task: Task, entry: Entry | None, deadline: float, on_progress: OnProgress | None) -> Task:
        """Ask until the task is finished. Passing faults are waited out: the task is paid for."""
        model = MODELS.get(task.model) or MODELS[self.options.model]
        earliest, latest = model.typical(task.duration)
        schedule = Schedule(earliest, latest, self.options.poll_interval)
        watch = Watch(self.runtime, task, latest, on_progress)
        pause = 0.0
        if task.raw or entry:  # of a task that another process submitted nothing is known yet
            watch.tell(task)
            pause = schedule.first(watch.elapsed())
        last_look = deadline - min(_LAST_LOOK, 0.1 * max(0.0, deadline - self.runtime.now()))
        faults = missing = 0
        while True:
            await self.runtime.sleep(max(0.0, min(pause, last_look - self.runtime.now())))
            fault: RequestError | None = None
            try:
                answer = await self._look(task.task_id, deadline)
            except RequestError as error:
                fault, faults = error, faults + 1
                missing = missing + 1 if is_unknown_task(error) else 0
                if not repeatable(error) and not 0 < missing < _MISSING:
                    raise tasks.about(error, task) from None
                pause = max(backoff(faults, error), schedule.step(watch.elapsed(), queued=False))
            else:
                faults = missing = 0
                task = await self._note(task, entry, answer)
                watch.polled(task)
                if task.status.finished and (task.url or task.status is not TaskStatus.SUCCEEDED):
                    return tasks.succeeded(task)
                if watch.without_url > _MISSING:
                    raise tasks.no_url(task)
                pause = schedule.step(watch.elapsed(), queued=task.status is TaskStatus.QUEUED)
            if self.runtime.now() >= last_look:
                raise tasks.timed_out(task, watch.elapsed(), fault)

    async def _note(self, task: Task, entry: Entry | None, answer: Answer) -> Task:
        """The task with what was learnt, and the journal with it."""
        if answer.unknown_word is not None:
            logger.info("task %s has the undocumented status %r; polling goes on", task.task_id, answer.unknown_word)
        fresh = tasks.merged(task, answer, self._gateway, now=self.runtime.utcnow())
        if fresh.status is not task.status:
            logger.info("task %s: %s", task.task_id, fresh.status)
        if entry is None or (entry.state is tasks.STATE[fresh.status] and fresh.status is not TaskStatus.SUCCEEDED):
            return fresh
        if fresh.status is TaskStatus.SUCCEEDED:
            if fresh.url is not None:
                await self._write(
                    entry,
                    state=EntryState.SUCCEEDED,
                    billed_usd=fresh.cost.usd,
                    video=tasks.plain(tasks.video_of(fresh)),
                )
        elif fresh.status is not task.status:
            await self._write(entry, state=tasks.STATE[fresh.status], reason=fresh.reason)
        return fresh

    async def _afterwards(self, error: BaseException, flow: Coroutine[Any, Any, object]) -> None:
        """Bring the record to its end; a second cancellation meanwhile says what the first one would have said."""
        try:
            await self.runtime.finish(flow)
        except BaseException as second:
            for note in getattr(error, "__notes__", ()):
                second.add_note(note)
            raise

    # --- the journal's side ---

    async def _call(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Ask the journal; off the event loop if it may block."""
        if self._journal.blocking:
            return await self.runtime.call(func, *args, **kwargs)
        return func(*args, **kwargs)

    async def _find(self, *, task_id: str) -> Entry | None:
        found: Entry | None = await self._call(self._journal.find, gateway=self._gateway.name, task_id=task_id)
        return found

    async def _write(self, entry: Entry, **changes: Any) -> Entry:
        changed: Entry = await self._call(self._journal.update, entry.id, **changes)
        return changed

    def _known(self, task_id: str, entry: Entry | None) -> Task:
        return tasks.known(
            task_id, entry, self._gateway, self.options.model, self._group_ratio, now=self.runtime.utcnow()
        )

    def _within(self, seconds: float, deadline: float) -> float:
        return max(0.05, min(seconds, deadline - self.runtime.now()))


@dataclass(slots=True)
class _Sent:
    """How far a submit got, for whoever has to clean up after it."""

    under_way: bool = False
    task_id: str | None = None
