"""The rows of sources as a fleet takes them, counted on the way, and stopped if the command is."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_nebula_video.cli.sources.folders import Tally
from langchain_nebula_video.cli.sources.reading import TableFormat, iterate_sources
from langchain_nebula_video.cli.sources.rows import COLUMNS, BrokenRow, Row
from langchain_nebula_video.fleet.rows import BrokenRow as BrokenItem

__all__ = ["Feed"]

TAG = "tag"


class Feed:
    """The rows of sources, each once: nothing but the one at hand is in memory.

    Args:
        sources: Folders, globs, images and tables, here or in stores; `-` is a table on standard input.
        stdin_format: How the table on standard input is written. `None`: its first character tells.

    Raises:
        InvalidRequestError: the first source is not there, or holds nothing.
    """

    def __init__(self, sources: Sequence[str], stdin_format: TableFormat | None) -> None:
        self.read = 0
        """Rows so far, broken ones included."""
        self.tally = Tally()
        self._stopped = threading.Event()
        rows = iterate_sources(sources, columns=(*COLUMNS, TAG), stdin_format=stdin_format, tally=self.tally)
        # A name that was mistyped is told before a batch is made.
        self._rows = itertools.chain([next(rows)], rows)

    def stop(self) -> None:
        """End the stream at the next row. It is read in another thread, which Ctrl-C does not reach."""
        self._stopped.set()

    def __iter__(self) -> Iterator[dict[str, Any] | BrokenItem]:
        for row in self._rows:
            if self._stopped.is_set():
                return
            self.read += 1
            if isinstance(row, BrokenRow):
                yield BrokenItem(row.where, row.reason)
                continue
            yield _item(row)


def _item(row: Row) -> dict[str, Any]:
    more = {"place": row.where} if row.key is None else {"place": row.where, "key": row.key}
    return {**row.fields, **more, **row.extra}
