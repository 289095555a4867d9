"""The time of a call. It begins anew when it is the call's turn to submit."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Deadline"]

_MIN_ANSWER_SECONDS = 15.0
"""A POST is not sent with less time left than this, or than half of the caller's time if that is less."""


@dataclass(slots=True)
class Deadline:
    """When a call has to end, on the runtime's clock.

    A thousand submits wait for each other for minutes, and none of them is late for that: while the line moves, the
    wait does not count. It ends when nothing has moved for as long as the call itself may take.
    """

    seconds: float
    """How long the call may take."""
    at: float
    """When it ends."""
    refusals: float = math.inf
    """How many seconds of it a submit is repeated that is refused for a while."""
    has_turn: bool = False

    @property
    def latest_submit(self) -> float:
        """Until when a POST may leave. If it times out before its answer, nobody knows whether it was paid for."""
        return self.at - min(_MIN_ANSWER_SECONDS, 0.5 * self.seconds)

    @property
    def latest_repetition(self) -> float:
        """Until when a POST that was refused for a while may leave again."""
        return min(self.latest_submit, self.at - self.seconds + self.refusals)

    @property
    def patience(self) -> float:
        """How many seconds a line may stand still in which the call waits."""
        return self.seconds - min(_MIN_ANSWER_SECONDS, 0.5 * self.seconds)

    def take_turn(self, now: float) -> None:
        """Let the time begin, unless this was not the first turn: a repetition gets no more of it."""
        if not self.has_turn:
            self.has_turn, self.at = True, now + self.seconds
