"""What the gallery shows of a fleet: its batches with their counts, what needs a person, and the batch of each video.

It is read anew for each page, and nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.display.player import text_without_secrets
from langchain_nebula_video.errors import printable
from langchain_nebula_video.fleet.words import amount

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import BatchStatus, Fleet, FleetStatus

__all__ = ["Batch", "Segment", "batches_of", "fleet_view"]

_MOST_BATCHES = 200
_MOST_ERRORS = 20
_WIDTH = 1000
"""Of a bar, in its own units."""
# The classes of a bar's segments, the states in each, and what they are called.
_SEGMENTS = (
    ("done", ("done",), "made"),
    ("unconfirmed", ("unconfirmed",), "unconfirmed"),
    ("failed", ("failed",), "failed"),
    ("canceled", ("canceled",), "canceled"),
    ("running", ("running",), "running"),
    ("later", ("waiting", "delayed", "queued"), "to make"),
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar."""

    word: str
    text: str
    count: int
    at: float
    width: float


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, as its card shows it."""

    status: BatchStatus
    word: str
    """`done`, `running`, `paused`, `canceled` or `stalled`."""
    segments: tuple[Segment, ...]
    reason: str

    @property
    def counts(self) -> str:
        """The counts as text."""
        return ", ".join(f"{each.count:,} {each.text}" for each in self.segments) or "empty"

    @property
    def needs_a_person(self) -> bool:
        """Whether something of it waits for a person."""
        return self.word in {"paused", "stalled"} or any(each.word == "unconfirmed" for each in self.segments)


def fleet_view(fleet: Fleet) -> dict[str, Any]:
    """Return what the templates show of a fleet. It blocks.

    Raises:
        JournalError: the database does not work.
    """
    status = asyncio.run(fleet.status(errors=_MOST_ERRORS))
    stalled = {batch.id for batch in status.stalled}
    batches = [_batch(each, is_stalled=each.id in stalled) for each in status.batches]
    batches.sort(key=_rank)
    return {
        "now": status.at,
        "batches": batches[:_MOST_BATCHES],
        "count": len(batches),
        "errors": [(each, _text(each.error)) for each in status.errors],
        "paused": [(each, _text(each.reason)) for each in status.accounts if each.paused_until is not None],
        "workers": status.workers,
        "alive": sum(worker.lives for worker in status.workers),
        "per_minute": status.per_minute,
        "usd_per_minute": status.usd_per_minute,
        "amount": amount,
        "left": sum(batch.left for batch in status.batches),
        "announcement": _announcement(status),
    }


def batches_of(fleet: Fleet, keys: Iterable[str]) -> dict[str, str]:
    """Return the names of the batches that journal entries with these keys are of. It blocks.

    Raises:
        JournalError: the database does not work.
    """
    from langchain_nebula_video.fleet.results import read_batches  # noqa: PLC0415 an extra

    return asyncio.run(fleet._do(read_batches, list(keys)))  # noqa: SLF001 of this package


def _rank(batch: Batch) -> tuple[bool, bool, int]:
    """What needs a person comes first, then what goes on, then the newest."""
    return not batch.needs_a_person, not batch.status.left, -batch.status.id


def _batch(status: BatchStatus, *, is_stalled: bool) -> Batch:
    segments, at = [], 0.0
    for word, states, text in _SEGMENTS:
        count = sum(items for state, items in status.counts.items() if state in states)
        if count:
            width = _WIDTH * count / status.size
            segments.append(Segment(word, text, count, at, width))
            at += width
    word = str(status.state)
    if word == "running":
        word = "stalled" if is_stalled else "running" if status.left else "done"
    return Batch(status, word, tuple(segments), _text(status.reason))


def _announcement(status: FleetStatus) -> str:
    """What a screen reader says when it changes: not more often than each tenth."""
    going_on = [batch for batch in status.batches if batch.left]
    return ". ".join(f"{printable(each.name)}: {10 * each.ended // each.size * 10} % ended" for each in going_on[:3])


def _text(value: str | None) -> str:
    return printable(text_without_secrets(value or ""))
