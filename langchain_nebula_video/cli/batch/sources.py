"""The rows of a batch, collected: it shows what all of them cost before it pays for the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_nebula_video.cli.sources.folders import Tally
from langchain_nebula_video.cli.sources.reading import TableFormat, iterate_sources
from langchain_nebula_video.cli.sources.rows import BrokenRow, Row
from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["Sources", "read_sources"]

_MAX_ROWS = 1_000_000
"""All of them are in memory."""


@dataclass(slots=True)
class Sources:
    """What was read."""

    rows: list[Row] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)
    left_out: int = 0
    """Files of folders that are not images by their names."""


def read_sources(
    sources: Sequence[str], stdin_format: TableFormat | None = None, *, max_rows: int = _MAX_ROWS
) -> Sources:
    """Read the rows of all sources, in their order.

    Args:
        sources: Folders, globs, images, addresses of images, CSV and JSONL tables, and `-` for standard input.
        stdin_format: How the table on standard input is written. `None`: its first character tells.
        max_rows: The most rows of all sources together.

    Raises:
        InvalidRequestError: a source is not there, holds nothing, or is a table that cannot be read as a whole; or
            there are too many rows.
    """
    found, tally = Sources(), Tally()
    for each in iterate_sources(sources, stdin_format=stdin_format, store_images=False, strict=True, tally=tally):
        if isinstance(each, Row):
            found.rows.append(each)
        else:
            found.broken.append(each)
        if len(found.rows) + len(found.broken) > max_rows:
            raise InvalidRequestError(f"There are more than {max_rows:,} rows.", hint="Divide them into several runs.")
    found.left_out = tally.left_out
    return found
