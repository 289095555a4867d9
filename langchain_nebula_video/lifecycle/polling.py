"""Fetching a task: once, and until it is finished."""

from __future__ import annotations

import logging
from contextlib import closing
from functools import partial

from langchain_nebula_video.errors import RequestError, TaskError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.arguments import check_task_id
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.last_answer import LastAnswer
from langchain_nebula_video.lifecycle.lease import Lease
from langchain_nebula_video.lifecycle.look_faults import REFUSED_STATUSES, LookFaults
from langchain_nebula_video.lifecycle.progress import BEAT_SECONDS, ProgressReporter
from langchain_nebula_video.lifecycle.recording import Recorder
from langchain_nebula_video.lifecycle.schedule import Schedule
from langchain_nebula_video.lifecycle.video_urls import locate_video
from langchain_nebula_video.protocols import TaskSnapshot, is_page_error, is_unknown_task
from langchain_nebula_video.schema import Task, TaskStatus
from langchain_nebula_video.transport import AnswerTooLargeError
from langchain_nebula_video.transport.retry import backoff, is_retryable, retry

__all__ = ["FETCH_SECONDS", "Poller"]

logger = logging.getLogger("langchain_nebula_video")

FETCH_SECONDS = 90.0
"""How long a single fetch or cancel may take, retries included."""
_LOOK_SECONDS, _STALL_SECONDS = 120.0, 30.0
"""The most seconds for one look, and between two pieces of its answer, which may hold the video itself."""
_MAX_WITHOUT_URL = 3
"""How often a task may have succeeded without a URL before it is believed."""
_SLICES = 3
"""A sleep is cut so that its end moves with what other tasks teach meanwhile: each piece is this part of the rest."""
_SHORT_SECONDS = 6.0
"""A rest that is as short is not cut: what is learned in it would hardly move its end, and to wake up costs CPU."""
_LAST_POLL_SECONDS = 2.0
"""The last poll starts this long before the deadline, so that it can end in time."""
_FINISHED = frozenset({EntryState.SUCCEEDED, EntryState.FAILED, EntryState.CANCELED})
_NO_SUCH_PATH = frozenset({404, 405})


def _evidence_of_absence(failure: RequestError) -> int:
    """How strongly a failed status request suggests that the task does not exist. 0: it exists, but is unreadable."""
    if failure.status_code in REFUSED_STATUSES:
        return 1
    if failure.status_code not in _NO_SUCH_PATH:
        return 0
    if is_unknown_task(failure):
        return 2 if failure.code else 3
    return 4


def _has_moved(before: Task, snapshot: TaskSnapshot) -> bool:
    """Whether the gateway's row of a task has changed since it was seen before."""
    return snapshot.status is not before.status or snapshot.raw != before.raw


def _seconds_told(snapshot: TaskSnapshot, task: Task) -> float | None:
    """Return after how many seconds a task ended, if the gateway says so."""
    told = snapshot.finished_at
    return None if told is None else (told - task.submitted_at).total_seconds()


