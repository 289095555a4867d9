"""The gateway's loop: it asks the vendor about every open task, at one beat for all of them."""

from __future__ import annotations

import math

BEAT = 15.0
"""Seconds between two visits at normal speed (controller/task.go, 2025-11)."""


class Loop:
    """The moments of the visits. One phase serves all tasks, so a task's first visit comes after up to a beat."""

    def __init__(self, start: float, beat: float) -> None:
        """Begin with a visit at `start`, and one after each `beat` seconds."""
        self._start = start
        self._beat = beat

    def last_visit(self, now: float) -> float:
        """Return the moment of the newest visit."""
        return self._start + max(0, math.floor((now - self._start) / self._beat)) * self._beat

    def next_visit(self, at: float) -> float:
        """Return the moment of the first visit after `at`."""
        return self.last_visit(at) + self._beat

    def change_beat(self, now: float, beat: float) -> None:
        """Change the beat. Visits that were made stay made."""
        self._start = self.last_visit(now)
        self._beat = beat
