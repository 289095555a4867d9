"""Progress events for the caller's `on_progress`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from datetime import datetime

from langchain_nebula_video.schema import OnProgress, Task, TaskStatus, VideoProgress
from langchain_nebula_video.transport import Runtime

__all__ = ["ProgressReporter"]

logger = logging.getLogger("langchain_nebula_video")


class ProgressReporter:
    """Counts the polls of one task and calls `on_progress`."""

    def __init__(self, runtime: Runtime, task: Task, expected: float, on_progress: OnProgress | None) -> None:
        self._runtime = runtime
        self._submitted_at: datetime = task.submitted_at
        self._expected = expected
        self._on_progress = on_progress
        self._warned = False
        self.polls = 0
        self.polls_without_url = 0

    def elapsed(self) -> float:
        """Seconds since the submit, by the wall clock."""
        return max(0.0, (self._runtime.utcnow() - self._submitted_at).total_seconds())

    async def record_poll(self, task: Task) -> None:
        """Count a poll that was answered, and report it."""
        self.polls += 1
        self.polls_without_url += task.status is TaskStatus.SUCCEEDED and task.url is None
        self._submitted_at = task.submitted_at
        await self.report(task)

    async def report(self, task: Task) -> None:
        """Call `on_progress`. If it raises, the error is logged: a paid task goes on."""
        if self._on_progress is None:
            return
        try:
            result = self._on_progress(self._build_event(task))
            if inspect.isawaitable(result):
                await self._await_result(result)
        except Exception:
            logger.exception("on_progress failed; the generation goes on")

    async def _await_result(self, result: Awaitable[object]) -> None:
        if self._runtime.can_await:
            await result
            return
        if inspect.iscoroutine(result):
            result.close()
        if not self._warned:
            self._warned = True
            logger.error("on_progress has to be awaited, which only an async client does; nothing was told")

    def _build_event(self, task: Task) -> VideoProgress:
        elapsed = self.elapsed()
        fraction = task.progress if task.progress is not None else min(elapsed / self._expected, 0.99)
        return VideoProgress(
            task_id=task.task_id,
            status=task.status,
            elapsed=elapsed,
            expected=self._expected,
            fraction=1.0 if task.status.finished else fraction,
            polls=self.polls,
            cost=task.cost,
        )
