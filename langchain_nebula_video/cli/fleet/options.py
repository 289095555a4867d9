"""Options that several commands of a fleet share."""

# Typer reads the annotations, so they are evaluated here.
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.journal import Budget as Amount

__all__ = ["Budget", "Change", "Hours", "NewBudget", "NewHours", "NewNotBefore", "NotBefore", "Priority"]

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """The new value of a limit; `None`: it is taken away."""

    value: Any


def _parse_moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no moment like 2026-12-24T22:00 or 2026-12-24T22:00+01:00.") from None


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Change]:
    def parse_change(text: str) -> Change:
        return Change(None if text.strip().lower() == _NONE else parse(text))

    return parse_change


Budget = Annotated[
    Amount | None,
    typer.Option("--budget", parser=opt.parse_budget, metavar="USD", help="The most that the batch may cost."),
]
Priority = Annotated[
    int | None,
    typer.Option("--priority", help="Batches with a higher number go first. Default: 0.", show_default=False),
]
NotBefore = Annotated[
    datetime | None,
    typer.Option(
        "--not-before",
        parser=_parse_moment,
        metavar="MOMENT",
        help="Begin nothing before this moment: 2026-12-24T22:00, in the time zone of this machine, or with one.",
    ),
]
Hours = Annotated[
    str | None,
    typer.Option(
        "--hours", metavar="HOURS", help='Begin videos only within these hours: "22:00-06:00 Europe/Berlin"; else UTC.'
    ),
]
NewBudget = Annotated[
    Change | None,
    typer.Option(
        "--budget",
        parser=_or_none(lambda text: opt.parse_budget(text).usd),
        metavar="USD",
        help="The most that the batch may cost from now on; none: no limit.",
    ),
]
NewNotBefore = Annotated[
    Change | None,
    typer.Option(
        "--not-before",
        parser=_or_none(_parse_moment),
        metavar="MOMENT",
        help="Begin nothing before this moment, such as 2026-12-24T22:00; none: at once.",
    ),
]
NewHours = Annotated[
    Change | None,
    typer.Option(
        "--hours",
        parser=_or_none(str),
        metavar="HOURS",
        help='Begin videos only within these hours: "22:00-06:00 Europe/Berlin"; none: at any time.',
    ),
]
