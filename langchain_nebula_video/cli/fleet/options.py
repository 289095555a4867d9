"""Options that several commands of a fleet share."""

# Typer reads the annotations, so they are evaluated here.
from datetime import datetime
from typing import Annotated

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.journal import Budget as Amount

__all__ = ["Budget", "Hours", "NotBefore", "Priority"]


def _parse_moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no moment like 2026-12-24T22:00 or 2026-12-24T22:00+01:00.") from None


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
