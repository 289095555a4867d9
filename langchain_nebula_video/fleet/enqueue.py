"""Putting items into the fleet's tables: a stream of any length, some ten thousand to a transaction.

A key that is there already adds nothing, whatever batch it is in. While the database works on some rows, the next ones
are read and checked.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

import psycopg

from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.options import account_mark
from langchain_nebula_video.fleet.rows import BrokenRow, Item
from langchain_nebula_video.lifecycle.options import Options

__all__ = [
    "Added",
    "BatchOptions",
    "add_items",
    "find_taken",
    "next_chunk",
    "open_account",
    "open_batch",
    "short_place",
    "tell_taken",
]

_CHUNK = 10_000
"""Rows to a transaction: workers begin with the first ones while the rest is read. So many of the usual size fit into
the default memory of a sort, and of the trigger that counts them: 4 MB."""
_CHUNK_BYTES = 32_000_000
"""Bytes of images to a transaction."""
_LONGEST_PLACE = 500
"""Characters of where a broken row stands: PostgreSQL's indexes take 2,700 bytes."""
EXAMPLES = 10
"""Broken rows that are told one by one."""

_TURN_SECONDS = 0.0001
_SEPARATOR = "\x1f"
"""Between the values of a column. JSON has no control characters, nor has a key that was checked."""

# One statement adds a chunk, whose columns come as four texts. COPY into a temporary table and an INSERT from it takes
# many small steps, in which the two threads wait for each other.
# Everybody inserts in the order of the keys: two lists with the same rows in another order would wait for each other.
_INSERT = (
    "WITH numbers AS ("
    "UPDATE nebula_fleet_batches SET size = size + %(rows)s WHERE id = %(batch)s RETURNING size - %(rows)s AS before) "
    "INSERT INTO nebula_fleet_items (key, batch_id, n, request, tag, usd, content) "
    'SELECT key COLLATE "C", %(batch)s, before + place, request::json, tag::json, usd::numeric, content '
    "FROM numbers, unnest("
    "string_to_array(%(keys)s, %(separator)s), string_to_array(%(requests)s, %(separator)s), "
    "string_to_array(%(tags)s, %(separator)s, ''), string_to_array(%(usd)s, %(separator)s), "
    "string_to_array(%(contents)s, %(separator)s, '')"
    ") WITH ORDINALITY AS list (key, request, tag, usd, content, place) ORDER BY 1, 3"
)
# It takes the server a third longer, so it is used from the first key on that is there already.
_INSERT_IF_NEW = f"{_INSERT} ON CONFLICT (key) DO NOTHING"
_IS_EMPTY = "SELECT size = 0 FROM nebula_fleet_batches WHERE id = %s"
_PRESENT = (
    "SELECT EXISTS (SELECT FROM nebula_fleet_batches WHERE id = %(batch)s), count(*), "
    "coalesce(array_agg(DISTINCT batch.name), '{}') "
    "FROM unnest(string_to_array(%(keys)s, %(separator)s)) AS list (key) "
    "JOIN nebula_fleet_items AS item USING (key) JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id "
    "WHERE item.batch_id <> %(batch)s"
)
# A signed address is good for some hours: the list brings a new one for the same image.
_RENEW = (
    "UPDATE nebula_fleet_items AS item SET request = list.request::json "
    "FROM unnest(%s::text[], %s::text[], %s::text[]) AS list (key, content, request) "
    "WHERE item.key = list.key AND coalesce(item.content, item.key) = list.content "
    "AND item.state IN ('waiting', 'delayed', 'failed', 'canceled') AND item.request::text <> list.request"
)
# Two rows with one key of somebody's own that ask for different videos: one of them must not get the other one's.
_TAKEN = (
    "SELECT list.key, list.content, batch.name FROM unnest(%s::text[], %s::text[]) AS list (key, content) "
    "JOIN nebula_fleet_items AS item USING (key) JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id "
    "WHERE coalesce(item.content, item.key) <> list.content"
)
_IMAGE = "INSERT INTO nebula_fleet_images (batch_id, digest, data) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_BROKEN = (
    "INSERT INTO nebula_fleet_broken (batch_id, place, reason) VALUES (%s, %s, %s) "
    "ON CONFLICT (batch_id, place) DO UPDATE SET reason = excluded.reason, at = now()"
)
_ACCOUNT = (
    "INSERT INTO nebula_fleet_accounts (id, gateway, base_url, allow_http) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (id) DO NOTHING"
)
_BATCH = (
    "INSERT INTO nebula_fleet_batches "
    "(name, account, settings, budget, priority, not_before, hours, state, reason) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING id"
)
_FIND_BATCH = "SELECT id, account, settings, state, budget FROM nebula_fleet_batches WHERE name = %s"


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
    others: set[str] = field(default_factory=set)
    """The names of these batches."""
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
        self.others |= more.others
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
    url = options.resolve_base_url()
    mark = account_mark(options.gateway, url, options.resolve_api_key())
    connection.execute(_ACCOUNT, [mark, options.gateway, url, options.allow_http])
    return mark


