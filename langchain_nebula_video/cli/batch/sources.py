"""The rows of a batch, read from folders, globs, images, addresses, CSV and JSONL files."""

from __future__ import annotations

import csv
import glob
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.request import parse_image
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.schema import VideoRequest

__all__ = ["COLUMNS", "BrokenRow", "Row", "Sources", "read_sources"]

KEY = "key"
COLUMNS = (*VideoRequest.model_fields, KEY)
"""What a table may have: the fields of a request, and a key of one's own."""
_IMAGE_COLUMNS = ("image", "last_image")
_REFERENCES = "reference_images"
_BETWEEN_REFERENCES = "|"
_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"])
"""Files of a folder that are taken for images. What is in them is looked at like any other image."""
_CSV, _JSONL = frozenset({".csv", ".tsv"}), frozenset({".jsonl", ".ndjson"})
_SEPARATORS = (",", ";", "\t")
_MAX_TABLE_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One video to make, as its source says."""

    where: str
    """The file and the line, or the file alone."""
    fields: Mapping[str, Any]
    """Fields of a `VideoRequest`; images as paths or addresses."""
    key: str | None = None
    """The caller's own key."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that cannot become a video."""

    where: str
    reason: str


@dataclass(slots=True)
class Sources:
    """What was read."""

    rows: list[Row] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)
    left_out: int = 0
    """Files of folders that are not images by their names."""


def read_sources(sources: Sequence[str]) -> Sources:
    """Read the rows of all sources, in their order.

    Args:
        sources: Folders, globs, images, addresses of images, CSV and JSONL files.

    Raises:
        InvalidRequestError: a source is not there, holds nothing, or is a table that cannot be read as a whole.
    """
    found = Sources()
    for source in sources:
        before = len(found.rows) + len(found.broken)
        try:
            for each in _read_source(source, found):
                if isinstance(each, Row):
                    found.rows.append(each)
                else:
                    found.broken.append(each)
        except OSError as error:  # a folder that may not be read, or a name that is too long for this machine
            raise InvalidRequestError(
                f"{printable(source)[:200]} cannot be read: {error.strerror or error}.", hint=_NOTHING
            ) from None
        if len(found.rows) + len(found.broken) == before:
            raise InvalidRequestError(f"There is no row in {source[:200]}.", hint=_NOTHING)
    return found


_NOTHING = "Name a folder with images, a glob in quotes, an image, or a table: .csv or .jsonl."


def _read_source(source: str, found: Sources) -> Iterator[Row | BrokenRow]:
    named = parse_image(source)
    if isinstance(named, str):
        yield Row(source[:200], {"image": named})
    elif named.is_dir():
        files = sorted((path for path in named.iterdir() if path.is_file()), key=_natural)
        images = [path for path in files if path.suffix.lower() in _SUFFIXES]
        found.left_out += len(files) - len(images)
        yield from map(_image_row, images)
    elif named.is_file():
        suffix = named.suffix.lower()
        if suffix in _CSV:
            yield from _read_csv(named)
        elif suffix in _JSONL:
            yield from _read_jsonl(named)
        else:
            yield _image_row(named)
    elif glob.has_magic(source):
        paths = map(Path, glob.glob(str(named), recursive=True))  # noqa: PTH207 a Path has no glob from the root
        yield from (_image_row(path) for path in sorted(paths, key=_natural) if path.is_file())
    else:
        raise InvalidRequestError(f"There is no {source[:200]}.", hint=_NOTHING)


def _image_row(path: Path) -> Row:
    return Row(str(path), {"image": path})


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort `cat-2` before `cat-10`."""
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _read_csv(path: Path) -> Iterator[Row | BrokenRow]:
    """Read a table whose first line names the columns. Cells are separated by commas, semicolons or tabs."""
    text = _read_text(path)
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    while True:
        begin = reader.line_num + 1
        where = f"{path}, line {begin}"
        try:
            cells = next(reader, None)
        except csv.Error as error:  # the next line is read as a row again
            yield BrokenRow(where, f"it is no CSV: {error}")
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = _check_columns([cell.strip() for cell in cells], where)
            continue
        extra = [cell for cell in cells[len(names) :] if cell.strip()]
        if extra:
            hint = "text with a separator in it goes in quotes"
            yield BrokenRow(where, f"{len(cells)} cells in {len(names)} columns; {hint}")
            continue
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        if _REFERENCES in values:
            values[_REFERENCES] = [part.strip() for part in values[_REFERENCES].split(_BETWEEN_REFERENCES)]  # type: ignore[assignment]
        yield _make_row(values, where, path.parent)


def _read_jsonl(path: Path) -> Iterator[Row | BrokenRow]:
    """Read a table with one JSON object to a line."""
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BrokenRow(where, f"it is no JSON: {error}")
            continue
        if not isinstance(values, dict):
            yield BrokenRow(where, 'it is no object such as {"image": "cat.jpg", "prompt": "The cat blinks"}')
            continue
        names = dict(zip(values, _check_columns(list(values), where), strict=True))
        yield _make_row({names[name]: value for name, value in values.items() if value is not None}, where, path.parent)


def _make_row(values: Mapping[str, Any], where: str, folder: Path) -> Row | BrokenRow:
    """Return the row of a table. Paths of images are read from the table's own folder."""
    fields = dict(values)
    key = fields.pop(KEY, None)
    if key is not None and not isinstance(key, str):
        return BrokenRow(where, f"key is {json.dumps(key)[:80]}, and no text")
    try:
        for name in _IMAGE_COLUMNS:
            if name in fields:
                fields[name] = _parse_image(fields[name], name, folder)
        if _REFERENCES in fields:
            listed = fields[_REFERENCES]
            listed = listed if isinstance(listed, list) else [listed]
            fields[_REFERENCES] = tuple(_parse_image(each, _REFERENCES, folder) for each in listed)
    except InvalidRequestError as error:
        return BrokenRow(where, error.what)
    return Row(where, fields, key if key and key.strip() else None)


def _parse_image(value: Any, name: str, folder: Path) -> str | Path | None:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidRequestError(f"{name} is {json.dumps(value)[:80]}, and neither a file nor an address")
    if value == opt.NO_IMAGE and name == "image":
        return None
    found = parse_image(value)
    return found if isinstance(found, str) else folder / found


def _check_columns(names: Sequence[str], where: str) -> list[str]:
    """Return the names of columns as a request has them.

    Raises:
        InvalidRequestError: a column is unknown or there twice.
    """
    plain = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names]
    for name, found in zip(names, plain, strict=True):
        if found not in COLUMNS:
            raise InvalidRequestError(
                f"{where}: there is no column {printable(name)[:80]!r}.{did_you_mean(found, COLUMNS)}",
                hint=f"The columns are: {', '.join(COLUMNS)}.",
            )
        if plain.count(found) > 1:
            raise InvalidRequestError(f"{where}: the column {found} is there twice.", hint="Take one of them out.")
    return plain


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_TABLE_BYTES:
            raise InvalidRequestError(f"{path} has more than 100 MB.", hint="Divide it.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror or error}.", hint="") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InvalidRequestError(
            f"{path}, line {line}: it is not UTF-8.", hint="Save the table as CSV in UTF-8."
        ) from None
