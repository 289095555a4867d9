"""What the page says after an action."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What came of an action."""

    text: str
    good: bool = True
    """Whether what was asked for was done."""
    detail: str = ""
    """The gateway's own words, if there are any."""
    task_id: str = ""
    """The task that it is about, if there is one."""
