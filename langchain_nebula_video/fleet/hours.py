"""Off-peak hours: a stretch of the day in a time zone, such as `22:00-06:00 Europe/Berlin`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, tzinfo
from zoneinfo import ZoneInfo

from langchain_nebula_video.errors import InvalidRequestError, SetupError

__all__ = ["is_within", "parse_hours"]

_FORM = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})(?: +(\S+))?")


def parse_hours(text: str) -> str:
    """Check off-peak hours and return them in one form. Without a time zone they are in UTC.

    Raises:
        InvalidRequestError: they cannot be read.
    """
    found = _FORM.fullmatch(text.strip())
    try:
        begin, end, _ = _read(text)
    except (ValueError, LookupError, OSError):  # OSError: the name of a folder of time zones
        begin = end = time()
    if found is None or begin == end:
        raise InvalidRequestError(
            f"{text[:80]!r} are no hours.", hint="Give them like 22:00-06:00, or 22:00-06:00 Europe/Berlin."
        )
    return f"{begin:%H:%M}-{end:%H:%M} {found[5] or 'UTC'}"


def is_within(hours: str, now: datetime) -> bool:
    """Whether a moment is within hours that were checked. Their beginning belongs to them, and their end does not.

    Raises:
        SetupError: this machine does not know the time zone.
    """
    try:
        begin, end, zone = _read(hours)
    except (LookupError, OSError, ValueError):
        raise SetupError(f"This machine cannot tell the hours {hours}.", hint="Install tzdata.") from None
    clock = now.astimezone(zone).time()
    return begin <= clock < end if begin < end else clock >= begin or clock < end


def _read(text: str) -> tuple[time, time, tzinfo]:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    zone = UTC if found[5] in {None, "UTC"} else ZoneInfo(found[5])
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4])), zone
