"""Whether a task is that of a lost submit, by what both say of themselves. Pure; no I/O, no clock.

| the task                                                                  |           |
|---------------------------------------------------------------------------|-----------|
| tells the very prompt, and no other duration or resolution                | `EXACT`    |
| tells a prompt like it, as if the vendor had cut or changed it, or others | `SIMILAR`    |
| tells another prompt, or is not billed                                    | `NONE`   |
| has not told its prompt yet                                               | `PENDING` |
| will not tell it, or there is none to compare                             | `UNDECIDABLE` |
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from langchain_nebula_video.protocols import TaskSnapshot
from langchain_nebula_video.schema import TaskStatus

__all__ = ["Match", "match_task"]

_UNBILLED = frozenset({TaskStatus.FAILED, TaskStatus.CANCELED})
_SIMILARITY_THRESHOLD = 0.8
"""The share of two prompts from which on one may have been made of the other."""


class Match(Enum):
    """What a task is to a lost submit."""

    EXACT = auto()
    SIMILAR = auto()
    NONE = auto()
    PENDING = auto()
    UNDECIDABLE = auto()


def match_task(request: Mapping[str, Any], answer: TaskSnapshot) -> Match:
    """What a task is to the submit of this request.

    Args:
        request: What was asked for, as a journal row has it.
        answer: What the gateway says of the task.
    """
    if answer.status in _UNBILLED:  # nothing is billed for it, whosever it is
        return Match.NONE
    requested, reported = _normalize(request.get("prompt")), _normalize(answer.prompt)
    if not requested or not reported:
        return Match.UNDECIDABLE if not requested or answer.status.finished else Match.PENDING
    if requested == reported:
        figures = ((answer.seconds, request.get("duration")), (answer.resolution, request.get("resolution")))
        differs = any(None not in pair and pair[0] != pair[1] for pair in figures)
        return Match.SIMILAR if differs else Match.EXACT
    shorter, longer = sorted((requested, reported), key=len)
    cut = longer.startswith(shorter.rstrip(".…"))
    return Match.SIMILAR if cut or _similarity(requested, reported) >= _SIMILARITY_THRESHOLD else Match.NONE


def _normalize(prompt: Any) -> str:
    """A prompt without what tells nothing: how its characters are made up, and how wide its gaps are."""
    return " ".join(unicodedata.normalize("NFC", str(prompt or "")).split())


def _similarity(one: str, other: str) -> float:
    """How much of two texts is the same, 0 to 1: by runs of three characters, wherever they stand."""
    first, second = (Counter(text[at : at + 3] for at in range(len(text) - 2)) for text in (one, other))
    return 2 * (first & second).total() / max(1, first.total() + second.total())
