"""The emulator's idea of time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


# Where the vendor is; its pages' times say no zone. Singapore's clocks show the same.
BEIJING = timezone(timedelta(hours=8))


def format_beijing_time(at: float) -> str:
    """A moment as the vendor writes it, to the millisecond."""
    moment = datetime.fromtimestamp(at, UTC).astimezone(BEIJING)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


class SupportsNow(Protocol):
    """All that the emulator asks of a clock."""

    def now(self) -> float:
        """Seconds since the epoch. Must not go back."""
        ...


class Clock:
    """Wall time that can be paused and pushed forward.

    ``Clock()`` keeps real time. ``Clock(start=1_762_254_911.0, running=False)`` stands still until
    `advance` is called, which is what a test without sleeping wants.
    """

    def __init__(
        self,
        start: float | None = None,
        *,
        running: bool = True,
        source: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at `start` (seconds since the epoch; default: now), running or standing still.

        Args:
            start: The first reading.
            running: Whether time passes by itself.
            source: What time passes by. Not the wall clock: somebody may set that back.
        """
        self._lock = threading.Lock()
        self._source = source
        self._reading = time.time() if start is None else start
        self._since = source()
        self._running = running

    def now(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return self._now()

    def advance(self, seconds: float) -> None:
        """Push the clock forward.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            message = f"a clock only goes forward, not by {seconds} seconds"
            raise ValueError(message)
        with self._lock:
            self._reading += seconds

    def pause(self) -> None:
        """Stand still until `resume`."""
        with self._lock:
            self._reading, self._running = self._now(), False

    def resume(self) -> None:
        """Go on from where `pause` stopped."""
        with self._lock:
            if not self._running:
                self._since, self._running = self._source(), True

    @property
    def running(self) -> bool:
        """Whether time passes by itself."""
        return self._running

    def _now(self) -> float:
        elapsed = self._source() - self._since if self._running else 0.0
        return self._reading + elapsed
