"""The rows of a batch, collected: it shows what all of them cost before it pays for the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_nebula_video.cli.sources.folders import Tally
from langchain_nebula_video.cli.sources.reading import TableFormat, iterate_sources
from langchain_nebula_video.cli.sources.rows import BrokenRow, Row

__all__ = ["Sources", "read_sources"]


@dataclass(slots=True)
class Sources:
    """What was read."""

    rows: list[Row] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)
    left_out: int = 0
    """Files of folders that are not images by their names."""


def read_sources(sources: Sequence[str], stdin_format: TableFormat | None = None) -> Sources:
    """Read the rows of all sources, in their order.

    Args:
        sources: Folders, globs, images, addresses of images, CSV and JSONL tables, and `-` for standard input.
        stdin_format: How the table on standard input is written. `None`: its first character tells.

    Raises:
        InvalidRequestError: a source is not there, holds nothing, or is a table that cannot be read as a whole.
    """
    found, tally = Sources(), Tally()
    for each in iterate_sources(
        sources, stdin_format=stdin_format, store_images=False, refuse_other_encodings=True, tally=tally
    ):
        if isinstance(each, Row):
            found.rows.append(each)
        else:
            found.broken.append(each)
    found.left_out = tally.left_out
    return found
