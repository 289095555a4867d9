"""How far a task is, told to whoever wants to know."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from datetime import datetime

from langchain_nebula_video.schema import OnProgress, Task, TaskStatus, VideoProgress
from langchain_nebula_video.transport import Runtime

__all__ = ["Watch"]

logger = logging.getLogger("langchain_nebula_video")


class Watch:
    """The polls of one task, and the caller's `on_progress`."""

    def __init__(self, runtime: Runtime, task: Task, expected: float, on_progress: OnProgress | None) -> None:
        self._runtime = runtime
        self._since: datetime = task.submitted_at
        self._expected = expected
        self._on_progress = on_progress
        self._warned = False
        self.polls = 0
        self.without_url = 0

    def elapsed(self) -> float:
        return max(0.0, (self._runtime.utcnow() - self._since).total_seconds())

    async def polled(self, task: Task) -> None:
        self.polls += 1
        self.without_url += task.status is TaskStatus.SUCCEEDED and task.url is None
        self._since = task.submitted_at
        await self.tell(task)

    async def tell(self, task: Task) -> None:
        """A callback that fails is not a reason to leave a paid task."""
        if self._on_progress is None:
            return
        try:
            told = self._on_progress(self._event(task))
            if inspect.isawaitable(told):
                await self._waited(told)
        except Exception:
            logger.exception("on_progress failed; the generation goes on")

    async def _waited(self, told: Awaitable[object]) -> None:
        if self._runtime.can_wait:
            await told
            return
        if inspect.iscoroutine(told):
            told.close()
        if not self._warned:
            self._warned = True
            logger.error("on_progress has to be awaited, which only an async client does; nothing was told")

    def _event(self, task: Task) -> VideoProgress:
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
