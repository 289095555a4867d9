"""A clock on which nobody waits: whoever sleeps moves the emulator's time forward."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_nebula_video.emulator import Emulator

__all__ = ["EmulatorClock"]

_PAUSE = 0.001
"""Real seconds in which others that want to sleep at the same moment can say so."""


class EmulatorClock:
    """The emulator's clock, for the clients of that emulator: pass it as `clock=`.

    Sleeping takes a millisecond. Instead, the emulator's time moves to the moment at which the sleeper wakes up. If
    several sleep at once, in threads or on an event loop, time moves to the earliest of these moments only. So many
    tasks at once take less, by this clock, than one after the other, and run into no time limit.

    Give the emulator a clock that stands still, `Emulator(clock=Clock(running=False))`. Then time moves only when
    somebody waits, and a test sees each status of a task, however fast the machine is. `emulator.clock.advance(60)`
    lets a minute pass.

    Args:
        emulator: Whose clock it is.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._clock = emulator.clock
        self._lock = threading.Lock()
        self._wake_ups: list[float] = []

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._clock.now()

    def utcnow(self) -> datetime:
        """Return the emulator's time as an aware datetime in UTC."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def sleep(self, seconds: float) -> None:
        """Sleep in a thread."""
        wake_up = self._lie_down(seconds)
        try:
            time.sleep(_PAUSE)
            while not self._is_time(wake_up):
                time.sleep(_PAUSE)
        finally:
            self._get_up(wake_up)

    async def asleep(self, seconds: float) -> None:
        """Sleep on an event loop."""
        wake_up = self._lie_down(seconds)
        try:
            await asyncio.sleep(_PAUSE)
            while not self._is_time(wake_up):  # noqa: ASYNC110 sleepers may be in other threads and on other loops
                await asyncio.sleep(_PAUSE)
        finally:
            self._get_up(wake_up)

    def _lie_down(self, seconds: float) -> float:
        with self._lock:
            wake_up = self._clock.now() + max(0.0, seconds)
            self._wake_ups.append(wake_up)
        return wake_up

    def _is_time(self, wake_up: float) -> bool:
        """Whether the moment has come. It is brought about if nobody wakes up earlier."""
        with self._lock:
            if wake_up <= min(self._wake_ups):
                self._clock.advance(max(0.0, wake_up - self._clock.now()))
            return self._clock.now() >= wake_up

    def _get_up(self, wake_up: float) -> None:
        with self._lock:
            self._wake_ups.remove(wake_up)
