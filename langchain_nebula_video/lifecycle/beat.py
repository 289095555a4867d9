"""The beat of a gateway whose rows move only when its own loop comes by. Pure.

The loop passes over all tasks of all accounts, so each change of any task tells when it came. Its period is its pause
and the time that a round takes; a restart of the gateway shifts its phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from langchain_nebula_video.lifecycle.completion_times import Weighted, spread

__all__ = ["Beat"]

_LONGER = 0.05
"""How much longer than its pause a period is at first taken to be, give or take as much."""
_LEAST_DRIFT = 0.02
"""Seconds by which one period may differ from the last."""
_MOST_BEATS = 64
"""Beats over which the period is measured."""
_CONFIRMING = 0.75
"""A change within so much of a period, where one was expected, confirms the phase: elsewhere there was none."""
_DOUBT, _MAX_DOUBT = 0.02, 0.4
"""How much less certain the phase is after each change that does not confirm it."""


class Beat:
    """When the loop comes by, as the changes of all tasks show it. Moments are on any one clock.

    Args:
        pause: The seconds between the end of a round and the next one.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self.period = pause * (1 + _LONGER)
        self.version = 0
        self._drift = pause * _LONGER
        """How much the next beat may be early or late, beside the window of the last."""
        self._window: tuple[float, float] | None = None
        """Within which one beat came."""
        self._first: tuple[float, float] | None = None
        """The same of a beat long before, from which the period is measured."""
        self._doubt = 0.0
        """How likely it is that the phase has changed since it was confirmed."""

    def observe(self, low: float, high: float) -> None:
        """Learn from a row that moved after `low` and not after `high`."""
        if high - low >= 2 * self.period:
            return
        if self._window is None:
            if high - low < self.period:
                self._begin(low, high)
            return
        beats = [beat for number in self._numbers(low, high) if (beat := self._predict(number))[1] > low
                 and beat[0] < high]  # fmt: skip
        if not beats:
            self._begin(low, high)
            return
        if len(beats) == 1:
            self._window = max(low, beats[0][0]), min(high, beats[0][1])
            self._measure()
        confirmed = high - low < _CONFIRMING * self.period
        self._doubt = 0.0 if confirmed else min(self._doubt + _DOUBT, _MAX_DOUBT)
        self.version += 1

    def ends_between(self, low: float, high: float) -> tuple[float, float]:
        """Return the span in which a task ended that was seen finished between these moments."""
        if self._window is not None and low < self._window[1] and self._window[0] < high:
            beat = sum(self._window) / 2
            return beat - self.period, beat
        return low - self.period, high

    def visible(self, ends: Iterable[Weighted]) -> list[Weighted]:
        """Return when ends become visible: at the first beat after each. An uncertain beat is spread."""
        if self._window is None:
            return [(seen, weight / 3) for end, weight in ends for seen in spread(end, end + self.period)]
        weights: dict[int, float] = {}
        middle = sum(self._window) / 2
        for end, weight in ends:
            number = math.ceil((end - middle) / self.period)
            weights[number] = weights.get(number, 0.0) + weight
        seen = []
        for number, weight in weights.items():
            low, high = self._predict(number)
            sure = weight * (1 - self._doubt)
            seen += [(moment, sure / 3) for moment in spread(low, high)]
            if self._doubt:
                off = weight * self._doubt / 2
                seen += [(low - self.period / 2, off), (low + self.period / 2, off)]
        return seen

    def _begin(self, low: float, high: float) -> None:
        """Start with the phase of this change: nothing is known, or the gateway was restarted."""
        self._window = self._first = low, high
        self._doubt = 0.0
        self.version += 1

    def _numbers(self, low: float, high: float) -> range:
        """Return the numbers of the beats that may lie in a span, counted from the window's beat."""
        assert self._window is not None  # noqa: S101 for the type checker
        middle = sum(self._window) / 2
        return range(math.floor((low - middle) / self.period), math.ceil((high - middle) / self.period) + 1)

    def _predict(self, number: int) -> tuple[float, float]:
        """Return within which that beat comes, counted from the window's. No more than a period is unknown."""
        assert self._window is not None  # noqa: S101 for the type checker
        low, high = self._window
        middle = (low + high) / 2
        half = min((high - low) / 2 + abs(number) * self._drift, self.period / 2)
        return middle + number * self.period - half, middle + number * self.period + half

    def _measure(self) -> None:
        """Measure the period from the first beat to the last."""
        assert self._window is not None  # noqa: S101 for the type checker
        assert self._first is not None  # noqa: S101 for the type checker
        (low, high), (first_low, first_high) = self._window, self._first
        beats = round((low + high - first_low - first_high) / 2 / self.period)
        error = (high - low + first_high - first_low) / 2 / max(beats, 1)
        if beats > 0 and error < self._drift:
            self.period = max((low + high - first_low - first_high) / 2 / beats, self._pause)
            self._drift = max(error, _LEAST_DRIFT)
        if beats > _MOST_BEATS:
            self._first = self._window
