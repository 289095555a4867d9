"""Common faults, each one switch of the console."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_nebula_video.emulator import FaultRecord


@dataclass(frozen=True, slots=True)
class Preset:
    """One switch. It goes off by itself once the fault was played as often as it says."""

    name: str
    title: str
    effect: str
    """What a client sees."""
    point: str
    kind: str
    times: int | None = 1
    params: Mapping[str, Any] = field(default_factory=dict)


PRESETS = (
    Preset(
        "lost-answer",
        "Lose the answer to the next submit",
        "The task is accepted and will be billed, but the connection breaks before the answer.",
        *("submit", "reset_after"),
    ),
    Preset(
        "no-connection",
        "Break the next submit's connection",
        "The connection breaks and the task does not exist.",
        *("submit", "reset_before"),
    ),
    Preset(
        "too-many",
        "Refuse two submits: too many requests",
        "HTTP 429 twice, with Retry-After: 1.",
        *("submit", "status", 2, {"code": 429, "retry_after": "1"}),
    ),
    Preset(
        "failing-looks",
        "Let three looks fail",
        "HTTP 503 three times when a client asks for its task.",
        *("query", "status", 3, {"code": 503}),
    ),
    Preset(
        "page-instead",
        "Answer three looks with a proxy's page",
        "HTTP 200 and HTML where JSON should be.",
        *("query", "html", 3),
    ),
    Preset(
        "broken-download",
        "Break off the next download",
        "The connection is closed after 100 kB of the video.",
        *("download", "cut", 1, {"at": 100_000}),
    ),
    Preset(
        "no-address",
        "Success without an address",
        "The task has succeeded, and its answer names no video. Until you switch it off.",
        *("query", "no_url", None),
    ),
)


def find(name: str) -> Preset:
    """Return a preset.

    Raises:
        ValueError: There is none with this name.
    """
    preset = next((each for each in PRESETS if each.name == name), None)
    if preset is None:
        message = f"there is no switch {name!r}"
        raise ValueError(message)
    return preset


def waiting(preset: Preset, records: Iterable[FaultRecord]) -> list[FaultRecord]:
    """Return the faults of a preset that will still be played."""
    return [
        record
        for record in records
        if (record.point, record.kind, record.times) == (preset.point, preset.kind, preset.times)
        and preset.params.items() <= record.params.items()
        and is_waiting(record)
    ]


def is_waiting(record: FaultRecord) -> bool:
    """Return whether a fault will still be played."""
    return record.times is None or record.played < record.times
