"""Looking at a task: once, and until it is finished."""

from __future__ import annotations

import logging

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context, newly_succeeded
from langchain_nebula_video.lifecycle.lease import Lease
from langchain_nebula_video.lifecycle.progress import ProgressReporter
from langchain_nebula_video.lifecycle.schedule import Schedule
from langchain_nebula_video.protocols import TaskSnapshot, is_unknown_task
from langchain_nebula_video.schema import OnProgress, Task, TaskStatus
from langchain_nebula_video.transport.retry import backoff, is_retryable

__all__ = ["Poller"]

logger = logging.getLogger("langchain_nebula_video")

_MAX_MISSING = 3
"""How often a task may be unknown, or succeeded without a URL, before that is believed."""
_LAST_POLL_SECONDS = 2.0
"""Seconds before the deadline at which the last look begins, so that it can end in time."""
_FINISHED = frozenset({EntryState.SUCCEEDED, EntryState.FAILED, EntryState.CANCELED})
_NO_SUCH_PATH = frozenset({404, 405})


def _evidence_of_absence(failure: RequestError) -> int:
    """How strongly a failed status request suggests that the task does not exist. 0: it exists, but is unreadable."""
    if failure.status_code not in _NO_SUCH_PATH:
        return 0
    if is_unknown_task(failure):
        return 1 if failure.code else 2
    return 3


class Poller:
    """Looks at the tasks of one gateway."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._route = 0
        """Which of the protocol's routes to ask has worked."""

    async def request_status(self, task_id: str, deadline: float) -> TaskSnapshot:
        """One look; where no page says how, each route is tried until one is there.

        Raises:
            RequestError: none of them gave an answer about the task; the failure that says least against it.
        """
        context = self._context
        routes = context.protocol.build_fetch(task_id)
        failures: list[RequestError] = []
        for offset in range(len(routes)):
            route = (self._route + offset) % len(routes)
            try:
                reply = await context.send(routes[route], deadline)
                answer = context.protocol.parse_fetch(reply)
                if answer is None:
                    failures.append(tasks.missing_data_error(RequestError, reply, "says nothing of the task"))
                    continue
            except RequestError as error:
                if error.status_code not in _NO_SUCH_PATH:
                    raise
                failures.append(error)
            else:
                self._route = route
                return answer
        raise min(failures, key=_evidence_of_absence)

    async def poll(
        self, task: Task, entry: Entry | None, lease: Lease, deadline: float, on_progress: OnProgress | None
    ) -> Task:
        """Ask until the task is finished. Passing faults are waited out: the task is paid for."""
        context, runtime = self._context, self._context.runtime
        model = context.model(task.model)
        earliest, latest = model.typical(task.duration)
        schedule = Schedule(earliest, latest, context.options.poll_interval, model.steps or context.gateway.steps)
        reporter = ProgressReporter(runtime, task, latest, on_progress)
        pause = 0.0
        if task.raw or entry:  # of a task that another process submitted nothing is known yet
            await reporter.report(task)
            ended = entry is not None and entry.state in _FINISHED
            pause = 0.0 if ended else schedule.first_delay(reporter.elapsed())
        last_poll = deadline - min(_LAST_POLL_SECONDS, 0.1 * max(0.0, deadline - runtime.now()))
        faults = missing = 0
        while True:
            await runtime.sleep(max(0.0, min(pause, last_poll - runtime.now())))
            await lease.renew()
            fault: RequestError | None = None
            try:
                answer = await self.request_status(task.task_id, deadline)
            except RequestError as error:
                fault, faults = error, faults + 1
                missing = missing + 1 if is_unknown_task(error) else 0
                if not is_retryable(error) and not 0 < missing < _MAX_MISSING:
                    raise tasks.task_error(error, task) from None
                pause = max(backoff(faults, error), schedule.next_delay(reporter.elapsed(), queued=False))
            else:
                faults = missing = 0
                task = await self.record(task, entry, answer)
                await reporter.record_poll(task)
                if task.status.finished and (task.url or task.status is not TaskStatus.SUCCEEDED):
                    return tasks.raise_for_failure(task)
                if reporter.polls_without_url > _MAX_MISSING:
                    raise tasks.no_url_error(task)
                pause = schedule.next_delay(reporter.elapsed(), queued=task.status is TaskStatus.QUEUED)
            if runtime.now() >= last_poll:
                raise tasks.timeout_error(task, reporter.elapsed(), fault)

    async def record(self, task: Task, entry: Entry | None, answer: TaskSnapshot) -> Task:
        """The task with what was learnt, and the journal with it."""
        context = self._context
        if answer.unknown_status is not None:
            logger.info("task %s has the undocumented status %r; polling goes on", task.task_id, answer.unknown_status)
        fresh = tasks.merge_answer(task, answer, context.gateway, context.find_price, context.runtime.utcnow())
        if fresh.status is not task.status:
            logger.info("task %s: %s", task.task_id, fresh.status)
        if entry is None or (
            entry.state is tasks.ENTRY_STATES[fresh.status] and fresh.status is not TaskStatus.SUCCEEDED
        ):
            return fresh
        if fresh.status is TaskStatus.SUCCEEDED:
            if fresh.url is not None:
                await self._record_success(entry, fresh)
        elif fresh.status is not task.status and entry.state is not EntryState.SUCCEEDED:  # a video that was made stays
            await context.update_entry(entry, state=tasks.ENTRY_STATES[fresh.status], reason=fresh.reason)
        return fresh

    async def _record_success(self, entry: Entry, fresh: Task) -> None:
        """Have the video in the journal; where it was saved meanwhile stays there."""
        now = await self._context.find_entry(fresh.task_id) or entry
        video = tasks.video_to_json(tasks.task_to_video(fresh)) | {"path": (now.video or {}).get("path")}
        if now.state is not EntryState.SUCCEEDED and (succeeded_ids := newly_succeeded.get()) is not None:
            succeeded_ids.add(fresh.task_id)
        if now.state is not EntryState.SUCCEEDED or now.video != video or now.billed_usd != fresh.cost.usd:
            await self._context.update_entry(entry, state=EntryState.SUCCEEDED, billed_usd=fresh.cost.usd, video=video)
