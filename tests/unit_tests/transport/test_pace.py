"""An account's requests leave at the documented rate, in their order, and slower after a 429."""

from __future__ import annotations

from langchain_nebula_video.transport.pace import Pace, pace_of


def leave_times(pace: Pace, count: int, now: float) -> list[float]:
    """When so many requests leave that came at the same moment."""
    times = []
    for ticket in [pace.join(now) for _ in range(count)]:
        while ticket is not None and (wait := pace.delay(ticket, now)) > 0:
            now += wait
        times.append(now)
    return times


def in_any_second(times: list[float]) -> int:
    return max(sum(start <= time < start + 1.0 for time in times) for start in times)


def test_no_second_has_more_requests_than_the_page_allows() -> None:
    times = leave_times(Pace(20.0), 100, 50.0)
    assert times == sorted(times)
    assert in_any_second(times) <= 22  # with what may leave at once
    assert 4.5 <= times[-1] - times[0] <= 5.0


def test_without_a_documented_rate_nothing_waits() -> None:
    assert leave_times(Pace(None), 50, 7.0) == [7.0] * 50


def test_a_429_pauses_and_halves_the_rate_for_all_who_wait() -> None:
    pace = Pace(20.0)
    tickets = [pace.join(0.0) for _ in range(60)]
    pace.refuse(0.0, retry_after=3.0)
    waits = [pace.delay(ticket, 0.0) for ticket in tickets if ticket is not None]
    assert waits[0] >= 3.0
    assert 4.5 <= waits[-1] - waits[10] <= 5.5  # 49 at ten a second


def test_what_was_under_way_at_a_429_says_nothing_new() -> None:
    once, often = Pace(20.0), Pace(20.0)
    once.refuse(10.0)
    for _ in range(20):
        often.refuse(10.0)
    assert leave_times(once, 30, 10.0) == leave_times(often, 30, 10.0)


def test_the_rate_grows_back_by_steps_and_not_over_the_documented_one() -> None:
    pace = Pace(20.0)
    pace.refuse(0.0)
    for second in range(1, 60):
        pace.accept(float(second))
    times = leave_times(pace, 100, 60.0)
    assert 4.5 <= times[-1] - times[0] <= 5.0


def test_a_gateway_without_a_documented_rate_is_slowed_from_what_it_refused_and_freed_again() -> None:
    pace = Pace(None)
    assert leave_times(pace, 40, 5.0) == [5.0] * 40
    pace.refuse(5.5)
    slowed = leave_times(pace, 40, 5.5)
    assert 1.5 <= slowed[-1] - 6.5 <= 2.5  # a pause of a second, then twenty a second
    for second in range(10, 60):
        pace.accept(float(second))
    assert leave_times(pace, 40, 60.0) == [60.0] * 40


def test_who_gives_up_lets_the_others_move_up() -> None:
    pace = Pace(1.0)
    first, _, third = (pace.join(0.0) for _ in range(3))
    assert first is not None
    assert third is not None
    before = pace.delay(third, 0.0)
    pace.leave(0.0)
    assert pace.delay(third, 0.0) < before


def test_a_429_that_asks_one_look_for_hours_keeps_the_others_for_half_a_minute() -> None:
    account = pace_of("account", 20.0, 5.0, share=False)
    account.looks.refuse(100.0, retry_after=90_000.0)
    account.submits.refuse(100.0, retry_after=90_000.0)
    assert account.looks.pause(100.0) == 30.0
    assert account.submits.pause(100.0) == 90_000.0
