"""A wall clock that is wrong by so much, as after a jump."""

from __future__ import annotations

from datetime import datetime, timedelta

from langchain_nebula_video.transport import SystemClock


class JumpingClock(SystemClock):
    """The machine's clock, but for its wall time."""

    def __init__(self, jump: float) -> None:
        self._jump = timedelta(seconds=jump)

    def utcnow(self) -> datetime:
        """See `Clock`."""
        return super().utcnow() + self._jump
