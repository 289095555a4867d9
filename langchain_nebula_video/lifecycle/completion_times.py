"""How long tasks take: a few recent ones, as they were seen. Pure."""

from __future__ import annotations

import math
from itertools import accumulate

__all__ = ["CompletionTimes", "Weighted", "spread"]

Weighted = tuple[float, float]
"""A moment or a number of seconds, and its weight."""

_KEPT = 64
_FADING = 0.98
"""The weight of a task, in that of the one after it: a service that turns slower or faster is believed soon."""
_BLUR = 0.12
"""Each task stands for those that take an eighth less to an eighth more."""
_PARTS = 3


def spread(low: float, high: float) -> list[float]:
    """Return the middles of equal parts of a span."""
    return [low + (high - low) * (2 * part + 1) / (2 * _PARTS) for part in range(_PARTS)]


class CompletionTimes:
    """The distribution of the seconds that tasks of one kind take.

    It begins with the usual times of the model's row, and with one much faster task: a service that is faster than the
    row says is found soon. These count less with each task that is seen.

    Tasks that go on count too. Of many that began together, the first to end are the fastest ones: to learn from these
    alone would be to expect the end of all others at once.

    Safe across threads: what readers use is replaced, never changed.

    Args:
        earliest: The seconds that such a task usually takes at least.
        latest: The seconds that it usually takes at most.
    """

    def __init__(self, earliest: float, latest: float) -> None:
        self.learned = 0
        """How many tasks were seen."""
        self.version = 0
        self._row = [_blur(seconds, seconds) for seconds in (earliest / 4, *_quarters(earliest, latest))]
        self._ended: tuple[tuple[float, list[float]], ...] = ()
        """When each recent task was seen finished, the newest last, and the seconds that it may have taken."""
        self._under_way: dict[object, tuple[float, float]] = {}
        """When each task that goes on was last looked at, and how old it was then."""
        self.points: tuple[Weighted, ...] = ()
        """The possible seconds, in order, with their weights."""
        self.median = latest
        """Of the tasks that have ended."""
        self._sum_up()

    def go_on(self, task: object, now: float, age: float) -> None:
        """Note that a task was not finished at this age.

        Args:
            task: Which one.
            now: The moment, on any one clock.
            age: Its seconds so far.
        """
        self._under_way[task] = now, age

    def forget(self, task: object) -> None:
        """Note that nobody waits for a task any more."""
        self._under_way.pop(task, None)

    def record(self, low: float, high: float, now: float = 0.0) -> None:
        """Add a task that took more than `low` and at most `high` seconds.

        If it was finished when it was first looked at, it is taken for half as fast as that at most: after a few tasks
        the first look comes early enough.
        """
        high = max(high, 0.0)
        self._ended = (*self._ended, (now, _blur(max(low, high / 2), high)))[-_KEPT:]
        self.learned += 1
        if self.learned % (1 + len(self._under_way) // _KEPT) == 0:  # of many at once, each one changes little
            self._sum_up()
            self.version += 1

    def _sum_up(self) -> None:
        weight = 1 / (1 + self.learned) / _PARTS
        ends = [(seconds, weight) for some in self._row for seconds in some]
        weight = 1 / _PARTS
        for _, some in reversed(self._ended):
            ends += [(seconds, weight) for seconds in some]
            weight *= _FADING
        ends.sort()
        self.median = _middle(ends)
        self.points = tuple(self._without_haste(ends))

    def _without_haste(self, ends: list[Weighted]) -> list[Weighted]:
        """Return the ends with the weights that they have beside the tasks that go on (Kaplan and Meier, 1958).

        Each end counts as a share of the tasks that had come to its age. If older ends were dropped, a task that goes
        on counts from the age that it had at the oldest one that is kept.
        """
        going = [*self._under_way.values()]
        if not going:
            return ends
        step = 1 + len(going) // _KEPT
        kept_since = self._ended[0][0] if len(self._ended) == _KEPT else -math.inf
        changes = [change for now, age in going[::step]
                   for change in ((age - now + kept_since, step), (age, -step))]  # fmt: skip
        changes.sort(reverse=True)
        left, points, total = 1.0, [], sum(weight for _, weight in ends)
        at_risk = total
        for seconds, weight in ends:
            while changes and changes[-1][0] < seconds:
                at_risk += changes.pop()[1]
            ended = left * min(1.0, weight / max(at_risk, weight))
            points.append((seconds, ended * total))
            left -= ended
            at_risk -= weight
        return points


def _blur(low: float, high: float) -> list[float]:
    middle = (low + high) / 2
    half = max((high - low) / 2, _BLUR * middle)
    return spread(middle - half, middle + half)


def _middle(ends: list[Weighted]) -> float:
    """Return the seconds within which half of the tasks ends."""
    half = sum(weight for _, weight in ends) / 2
    sums = accumulate(weight for _, weight in ends)
    return next(seconds for (seconds, _), so_far in zip(ends, sums, strict=True) if so_far >= half * (1 - 1e-9))


def _quarters(low: float, high: float) -> list[float]:
    """Return the middles of the four quarters of a span."""
    return [low + (high - low) * (2 * part + 1) / 8 for part in range(4)]
