"""What was learned about a gateway's times on one account: from this process, and from the journal of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.model import Model
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.beat import Beat
from langchain_nebula_video.lifecycle.completion_times import CompletionTimes

__all__ = ["JOURNAL_ROWS", "Experience", "Times"]

JOURNAL_ROWS = 64
"""How many finished rows of the journal are read, once."""
_MOST_TIMES = 5.0
"""A row that took longer than so many times the usual was found late, and tells nothing."""
_SHORTEST_SECONDS = 0.05
"""The fewest seconds between two looks, however fast an emulator is."""

Times = tuple[CompletionTimes, CompletionTimes]
"""How long tasks take from the submit, and from the end of the queue."""


class Experience:
    """The completion times by kind of task, and the beat.

    Args:
        gateway: The gateway that the account is at.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._steps = gateway.steps
        self._beat = Beat(gateway.beat_seconds) if gateway.beat_seconds else None
        self.knows_journal = False
        """Whether the journal's rows were read."""
        self.speed: float | None = None
        """How many times faster than the gateway the emulator is that takes its place; `None`: it is no emulator."""
        self._times: dict[tuple[str, str | None, int], Times] = {}

    @property
    def beat(self) -> Beat | None:
        """When the gateway's rows move; `None`: at any time. That of an emulator is too fast to be found."""
        return self._beat if self.speed is None else None

    def steps(self, model: Model) -> tuple[float, float]:
        """Return the fewest and the most seconds between two looks at a task."""
        shortest, longest = model.steps or self._steps
        speed = max(self.speed or 1, 1)
        return max(shortest / speed, min(shortest, _SHORTEST_SECONDS)), max(longest / speed, shortest)

    def times(self, model: Model, resolution: str | None, duration: float | None) -> Times:
        """Return the times of a kind of task."""
        kind = model.name, resolution, round(duration or 0)
        if kind not in self._times:
            usual = self.usual(model, duration)
            self._times[kind] = CompletionTimes(*usual), CompletionTimes(*usual)
        return self._times[kind]

    def usual(self, model: Model, duration: float | None) -> tuple[float, float]:
        """Return the usual generation time in seconds, from and to; an emulator is as much faster as it says."""
        earliest, latest = model.typical(duration)
        return earliest / (self.speed or 1), latest / (self.speed or 1)

    def usually_within(self, model: Model, duration: float | None) -> float:
        """Return the longest usual generation time, in seconds."""
        return self.usual(model, duration)[1]

    def learn(self, entries: Iterable[Entry], models: Mapping[str, Model], account: str) -> None:
        """Learn from the account's finished rows, given with the newest first."""
        for entry in reversed([*entries]):
            model = models.get(entry.model)
            if model is None or entry.video is None or entry.account not in {None, account}:
                continue
            try:
                begun, ended = (datetime.fromisoformat(entry.video[name]) for name in ("submitted_at", "finished_at"))
                seconds = (ended - begun).total_seconds()
                duration = entry.request.get("duration")
                total, _ = self.times(model, entry.request.get("resolution"), duration)
            except (KeyError, TypeError, ValueError, AttributeError):  # a newer version may write it otherwise
                continue
            if 0 < seconds < _MOST_TIMES * model.typical(duration)[1]:
                total.record(seconds, seconds)
