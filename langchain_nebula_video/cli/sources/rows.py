"""Rows: what a source says of one video. The values of a table become rows here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.request import parse_image
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.schema import VideoRequest

__all__ = ["COLUMNS", "REFERENCES", "BrokenRow", "FindImage", "Row", "RowMaker"]

KEY = "key"
COLUMNS = (*VideoRequest.model_fields, KEY)
"""What a table may have: the fields of a request, and a key of one's own."""
REFERENCES = "reference_images"
_IMAGES = frozenset({"image", "last_image"})
_WEB = ("https://", "http://")
_MAX_SHAPES = 1000
_NONE: Mapping[str, Any] = MappingProxyType({})

FindImage = Callable[[Path | str], Path | str]
"""Returns the place of an image from the path or the address that a table has for it."""


class Row(NamedTuple):  # a tuple, as a list may have millions: a frozen dataclass takes three times as long to make
    """One video to make, as its source says."""

    where: str
    """The file and the line, or the file alone. Without secrets."""
    fields: Mapping[str, Any]
    """Fields of a `VideoRequest`; images as paths or addresses, in a store as its URL."""
    key: str | None = None
    """The caller's own key."""
    extra: Mapping[str, Any] = _NONE
    """What the table has in the columns that are no fields of a request, such as a tag."""


class BrokenRow(NamedTuple):
    """A row that cannot become a video."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is the same for all rows that have the same names of columns."""

    names: tuple[str, ...]
    """As a request has them."""
    renamed: bool
    images: tuple[str, ...]
    extra: tuple[str, ...]
    has_references: bool
    has_key: bool


class RowMaker:
    """Makes rows of the values in one table.

    Args:
        columns: The names that the table may have.
        find_image: Returns the place of an image. It is not asked for plain web addresses.
    """

    def __init__(self, columns: Collection[str], find_image: FindImage) -> None:
        self._columns = tuple(columns)
        self._place_of = find_image
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def make(self, values: dict[str, Any], where: str) -> Row | BrokenRow:
        """Return the row of these values. It may keep and change the dictionary.

        Raises:
            InvalidRequestError: a column is unknown or there twice.
        """
        shape = self._shapes.get(tuple(values)) or self._learn(tuple(values), where)
        if shape.renamed:
            values = dict(zip(shape.names, values.values(), strict=True))
        if None in values.values():
            values = {name: value for name, value in values.items() if value is not None}
        key = values.pop(KEY, None) if shape.has_key else None
        if key is not None and not isinstance(key, str):
            return BrokenRow(where, f"key is {json.dumps(key)[:80]}, and no text")
        extra = {name: values.pop(name) for name in shape.extra if name in values} if shape.extra else _NONE
        try:
            for name in shape.images:
                if name in values:
                    values[name] = self._find_image(values[name], name)
            if shape.has_references and REFERENCES in values:
                listed = values[REFERENCES]
                listed = listed if isinstance(listed, list) else [listed]
                values[REFERENCES] = tuple(self._find_image(each, REFERENCES) for each in listed)
        except InvalidRequestError as error:
            return BrokenRow(where, error.what)
        return Row(where, values, key if key and not key.isspace() else None, extra)

    def check_columns(self, names: Collection[str], where: str) -> list[str]:
        """Return the names of columns as a request has them.

        Raises:
            InvalidRequestError: a column is unknown or there twice.
        """
        plain = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names]
        for name, found in zip(names, plain, strict=True):
            if found not in self._columns:
                raise InvalidRequestError(
                    f"{where}: there is no column {printable(name)[:80]!r}.{did_you_mean(found, self._columns)}",
                    hint=f"The columns are: {', '.join(self._columns)}.",
                )
            if plain.count(found) > 1:
                raise InvalidRequestError(f"{where}: the column {found} is there twice.", hint="Take one of them out.")
        return plain

    def _learn(self, names: tuple[str, ...], where: str) -> _Shape:
        plain = tuple(self.check_columns(names, where))
        shape = _Shape(
            plain,
            renamed=plain != names,
            images=tuple(name for name in plain if name in _IMAGES),
            extra=tuple(name for name in plain if name not in COLUMNS),
            has_references=REFERENCES in plain,
            has_key=KEY in plain,
        )
        if len(self._shapes) >= _MAX_SHAPES:  # objects of JSON may spell and order their names in ever new ways
            self._shapes.clear()
        self._shapes[names] = shape
        return shape

    def _find_image(self, value: Any, name: str) -> str | Path | None:
        if not isinstance(value, str) or "\0" in value:
            raise InvalidRequestError(f"{name} is {json.dumps(value)[:80]}, and neither a file nor an address")
        if value.startswith(_WEB):
            return value
        if value == opt.NO_IMAGE and name == "image":
            return None
        return self._place_of(parse_image(value))
