"""When to look at a task next. Pure arithmetic on seconds.

One rule decides: look when the lag that has probably piled up since the last look is worth a look. It needs no cases:
nothing piles up before the first tasks end, little between two humps of a distribution, and much near the likely end.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from langchain_nebula_video.lifecycle.beat import Beat
from langchain_nebula_video.lifecycle.completion_times import CompletionTimes, Weighted, spread

__all__ = ["Schedule"]

_PATIENCE = 0.021
"""The lag, in seconds, that is worth a look to a task of one second; it grows with the root of the usual time. So a
task of 81 s gets a look for every 0.19 s of expected lag. Chosen with `benchmarks/schedules.py`: fewer looks and less
lag than a look every five seconds, from tasks of half a minute to those of minutes in a queue."""
_AFTER_QUEUE = 0.7
"""The same where tasks wait in a queue: the start of their work is known only within a span, so a look tells more."""
_ON_A_BEAT = 1.3
"""The same where rows move on a beat: just after one, a look finds all that ended since the last."""
_TAIL_WEIGHT = 0.2
_TAIL = tuple((1 - share) ** -0.5 for share in (0.1, 0.3, 0.5, 0.7, 0.9))
"""What outlives everything that was learned lasts on as a Pareto distribution does: these are its quantiles."""
_JITTER = 0.1
_MAX_JITTER = 0.3
"""Many tasks that were submitted together must not be looked at in the same moment."""


def _moment_worth_a_look(ends: Iterable[Weighted], patience: float) -> float:
    """Return when the expected lag, counted over all possible ends, reaches `patience`."""
    ordered = sorted(ends)
    needed = patience * sum(weight for _, weight in ordered)
    lag = ended = before = 0.0
    for moment, weight in ordered:
        if ended and lag + ended * (moment - before) >= needed:
            break
        lag += ended * (moment - before)
        ended += weight
        before = moment
    return before + (needed - lag) / ended


@dataclass(slots=True)
class Schedule:
    """The looks at one task. All moments are seconds since its submit.

    Args:
        total: How long such tasks take from the submit.
        work: How long they take from the end of the queue, if they were seen in it.
        beat: When the gateway's rows move; `None`: at any time.
        submitted: The submit on the clock of the beat.
        interval: The caller's fixed interval between looks; `None`: as learned.
        steps: The shortest and the longest time between two looks.
        chance: The source of jitter, from 0 to 1.
    """

    total: CompletionTimes
    work: CompletionTimes
    beat: Beat | None = None
    submitted: float = 0.0
    interval: float | None = None
    steps: tuple[float, float] = (3.0, 30.0)
    chance: Callable[[], float] = random.random
    at_once: bool = False
    """Whether the first look is due now: the task may have finished long ago."""
    _not_before: float = 0.0
    _last: float | None = None
    """When it was last looked at, in vain or not."""
    _seen: float = 0.0
    """When it was last seen unfinished."""
    _queued: float | None = None
    """When it was last seen in the queue."""
    _running: float | None = None
    """When it was first seen at work, after the queue."""
    _jitter: float = 0.0
    _planned: float = 0.0

    def __post_init__(self) -> None:
        self._jitter = self.chance()

    @property
    def version(self) -> tuple[int, int, int]:
        """Changes when another task has taught something, and a look may be due at another moment."""
        return self.total.version, self.work.version, self.beat.version if self.beat else 0

    def next_look(self) -> float:
        """Return when to look next. It may be over."""
        if self.at_once:
            return 0.0
        self._planned = max(self._plan(), self._not_before)
        return self._planned

    def _plan(self) -> float:
        shortest, longest = self.steps
        last = 0.0 if self._last is None else self._last
        if self.interval is not None:
            return last + self.interval
        if self.work.learned:
            patience = _AFTER_QUEUE * _PATIENCE * math.sqrt(self.work.median)
        else:
            patience = _PATIENCE * math.sqrt(self.total.median)
        if self.beat is not None:
            patience *= _ON_A_BEAT
        moment = _moment_worth_a_look(self._possible_ends(), patience)
        moment += (self._jitter - 0.5) * min(_JITTER * (moment - last), _MAX_JITTER)
        moment = max(moment, last + shortest)
        return moment if self._last is None else min(moment, last + longest)

    def looked(self, asked: float, answered: float, *, queued: bool, moved: bool = False) -> None:
        """Note a look at an unfinished task.

        Args:
            asked: When the request left.
            answered: When its answer was there.
            queued: Whether the task is in the queue.
            moved: Whether the gateway's row has changed since the last look.
        """
        if moved and self.beat is not None and self._seen:
            self.beat.observe(self.submitted + self._seen, self.submitted + answered)
        if queued:
            self._queued, self._running = asked, None
        elif self._queued is not None and self._running is None:
            self._running = answered
        self._seen = asked
        self.total.go_on(id(self), self.submitted + asked, asked)
        self.missed(answered)

    def missed(self, now: float, pause: float = 0.0) -> None:
        """Note a look that brought no answer. The next one comes after a `pause` at least."""
        self.at_once, self._last, self._not_before, self._jitter = False, now, now + pause, self.chance()

    def close(self) -> None:
        """Note that nobody waits for the task any more."""
        self.total.forget(id(self))

    def finished(self, answered: float, told: float | None = None) -> None:
        """Learn from a task that has finished.

        Args:
            answered: When that was seen.
            told: When it ended, if the gateway says so.
        """
        self.close()
        if self.at_once or answered > self._planned + self.steps[1]:
            return  # it was taken up late: this tells nothing of its end
        low, high = self._seen, answered
        if self.beat is not None:
            if self._seen:
                self.beat.observe(self.submitted + low, self.submitted + high)
            low, high = (moment - self.submitted for moment in self.beat.ends_between(
                self.submitted + low, self.submitted + high))  # fmt: skip
        if told is not None:
            low = high = min(max(told, low), high)
        self.total.record(low, high, self.submitted + answered)
        if self._queued is not None:
            started = self._queued if self._running is None else (self._queued + self._running) / 2
            self.work.record(low - started, high - started)

    def _possible_ends(self) -> list[Weighted]:
        """Return when the task may be seen finished, after it was last seen unfinished."""
        times, starts = self.total, [0.0]
        if self._queued is not None:
            times = self.work
            if self._running is not None:
                starts = spread(self._queued, self._running)
            else:  # the longer the queue has lasted, the longer it may last
                starts = [self._queued * (1 + (factor - 1) / 2) for factor in _TAIL]
        ends = [(start + seconds, weight) for start in starts for seconds, weight in times.points]
        late = max(times.median, self._seen - starts[0])
        ends += [(starts[0] + late * factor, _TAIL_WEIGHT * len(starts) / len(_TAIL)) for factor in _TAIL]
        if self.beat is not None:
            visible = self.beat.visible([(self.submitted + moment, weight) for moment, weight in ends])
            ends = [(moment - self.submitted, weight) for moment, weight in visible]
        open_ends = [end for end in ends if end[0] > self._seen]
        return open_ends or [(self._seen + late * factor, 1.0) for factor in _TAIL]
