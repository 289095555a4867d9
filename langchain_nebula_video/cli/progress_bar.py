"""How far a generation is: a bar that moves between two looks, or a line for each change of status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from langchain_nebula_video.cli.output import Voice
    from langchain_nebula_video.schema import VideoProgress

__all__ = ["Bar"]

_NEARLY = 0.99
"""Nothing but the gateway's word makes a bar full."""
_NARROWEST, _WIDEST = 8, 32
_BESIDES = 46
"""Columns that status, share and times take."""


class Bar:
    """Shows a generation; `told` is its `on_progress`.

    Args:
        voice: Where to.
        status: What is under way before the first word of the gateway.
        expected: Seconds that it usually takes, as far as that is known before.
    """

    def __init__(self, voice: Voice, *, status: str, expected: float | None = None) -> None:
        self._voice = voice
        self._status = status
        self._expected = expected
        self._began = time.monotonic()
        self._fraction = 0.0
        self._spinner = Spinner("dots" if voice.people.encoding.startswith("utf") else "line", style="cyan")
        self.task_id: str | None = None

    @contextmanager
    def shown(self) -> Iterator[Bar]:
        """While the body runs."""
        self._began = time.monotonic()
        if not self._voice.live:
            self._voice.say(self._line())
            yield self
            return
        with Live(get_renderable=self._view, console=self._voice.people, refresh_per_second=8, transient=True):
            yield self

    def told(self, event: VideoProgress) -> None:
        """The client's word."""
        self._began = time.monotonic() - event.elapsed
        self._expected = event.expected
        self._fraction = max(self._fraction, event.fraction)
        self.task_id = event.task_id
        self.status(event.status)

    def status(self, status: str) -> None:
        """Where the task is now."""
        changed, self._status = status != self._status, status
        if changed and not self._voice.live:
            self._voice.say(self._line())

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _times(self) -> str:
        elapsed, expected = self._elapsed(), self._expected
        if expected is None:
            return _clock(elapsed)
        if elapsed > expected:
            return f"{_clock(elapsed)}, longer than the usual {_clock(expected)}"
        return f"{_clock(elapsed)}, usually within {_clock(expected)}"

    def _line(self) -> str:
        return f"{self._status}: {self._times()}" + (f", task {self.task_id}" if self.task_id else "")

    def _view(self) -> Table:
        fraction = self._fraction
        if self._expected and fraction < 1:
            fraction = max(fraction, min(self._elapsed() / self._expected, _NEARLY))
        width = max(_NARROWEST, min(self._voice.people.width - _BESIDES, _WIDEST))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            self._spinner,
            Text(f"{self._status:<10}"),
            ProgressBar(total=1.0, completed=fraction, width=width),
            Text(f"{fraction:4.0%}"),
            Text(self._times(), style="dim", no_wrap=True, overflow="ellipsis"),
        )
        return row


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
