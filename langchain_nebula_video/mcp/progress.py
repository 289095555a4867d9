"""Progress of a video as MCP tells it: a number that only grows, also while the gateway says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from langchain_nebula_video.schema import TaskStatus, VideoProgress

__all__ = ["ProgressFeed", "Report"]

logger = logging.getLogger("langchain_nebula_video")

Report = Callable[[float, float, str], Awaitable[None]]
"""Sends the progress, the total, and a text."""

TOTAL = 100.0
_MADE = 99.0
"""When the gateway has made the video. Saving it may take a while."""
_BEAT_SECONDS = 5.0
"""Clients that count a time limit anew with each sign of life wait for 30 s and more."""
_LEAST_STEP = 0.001
"""A part of what is left: so it always grows, and never arrives."""


class ProgressFeed:
    """Sends what the lifecycle reports, and a sign of life in between."""

    def __init__(self, report: Report, *, beat: float = _BEAT_SECONDS) -> None:
        self._report = report
        self._beat = beat
        self._sent = 0.0
        self._began = time.monotonic()
        self._status = "submitting"
        self._expected: float | None = None
        self._listening = True

    async def __call__(self, event: VideoProgress) -> None:
        """See `OnProgress`."""
        self._status, self._expected = event.status.value, event.expected
        await self._send(event.fraction * _MADE, event.elapsed)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Send a sign of life every few seconds while the body runs, and the total once the video is there."""
        beats = asyncio.create_task(self._send_beats())
        try:
            yield
        finally:
            beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beats
        if self._status == TaskStatus.SUCCEEDED:
            await self._send(TOTAL, time.monotonic() - self._began)

    async def _send_beats(self) -> None:
        while self._listening:
            await self._send(0.0, time.monotonic() - self._began)
            await asyncio.sleep(self._beat)

    async def _send(self, progress: float, elapsed: float) -> None:
        if not self._listening:
            return
        self._sent = max(progress, self._sent + (TOTAL - self._sent) * _LEAST_STEP)
        usual = f" of about {self._expected:.0f} s" if self._expected else ""
        try:
            await self._report(self._sent, TOTAL, f"{self._status}, {elapsed:.0f} s{usual}")
        except Exception as error:  # noqa: BLE001 whatever a transport raises: the video goes on
            self._listening = False
            logger.debug("the client takes no more progress: %s", error)
