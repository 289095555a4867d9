"""Progress events for the caller's `on_progress`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any

from langchain_nebula_video.schema import Cost, OnProgress, Task, TaskStatus, Video, VideoProgress
from langchain_nebula_video.transport import Emission, Runtime

__all__ = ["BEAT_SECONDS", "ProgressReporter"]

logger = logging.getLogger("langchain_nebula_video")

BEAT_SECONDS = 3.0
"""The most seconds of a wait without an event."""


class ProgressReporter:
    """Tells `on_progress` of one video: at each poll, in the waits between, and while the video is saved.

    Args:
        runtime: Does the waiting.
        since: When the task was submitted, as it is known at first.
        expected: Tells the seconds that such a video usually takes, as far as is known by now.
        on_progress: The caller's callback; `None`: nobody is told.
    """

    def __init__(
        self, runtime: Runtime, since: datetime, expected: Callable[[], float], on_progress: OnProgress | None
    ) -> None:
        self._runtime = runtime
        self._submitted_at = since
        self._expected = expected
        self._on_progress = on_progress
        self._warned = False
        self._told_at: float | None = None
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

    async def report(self, task: Task, *, estimated: bool = False) -> None:
        """Report a task as last seen. Before anything is known of it, there is nothing to estimate."""
        if self._on_progress is None or (estimated and self._told_at is None):
            return
        elapsed = self.elapsed()
        fraction = task.progress if task.progress is not None else min(elapsed / self._expected(), 0.99)
        await self._tell(
            VideoProgress(
                task_id=task.task_id,
                status=task.status,
                elapsed=elapsed,
                expected=self._expected(),
                fraction=1.0 if task.status.finished else fraction,
                polls=self.polls,
                cost=task.cost,
                estimated=estimated,
            )
        )

    async def report_waiting(self, cost: Cost) -> None:
        """Report that a submit waits for a place."""
        await self._tell(
            VideoProgress(
                task_id="",
                status=TaskStatus.QUEUED,
                elapsed=self.elapsed(),
                expected=self._expected(),
                fraction=0.0,
                polls=0,
                cost=cost,
                estimated=True,
                phase="waiting",
            )
        )

    def sleep(self, seconds: float, task: Task) -> Coroutine[Any, Any, None]:
        """Sleep, and report estimates of the task meanwhile."""
        return self._runtime.sleep(seconds) if self._on_progress is None else self._sleep(seconds, task)

    async def _sleep(self, seconds: float, task: Task) -> None:
        end = self._runtime.now() + seconds
        while seconds > BEAT_SECONDS:
            await self._runtime.sleep(BEAT_SECONDS)
            await self.report(task, estimated=True)
            seconds = max(0.0, min(seconds - BEAT_SECONDS, end - self._runtime.now()))  # the report may take long
        await self._runtime.sleep(seconds)

    async def beat_saving(self, video: Video, received: int, total: int | None = None) -> None:
        """Report how much of a video has arrived, unless something was reported a moment ago."""
        if self._told_at is None or self._runtime.now() >= self._told_at + BEAT_SECONDS:
            await self.report_saving(video, received, total)

    async def report_saving(self, video: Video, received: int, total: int | None = None) -> None:
        """Report how much of a video has arrived."""
        if self._on_progress is None:
            return
        await self._tell(
            VideoProgress(
                task_id=video.task_id,
                status=TaskStatus.SUCCEEDED,
                elapsed=self.elapsed(),
                expected=self._expected(),
                fraction=1.0,
                polls=self.polls,
                cost=video.cost,
                phase="saving",
                bytes_received=received,
                bytes_total=total,
            )
        )

    async def _tell(self, event: VideoProgress) -> None:
        """Call `on_progress`. If it raises, the error is logged: a paid task goes on."""
        assert self._on_progress is not None  # noqa: S101 for the type checker
        self._told_at = self._runtime.now()
        try:
            result = self._on_progress(event)
            if inspect.isawaitable(result):
                await self._await_result(result)
        except Exception:
            logger.exception("on_progress failed; the generation goes on")

    async def _await_result(self, result: Awaitable[object]) -> None:
        if self._runtime.can_await or isinstance(result, Emission):
            await result
            return
        if inspect.iscoroutine(result):
            result.close()
        if not self._warned:
            self._warned = True
            logger.error("on_progress has to be awaited, which only an async client does; nothing was told")
