"""Waiting for a task: look at it again and again until it is finished."""

from __future__ import annotations

import logging
from contextlib import closing

from langchain_nebula_video.errors import RequestError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.last_answer import LastAnswer
from langchain_nebula_video.lifecycle.lease import Lease
from langchain_nebula_video.lifecycle.look_faults import LookFaults
from langchain_nebula_video.lifecycle.looking import Looker
from langchain_nebula_video.lifecycle.progress import BEAT_SECONDS, ProgressReporter
from langchain_nebula_video.lifecycle.recording import Recorder
from langchain_nebula_video.lifecycle.schedule import Schedule
from langchain_nebula_video.protocols import TaskSnapshot
from langchain_nebula_video.schema import Task, TaskStatus
from langchain_nebula_video.transport import AnswerTooLargeError
from langchain_nebula_video.transport.retry import backoff, is_retryable

__all__ = ["Poller"]

logger = logging.getLogger("langchain_nebula_video")

_MAX_WITHOUT_URL = 3
"""How often a task may have succeeded without a URL before it is believed."""
_SLICES = 3
"""A sleep is cut so that its end moves with what other tasks teach meanwhile: each piece is this part of the rest."""
_SHORT_SECONDS = 6.0
"""A rest that is as short is not cut: what is learned in it would hardly move its end, and to wake up costs CPU."""
_LAST_POLL_SECONDS = 2.0
"""The last poll starts this long before the deadline, so that it can end in time."""
_FINISHED = frozenset({EntryState.SUCCEEDED, EntryState.FAILED, EntryState.CANCELED})


def _has_moved(before: Task, snapshot: TaskSnapshot) -> bool:
    """Whether the gateway's row of a task has changed since it was seen before."""
    return snapshot.status is not before.status or snapshot.raw != before.raw


def _seconds_told(snapshot: TaskSnapshot, task: Task) -> float | None:
    """Return after how many seconds a task ended, if the gateway says so."""
    told = snapshot.finished_at
    return None if told is None else (told - task.submitted_at).total_seconds()


class Poller:
    """Waits for the tasks of one gateway.

    Args:
        context: What all steps of the lifecycle share.
        looker: Looks at them.
    """

    def __init__(self, context: Context, looker: Looker) -> None:
        self._context = context
        self._looker = looker
        self._recorder = Recorder(context)

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
        self._looker.check_reachable(task)
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
                    snapshot = await self._looker.request_status(task.task_id, deadline, faults.count, last)
                except RequestError as error:
                    fault = error
                    self._judge(error, faults, reporter, task)
                    await reporter.report(task, estimated=True)
                    schedule.missed(reporter.elapsed(), backoff(faults.count, error))
                else:
                    faults.end()
                    before = task
                    if not last.repeated:
                        task = await self._recorder.record(task, entry, snapshot, lease)
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

    def _judge(self, error: RequestError, faults: LookFaults, reporter: ProgressReporter, task: Task) -> None:
        """Take a fault of a look for a passing one, or raise what it means for the task."""
        if faults.add(error, self._context.runtime.now(), reporter.elapsed()):
            too_large = isinstance(error, AnswerTooLargeError)
            raise (tasks.too_large_error if too_large else tasks.task_error)(error, task) from None
        if faults.first_of_its_kind and not is_retryable(error):
            logger.warning("task %s: a look is repeated: %s", printable(task.task_id), error.what)

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
