"""When to poll a task next. Pure arithmetic on seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["Schedule"]

_STEP_FRACTION = 0.2
"""The step as a fraction of the expected remaining time: about five polls before the likely end."""


@dataclass(slots=True)
class Schedule:
    """The polling schedule of one task.

    The first poll comes when the task may be done. Then the delays shrink towards its likely end and grow again once
    it is late. Work starts when the task leaves the queue, so the estimate restarts at each poll that sees it queued.

    Args:
        earliest: The seconds that such a task usually takes at least.
        latest: The seconds that it usually takes at most.
        interval: The caller's fixed interval between polls; `None`: adaptive.
        steps: The shortest and the longest delay.
        rng: The source of jitter.
    """

    earliest: float
    latest: float
    interval: float | None = None
    steps: tuple[float, float] = (3.0, 8.0)
    rng: random.Random = field(default_factory=random.Random)
    work_started: float = 0.0
    """Seconds from the submit to the assumed start of the work."""

    def first_delay(self, elapsed: float) -> float:
        """Seconds before the first poll; `elapsed` have passed since the submit."""
        if self.interval is not None:
            return max(0.0, self.interval - elapsed)
        return max(0.0, self.earliest - elapsed) * self.rng.uniform(1.0, 1.05)

    def next_delay(self, elapsed: float, *, queued: bool) -> float:
        """Seconds until the next poll, after a poll at `elapsed`."""
        if self.interval is not None:
            return self.interval
        if queued:
            self.work_started = elapsed
        shortest, longest = self.steps
        step = min(max(_STEP_FRACTION * self.expected_remaining(elapsed - self.work_started), shortest), longest)
        return step * self.rng.uniform(1.0, 1.15)

    def expected_remaining(self, worked: float) -> float:
        """The median of the remaining seconds after `worked` seconds of work.

        Half of the time to the usual end. Beyond that end, it grows with the time already taken.
        """
        return max((self.latest - max(worked, self.earliest)) / 2 + max(self.earliest - worked, 0.0),
                   (worked - self.earliest) / 4)  # fmt: skip
