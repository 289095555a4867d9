"""How far a batch is: on a terminal a table that holds still, elsewhere a line for each row that has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from langchain_nebula_video.cli.output import describe_cost
from langchain_nebula_video.cli.progress_bar import format_clock
from langchain_nebula_video.errors import printable
from langchain_nebula_video.schema import dollars

if TYPE_CHECKING:
    from langchain_nebula_video.cli.batch.plan import Item
    from langchain_nebula_video.cli.batch.run import Outcome
    from langchain_nebula_video.cli.output import Output
    from langchain_nebula_video.schema import VideoProgress

__all__ = ["BatchView"]

_STATUS_WIDTH, _BAR_WIDTH, _PERCENT_WIDTH, _CLOCK_WIDTH = 10, 16, 4, 7
_OTHER_LINES = 3
"""Lines of the terminal besides those of the rows: the head, the foot, and the cursor's own."""


@dataclass(slots=True)
class _Line:
    number: int
    label: str
    began: float
    status: str = "submitting"
    fraction: float = 0.0


class BatchView:
    """Shows the rows that are under way, and the totals.

    The table has a line for each place, so it never grows or shrinks: a row that ends gives its line to the next one.

    Args:
        output: Where it is shown.
        total: How many rows there are.
        places: How many are under way at once.
    """

    def __init__(self, output: Output, total: int, places: int) -> None:
        self._output = output
        self._total = total
        self._lines: list[_Line | None] = [None] * min(places, total)
        self._begun = self._made = self._failed = 0
        self._paid = Decimal(0)
        self._started = time.monotonic()

    @contextmanager
    def show(self) -> Iterator[BatchView]:
        """Show the table while the body runs."""
        if not self._output.live:
            yield self
            return
        with Live(get_renderable=self._render, console=self._output.console, refresh_per_second=8, transient=True):
            yield self

    def begin(self, place: int, item: Item) -> None:
        """See `View`."""
        self._begun += 1
        self._lines[place] = _Line(self._begun, printable(item.label), time.monotonic())

    def on_progress(self, place: int, event: VideoProgress) -> None:
        """See `View`."""
        line = self._lines[place]
        if line is not None:
            line.status = event.phase if event.phase != "generating" else event.status.value
            line.fraction = max(line.fraction, event.fraction)

    def end(self, place: int, outcome: Outcome) -> None:
        """See `View`."""
        self._lines[place] = None
        video, error = outcome.video, outcome.error
        if video is not None:
            self._made += 1
            self._paid += video.cost.usd or 0
            told = f"saved {printable(video.path)}, {describe_cost(video.cost)}"
        else:
            self._failed += 1
            told = f"{type(error).__name__}: {error}"
        if not self._output.live:
            count = f"[{self._made + self._failed}/{self._total}]"
            self._output.print_message(f"{count} {printable(outcome.item.label)}: {told}")

    def _render(self) -> Table:
        width = self._output.console.width
        table = Table.grid(padding=0)
        table.add_row(self._head(width))
        shown = max(1, self._output.console.height - _OTHER_LINES)
        for line in self._lines[:shown]:
            table.add_row(self._row(line, width))
        more = sum(line is not None for line in self._lines[shown:])
        if len(self._lines) > shown:
            table.add_row(Text(f"and {more:>3} more under way", style="dim"))
        return table

    def _head(self, width: int) -> Table:
        digits = len(str(self._total))
        counts = f"{self._made:>{digits}}/{self._total} made  {self._failed:>{digits}} failed"
        row = _grid(width, Column(width=_BAR_WIDTH), Column(ratio=1), Column(width=_CLOCK_WIDTH, justify="right"))
        row.add_row(
            ProgressBar(total=self._total, completed=self._made + self._failed, width=_BAR_WIDTH),
            Text(f"{counts}  {dollars(self._paid)}"),
            Text(format_clock(time.monotonic() - self._started)),
        )
        return row

    def _row(self, line: _Line | None, width: int) -> Table | Text:
        if line is None:
            return Text(" ")
        digits = len(str(self._total))
        row = _grid(
            width,
            Column(width=digits, justify="right"),
            Column(ratio=1),
            Column(width=_STATUS_WIDTH),
            Column(width=_BAR_WIDTH),
            Column(width=_PERCENT_WIDTH, justify="right"),
            Column(width=_CLOCK_WIDTH, justify="right"),
        )
        row.add_row(
            Text(str(line.number), style="dim"),
            Text(line.label),
            Text(line.status),
            ProgressBar(total=1.0, completed=line.fraction, width=_BAR_WIDTH),
            Text(f"{line.fraction:4.0%}"),
            Text(format_clock(time.monotonic() - line.began), style="dim"),
        )
        return row


def _grid(width: int, *columns: Column) -> Table:
    """Return a table of one line: a cell that is too long is cut."""
    for column in columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    row = Table.grid(*columns, padding=(0, 1, 0, 0), pad_edge=False)
    row.width = width
    return row
