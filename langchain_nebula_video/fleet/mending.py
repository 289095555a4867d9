"""Broken rows of a list that was corrected and is handed over again: what is whole now is no trouble any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.enqueue import Added, short_place
from langchain_nebula_video.fleet.rows import PLACE, BrokenRow, place_of

__all__ = ["Mending"]

_BROKEN = "SELECT now(), array(SELECT place FROM nebula_fleet_broken WHERE batch_id = %s)"
_SIZE = "SELECT coalesce(sum(items), 0) FROM nebula_fleet_counts WHERE batch_id = %s"
# What the list itself has found broken since then stays.
_MEND = "DELETE FROM nebula_fleet_broken WHERE batch_id = %s AND place = ANY (%s) AND at < %s"


class Mending:
    """Looks in a list for rows that were broken before.

    A row is known by its place. One without a place is called by its number, and so may be a row of another list in the
    batch: it counts as mended only if the list has all that is in the batch.
    """

    def __init__(self) -> None:
        self._batch: int | None = None
        self._began: datetime | None = None
        self._before: frozenset[str] = frozenset()
        self._placed, self._numbered = set[str](), set[str]()

    @property
    def found(self) -> bool:
        """Whether some rows may be mended."""
        return bool(self._placed or self._numbered)

    def begin(self, connection: Connection, batch_id: int) -> None:
        """Learn what was broken before the list is added. Only the first call counts."""
        row = None if self._batch is not None else connection.execute(_BROKEN, [batch_id]).fetchone()
        if row is not None:
            self._batch, self._began, self._before = batch_id, row[0], frozenset(row[1])

    def watch(self, rows: Iterable[Any], first: int) -> Iterable[Any]:
        """Return the rows, and note on the way which of them were broken.

        Args:
            rows: Some rows of the list.
            first: The number of the first one.
        """
        return self._watch(rows, first) if self._before else rows

    def _watch(self, rows: Iterable[Any], first: int) -> Iterable[Any]:
        for number, row in enumerate(rows, first):
            place = None if isinstance(row, BrokenRow) else short_place(place_of(row, number))
            if place in self._before:
                (self._placed if isinstance(row, Mapping) and row.get(PLACE) else self._numbered).add(place)
            yield row

    def finish(self, connection: Connection, added: Added) -> None:
        """Forget what is mended, after the whole list was added."""
        row = connection.execute(_SIZE, [self._batch]).fetchone()
        is_whole = row is not None and added.added + added.present - added.elsewhere >= row[0]
        mended = self._placed | (self._numbered if is_whole else set())
        connection.execute(_MEND, [self._batch, list(mended), self._began])
