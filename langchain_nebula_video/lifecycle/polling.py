"""Looking at a task: once, and until it is finished."""

from __future__ import annotations

import logging

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context, settled
from langchain_nebula_video.lifecycle.lease import Lease
from langchain_nebula_video.lifecycle.progress import Watch
from langchain_nebula_video.lifecycle.schedule import Schedule
from langchain_nebula_video.protocols import TaskSnapshot, is_unknown_task
from langchain_nebula_video.schema import OnProgress, Task, TaskStatus
from langchain_nebula_video.transport.retry import backoff, repeatable

__all__ = ["Looking"]

logger = logging.getLogger("langchain_nebula_video")

_MISSING = 3
"""How often a task may be unknown, or succeeded without a URL, before that is believed."""
_LAST_LOOK = 2.0
"""Seconds before the deadline at which the last look begins, so that it can end in time."""
_ENDED = frozenset({EntryState.SUCCEEDED, EntryState.FAILED, EntryState.CANCELED})
_NO_SUCH_PATH = frozenset({404, 405})


def _weight(failure: RequestError) -> int:
    """How much a failed way to ask says against the task: nothing, if it is there and cannot be read at the moment."""
    if failure.status_code not in _NO_SUCH_PATH:
        return 0
    if is_unknown_task(failure):
        return 1 if failure.code else 2
    return 3


class Looking:
    """Looks at the tasks of one gateway."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._route = 0
        """Which of the protocol's ways to ask has worked."""

    async def look(self, task_id: str, deadline: float) -> TaskSnapshot:
        """One look; where no page says how, each way is tried until one is there.

        Raises:
            RequestError: none of them gave an answer about the task; the failure that says least against it.
        """
        context = self._context
        ways = context.protocol.build_fetch(task_id)
        failures: list[RequestError] = []
        for turn in range(len(ways)):
            way = (self._route + turn) % len(ways)
            try:
                reply = await context.ask(ways[way], deadline)
                answer = context.protocol.parse_fetch(reply)
                if answer is None:
                    failures.append(tasks.silent(RequestError, reply, "says nothing of the task"))
                    continue
            except RequestError as error:
                if error.status_code not in _NO_SUCH_PATH:
                    raise
                failures.append(error)
            else:
                self._route = way
                return answer
        raise min(failures, key=_weight)

    async def poll(
        self, task: Task, entry: Entry | None, lease: Lease, deadline: float, on_progress: OnProgress | None
    ) -> Task:
        """Ask until the task is finished. Passing faults are waited out: the task is paid for."""
        context, runtime = self._context, self._context.runtime
        model = context.model(task.model)
        earliest, latest = model.typical(task.duration)
        schedule = Schedule(earliest, latest, context.options.poll_interval, model.steps or context.gateway.steps)
        watch = Watch(runtime, task, latest, on_progress)
        pause = 0.0
        if task.raw or entry:  # of a task that another process submitted nothing is known yet
            await watch.tell(task)
            ended = entry is not None and entry.state in _ENDED
            pause = 0.0 if ended else schedule.first(watch.elapsed())
        last_look = deadline - min(_LAST_LOOK, 0.1 * max(0.0, deadline - runtime.now()))
        faults = missing = 0
        while True:
            await runtime.sleep(max(0.0, min(pause, last_look - runtime.now())))
            await lease.keep()
            fault: RequestError | None = None
            try:
                answer = await self.look(task.task_id, deadline)
            except RequestError as error:
                fault, faults = error, faults + 1
                missing = missing + 1 if is_unknown_task(error) else 0
                if not repeatable(error) and not 0 < missing < _MISSING:
                    raise tasks.about(error, task) from None
                pause = max(backoff(faults, error), schedule.step(watch.elapsed(), queued=False))
            else:
                faults = missing = 0
                task = await self.note(task, entry, answer)
                await watch.polled(task)
                if task.status.finished and (task.url or task.status is not TaskStatus.SUCCEEDED):
                    return tasks.succeeded(task)
                if watch.without_url > _MISSING:
                    raise tasks.no_url(task)
                pause = schedule.step(watch.elapsed(), queued=task.status is TaskStatus.QUEUED)
            if runtime.now() >= last_look:
                raise tasks.timed_out(task, watch.elapsed(), fault)

    async def note(self, task: Task, entry: Entry | None, answer: TaskSnapshot) -> Task:
        """The task with what was learnt, and the journal with it."""
        context = self._context
        if answer.unknown_status is not None:
            logger.info("task %s has the undocumented status %r; polling goes on", task.task_id, answer.unknown_status)
        fresh = tasks.merged(task, answer, context.gateway, context.price, context.runtime.utcnow())
        if fresh.status is not task.status:
            logger.info("task %s: %s", task.task_id, fresh.status)
        if entry is None or (entry.state is tasks.STATE[fresh.status] and fresh.status is not TaskStatus.SUCCEEDED):
            return fresh
        if fresh.status is TaskStatus.SUCCEEDED:
            if fresh.url is not None:
                await self._succeeded(entry, fresh)
        elif fresh.status is not task.status and entry.state is not EntryState.SUCCEEDED:  # a video that was made stays
            await context.write(entry, state=tasks.STATE[fresh.status], reason=fresh.reason)
        return fresh

    async def _succeeded(self, entry: Entry, fresh: Task) -> None:
        """Have the video in the journal; where it was saved meanwhile stays there."""
        now = await self._context.find(fresh.task_id) or entry
        video = tasks.plain(tasks.video_of(fresh)) | {"path": (now.video or {}).get("path")}
        if now.state is not EntryState.SUCCEEDED and (seen := settled.get()) is not None:
            seen.add(fresh.task_id)
        if now.state is not EntryState.SUCCEEDED or now.video != video or now.billed_usd != fresh.cost.usd:
            await self._context.write(entry, state=EntryState.SUCCEEDED, billed_usd=fresh.cost.usd, video=video)
