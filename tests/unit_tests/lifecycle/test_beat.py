"""A gateway whose rows move only when its loop comes by: its period and phase are learned from changes."""

from __future__ import annotations

import bisect
import itertools
import random
import sys
import threading

import pytest

from langchain_nebula_video.lifecycle.beat import Beat

PERIOD = 15.4


def seen_by(beat: Beat, phase: float, *, begin: float = 0.0, changes: int = 40, width: float = 5.0) -> float:
    """Show it changes that come at the beats of a loop, within spans of `width` seconds; return the last beat."""
    rng = random.Random(3)
    number = 0
    for _ in range(changes):
        number += rng.randint(1, 3)
        moment = begin + phase + number * PERIOD
        low = moment - rng.uniform(0, width)
        beat.observe(low, low + width)
    return begin + phase + number * PERIOD


def expected(beat: Beat, end: float) -> tuple[float, float]:
    """Within which moments an end is taken to become visible, nine times out of ten."""
    moments = sorted(beat.visible([(end, 1.0)]))
    reached = list(itertools.accumulate(weight for _, weight in moments))
    low, high = (bisect.bisect_left(reached, share * reached[-1]) for share in (0.05, 0.95))
    return moments[low][0], moments[high][0]


def test_threads_that_wait_for_tasks_of_one_account_share_it() -> None:
    """Each change that one of them sees replaces what the others are reading."""
    beat, faults, done = Beat(15.0), list[Exception](), threading.Event()

    def use(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(1500):
                moment = rng.choice([15.0, 15.3, 16.0]) * rng.randrange(50)
                beat.observe(moment - rng.uniform(0, 6), moment)
                beat.visible([(rng.uniform(0, 700), 1.0) for _ in range(20)])
                beat.ends_between(moment - 4, moment)
                if done.is_set():
                    return
        except Exception as error:  # noqa: BLE001 in a thread it would be lost
            faults.append(error)
            done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert faults == []


def test_at_first_any_moment_within_a_period_is_possible() -> None:
    low, high = expected(Beat(15.0), 100.0)
    assert 100 < low < 104
    assert 112 < high < 116


@pytest.mark.parametrize("phase", [0.0, 7.0, 15.0])
def test_period_and_phase_are_learned_from_changes(phase: float) -> None:
    beat = Beat(15.0)
    last = seen_by(beat, phase)
    assert beat.period == pytest.approx(PERIOD, abs=0.05)
    assert expected(beat, last + PERIOD / 2) == pytest.approx((last + PERIOD, last + PERIOD), abs=1.5)


@pytest.mark.parametrize("seed", range(8))
def test_changes_that_are_far_apart_teach_the_period_too(seed: int) -> None:
    """One task after the other: five beats or so between two changes, of which any number may be taken for six."""
    beat, rng, last = Beat(15.0), random.Random(seed), 0.0
    for _ in range(40):
        last += rng.randint(3, 8) * PERIOD
        low = last - rng.uniform(0, 5)
        beat.observe(low, low + 5)
    assert beat.period == pytest.approx(PERIOD, abs=0.1)
    assert expected(beat, last + 4.5 * PERIOD) == pytest.approx((last + 5 * PERIOD, last + 5 * PERIOD), abs=3.5)


def test_changes_that_are_an_hour_apart_teach_nothing_of_each_other_and_cost_no_more() -> None:
    """So long apart, any number of beats explains them: to follow each would never end."""
    beat, last = Beat(15.0), 0.0
    for _ in range(60):
        last += 240 * PERIOD
        beat.observe(last - 4, last + 1)
    low, high = expected(beat, last + 200.5 * PERIOD)
    assert high - low > PERIOD / 2
    assert expected(beat, last + PERIOD / 2) == pytest.approx((last + PERIOD, last + PERIOD), abs=5)


def test_a_change_whose_moment_is_known_exactly_is_one_too() -> None:
    beat = Beat(15.0)
    beat.observe(100.0, 100.0)
    assert expected(beat, 101.0) == pytest.approx((115.7, 115.7), abs=1)


def test_an_end_is_traced_back_to_the_time_between_two_beats() -> None:
    beat = Beat(15.0)
    last = seen_by(beat, 4.0)
    assert beat.ends_between(last - 3, last + 1) == pytest.approx((last - PERIOD, last), abs=1)


def test_a_change_off_the_beat_is_a_restart_of_the_gateway() -> None:
    beat = Beat(15.0)
    last = seen_by(beat, 0.0) + PERIOD
    seen_by(beat, 0.0, begin=last + 7.0, changes=1)
    last = seen_by(beat, 0.0, begin=last + 7.0, changes=30)
    assert expected(beat, last + PERIOD / 2) == pytest.approx((last + PERIOD, last + PERIOD), abs=1.5)


def test_a_phase_that_nothing_confirms_is_doubted() -> None:
    """A look a little after each beat sees nothing of a loop that moved to the middle."""
    beat = Beat(15.0)
    last = seen_by(beat, 0.0)
    for number in range(1, 9):
        beat.observe(last + (number - 1) * PERIOD + 0.5, last + number * PERIOD + 0.5)
    low, high = expected(beat, last + 8 * PERIOD + 1)
    assert high - low > PERIOD / 2
    beat.observe(last + 9 * PERIOD - 4, last + 9 * PERIOD + 0.5)
    low, high = expected(beat, last + 9 * PERIOD + 1)
    assert high - low < 2


def test_a_span_of_many_beats_teaches_nothing() -> None:
    beat = Beat(15.0)
    beat.observe(0.0, 100.0)
    assert beat.version == 0
