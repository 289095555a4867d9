"""Off-peak hours: over midnight, in time zones, on the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from langchain_nebula_video import InvalidRequestError, SetupError
from langchain_nebula_video.fleet.hours import is_within, parse_hours


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("22:00-06:00", "22:00-06:00 UTC"),
        ("9:30-17:00", "09:30-17:00 UTC"),
        (" 22:00-06:00  Europe/Berlin ", "22:00-06:00 Europe/Berlin"),
        ("00:00-23:59 UTC", "00:00-23:59 UTC"),
    ],
)
def test_hours_are_read_into_one_form(given: str, read: str) -> None:
    assert parse_hours(given) == read
    assert parse_hours(read) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "22-06",
        "22:00",
        "22:00-22:00",
        "25:00-06:00",
        "22:60-06:00",
        "22:00-06:00 Mars/Olympus",
        "22:00-06:00 Europe",
        "22:00-06:00 ../../etc/passwd",
        "22:00-06:00 /etc/localtime",
        "22:00-06:00 Europe/Berlin and more",
        "x" * 10_000,
    ],
)
def test_what_are_no_hours_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="22:00-06:00 Europe/Berlin") as caught:
        parse_hours(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("moment", "within"),
    [
        ("2026-11-27T21:59:59", False),
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T00:00:00", True),
        ("2026-11-28T05:59:59", True),
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T12:00:00", False),
    ],
)
def test_hours_over_midnight_begin_in_the_evening_and_end_in_the_morning(moment: str, within: bool) -> None:
    assert is_within("22:00-06:00 UTC", at(moment)) is within
    assert is_within("06:00-22:00 UTC", at(moment)) is not within


def test_hours_are_those_of_their_time_zone() -> None:
    assert is_within("22:00-06:00 Asia/Shanghai", at("2026-11-28T14:00:00"))  # 22:00 there
    assert not is_within("22:00-06:00 Asia/Shanghai", at("2026-11-28T22:00:00"))  # 06:00 there
    assert is_within("22:00-06:00 America/New_York", at("2026-11-29T03:00:00"))  # 22:00 there


def test_hours_follow_a_clock_that_is_changed() -> None:
    """On 2026-10-25 at 01:00 UTC clocks in Berlin go back from 03:00 to 02:00; on 2026-03-29 they go forward."""
    hours = "22:00-02:30 Europe/Berlin"
    assert is_within(hours, at("2026-10-25T00:29:00"))  # 02:29 in summer
    assert not is_within(hours, at("2026-10-25T00:31:00"))  # 02:31 in summer
    assert is_within(hours, at("2026-10-25T01:15:00"))  # 02:15 once more
    assert is_within(hours, at("2026-03-29T00:59:00"))  # 01:59; the next minute is 03:00
    assert not is_within(hours, at("2026-03-29T01:00:00"))


def test_a_machine_that_does_not_know_the_time_zone_says_what_it_lacks() -> None:
    """The machine on which the batch was made knew it."""
    with pytest.raises(SetupError, match="tzdata"):
        is_within("22:00-06:00 Mars/Olympus", at("2026-01-01T12:00"))
