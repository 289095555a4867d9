"""What became of items: each that has ended once, in the order in which they ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.rows import RETRY_MARK
from langchain_nebula_video.fleet.states import ENDED_STATES, ItemState
from langchain_nebula_video.schema import Video

__all__ = ["BEGINNING", "Position", "Result", "read_batches", "read_broken", "read_ended", "read_items"]

Position = tuple[datetime, str]
"""The last item that was read: when it ended, and its key."""
BEGINNING: Position = (datetime(1970, 1, 1, tzinfo=UTC), "")
_PAGE = 2000

_LEFT = (
    "SELECT coalesce(sum(items), 0) FROM nebula_fleet_counts WHERE batch_id = %s "
    "AND state IN ('waiting', 'delayed', 'queued', 'running')"
)
# Transactions commit in another order than the moments that they write. What one of them writes is younger than its
# beginning: older items are all to be seen. PostgreSQL hides the beginnings of other users' transactions.
_HORIZON = (
    "SELECT coalesce(min(coalesce(activity.xact_start, now() - interval '1 minute')), now()) "
    "FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid "
    "WHERE lock.relation = 'nebula_fleet_items'::regclass AND lock.mode = 'RowExclusiveLock' AND lock.granted"
)
_SELECT = (
    "SELECT item.key, batch.name, item.n, item.state, item.tag, item.video, item.error, "
    "CASE WHEN item.reserved OR item.state NOT IN ('done', 'failed', 'unconfirmed', 'canceled') "
    "THEN item.usd ELSE 0 END, item.updated_at "
    "FROM nebula_fleet_items AS item JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id "
)
# The end of a page is looked up first: its order is that of the index, so no statistics, which may be old after a bulk
# of changes, lead to sorting all that is left.
_ENDED = _SELECT + (  # noqa: S608 two constants
    "WHERE item.batch_id = %(batch)s AND item.state IN ('done', 'failed', 'unconfirmed', 'canceled') "
    "AND item.updated_at >= %(at)s AND (item.updated_at, item.key) > (%(at)s, %(key)s) "
    "AND item.updated_at <= (SELECT max(page.updated_at) FROM (SELECT updated_at FROM nebula_fleet_items "
    "WHERE batch_id = %(batch)s AND state IN ('done', 'failed', 'unconfirmed', 'canceled') "
    "AND updated_at >= %(at)s AND (updated_at, key) > (%(at)s, %(key)s) "
    "AND updated_at < coalesce(%(horizon)s, 'infinity'::timestamptz) ORDER BY updated_at LIMIT %(page)s) AS page) "
    "ORDER BY item.updated_at, item.key"
)
_BROKEN = (
    "SELECT broken.place, broken.reason FROM nebula_fleet_broken AS broken "
    "JOIN nebula_fleet_batches AS batch ON batch.id = broken.batch_id WHERE batch.name = %s"
)
# An item that was tried again has its own key in the journal, and an earlier attempt another one.
_BATCHES = (
    "SELECT wanted.key, batch.name FROM unnest(%s::text[], %s::text[]) AS wanted (key, item_key) "
    "JOIN nebula_fleet_items AS item ON item.key = wanted.item_key "
    "JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id"
)
_OF_KEYS = _SELECT + "WHERE item.key = ANY (%s)"


@dataclass(frozen=True, slots=True)
class Result:
    """An item, and what became of it."""

    key: str
    """Its name in the fleet: yours, or one that was made of what the row asks for. It is the journal's key, too."""
    batch: str
    number: int
    """Its place in the batch, from 1."""
    state: ItemState
    """`done`, `failed`, `unconfirmed` or `canceled`; before it has ended, another one."""
    tag: Any
    """What the row had as `tag`."""
    video: Video | None
    """If it is done. `video.path` says where it was saved. `video.url` expires at `video.expires_at`, mostly a day
    after the video was made."""
    error: str | None
    """Why it is not done: the kind of error, whether money was spent, and what to do."""
    usd: Decimal
    """What it cost, in US dollars: 0 if nothing was spent, and for an unconfirmed one what may have been spent. So the
    sum over a batch is its `spent` and `maybe_spent` in `status`. Before it has ended: what it will cost. 0 if no
    price is known."""
    at: datetime
    """When it ended; before that, when its state last changed."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED_STATES


def read_ended(connection: Connection, batch_id: int, after: Position) -> tuple[list[Result], bool]:
    """Return the next items that have ended, about a page, and whether some have not.

    Args:
        connection: To the fleet's database; each statement a transaction.
        batch_id: The batch.
        after: Only what comes after it.
    """
    row = connection.execute(_LEFT, [batch_id]).fetchone()
    left = row is not None and row[0] > 0
    # Once all have ended, all of them are to be seen: the counts change in the items' own transactions.
    horizon = connection.execute(_HORIZON).fetchone() if left else None
    at, key = after
    values = {"batch": batch_id, "at": at, "key": key, "horizon": horizon and horizon[0], "page": _PAGE}
    return [_result(*each) for each in connection.execute(_ENDED, values).fetchall()], left


def read_items(connection: Connection, keys: Sequence[str]) -> dict[str, Result]:
    """Return the items that have these keys."""
    rows = connection.execute(_OF_KEYS, [list(keys)]).fetchall()
    return {result.key: result for result in (_result(*each) for each in rows)}


def read_broken(connection: Connection, batch: str) -> dict[str, str]:
    """Return the rows of a batch that cannot become videos: where each stands, and why, in the order of the list."""
    found = connection.execute(_BROKEN, [batch]).fetchall()
    return {str(place): str(reason) for place, reason in sorted(found, key=lambda row: _in_order(row[0]))}


def _in_order(place: str) -> list[str | int]:
    """Sort numbers in a text as numbers: `row 2` comes before `row 10`."""
    return [int(part) if at % 2 else part for at, part in enumerate(re.split(r"([0-9]+)", place))]


def read_batches(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """Return the names of the batches whose items have these keys in the journal."""
    return dict(connection.execute(_BATCHES, [list(keys), [key.partition(RETRY_MARK)[0] for key in keys]]).fetchall())


def _result(
    key: str,
    batch: str,
    number: int,
    state: str,
    tag: Any,
    video: Any,
    error: str | None,
    usd: Decimal,
    at: datetime,
) -> Result:
    return Result(key, batch, number, ItemState(state), tag, video and Video.model_validate(video), error, usd, at)
