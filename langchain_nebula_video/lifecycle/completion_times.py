"""How long tasks take: a few recent ones, as they were seen. Pure."""

from __future__ import annotations

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

    Safe across threads: what readers use is replaced, never changed.

    Args:
        earliest: The seconds that such a task usually takes at least.
        latest: The seconds that it usually takes at most.
    """

    def __init__(self, earliest: float, latest: float) -> None:
        self.learned = 0
        """How many tasks were seen."""
        self.version = 0
        self._row = tuple((seconds, seconds) for seconds in (earliest / 4, *_quarters(earliest, latest)))
        self._spans: tuple[tuple[float, float], ...] = ()
        self.points: tuple[Weighted, ...] = ()
        """The possible seconds, in order, with their weights."""
        self.median = latest
        self._sum_up()

    def record(self, low: float, high: float) -> None:
        """Add a task that took more than `low` and at most `high` seconds.

        If it was finished when it was first looked at, it is taken for half as fast as that at most: after a few tasks
        the first look comes early enough.
        """
        high = max(high, 0.0)
        self._spans = (*self._spans, (max(low, high / 2), high))[-_KEPT:]
        self.learned += 1
        self._sum_up()
        self.version += 1

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the tasks ends."""
        sums = list(accumulate(weight for _, weight in self.points))
        return next(point[0] for point, so_far in zip(self.points, sums, strict=True) if so_far >= share * sums[-1])

    def _sum_up(self) -> None:
        seen = [(span, _FADING**age) for age, span in enumerate(reversed(self._spans))]
        points: list[Weighted] = []
        for (low, high), weight in [*seen, *((span, 1 / (1 + self.learned)) for span in self._row)]:
            middle = (low + high) / 2
            half = max((high - low) / 2, _BLUR * middle)
            points += [(seconds, weight / _PARTS) for seconds in spread(middle - half, middle + half)]
        self.points = tuple(sorted(points))
        self.median = self.quantile(0.5)


def _quarters(low: float, high: float) -> list[float]:
    """Return the middles of the four quarters of a span."""
    return [low + (high - low) * (2 * part + 1) / 8 for part in range(4)]
