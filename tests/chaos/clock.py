"""Clocks: one that is wrong, and one that is fast."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from langchain_nebula_video.transport import SystemClock


class JumpingClock(SystemClock):
    """The machine's clock, with a wall time that is wrong by so many seconds, as after a jump."""

    def __init__(self, jump: float) -> None:
        self._jump = timedelta(seconds=jump)

    def utcnow(self) -> datetime:
        """See `Clock`."""
        return super().utcnow() + self._jump


class FastClock(SystemClock):
    """A clock that runs faster than the machine's, for clients and emulator alike.

    To them the network and the disk are slow: at factor 60 a download of 5 s takes five minutes.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._epoch, self._began = time.time(), time.monotonic()

    def now(self) -> float:
        """See the emulator's `SupportsNow`."""
        return self._epoch + (time.monotonic() - self._began) * self._factor

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.now()

    def utcnow(self) -> datetime:
        """See `Clock`."""
        return datetime.fromtimestamp(self.now(), UTC)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(max(0.0, seconds) / self._factor)

    async def asleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(max(0.0, seconds) / self._factor)