def open_batch(connection: Connection, account: str, options: BatchOptions) -> tuple[int, bool]:
    """Make a batch, or find the one that has the name; its number, and whether it has a budget.

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
        return int(row[0]), options.budget is not None
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
    return int(found[0]), found[4] is not None


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
    add = _Adding(connection, batch_id, told).add
    with ThreadPoolExecutor(1, "nebula-fleet-enqueue") as other, _quick_turns:
        chunk = next_chunk(source)
        while chunk:
            adding = other.submit(add, chunk)
            try:
                chunk = next_chunk(source)
            finally:
                adding.result()
            on_progress(told)
    return told


class _QuickTurns:
    """Lets threads take turns more often: whoever sends some megabytes needs the interpreter for each piece of them.

    With Python's own 5 ms, the database waits for the next piece for a fifth of the time. The interval is that of the
    process, so the last of several lists restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists = 0
        self._usual = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._lists:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual, _TURN_SECONDS))
            self._lists += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._lists -= 1
            if not self._lists:
                sys.setswitchinterval(self._usual)


_quick_turns = _QuickTurns()


class _Adding:
    """Adds chunks of a list to a batch."""

    def __init__(self, connection: Connection, batch_id: int, told: Added) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._told = told
        row = connection.execute(_IS_EMPTY, [batch_id]).fetchone()
        self._all_new = row is not None and bool(row[0])
        """Whether no key was there before, as far as it is known."""

    def add(self, chunk: list[Item | BrokenRow]) -> None:
        """Add some rows."""
        items = [each for each in chunk if isinstance(each, Item)]
        broken = [each for each in chunk if isinstance(each, BrokenRow)]
        images = {image.digest: image for item in items for image in item.images}
        if images:
            with self._connection.transaction():
                broken += self._add_items(items, all_new=False)
                for image in images.values():
                    self._connection.execute(_IMAGE, [self._batch_id, image.digest, image.data])
        elif items:
            broken += self._add_items(items, all_new=self._all_new)
        if broken:
            with self._connection.cursor() as cursor:
                values = [(self._batch_id, short_place(each.place), printable(each.reason)) for each in broken]
                cursor.executemany(_BROKEN, values)
        self._told.broken += len(broken)
        self._told.first_broken += broken[: EXAMPLES - len(self._told.first_broken)]

    def _add_items(self, items: list[Item], *, all_new: bool) -> list[BrokenRow]:
        """Add items, and return those whose key is that of another video."""
        told, execute = self._told, self._connection.execute
        values = {
            "batch": self._batch_id,
            "rows": len(items),
            "separator": _SEPARATOR,
            "keys": _SEPARATOR.join([item.key for item in items]),
            "requests": _SEPARATOR.join([item.request for item in items]),
            "tags": _SEPARATOR.join([item.tag or "" for item in items]),
            "usd": _SEPARATOR.join([str(item.usd) for item in items]),
            "contents": _SEPARATOR.join([item.content or "" for item in items]),
        }
        try:
            added = execute(_INSERT if all_new else _INSERT_IF_NEW, values).rowcount
        except psycopg.errors.UniqueViolation:
            self._all_new = False
            added = execute(_INSERT_IF_NEW, values).rowcount
        if added < len(items):
            row = execute(_PRESENT, values).fetchone()
            if row is None or not row[0]:
                raise InvalidRequestError(f"The batch {told.batch!r} has just been deleted.", hint="Enqueue it again.")
            told.elsewhere += int(row[1])
            told.others.update(row[2])
            self._renew([item for item in items if "?" in item.request])
            taken = find_taken(self._connection, items)
            told.elsewhere -= sum(name != told.batch for _, name in taken)
        else:
            taken = []
        told.added += added
        told.present += len(items) - added - len(taken)
        wrong = {id(item) for item, _ in taken}
        told.usd += sum((item.usd for item in items if id(item) not in wrong), Decimal(0))
        told.unpriced += sum(not item.usd for item in items)
        return [tell_taken(item, name) for item, name in taken]

    def _renew(self, items: list[Item]) -> None:
        """Give what has not been made the addresses that it has now."""
        if items:
            columns = zip(*[(item.key, item.content or item.key, item.request) for item in items], strict=True)
            self._connection.execute(_RENEW, [list(column) for column in columns])


def find_taken(connection: Connection, items: Iterable[Item]) -> list[tuple[Item, str]]:
    """Return those whose own key is that of another video in the fleet, and the batch that has it."""
    own = [item for item in items if item.content is not None]
    if not own:
        return []
    found = connection.execute(_TAKEN, [[item.key for item in own], [item.content for item in own]]).fetchall()
    names = {(key, content): name for key, content, name in found}
    return [(item, names[item.key, item.content]) for item in own if (item.key, item.content) in names]


def tell_taken(item: Item, batch: str) -> BrokenRow:
    """Say that the key of an item is another one's."""
    return BrokenRow(
        item.place or item.key,
        f"The key {item.key[:80]!r} is that of another video: of an earlier row, in the batch {batch!r}. "
        "Give each video a key of its own.",
    )


def short_place(place: str) -> str:
    """Return a place as the index takes it: its end tells most."""
    text = printable(place)
    return text if len(text) <= _LONGEST_PLACE else f"{text[:100]} … {text[-_LONGEST_PLACE + 103 :]}"


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
