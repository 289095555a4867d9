"""Tables: CSV and JSONL, read line by line."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, TextIO

from langchain_nebula_video.cli.sources.rows import REFERENCES, BrokenRow, Row, RowMaker
from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["NOT_UTF_8", "read_csv", "read_jsonl"]

_SEPARATORS = (",", ";", "\t")
_BETWEEN_REFERENCES = "|"
_MAX_LINE = 32_000_000
"""Characters of a line: an image may stand in it as a data address."""
NOT_UTF_8 = "Save the table as CSV in UTF-8."


def read_csv(text: TextIO, name: str, maker: RowMaker, *, strict: bool) -> Iterator[Row | BrokenRow]:
    """Read a table whose first line names the columns. Cells are separated by commas, semicolons or tabs.

    Args:
        text: The table, as UTF-8 with `surrogateescape`.
        name: Its name, for messages.
        maker: Makes the rows.
        strict: Whether a row that is not UTF-8 is an error, and not a broken row.

    Raises:
        InvalidRequestError: a column is unknown or there twice, a line is too long, or the text is not UTF-8.
    """
    head = text.readline(_MAX_LINE)
    separator = max(_SEPARATORS, key=head.count)
    lines = itertools.chain([head], _bounded_lines(text, name))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    names: list[str] = []
    while True:
        begin = reader.line_num + 1
        where = f"{name}, line {begin}"
        try:
            cells = next(reader, None)
        except csv.Error as error:  # the next line is read as a row again
            rest = f"; it takes the lines to {reader.line_num} along" if reader.line_num > begin else ""
            yield BrokenRow(where, f"it is no CSV: {error}{rest}")
            continue
        if cells is None:
            return
        if not _is_utf_8("".join(cells)):
            if strict or not names:
                raise _other_encoding(where)
            yield BrokenRow(where, "it is not UTF-8")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = maker.check_columns([cell.strip() for cell in cells], where)
            continue
        if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
            hint = "text with a separator in it goes in quotes"
            yield BrokenRow(where, f"{len(cells)} cells in {len(names)} columns; {hint}")
            continue
        values = {name: value for name, cell in zip(names, cells, strict=False) if (value := cell.strip())}
        if REFERENCES in values:
            values[REFERENCES] = [part.strip() for part in values[REFERENCES].split(_BETWEEN_REFERENCES)]  # type: ignore[assignment]
        yield maker.make(values, where)


def read_jsonl(text: TextIO, name: str, maker: RowMaker, *, strict: bool) -> Iterator[Row | BrokenRow]:
    """Read a table with one JSON object to a line.

    Args:
        text: The table, as UTF-8 with `surrogateescape`.
        name: Its name, for messages.
        maker: Makes the rows.
        strict: Whether a line that is not UTF-8, or has a column that is unknown or there twice, is an error, and not a
            broken row.

    Raises:
        InvalidRequestError: there is such a line, and `strict`.
    """
    for number, line in enumerate(iter(partial(text.readline, _MAX_LINE), ""), start=1):
        where = f"{name}, line {number}"
        if line.isspace():
            continue
        if _is_cut(line):
            while _is_cut(text.readline(_MAX_LINE)):
                pass
            yield BrokenRow(where, f"it has more than {_MAX_LINE // 1_000_000} million characters")
            continue
        if not _is_utf_8(line):
            if strict:
                raise _other_encoding(where)
            yield BrokenRow(where, "it is not UTF-8")
            continue
        try:
            values = json.loads(line.removesuffix("\n"))
        except (ValueError, RecursionError) as error:
            yield BrokenRow(where, f"it is no JSON: {error}")
            continue
        yield _make_row(maker, values, where, strict=strict)


def _make_row(maker: RowMaker, values: Any, where: str, *, strict: bool) -> Row | BrokenRow:
    if not isinstance(values, dict):
        return BrokenRow(where, 'it is no object such as {"image": "cat.jpg", "prompt": "The cat blinks"}')
    try:
        return maker.make(values, where)
    except InvalidRequestError as error:  # each line names columns of its own
        if strict:
            raise
        return BrokenRow(where, error.what.removeprefix(f"{where}: ").rstrip("."))


def _bounded_lines(text: TextIO, name: str) -> Iterator[str]:
    for number, line in enumerate(iter(partial(text.readline, _MAX_LINE), ""), start=2):
        if _is_cut(line):
            raise InvalidRequestError(
                f"{name}, line {number}: it has more than {_MAX_LINE // 1_000_000} million characters.",
                hint="Is it a table with one row to a line?",
            )
        yield line


def _is_cut(line: str) -> bool:
    """Return whether the line goes on behind what was read of it."""
    return len(line) >= _MAX_LINE and not line.endswith("\n")


def _is_utf_8(text: str) -> bool:
    """Return whether the text was UTF-8. What was not is in it as half a surrogate (PEP 383)."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _other_encoding(where: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: it is not UTF-8.", hint=NOT_UTF_8)
