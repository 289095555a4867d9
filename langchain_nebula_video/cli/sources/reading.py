"""The rows of all sources, one after another: nothing but the row at hand is in memory."""

from __future__ import annotations

import glob
import io
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from langchain_nebula_video.cli.request import parse_image
from langchain_nebula_video.cli.sources.folders import Tally, iterate_folder, iterate_glob, suffix_of
from langchain_nebula_video.cli.sources.rows import COLUMNS, BrokenRow, Row, RowMaker
from langchain_nebula_video.cli.sources.stores import Store, is_listing
from langchain_nebula_video.cli.sources.streams import open_text
from langchain_nebula_video.cli.sources.tables import read_csv, read_jsonl
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.saving.names import is_url, to_path
from langchain_nebula_video.saving.secrets import redact

__all__ = ["TableFormat", "iterate_sources"]

_NOTHING = "Name a folder with images, a glob in quotes, an image, or a table: .csv or .jsonl."
_STDIN = "-"
_PACKED = frozenset({".gz", ".zst"})
_WEB = ("http://", "https://", "data:")
_FETCHED = (*_WEB, "oss://")
"""Addresses that a gateway fetches; Alibaba's own ones read what was uploaded to their store."""


class TableFormat(StrEnum):
    """How a table is written."""

    CSV = "csv"
    JSONL = "jsonl"


_FORMATS = {".csv": TableFormat.CSV, ".tsv": TableFormat.CSV, ".jsonl": TableFormat.JSONL, ".ndjson": TableFormat.JSONL}
_READERS = {TableFormat.CSV: read_csv, TableFormat.JSONL: read_jsonl}


def iterate_sources(
    sources: Sequence[str],
    *,
    columns: Collection[str] = COLUMNS,
    stdin_format: TableFormat | None = None,
    store_images: bool = True,
    strict: bool = False,
    tally: Tally | None = None,
) -> Iterator[Row | BrokenRow]:
    """Yield the rows of all sources, in their order.

    | Source | Rows |
    |---|---|
    | a folder of this machine or of a store (`s3://bucket/cats/`) | its images, sorted by name, without subfolders |
    | a glob, in a store too | the files that it matches, sorted by name within a folder |
    | a table: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, also with `.gz` or `.zst` behind | each row |
    | `-` | each row of the table on standard input |
    | an image or an address | one |

    Args:
        sources: Where the rows are.
        columns: The names that a table may have. Those that are not in `COLUMNS` come as `Row.extra`.
        stdin_format: How the table on standard input is written. `None`: its first character tells.
        store_images: Whether images in a store are of use to the caller.
        strict: Whether a line that is not UTF-8, or a line of JSON with an unknown column, is an error, and not a
            broken row.
        tally: Counts what is left out.

    Raises:
        InvalidRequestError: a source is not there, holds nothing, or cannot be read as a whole. Rows may have been
            yielded before.
    """
    reader = _Reader(columns, stdin_format, store_images, strict, tally or Tally())
    for source in sources:
        told = printable(redact(source, source) if is_url(source) else source)[:200]
        is_empty = True
        try:
            for each in reader.read(source):
                is_empty = False
                yield each
        except OSError as error:  # a folder that may not be read, or a name that is too long for this machine
            raise InvalidRequestError(f"{told} cannot be read: {error.strerror or error}.", hint=_NOTHING) from None
        if is_empty:
            raise InvalidRequestError(f"There is no row in {told}.", hint=_NOTHING)


