"""How far the reading of a list is: in place on a terminal, elsewhere with a line now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from langchain_nebula_video.fleet.words import amount

if TYPE_CHECKING:
    from langchain_nebula_video.cli.fleet.feed import Feed
    from langchain_nebula_video.cli.output import Output
    from langchain_nebula_video.fleet import Added, Preview

__all__ = ["Progress"]

_LINE_EVERY = 100_000
"""Rows after which a log gets a line."""


class Progress:
    """Shows how far a list is.

    Args:
        output: Where it is shown.
        feed: The rows, which count themselves.
    """

    def __init__(self, output: Output, feed: Feed) -> None:
        self._output, self._feed = output, feed
        self.told: Added | Preview | None = None
        """What was done so far; `None`: nothing."""

    def note(self, told: Added | Preview) -> None:
        """Take down what was done so far."""
        self.told = told

    @contextmanager
    def show(self) -> Iterator[None]:
        """Show it during the body."""
        if self._output.live:
            with Live(get_renderable=self._line, console=self._output.console, refresh_per_second=4, transient=True):
                yield
            return
        ended = threading.Event()
        telling = threading.Thread(target=self._tell_lines, args=(ended,), daemon=True)
        telling.start()
        try:
            yield
        finally:
            ended.set()
            telling.join()

    def _tell_lines(self, ended: threading.Event) -> None:
        next_at = _LINE_EVERY
        while not ended.wait(1.0):
            if self._feed.read >= next_at:
                self._output.print_message(str(self._line()))
                next_at = self._feed.read - self._feed.read % _LINE_EVERY + _LINE_EVERY

    def _line(self) -> Text:
        told = self.told
        parts = [f"{self._feed.read:,} rows read"]
        if told is not None:
            parts.append(f"{told.added if hasattr(told, 'added') else told.new:,} new")
            parts += [f"{told.broken:,} broken"] if told.broken else []
            parts.append(amount(told.usd))
        return Text(", ".join(parts), no_wrap=True, overflow="ellipsis")
