"""How the fleet is: batches, accounts, workers, the newest errors. It reads the counts, and never counts items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.states import BatchState, ItemState

__all__ = ["AccountStatus", "BatchStatus", "FleetStatus", "ItemError", "WorkerStatus", "read_status"]

_BATCHES = (
    "SELECT batch.id, batch.name, batch.state, batch.reason, batch.account, batch.budget, batch.priority, "
    "batch.not_before, batch.hours, batch.created_at, batch.settings->>'save_to', "
    "(SELECT count(*) FROM nebula_fleet_broken AS broken WHERE broken.batch_id = batch.id), "
    "(SELECT json_object_agg(state, json_build_array(items, usd::text, reserved::text)) FROM ("
    "SELECT state, sum(items) AS items, sum(usd) AS usd, sum(reserved) AS reserved FROM nebula_fleet_counts AS count "
    "WHERE count.batch_id = batch.id GROUP BY state) AS sums) "
    "FROM nebula_fleet_batches AS batch WHERE %s::text IS NULL OR batch.name = %s ORDER BY batch.id"
)
_ACCOUNTS = (
    "SELECT id, gateway, base_url, cap, rate, "
    "CASE WHEN paused_until > now() THEN least(paused_until, timestamptz '9999-12-31 00:00:00 UTC') END, "
    "paused_until = 'infinity', reason, refusals FROM nebula_fleet_accounts ORDER BY id"
)
_WORKERS = (
    "SELECT id, host, pid, version, accounts, concurrency, running, finished, per_minute, usd_per_minute, note, "
    "draining, started_at, extract(epoch FROM now() - beat_at)::float8, died, ended_at IS NOT NULL AND NOT died "
    "FROM nebula_fleet_workers WHERE coalesce(ended_at, beat_at) > now() - interval '2 minutes' "
    "OR (died AND note IS NOT NULL AND ended_at > now() - interval '1 hour') ORDER BY ended_at NULLS FIRST, id"
)
"""Dead ones leave soon, as others take their items up. One that was refused tells why for an hour, in its note."""
# Unconfirmed ones first: money may have been spent, and only a person can find out.
# The newest of each batch, by an index, and of those the newest: a million others are not read.
_ERRORS = (
    "SELECT item.key, batch.name, item.state, item.error, item.updated_at FROM nebula_fleet_batches AS batch "
    "CROSS JOIN LATERAL (SELECT key, state, error, updated_at FROM nebula_fleet_items "
    "WHERE batch_id = batch.id AND state IN ('failed', 'unconfirmed') AND state = %(state)s "
    "ORDER BY updated_at DESC LIMIT %(most)s) AS item "
    "WHERE %(batch)s::text IS NULL OR batch.name = %(batch)s ORDER BY item.updated_at DESC LIMIT %(most)s"
)
# What is delayed is little: the feeder holds no more back than it has begun.
_PASSING = (
    "SELECT item.key, batch.name, item.state, item.error, item.updated_at FROM nebula_fleet_items AS item "
    "JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id WHERE item.state = 'delayed' "
    "AND (%(batch)s::text IS NULL OR batch.name = %(batch)s) ORDER BY item.next_at DESC LIMIT %(most)s"
)
_NOW = "SELECT now(), name FROM nebula_fleet_meta"
_MINUTE = 60.0
SILENT_SECONDS = 10.0
"""A worker that was not heard of for so long gets no items. It beats each second; see `keeper.Timing`."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch, and how far it is."""

    id: int
    name: str
    state: BatchState
    reason: str | None
    """Why nothing more of it begins: a person, its budget, or refusals in a row."""
    account: str
    budget: Decimal | None
    priority: int
    not_before: datetime | None
    hours: str | None
    created_at: datetime
    save_to: str | None
    broken: int
    """Rows of its lists that cannot become videos."""
    counts: Mapping[ItemState, int]
    """The number of items in each state that occurs."""
    usd: Mapping[ItemState, Decimal]
    """What the items in each of these states cost, will cost or would cost, in US dollars."""
    spent: Decimal
    """What its finished videos have cost, in US dollars."""
    maybe_spent: Decimal
    """What its unconfirmed submits may have cost."""
    reserved: Decimal
    """What is reserved for the items that have begun."""
    estimate: Decimal
    """What the items that have not begun will cost."""

    @property
    def committed(self) -> Decimal:
        """What counts in its budget: what is spent, what may be, and what is reserved."""
        return self.spent + self.maybe_spent + self.reserved

    @property
    def size(self) -> int:
        """The number of its items."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """How many of them have ended."""
        return sum(self.counts.get(state, 0) for state in _ENDED)

    @property
    def left(self) -> int:
        """How many of them have not ended."""
        return self.size - self.ended


_ENDED = (ItemState.DONE, ItemState.FAILED, ItemState.UNCONFIRMED, ItemState.CANCELED)
_BEGUN = (ItemState.WAITING, ItemState.DELAYED, ItemState.QUEUED, ItemState.RUNNING)


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """An account, and what it may do."""

    id: str
    """A mark of key and address, from which neither can be told."""
    gateway: str
    base_url: str
    cap: int | None
    """The most items in flight; `None`: as many as the workers have places."""
    rate: int | None
    """The most items a minute; `None`: no limit."""
    paused_until: datetime | None
    """Until when nothing more is begun, in the year 9999 if a person has to resume it; `None`: it is not paused."""
    needs_a_person: bool
    """Whether it stays paused until a person resumes it."""
    reason: str | None
    refusals: int
    """Refusals in a row that pass, such as 429."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker."""

    id: str
    host: str
    pid: int
    version: str
    accounts: tuple[str, ...]
    """The accounts whose keys it has, also those at its own addresses that no batch has used yet."""
    concurrency: int
    running: int
    finished: int
    """Videos that it has made."""
    per_minute: float
    """Videos that it made in the last minute."""
    usd_per_minute: Decimal
    note: str | None
    """What keeps it from working."""
    draining: bool
    started_at: datetime
    silent: float
    """Seconds since its last heartbeat."""
    died: bool
    """It ended without signing off. It is told for two minutes, and with a note for an hour."""

    @property
    def lives(self) -> bool:
        """Whether it is heard of. One that is silent is dead, or its machine has no way to the database."""
        return not self.died and self.silent < SILENT_SECONDS

    @property
    def share(self) -> float:
        """How much of its last minute lies in the last minute of the fleet, if it made its videos evenly."""
        return 1.0 if self.lives else max(0.0, 1 - self.silent / _MINUTE)


