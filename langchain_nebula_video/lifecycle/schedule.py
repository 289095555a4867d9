"""When to ask after a task next. Pure arithmetic on seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["Schedule"]

_STEP_FRACTION = 0.2
"""Of the median time that remains: five looks to the likely end, whatever the distance."""


@dataclass(slots=True)
class Schedule:
    """The polls of one task.

    Nothing is asked before the task can be done; then the steps shrink towards its likely end and grow
    again once it is late. The clock of the work starts when the task leaves the queue, so as long as it is
    seen queued the estimate begins anew.

    Args:
        earliest: Seconds that such a task takes at least, as a rule.
        latest: Seconds that it takes at most, as a rule.
        interval: The caller's own interval: then every poll comes that much after the one before.
        steps: The shortest and the longest step.
        rng: Where jitter comes from.
    """

    earliest: float
    latest: float
    interval: float | None = None
    steps: tuple[float, float] = (3.0, 8.0)
    rng: random.Random = field(default_factory=random.Random)
    work_started: float = 0.0
    """Seconds after the submit at which the work is taken to have begun."""

    def first_delay(self, elapsed: float) -> float:
        """Seconds to wait before the first poll, when `elapsed` have passed since the submit."""
        if self.interval is not None:
            return max(0.0, self.interval - elapsed)
        return max(0.0, self.earliest - elapsed) * self.rng.uniform(1.0, 1.05)

    def next_delay(self, elapsed: float, *, queued: bool) -> float:
        """Seconds from a poll at `elapsed` to the next one."""
        if self.interval is not None:
            return self.interval
        if queued:
            self.work_started = elapsed
        shortest, longest = self.steps
        step = min(max(_STEP_FRACTION * self.expected_remaining(elapsed - self.work_started), shortest), longest)
        return step * self.rng.uniform(1.0, 1.15)

    def expected_remaining(self, worked: float) -> float:
        """The median of the seconds that remain after `worked` seconds of work.

        Half the way to the usual end; beyond it, the longer it has taken the longer it still will.
        """
        return max((self.latest - max(worked, self.earliest)) / 2 + max(self.earliest - worked, 0.0),
                   (worked - self.earliest) / 4)  # fmt: skip