class _Reader:
    def __init__(
        self,
        columns: Collection[str],
        stdin_format: TableFormat | None,
        store_images: bool,
        strict: bool,
        tally: Tally,
    ) -> None:
        self._columns = columns
        self._stdin_format = stdin_format
        self._store_images = store_images
        self._strict = strict
        self._tally = tally

    def read(self, source: str) -> Iterator[Row | BrokenRow]:
        if source == _STDIN:
            return self._read_stdin()
        if source.lower().startswith(_WEB):
            return self._read_address(source)
        if is_url(source):
            return self._read_store(source)
        named = to_path(source) if "://" in source else parse_image(source)
        return self._read_path(Path(named), source)

    def _read_path(self, named: Path, source: str) -> Iterator[Row | BrokenRow]:
        if named.is_dir():
            return iterate_folder(named, self._tally)
        if named.is_file():
            form = _format_of(named.name)
            if form is None:
                return iter([Row(str(named), {"image": named})])
            return self._read_file(named, form)
        if glob.has_magic(source):
            return iterate_glob(str(named))
        raise InvalidRequestError(f"There is no {source[:200]}.", hint=_NOTHING)

    def _read_file(self, path: Path, form: TableFormat) -> Iterator[Row | BrokenRow]:
        try:
            file = path.open("rb")
        except OSError as error:
            raise InvalidRequestError(f"{path} cannot be read: {error.strerror or error}.", hint="") from None
        return self._read_table(file, str(path), form, path.parent.__truediv__)

    def _read_stdin(self) -> Iterator[Row | BrokenRow]:
        if sys.stdin is None or sys.stdin.isatty():
            raise InvalidRequestError("The table is - and nothing is piped in.", hint=f"Pipe a table in. {_NOTHING}")
        file = nullcontext(sys.stdin.buffer)  # it stays open
        return self._read_table(file, "standard input", self._stdin_format, lambda path: path)

    def _read_address(self, source: str) -> Iterator[Row | BrokenRow]:
        if source[:5].lower() != "data:" and _format_of(source.partition("?")[0]) is not None:
            raise InvalidRequestError(
                f"{redact(source, source)[:200]} is a table, and only images are read from the web.",
                hint=f"Fetch it yourself: curl the address, and pipe it to this command with {_STDIN} as the source.",
            )
        return iter([Row(source[:200], {"image": source})])

    def _read_store(self, url: str) -> Iterator[Row | BrokenRow]:
        form = None if is_listing(url) else _format_of(url)
        if form is not None:
            store = Store(url)
            return self._read_table(store.open(), store.name, form, store.beside)
        self._check_place(url)
        if not self._store_images:  # what only some gateways read
            return iter([Row(url[:200], {"image": url})])
        store = Store(url)
        return store.images(self._tally) if is_listing(url) or store.is_folder() else iter([store.row()])

    def _read_table(
        self,
        opened: AbstractContextManager[BinaryIO | io.RawIOBase],
        name: str,
        form: TableFormat | None,
        beside: Callable[[Path], Path | str],
    ) -> Iterator[Row | BrokenRow]:
        def find_image(image: Path | str) -> Path | str:
            place = beside(image) if isinstance(image, Path) else image
            if isinstance(place, str):
                self._check_place(place)
            return place

        with opened as raw, open_text(raw, name) as (text, is_jsonl):
            read = _READERS[form or (TableFormat.JSONL if is_jsonl else TableFormat.CSV)]
            maker = RowMaker(self._columns, find_image)
            yield from read(text, name, maker, strict=self._strict)

    def _check_place(self, place: str) -> None:
        """Check that the caller has use for an image in this place.

        Raises:
            InvalidRequestError: it is in a store, and the caller has not.
        """
        if self._store_images or not is_url(place) or place.lower().startswith(_FETCHED):
            return
        raise InvalidRequestError(
            f"{redact(place, place)[:200]} is in a store, and this command reads images of this machine and the web.",
            hint="Copy it here, or give its signed https address. A fleet reads it there: nebula-video fleet enqueue",
        )


def _format_of(name: str) -> TableFormat | None:
    """Return how a table of this name is written. `None`: it is no table."""
    suffix = suffix_of(name)
    return _FORMATS.get(suffix_of(name[: -len(suffix)]) if suffix in _PACKED else suffix)
