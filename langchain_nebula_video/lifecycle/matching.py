"""Whether a task is that of a lost submit, by what both say of themselves. Pure; no I/O, no clock.

| the task                                                                  |           |
|---------------------------------------------------------------------------|-----------|
| tells the very prompt, and no other duration or resolution                | `SAME`    |
| tells a prompt like it, as if the vendor had cut or changed it, or others | `NEAR`    |
| tells another prompt, or is not billed                                    | `OTHER`   |
| has not told its prompt yet                                               | `OPEN`    |
| will not tell it, or there is none to compare                             | `UNCLEAR` |
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from langchain_nebula_video.protocols import TaskSnapshot
from langchain_nebula_video.schema import TaskStatus

__all__ = ["Likeness", "likeness"]

_FREE = frozenset({TaskStatus.FAILED, TaskStatus.CANCELED})
_ALIKE = 0.8
"""The share of two prompts from which on one may have been made of the other."""


class Likeness(Enum):
    """What a task is to a lost submit."""

    SAME = auto()
    NEAR = auto()
    OTHER = auto()
    OPEN = auto()
    UNCLEAR = auto()


def likeness(request: Mapping[str, Any], answer: TaskSnapshot) -> Likeness:
    """What a task is to the submit of this request.

    Args:
        request: What was asked for, as a journal row has it.
        answer: What the gateway says of the task.
    """
    if answer.status in _FREE:  # nothing is billed for it, whosever it is
        return Likeness.OTHER
    asked, told = _plain(request.get("prompt")), _plain(answer.prompt)
    if not asked or not told:
        return Likeness.UNCLEAR if not asked or answer.status.finished else Likeness.OPEN
    if asked == told:
        figures = ((answer.seconds, request.get("duration")), (answer.resolution, request.get("resolution")))
        differs = any(None not in pair and pair[0] != pair[1] for pair in figures)
        return Likeness.NEAR if differs else Likeness.SAME
    shorter, longer = sorted((asked, told), key=len)
    cut = longer.startswith(shorter.rstrip(".…"))
    return Likeness.NEAR if cut or _share(asked, told) >= _ALIKE else Likeness.OTHER


def _plain(prompt: Any) -> str:
    """A prompt without what tells nothing: how its characters are made up, and how wide its gaps are."""
    return " ".join(unicodedata.normalize("NFC", str(prompt or "")).split())


def _share(one: str, other: str) -> float:
    """How much of two texts is the same, 0 to 1: by runs of three characters, wherever they stand."""
    first, second = (Counter(text[at : at + 3] for at in range(len(text) - 2)) for text in (one, other))
    return 2 * (first & second).total() / max(1, first.total() + second.total())
