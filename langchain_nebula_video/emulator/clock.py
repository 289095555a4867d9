"""The emulator's clock, and the time format of the vendor."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


# The vendor's pages give times without a zone. Beijing and Singapore share this one.
BEIJING = timezone(timedelta(hours=8))
_MOST_SECONDS = 1e10
"""About 317 years."""


def format_beijing_time(at: float) -> str:
    """Format a time as the vendor does, with milliseconds."""
    moment = datetime.fromtimestamp(at, UTC).astimezone(BEIJING)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


class SupportsNow(Protocol):
    """The interface that the emulator needs of a clock."""

    def now(self) -> float:
        """Return seconds since the epoch. The value must never decrease."""
        ...


class Clock:
    """Wall-clock time that can be paused and advanced.

    ``Clock()`` follows real time. ``Clock(start=1_762_254_911.0, running=False)`` stands still until
    `advance` is called, so a test needs no sleep.
    """

    def __init__(
        self,
        start: float | None = None,
        *,
        running: bool = True,
        source: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a clock.

        Args:
            start: The first reading, in seconds since the epoch; default: now.
            running: Whether time passes by itself.
            source: What measures elapsed time. It is not the wall clock, because that can be set back.
        """
        self._lock = threading.Lock()
        self._source = source
        self._reading = time.time() if start is None else start
        self._since = source()
        self._running = running

    def now(self) -> float:
        """Return seconds since the epoch."""
        with self._lock:
            return self._now()

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Raises:
            ValueError: `seconds` is negative, or so many that no date can be told any more.
        """
        if not 0 <= seconds <= _MOST_SECONDS:  # nor is it NaN
            message = f"a clock only goes forward, by at most {_MOST_SECONDS:g} s at once, not by {seconds} seconds"
            raise ValueError(message)
        with self._lock:
            self._reading += seconds

    def pause(self) -> None:
        """Stop time until `resume` is called."""
        with self._lock:
            self._reading, self._running = self._now(), False

    def resume(self) -> None:
        """Let time pass again, starting where `pause` stopped it."""
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
