"""Putting items into the fleet's tables: a stream of any length, some ten thousand to a transaction.

`COPY` into a temporary table, then one `INSERT … ON CONFLICT DO NOTHING`: a key that is there already adds nothing,
whatever batch it is in.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.rows import BrokenRow, Item
from langchain_nebula_video.lifecycle.options import Options

__all__ = ["Added", "BatchOptions", "add_items", "drop_mended", "next_chunk", "open_account", "open_batch"]

_CHUNK = 20_000
"""Rows to a transaction: workers begin with the first ones while the rest is read."""
_CHUNK_BYTES = 32_000_000
"""Bytes of images to a transaction."""
EXAMPLES = 10
"""Broken rows that are told one by one."""

_STAGE = "CREATE TEMP TABLE nebula_fleet_stage (key text, n bigint, request json, tag json, usd numeric) ON COMMIT DROP"
_COPY = "COPY nebula_fleet_stage FROM STDIN"
_INSERT = (
    "INSERT INTO nebula_fleet_items (key, batch_id, n, request, tag, usd) "
    "SELECT key, %s, n, request, tag, usd FROM nebula_fleet_stage ORDER BY n ON CONFLICT (key) DO NOTHING"
)
_ELSEWHERE = (
    "SELECT count(*) FROM nebula_fleet_stage JOIN nebula_fleet_items AS item USING (key) WHERE item.batch_id <> %s"
)
_NUMBERS = "UPDATE nebula_fleet_batches SET size = size + %s WHERE id = %s RETURNING size"
_IMAGE = "INSERT INTO nebula_fleet_images (batch_id, digest, data) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_BROKEN = (
    "INSERT INTO nebula_fleet_broken (batch_id, place, reason) VALUES (%s, %s, %s) "
    "ON CONFLICT (batch_id, place) DO UPDATE SET reason = excluded.reason, at = now()"
)
_MEND = "DELETE FROM nebula_fleet_broken WHERE batch_id = %s AND place = ANY (%s) AND at < %s"
_ACCOUNT = (
    "INSERT INTO nebula_fleet_accounts (id, gateway, base_url, allow_http) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (id) DO NOTHING"
)
_BATCH = (
    "INSERT INTO nebula_fleet_batches "
    "(name, account, settings, budget, priority, not_before, hours, state, reason) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING id"
)
_FIND_BATCH = "SELECT id, account, settings, state FROM nebula_fleet_batches WHERE name = %s"


@dataclass(slots=True)
class Added:
    """What became of the rows of a list."""

    batch: str
    added: int = 0
    """Items that are new."""
    present: int = 0
    """Items that were there before, or twice in the list: nothing was added for them."""
    elsewhere: int = 0
    """How many of `present` are in other batches, where they are made or were made."""
    broken: int = 0
    """Rows that cannot become videos. They are kept apart, with the reason."""
    first_broken: list[BrokenRow] = field(default_factory=list)
    """The first ten of these."""
    usd: Decimal = Decimal(0)
    """The estimate for the list's items, in US dollars, those that were there before included."""
    unpriced: int = 0
    """How many of these items have no known price. They count as 0 in `usd`."""

    def __iadd__(self, more: Added) -> Self:
        """Add what became of the next rows of the same list."""
        self.added += more.added
        self.present += more.present
        self.elsewhere += more.elsewhere
        self.broken += more.broken
        self.first_broken += more.first_broken[: EXAMPLES - len(self.first_broken)]
        self.usd += more.usd
        self.unpriced += more.unpriced
        return self


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What holds for all items of a batch."""

    name: str
    settings: Mapping[str, Any]
    """Keyword options of the client, as plain data."""
    budget: Decimal | None = None
    priority: int = 0
    not_before: datetime | None = None
    hours: str | None = None
    paused: bool | str = False
    """Whether a new batch begins paused; a text is the reason."""


def open_account(connection: Connection, options: Options) -> str:
    """Return the mark of the account that these options pay with. Its key is not stored, and cannot be told from it."""
    mark, url = options.account_id(), options.resolve_base_url()
    connection.execute(_ACCOUNT, [mark, options.gateway, url, options.allow_http])
    return mark


def open_batch(connection: Connection, account: str, options: BatchOptions) -> int:
    """Make a batch, or find the one that has the name.

    Raises:
        InvalidRequestError: it has other settings.
    """
    values: list[Any] = [
        options.name,
        account,
        json.dumps(options.settings, default=str),
        options.budget,
        options.priority,
    ]
    values += [options.not_before, options.hours, "paused" if options.paused else "running"]
    reason = options.paused if isinstance(options.paused, str) else None
    row = connection.execute(_BATCH, [*values, reason]).fetchone()
    if row is not None:
        return int(row[0])
    found = connection.execute(_FIND_BATCH, [options.name]).fetchone()
    if found is None:  # it was deleted at this moment
        raise InvalidRequestError(f"The batch {options.name!r} has just been deleted.", hint="Enqueue it again.")
    differing = sorted(
        name
        for name in {*found[2], *options.settings}
        if json.dumps(found[2].get(name), default=str) != json.dumps(options.settings.get(name), default=str)
    )
    if found[1] != account:
        differing.append("the account (another key or base URL)")
    if differing:
        raise InvalidRequestError(
            f"There is a batch {options.name!r} already, and it differs in {', '.join(differing)}.",
            hint="Give this one another name, or the same options.",
        )
    if found[3] == "canceled":
        raise InvalidRequestError(
            f"The batch {options.name!r} is canceled.", hint="Give this one another name, or resume that one first."
        )
    return int(found[0])


def add_items(
    connection: Connection,
    batch_id: int,
    name: str,
    rows: Iterable[Item | BrokenRow],
    on_progress: Callable[[Added], object] = lambda _: None,
) -> Added:
    """Add the items of a list to a batch, and keep its broken rows apart. A list may be added any number of times.

    `on_progress` is called after each transaction.
    """
    told = Added(name)
    source = iter(rows)
    while chunk := next_chunk(source):
        items = [each for each in chunk if isinstance(each, Item)]
        broken = [each for each in chunk if isinstance(each, BrokenRow)]
        with connection.transaction():
            if broken:
                with connection.cursor() as cursor:
                    cursor.executemany(_BROKEN, [(batch_id, each.place, each.reason) for each in broken])
            if items:
                _add_chunk(connection, batch_id, items, told)
        told.broken += len(broken)
        told.first_broken += broken[: EXAMPLES - len(told.first_broken)]
        on_progress(told)
    return told


def drop_mended(connection: Connection, batch_id: int, places: Iterable[str], before: datetime) -> int:
    """Forget that rows were broken which are whole now; how many. What was found broken since `before` stays."""
    return connection.execute(_MEND, [batch_id, list(places), before]).rowcount


def _add_chunk(connection: Connection, batch_id: int, items: list[Item], told: Added) -> None:
    connection.execute(_STAGE)
    row = connection.execute(_NUMBERS, [len(items), batch_id]).fetchone()
    if row is None:
        raise InvalidRequestError(f"The batch {told.batch!r} has just been deleted.", hint="Enqueue it again.")
    first = int(row[0]) - len(items) + 1
    with connection.cursor() as cursor:
        with cursor.copy(_COPY) as copy:
            copy.write(
                "".join(
                    f"{_escape(item.key)}\t{n}\t{_escape(item.request)}\t{_escape(item.tag)}\t{item.usd}\n"
                    for n, item in enumerate(items, start=first)
                )
            )
        added = cursor.execute(_INSERT, [batch_id]).rowcount
        if added < len(items):
            row = cursor.execute(_ELSEWHERE, [batch_id]).fetchone()
            told.elsewhere += 0 if row is None else int(row[0])
        for image in {image.digest: image for item in items for image in item.images}.values():
            cursor.execute(_IMAGE, [batch_id, image.digest, image.data])
    told.added += added
    told.present += len(items) - added
    _add_prices(told, items)


def _add_prices(told: Added, items: list[Item]) -> None:
    told.usd += sum((item.usd for item in items), Decimal(0))
    told.unpriced += sum(not item.usd for item in items)


def _escape(text: str | None) -> str:
    r"""Return a value as `COPY` reads it: JSON has no raw tabs or line breaks, and a key may have them."""
    if text is None:
        return r"\N"
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if text.isprintable():
        return text
    return text.replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")


def next_chunk(source: Iterator[Item | BrokenRow]) -> list[Item | BrokenRow]:
    """Return the rows that fit into one transaction; none: there are no more."""
    chunk: list[Item | BrokenRow] = []
    size = 0
    for each in itertools.islice(source, _CHUNK):
        chunk.append(each)
        if isinstance(each, Item) and each.images:
            size += sum(len(image.data) for image in each.images)
            if size > _CHUNK_BYTES:
                break
    return chunk