class Poller:
    """Fetches the tasks of one gateway."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._recorder = Recorder(context)
        self._route = 0
        """The index of the protocol's route that worked last."""

    async def fetch(self, task_id: str) -> Task:
        """Fetch a task once, with retries, and record its status.

        Raises:
            InvalidRequestError: that is no task id.
            TaskNotFoundError: the gateway does not know it.
            RequestError: no usable answer came.
        """
        context = self._context
        task_id = check_task_id(task_id, context.gateway)
        with tasks.journal_errors_about(task_id):
            return await self._fetch(task_id)

    async def _fetch(self, task_id: str) -> Task:
        context = self._context
        entry = await context.find_entry(task_id)
        known = context.task_from_entry(task_id, entry)
        self._check_reachable(known)
        deadline = context.runtime.now() + FETCH_SECONDS
        try:
            snapshot = await retry(context.runtime, partial(self.request_status, task_id, deadline), deadline=deadline)
        except RequestError as error:
            raise tasks.task_error(error, known) from None
        return await self._recorder.record(known, entry, snapshot)

    def _check_reachable(self, task: Task) -> None:
        """Check that a task of this id can be fetched.

        Raises:
            TaskError: it never can. Asking for it would look as if there were no such task.
        """
        reason = self._context.protocol.describe_unreachable(task.task_id)
        if reason is not None:
            what, _, hint = reason.partition(". ")
            raise TaskError(f"{what}.", task=task, hint=f"{hint} Do not submit it again before that.")

    async def request_status(
        self, task_id: str, deadline: float, faults: int = 0, last: LastAnswer | None = None
    ) -> TaskSnapshot:
        """Request a task's status once. If there are several routes, try each until one tells of the task.

        Args:
            task_id: The task.
            deadline: On the runtime's clock.
            faults: How many looks before this one went wrong in a row. After the first of them, a route that is there
                is followed by the others less and less often.
            last: What the look before was answered. If the answer is the same, so is the snapshot that is returned.

        Raises:
            RequestError: no route gave an answer about the task. Of several failures, the one that says least
                against the task.
        """
        context = self._context
        routes = context.protocol.build_fetch(task_id)
        failures: list[RequestError] = []
        looks = context.pace.looks
        tries_others = faults & (faults - 1) == 0  # after 0, 1, 2, 4, 8, … faults
        for offset in range(len(routes)):
            route = (self._route + offset) % len(routes)
            try:
                await context.wait_for_turn(looks, deadline)
                reply = await context.send(
                    routes[route], deadline, seconds=_LOOK_SECONDS, stall=_STALL_SECONDS, pace=looks, last=last
                )
                if last is not None and last.repeated:
                    return last.snapshot
                snapshot = context.protocol.parse_fetch(reply)
                if snapshot is None:
                    failures.append(tasks.missing_data_error(RequestError, reply, "says nothing of the task"))
                    if tries_others:
                        continue
                    break
                context.check_task(reply, task_id)
            except RequestError as error:
                failures.append(error)
                # A console answers each path that it does not know with its own page and HTTP 200.
                elsewhere = (error.status_code in REFUSED_STATUSES or is_page_error(error)) and tries_others
                if error.status_code not in _NO_SUCH_PATH and not elsewhere:
                    break
            else:
                self._route = route
                if last is not None:
                    last.keep(reply, snapshot)
                return locate_video(snapshot, task_id, context.gateway, context.base_url, context.runtime.utcnow())
        raise min(failures, key=_evidence_of_absence)

    async def poll(
        self, task: Task, entry: Entry | None, lease: Lease, deadline: float, reporter: ProgressReporter
    ) -> Task:
        """Fetch a task until it is finished. Temporary failures are waited out: the task is paid for.

        Args:
            task: As last seen.
            entry: Its journal entry.
            lease: Renewed at each poll.
            deadline: On the runtime's clock.
            reporter: Tells the caller.

        Raises:
            TaskError: the task has failed, was canceled, is unknown, or still runs at the deadline.
            RequestError: the gateway refused the request.
        """
        runtime = self._context.runtime
        self._check_reachable(task)
        schedule, last = await self._schedule(task), LastAnswer()
        known = bool(task.raw or entry)  # nothing is known yet of a task that another process submitted
        schedule.at_once = not known or (entry is not None and entry.state in _FINISHED)
        if known:
            await reporter.report(task)
        last_poll = deadline - min(_LAST_POLL_SECONDS, 0.1 * max(0.0, deadline - runtime.now()))
        faults = LookFaults(begun=runtime.now(), known=known)
        with closing(schedule):
            while True:
                await self._sleep(schedule, last_poll, lease, reporter, task)
                fault: RequestError | None = None
                asked = reporter.elapsed()
                try:
                    snapshot = await self.request_status(task.task_id, deadline, faults.count, last)
                except RequestError as error:
                    fault = error
                    if faults.add(error, runtime.now(), reporter.elapsed()):
                        too_large = isinstance(error, AnswerTooLargeError)
                        raise (tasks.too_large_error if too_large else tasks.task_error)(error, task) from None
                    if faults.first_of_its_kind and not is_retryable(error):
                        logger.warning("task %s: a look is repeated: %s", printable(task.task_id), error.what)
                    await reporter.report(task, estimated=True)
                    schedule.missed(reporter.elapsed(), backoff(faults.count, error))
                else:
                    faults.end()
                    before, task = task, await self._take_in(task, entry, snapshot, lease, last)
                    answered = reporter.elapsed()
                    await reporter.record_poll(task)
                    if task.status.finished and (task.url or task.status is not TaskStatus.SUCCEEDED):
                        tasks.raise_for_failure(task)
                        schedule.finished(answered, _seconds_told(snapshot, task))
                        return task
                    if reporter.polls_without_url > _MAX_WITHOUT_URL:
                        raise tasks.no_url_error(task)
                    moved = task is not before and _has_moved(before, snapshot)
                    schedule.looked(asked, answered, queued=task.status is TaskStatus.QUEUED, moved=moved)
                    del before, snapshot  # only the newest ones are kept while it sleeps
                if runtime.now() >= last_poll:
                    raise tasks.timeout_error(task, reporter.elapsed(), fault)

    async def _take_in(
        self, task: Task, entry: Entry | None, snapshot: TaskSnapshot, lease: Lease, last: LastAnswer
    ) -> Task:
        return task if last.repeated else await self._recorder.record(task, entry, snapshot, lease)

    async def _schedule(self, task: Task) -> Schedule:
        context = self._context
        total, work = await context.times(task)
        return Schedule(
            total,
            work,
            context.experience.beat,
            task.submitted_at.timestamp(),
            context.options.poll_interval,
            context.experience.steps(context.model(task.model)),
        )

    async def _sleep(
        self, schedule: Schedule, last_poll: float, lease: Lease, reporter: ProgressReporter, task: Task
    ) -> None:
        """Sleep until the next look, or until `last_poll`. What other tasks teach meanwhile may move it."""
        runtime = self._context.runtime
        version, until = None, last_poll
        while True:
            if schedule.version != version:
                version = schedule.version
                until = min(runtime.now() + schedule.next_look() - reporter.elapsed(), last_poll)
            pause = max(0.0, until - runtime.now())
            await lease.renew(ahead=pause)
            piece = BEAT_SECONDS * max(1, round(pause / _SLICES / BEAT_SECONDS))
            if pause <= _SHORT_SECONDS or schedule.interval is not None:
                await reporter.sleep(pause, task)
                return
            await reporter.sleep(piece, task)
            await reporter.report(task, estimated=True)
