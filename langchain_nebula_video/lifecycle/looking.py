"""One look at a task: a free request, by the routes that a gateway may have."""

from __future__ import annotations

from functools import partial

from langchain_nebula_video.errors import RequestError, TaskError
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.arguments import check_task_id
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.last_answer import LastAnswer
from langchain_nebula_video.lifecycle.look_faults import REFUSED_STATUSES
from langchain_nebula_video.lifecycle.recording import Recorder
from langchain_nebula_video.lifecycle.video_urls import locate_video
from langchain_nebula_video.protocols import TaskSnapshot, is_page_error, is_unknown_task
from langchain_nebula_video.schema import Task
from langchain_nebula_video.transport.retry import retry

__all__ = ["FETCH_SECONDS", "Looker"]

FETCH_SECONDS = 90.0
"""How long a single fetch or cancel may take, retries included."""
_LOOK_SECONDS, _STALL_SECONDS = 120.0, 30.0
"""The most seconds for one look, and between two pieces of its answer, which may hold the video itself."""
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


class Looker:
    """Looks at the tasks of one gateway."""

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
        self.check_reachable(known)
        deadline = context.runtime.now() + FETCH_SECONDS
        try:
            snapshot = await retry(context.runtime, partial(self.request_status, task_id, deadline), deadline=deadline)
        except RequestError as error:
            raise tasks.task_error(error, known) from None
        return await self._recorder.record(known, entry, snapshot)

    def check_reachable(self, task: Task) -> None:
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