@dataclass(frozen=True, slots=True)
class ItemError:
    """An item that needs a person."""

    key: str
    batch: str
    state: ItemState
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The whole fleet."""

    fleet: str
    at: datetime
    batches: tuple[BatchStatus, ...]
    accounts: tuple[AccountStatus, ...]
    workers: tuple[WorkerStatus, ...]
    errors: tuple[ItemError, ...]
    """The newest, unconfirmed submits first."""
    passing: tuple[ItemError, ...] = ()
    """Errors of items that are tried again by themselves: those that wait longest first."""
    gone: tuple[WorkerStatus, ...] = ()
    """Workers that have signed off just now: the throughput has their videos."""

    @property
    def per_minute(self) -> float:
        """Videos that were made in the last minute."""
        return sum((worker.per_minute * worker.share for worker in (*self.workers, *self.gone)), 0.0)

    @property
    def usd_per_minute(self) -> Decimal:
        """What they cost, in US dollars."""
        parts = (worker.usd_per_minute * Decimal(worker.share) for worker in (*self.workers, *self.gone))
        return round(sum(parts, Decimal(0)), 6)

    @property
    def stalled(self) -> tuple[BatchStatus, ...]:
        """Running batches with items left, on which no living worker can work now."""
        able = {mark for worker in self.workers if worker.lives and not worker.draining for mark in worker.accounts}
        paused = {account.id for account in self.accounts if account.paused_until is not None}
        return tuple(
            batch
            for batch in self.batches
            if batch.state is BatchState.RUNNING
            and batch.left
            and (batch.account not in able or batch.account in paused)
        )


def read_status(connection: Connection, batch: str | None = None, *, errors: int = 10) -> FleetStatus:
    """Return how the fleet is.

    Args:
        connection: To the fleet's database.
        batch: Only this batch; `None`: all.
        errors: How many errors of each kind to tell.
    """
    row = connection.execute(_NOW).fetchone()
    assert row is not None  # noqa: S101 the schema was checked
    failed: list[ItemError] = []
    for state in (ItemState.UNCONFIRMED, ItemState.FAILED):
        found = connection.execute(_ERRORS, {"state": state.value, "batch": batch, "most": errors}).fetchall()
        failed += [ItemError(key, name, ItemState(kind), error or "", at) for key, name, kind, error, at in found]
    found = connection.execute(_PASSING, {"batch": batch, "most": errors}).fetchall()
    passing = [ItemError(key, name, ItemState(kind), error or "", at) for key, name, kind, error, at in found]
    workers = connection.execute(_WORKERS).fetchall()
    accounts = connection.execute(_ACCOUNTS).fetchall()
    return FleetStatus(
        fleet=str(row[1]),
        at=row[0],
        batches=tuple(_batch(*each) for each in connection.execute(_BATCHES, [batch, batch]).fetchall()),
        accounts=tuple(_account(*each) for each in accounts),
        workers=tuple(_worker(*each) for *each, gone in workers if not gone),
        errors=tuple(failed),
        passing=tuple(passing),
        gone=tuple(_worker(*each) for *each, gone in workers if gone),
    )


def _batch(
    number: int,
    name: str,
    state: str,
    reason: str | None,
    account: str,
    budget: Decimal | None,
    priority: int,
    not_before: datetime | None,
    hours: str | None,
    created_at: datetime,
    save_to: str | None,
    broken: int,
    sums: Mapping[str, list[Any]] | None,
) -> BatchStatus:
    read = {
        ItemState(word): (int(items), Decimal(usd), Decimal(held)) for word, (items, usd, held) in (sums or {}).items()
    }

    def total(states: tuple[ItemState, ...], column: int) -> Decimal:
        return sum((Decimal(read[each][column]) for each in states if each in read), Decimal(0))

    begun = total(_BEGUN, 2)
    return BatchStatus(
        id=number,
        name=name,
        state=BatchState(state),
        reason=reason,
        account=account,
        budget=budget,
        priority=priority,
        not_before=not_before,
        hours=hours,
        created_at=created_at,
        save_to=save_to,
        broken=broken,
        counts={each: read[each][0] for each in ItemState if each in read and read[each][0]},
        usd={each: read[each][1] for each in ItemState if each in read and read[each][0]},
        spent=total((ItemState.DONE, ItemState.FAILED, ItemState.CANCELED), 2),
        maybe_spent=total((ItemState.UNCONFIRMED,), 2),
        reserved=begun,
        estimate=total(_BEGUN, 1) - begun,
    )


def _worker(name: str, host: str, pid: int, version: str, accounts: list[str], *rest: Any) -> WorkerStatus:
    return WorkerStatus(name, host, pid, version, tuple(accounts), *rest)


def _account(
    mark: str,
    gateway: str,
    base_url: str,
    cap: int | None,
    rate: int | None,
    paused_until: Any,
    forever: bool | None,
    reason: str | None,
    refusals: int,
) -> AccountStatus:
    return AccountStatus(mark, gateway, base_url, cap, rate, paused_until, bool(forever), reason, refusals)
