"""The beat of a gateway whose rows move only when its own loop comes by. Pure.

The loop passes over all tasks of all accounts, so each change of any task tells when it came. Its period is its pause
and the time that a round takes; a restart of the gateway shifts its phase.

What is known is kept as the periods that explain the newest changes, each with the phases that do. Changes that fit no
such period any more came before a restart, and are left out. A change alone would fit many: between two of them there
may be a beat more or less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from langchain_nebula_video.lifecycle.completion_times import Weighted, spread

__all__ = ["Beat"]

_LONGEST = 0.1
"""How much longer than its pause a period may be."""
_PERIODS = 31
"""Among so many periods the true one is looked for."""
_CHANGES = 16
"""So many of the newest changes are explained."""
_MOST_LIKELY = 7
"""So many periods are taken into account when a beat is expected."""
_LEAST_ROOM = 1e-3
_SLACK = 0.02
"""Seconds by which a beat may come early or late for each period between two changes: no two rounds last as long."""
_CONFIRMING = 0.75
"""A change within so much of a period, where one was expected, confirms the phase: elsewhere there was none."""
_DOUBT, _MAX_DOUBT = 0.02, 0.4
"""How much less certain the phase is after each change that does not confirm it."""
_TURN = (math.sqrt(5) - 1) / 2
"""A doubt is tested at another part of the period each time; steps of the golden ratio leave none out for long."""

_Span = tuple[float, float]


class Beat:
    """When the loop comes by, as the changes of all tasks show it. Moments are on any one clock.

    Safe across threads: what readers use is replaced, never changed. Of two changes at once, one may be left out.

    Args:
        pause: The seconds between the end of a round and the next one.
    """

    def __init__(self, pause: float) -> None:
        self.version = 0
        self._periods = [pause * (1 + _LONGEST * number / (_PERIODS - 1)) for number in range(_PERIODS)]
        self._step = pause * _LONGEST / (_PERIODS - 1)
        self._changes: tuple[_Span, ...] = ()
        """After which moment, and not after which, a row moved. The newest is the last."""
        self._fitting: list[tuple[float, _Span]] = []
        """Each period that explains the changes, and within which its beat came that the newest of them shows."""
        self._likely: list[tuple[float, float, _Span]] = []
        """The likeliest of them, with their likelihoods: a period that leaves more room for the beat is likelier."""
        self._doubt = 0.0
        """How likely it is that the phase has changed since it was confirmed."""

    @property
    def period(self) -> float:
        """The period, as far as it is known."""
        periods = [period for period, _ in self._fitting] or self._periods
        return sum(periods) / len(periods)

    def observe(self, low: float, high: float) -> None:
        """Learn from a row that moved after `low` and not after `high`."""
        if high - low >= self.period:
            return
        before = self._changes
        if before and self._is_same_beat(before[-1], low, high):
            changes = (*before[:-1], (max(before[-1][0], low), min(before[-1][1], high)))
        else:
            changes = (*before, (low, high))[-_CHANGES:]
        fitting, explained = self._explain(changes)
        widest = sorted(fitting, key=lambda fit: fit[1][0] - fit[1][1])[:_MOST_LIKELY]
        rooms = [high - low + _LEAST_ROOM for _, (low, high) in widest]
        self._likely = [(room / sum(rooms), *fit) for room, fit in zip(rooms, widest, strict=True)]
        self._fitting, self._changes = fitting, changes[-explained:]
        restarted = explained < len(before)
        self._doubt = 0.0 if restarted or high - low < _CONFIRMING * self.period else min(
            self._doubt + _DOUBT, _MAX_DOUBT)  # fmt: skip
        self.version += 1

    def _is_same_beat(self, newest: _Span, low: float, high: float) -> bool:
        """Whether a change shows the newest known beat. Between two beats there is a period."""
        first, last = newest
        return max(low, first) < min(high, last) and max(high, last) - min(low, first) < self._periods[0]

    def _explain(self, changes: tuple[_Span, ...]) -> tuple[list[tuple[float, _Span]], int]:
        """Return the periods that explain the newest changes, as many as any does, and the number of these changes."""
        newest = changes[-1]
        fitting = [(period, newest) for period in self._periods]
        explained = 1
        for change in changes[-2::-1]:
            still = [(period, span) for period, beat in fitting for span in self._meet(beat, change, period)]
            if not still:
                break
            fitting, explained = still, explained + 1
        return fitting, explained

    def ends_between(self, low: float, high: float) -> _Span:
        """Return the span in which a task ended that was seen finished between these moments."""
        unknown = 1.0, self.period, (math.inf, math.inf)
        _, period, (first, last) = next(iter(self._likely), unknown)
        if first < high and low < last:
            beat = (max(low, first) + min(high, last)) / 2
            return beat - period, beat
        return low - period, high

    def visible(self, ends: Iterable[Weighted]) -> list[Weighted]:
        """Return when ends become visible: at the first beat after each. An uncertain beat is spread."""
        likely = self._likely
        if not likely:
            return [(seen, weight / 3) for end, weight in ends for seen in spread(end, end + self.period)]
        weights: dict[tuple[int, int], float] = {}
        for end, weight in ends:
            for index, (likelihood, period, beat) in enumerate(likely):
                number = math.ceil((end - sum(beat) / 2) / period)
                weights[index, number] = weights.get((index, number), 0.0) + weight * likelihood
        seen = []
        for (index, number), weight in weights.items():
            _, period, beat = likely[index]
            off_by = self._off_by(number)
            low, high = beat[0] + number * period - off_by, beat[1] + number * period + off_by
            seen += [(moment, weight * (1 - self._doubt) / 3) for moment in spread(low, high)]
            if self._doubt:
                early = period * (self.version * _TURN % 1.0)
                off = weight * self._doubt / 2
                seen += [(low - early, off), (low - early + period, off)]
        return seen

    def _meet(self, beat: _Span, change: _Span, period: float) -> Iterator[_Span]:
        """Yield within which of its moments a beat can have come if another one came at a change before."""
        number = round((sum(beat) - sum(change)) / 2 / period)
        off_by = self._off_by(number)
        if change[1] - change[0] + 2 * off_by >= period:  # so long before, a beat may be anywhere: it tells nothing
            yield beat
            return
        for beats in (number - 1, number, number + 1):
            low = max(beat[0], change[0] + beats * period - off_by)
            high = min(beat[1], change[1] + beats * period + off_by)
            if low <= high:
                yield low, high

    def _off_by(self, beats: int) -> float:
        """Return by how much a beat may be early or late, so many beats from a known one."""
        return abs(beats) * self._step / 2 + _SLACK * math.sqrt(abs(beats))
