"""Whether a listed task is that of a lost submit, by what both say of themselves. Pure: no I/O, no clock.

| the task                                                             | match         |
|----------------------------------------------------------------------|---------------|
| has the exact prompt, and no other duration or resolution            | `EXACT`       |
| has a similar prompt, as if the vendor had cut or changed it, or     | `SIMILAR`     |
| the exact prompt with another duration or resolution                 |               |
| has another prompt, or is not billed                                 | `NONE`        |
| does not report its prompt yet                                       | `PENDING`     |
| never reports its prompt, or the submit had none                     | `UNDECIDABLE` |
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
"""From this similarity on, one prompt may have been derived from the other."""


class Match(Enum):
    """How a task relates to a lost submit; see the table above."""

    EXACT = auto()
    SIMILAR = auto()
    NONE = auto()
    PENDING = auto()
    UNDECIDABLE = auto()


def match_task(request: Mapping[str, Any], snapshot: TaskSnapshot) -> Match:
    """Match a task with the submit of a request.

    Args:
        request: The request as the journal entry has it.
        snapshot: The gateway's answer about the task.
    """
    if snapshot.status in _UNBILLED:  # it is not billed, whoever submitted it
        return Match.NONE
    requested, reported = _normalize(request.get("prompt")), _normalize(snapshot.prompt)
    if not requested or not reported:
        return Match.UNDECIDABLE if not requested or snapshot.status.finished else Match.PENDING
    if requested == reported:
        figures = ((snapshot.seconds, request.get("duration")), (snapshot.resolution, request.get("resolution")))
        differs = any(None not in pair and pair[0] != pair[1] for pair in figures)
        return Match.SIMILAR if differs else Match.EXACT
    shorter, longer = sorted((requested, reported), key=len)
    cut = longer.startswith(shorter.rstrip(".…"))
    return Match.SIMILAR if cut or _similarity(requested, reported) >= _SIMILARITY_THRESHOLD else Match.NONE


def _normalize(prompt: Any) -> str:
    """Return a prompt with composed characters (NFC) and single spaces."""
    return " ".join(unicodedata.normalize("NFC", str(prompt or "")).split())


def _similarity(one: str, other: str) -> float:
    """Return the similarity of two texts, 0 to 1: the Dice coefficient of their trigrams."""
    first, second = (Counter(text[at : at + 3] for at in range(len(text) - 2)) for text in (one, other))
    return 2 * (first & second).total() / max(1, first.total() + second.total())
