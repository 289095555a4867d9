"""The progress of a generation: a moving bar on a terminal, elsewhere a line for each change of status."""

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

from langchain_nebula_video.errors import printable

if TYPE_CHECKING:
    from langchain_nebula_video.cli.output import Output
    from langchain_nebula_video.schema import VideoProgress

__all__ = ["TaskProgressBar", "format_clock"]

_MAX_ESTIMATE = 0.99
"""Only the gateway's answer fills the bar."""
_MIN_WIDTH, _MAX_WIDTH = 8, 32
_OTHER_COLUMNS = 46
"""Columns that the status, the percentage and the times take."""


class TaskProgressBar:
    """Shows how far a task is.

    Args:
        output: Where it is printed.
        status: The status before the gateway's first answer.
        expected: Seconds that the task usually takes, if that is known.
    """

    def __init__(self, output: Output, *, status: str, expected: float | None = None) -> None:
        self._output = output
        self._status = status
        self._expected = expected
        self._began = time.monotonic()
        self._fraction = 0.0
        self._spinner = Spinner("dots" if output.console.encoding.startswith("utf") else "line", style="cyan")
        self.task_id: str | None = None

    @contextmanager
    def show(self) -> Iterator[TaskProgressBar]:
        """Show the bar while the body runs."""
        self._began = time.monotonic()
        if not self._output.live:
            self._output.print_message(self._status_line())
            yield self
            return
        with Live(get_renderable=self._render, console=self._output.console, refresh_per_second=8, transient=True):
            yield self

    def on_progress(self, event: VideoProgress) -> None:
        """Take an event of the client; pass this method as `on_progress`."""
        self._began = time.monotonic() - event.elapsed
        self._expected = event.expected
        self._fraction = max(self._fraction, event.fraction)
        self.task_id = event.task_id
        self.set_status(event.status if event.phase == "generating" else event.phase)

    def set_status(self, status: str) -> None:
        """Set the status; without a terminal, a change prints a line."""
        changed, self._status = status != self._status, status
        if changed and not self._output.live:
            self._output.print_message(self._status_line())

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _format_times(self) -> str:
        elapsed, expected = self._elapsed(), self._expected
        if expected is None:
            return format_clock(elapsed)
        if int(elapsed) > int(expected):  # as they are shown
            return f"{format_clock(elapsed)}, longer than the usual {format_clock(expected)}"
        return f"{format_clock(elapsed)}, usually within {format_clock(expected)}"

    def _status_line(self) -> str:
        return f"{self._status}: {self._format_times()}" + (f", task {printable(self.task_id)}" if self.task_id else "")

    def _render(self) -> Table:
        fraction = self._fraction
        if self._expected and fraction < 1:
            fraction = max(fraction, min(self._elapsed() / self._expected, _MAX_ESTIMATE))
        width = max(_MIN_WIDTH, min(self._output.console.width - _OTHER_COLUMNS, _MAX_WIDTH))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            self._spinner,
            Text(f"{self._status:<10}"),
            ProgressBar(total=1.0, completed=fraction, width=width),
            Text(f"{fraction:4.0%}"),
            Text(self._format_times(), style="dim", no_wrap=True, overflow="ellipsis"),
        )
        return row


def format_clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, from an hour on with hours."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
