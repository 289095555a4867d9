"""What a list would add to the fleet, and for how much: counted, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.enqueue import EXAMPLES, find_taken, next_chunk, tell_taken
from langchain_nebula_video.fleet.rows import BrokenRow, Item

__all__ = ["Preview", "preview_items"]

_PRESENT = (
    "SELECT item.key, batch.name FROM nebula_fleet_items AS item "
    "JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id WHERE item.key = ANY (%s)"
)


@dataclass(slots=True)
class Preview:
    """What a list would add to a batch."""

    new: int = 0
    """Videos that are in no batch."""
    usd: Decimal = Decimal(0)
    """What these cost, in US dollars, as far as their prices are known."""
    unpriced: int = 0
    """How many of these have no known price."""
    present: int = 0
    """Rows whose videos are in a batch, or twice in the list: nothing would be added for them."""
    elsewhere: int = 0
    """How many of `present` are in other batches."""
    broken: int = 0
    """Rows that cannot become videos."""
    first_broken: list[BrokenRow] = field(default_factory=list)
    """The first ten of these."""


def preview_items(
    connection: Connection,
    batch: str,
    rows: Iterable[Item | BrokenRow],
    on_progress: Callable[[Preview], object] = lambda _: None,
) -> Preview:
    """Count what a list would add. Of each row, a number stays in memory: some 70 MB for a million rows."""
    told, seen = Preview(), set[int]()
    source = iter(rows)
    while chunk := next_chunk(source):
        fresh: dict[str, Item] = {}
        for each in chunk:
            if isinstance(each, BrokenRow):
                told.broken += 1
                told.first_broken += [each][: EXAMPLES - len(told.first_broken)]
            elif hash(each.key) in seen:
                told.present += 1
            else:
                seen.add(hash(each.key))
                fresh[each.key] = each
        for item, name in find_taken(connection, list(fresh.values())):
            del fresh[item.key]
            told.broken += 1
            told.first_broken += [tell_taken(item, name)][: EXAMPLES - len(told.first_broken)]
        for key, name in connection.execute(_PRESENT, [list(fresh)]).fetchall():
            del fresh[key]
            told.present += 1
            told.elsewhere += name != batch
        told.new += len(fresh)
        told.usd += sum((item.usd for item in fresh.values()), Decimal(0))
        told.unpriced += sum(not item.usd for item in fresh.values())
        on_progress(told)
    return told
