"""Stretches of time whose sums make up what was spent since a moment, so that a budget need not read all entries.

There are stretches of three lengths: 2**26 microseconds (a minute), 2**34 (five hours) and 2**42 (51 days). What was
made after a moment is the sum of

- the entries from the moment to the end of its minute,
- the minutes from there to the end of their five hours,
- the five hours from there to the end of their 51 days,
- all 51 days after that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

__all__ = ["LEVELS", "bounds", "to_microseconds"]

LEVELS = (26, 34, 42)
"""Binary logarithms of the lengths, in microseconds. A moment's stretch is the moment, shifted to the right.

Databases have sums of these lengths: another one needs a migration."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Return a moment as whole microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def bounds(since: int) -> list[tuple[int, int | None]]:
    """Return the bounds of the entries, and of the stretches of each length, whose sum is what was made since then.

    The first bound is included, the second is not. The last one has no end.
    """
    low, found = since + 1, list[tuple[int, int | None]]()
    for level, longer in pairwise((0, *LEVELS)):
        step = longer - level
        end = -(-low >> step)  # the first of the longer stretches that begins there or later
        found.append((low, end << step))
        low = end
    return [*found, (low, None)]
