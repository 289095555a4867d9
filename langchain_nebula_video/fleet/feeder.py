"""The feeder: moves a small window of items into the engine's queue. One worker at a time does it, by a lease.

Everything that decides whether an item may begin is decided here:

| what                        | where it stands                      | effect                                        |
|-----------------------------|--------------------------------------|-----------------------------------------------|
| places of living workers    | `workers`                            | so many in flight, and a supply of some seconds |
| cap, rate                   | `accounts`                           | items in flight, items a minute               |
| pause of account or batch   | `paused_until` of either, `batches.state` | none                                     |
| refusals in a row           | `refusals` of either                 | after the pause one a tick, until one is made |
| budget of the batch         | `batches.budget`                     | none that does not fit                        |
| off-peak hours, a beginning | `batches.hours`, `.not_before`       | none outside of them                          |
| priority                    | `batches.priority`                   | the highest first, then the oldest batch      |

Items that were begun before go first, and need neither budget nor rate: they may be paid for already.

The lease is a row that the transaction of each move locks and renews. So a feeder that was frozen and wakes up moves
nothing, and two never count the same money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from langchain_nebula_video.errors import SetupError
from langchain_nebula_video.fleet.control import cancel_some
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.hours import is_within
from langchain_nebula_video.fleet.jobs import insert_jobs, queue_name
from langchain_nebula_video.fleet.schema import VERSION
from langchain_nebula_video.fleet.states import NO_MONEY
from langchain_nebula_video.fleet.words import amount

__all__ = ["Feeder", "requeue"]

_LEASE_SHARE = 0.375
"""The lease as a share of the limit: with 8 s, another worker feeds at most 4 s after the feeder was killed."""
_MOST_AT_ONCE = 500
"""Items to a transaction."""
_WOKEN_AT_ONCE = 1000
_LEAST_SUPPLY, _MOST_SUPPLY = 4, 200
"""Items that wait in the engine's queue, so that a free place is taken at once."""

# A newer version may have changed the tables: whoever does not know it moves nothing in them. And nobody waits for the
# row here: a feeder that stands still in its transaction would stop all heartbeats.
_TAKE_LEASE = (
    "UPDATE nebula_fleet_meta SET feeder = %s, feeder_until = now() + %s WHERE name IN ("
    "SELECT name FROM nebula_fleet_meta WHERE (feeder = %s OR feeder_until < now()) AND version = %s "
    "FOR UPDATE SKIP LOCKED) RETURNING name"
)
# A feeder that stood still finds that another has its lease; one that stands still from here on loses the transaction.
_KEEP_LEASE = (
    "UPDATE nebula_fleet_meta SET feeder_until = now() + %s WHERE feeder = %s "
    "RETURNING set_config('idle_in_transaction_session_timeout', %s, true)"
)
_RETURN_LEASE = "UPDATE nebula_fleet_meta SET feeder = NULL, feeder_until = '-infinity' WHERE feeder = %s"
_WAKE = (
    "UPDATE nebula_fleet_items SET state = 'waiting', next_at = NULL, updated_at = now() WHERE key IN ("
    "SELECT key FROM nebula_fleet_items WHERE state = 'delayed' AND next_at <= now() "
    "ORDER BY next_at LIMIT %s FOR UPDATE SKIP LOCKED)"
)
# Items that ran when their batch was canceled, and have come back without a video.
_CANCELED = (
    "SELECT batch.id FROM nebula_fleet_batches AS batch JOIN nebula_fleet_counts AS count ON count.batch_id = batch.id "
    "WHERE batch.state = 'canceled' AND count.state IN ('waiting', 'delayed') "
    "GROUP BY batch.id HAVING sum(count.items) > 0 ORDER BY batch.id"
)
_ACCOUNTS = (
    "SELECT account.id, account.gateway, account.cap, account.rate, account.refusals, "
    # What is saved up is that of six seconds: a minute never has much more than its rate.
    "CASE WHEN account.rate IS NOT NULL THEN least(greatest(1, account.rate / 10.0), "
    "account.tokens + account.rate * extract(epoch FROM now() - account.tokens_at) / 60)::float8 END, "
    "coalesce((SELECT sum(worker.concurrency) FROM nebula_fleet_workers AS worker "
    "WHERE worker.ended_at IS NULL AND NOT worker.draining AND worker.beat_at > now() - %s "
    "AND account.id = ANY (worker.accounts)), 0), "
    "coalesce((SELECT sum(count.items) FROM nebula_fleet_counts AS count "
    "JOIN nebula_fleet_batches AS batch ON batch.id = count.batch_id "
    "WHERE batch.account = account.id AND count.state IN ('queued', 'running')), 0), now() "
    "FROM nebula_fleet_accounts AS account WHERE account.paused_until IS NULL OR account.paused_until <= now() "
    "ORDER BY account.id"
)
_BATCHES = (
    "SELECT batch.id, batch.hours FROM nebula_fleet_batches AS batch "
    "JOIN nebula_fleet_counts AS count ON count.batch_id = batch.id "
    "WHERE batch.account = %s AND batch.state = 'running' AND (batch.not_before IS NULL OR batch.not_before <= now()) "
    "AND (batch.paused_until IS NULL OR batch.paused_until <= now()) AND count.state = 'waiting' "
    "GROUP BY batch.id HAVING sum(count.items) > 0 ORDER BY batch.priority DESC, batch.id"
)
_BATCH = (
    "SELECT batch.priority, batch.refusals, batch.budget, batch.reason, "
    "coalesce((SELECT sum(reserved) FROM nebula_fleet_counts AS count WHERE count.batch_id = batch.id), 0) "
    "FROM nebula_fleet_batches AS batch WHERE batch.id = %s AND batch.state = 'running'"
)
_PICK_BEGUN = (
    "SELECT key FROM nebula_fleet_items WHERE batch_id = %s AND state = 'waiting' AND reserved "
    "ORDER BY n LIMIT %s FOR UPDATE SKIP LOCKED"
)
_PICK_NEW = (
    "SELECT key, usd FROM nebula_fleet_items WHERE batch_id = %s AND state = 'waiting' AND NOT reserved "
    "ORDER BY n LIMIT %s FOR UPDATE SKIP LOCKED"
)
_QUEUE = (
    "UPDATE nebula_fleet_items AS item SET state = 'queued', job_id = job.id, reserved = true, updated_at = now() "
    "FROM procrastinate_jobs AS job WHERE job.id = ANY (%s) AND item.key = job.args->>'key' AND item.state = 'waiting'"
)
# Those of a canceled batch and of a paused account wait, as any others.
_HELD = (
    "WITH held AS MATERIALIZED (SELECT key, batch_id, n FROM nebula_fleet_items "
    "WHERE key = ANY (%s) AND state = 'waiting' ORDER BY key FOR UPDATE SKIP LOCKED) "
    "SELECT meta.name, account.id, batch.priority, array_agg(held.key ORDER BY held.n) "
    "FROM held JOIN nebula_fleet_batches AS batch ON batch.id = held.batch_id "
    "JOIN nebula_fleet_accounts AS account ON account.id = batch.account, nebula_fleet_meta AS meta "
    "WHERE batch.state <> 'canceled' AND (account.paused_until IS NULL OR account.paused_until <= now()) "
    "GROUP BY meta.name, account.id, batch.priority"
)
_SPEND_TOKENS = "UPDATE nebula_fleet_accounts SET tokens = %s, tokens_at = now() WHERE id = %s"
_EXPLAIN = "UPDATE nebula_fleet_batches SET reason = %s WHERE id = %s"


@dataclass(slots=True)
class _Account:
    id: str
    gateway: str
    cap: int | None
    rate: int | None
    refusals: int
    tokens: float | None
    places: int
    in_flight: int
    now: datetime

    @property
    def room(self) -> int:
        """How many more items may begin now, whatever the rate is."""
        if not self.places:
            return 0
        supply = max(_LEAST_SUPPLY, min(_MOST_SUPPLY, self.places // 4))
        most = self.places + supply if self.cap is None else min(self.places + supply, self.cap)
        room = max(0, min(most - self.in_flight, _MOST_AT_ONCE))
        return min(room, 1) if self.refusals else room


@dataclass(slots=True)
class _Picked:
    """The items of a batch that begin now."""

    begun: list[str]
    new: list[str]
    reason: str | None
    """Why no more begin, if that is the budget."""


def requeue(connection: Connection, keys: Sequence[str]) -> None:
    """Put items that a worker had back into the engine's queue: nothing is to be decided, as they had begun.

    It needs no lease. What is not put back here waits for the feeder.
    """
    with connection.transaction():
        jobs = [
            job
            for fleet, account, priority, held in connection.execute(_HELD, [list(keys)]).fetchall()
            for job in insert_jobs(connection, queue_name(fleet, account), _urgency(priority, True), held)
        ]
        connection.execute(_QUEUE, [jobs])


def _urgency(priority: int, begun: bool) -> int:
    """Return the priority of jobs in the engine: what was begun may be paid for, and overtakes new ones."""
    return 2 * priority + begun


class Feeder:
    """Feeds the engine while it has the lease.

    Args:
        owner: The name of the worker.
        fresh: A worker whose last heartbeat is older has no places.
    """

    def __init__(self, owner: str, fresh: timedelta) -> None:
        self._owner = owner
        self._fresh = fresh
        self._lease = fresh * _LEASE_SHARE

    def tick(self, connection: Connection) -> int | None:
        """Move what may begin; how many items, or `None`: another worker has the lease."""
        row = connection.execute(_TAKE_LEASE, [self._owner, self._lease, self._owner, VERSION]).fetchone()
        if row is None:
            return None
        connection.execute(_WAKE, [_WOKEN_AT_ONCE])
        for (batch_id,) in connection.execute(_CANCELED).fetchall():
            with connection.transaction():
                if self._keep_lease(connection):
                    cancel_some(connection, batch_id, _WOKEN_AT_ONCE)
        accounts = [_Account(*each) for each in connection.execute(_ACCOUNTS, [self._fresh]).fetchall()]
        return sum(self._feed(connection, str(row[0]), account) for account in accounts if account.room)

    def stop(self, connection: Connection) -> None:
        """Return the lease, so that another worker goes on at once."""
        connection.execute(_RETURN_LEASE, [self._owner])

    def _keep_lease(self, connection: Connection) -> bool:
        """Lock the lease for a transaction; whether it is this feeder's still."""
        patience = f"{self._fresh.total_seconds():.0f}s"
        return connection.execute(_KEEP_LEASE, [self._lease, self._owner, patience]).rowcount > 0

    def _feed(self, connection: Connection, fleet: str, account: _Account) -> int:
        room, fed = account.room, 0
        queue = queue_name(fleet, account.id)
        for batch_id, hours in connection.execute(_BATCHES, [account.id]).fetchall():
            if fed >= room:
                break
            if hours is None or self._is_within(connection, batch_id, hours, account.now):
                fed += self._feed_batch(connection, queue, account, batch_id, room - fed)
        return fed

    def _is_within(self, connection: Connection, batch_id: int, hours: str, now: datetime) -> bool:
        try:
            return is_within(hours, now)
        except SetupError as error:  # the other batches go on
            connection.execute(_EXPLAIN, [f"{self._owner}: SetupError: {error.what} {error.hint}", batch_id])
            return False

    def _feed_batch(self, connection: Connection, queue: str, account: _Account, batch_id: int, room: int) -> int:
        with connection.transaction():
            if not self._keep_lease(connection):
                return 0
            found = connection.execute(_BATCH, [batch_id]).fetchone()
            if found is None:  # a person has stopped it meanwhile
                return 0
            priority, refusals, budget, reason, reserved = found
            most = min(room, 1) if refusals else room
            left = None if budget is None else budget - reserved
            picked = _pick(connection, batch_id, most, account.tokens, left)
            if picked.reason != reason and not refusals:
                connection.execute(_EXPLAIN, [picked.reason, batch_id])
            jobs = [
                job
                for keys, begun in ((picked.begun, True), (picked.new, False))
                if keys
                for job in insert_jobs(connection, queue, _urgency(priority, begun), keys)
            ]
            if jobs:
                connection.execute(_QUEUE, [jobs])
            if account.tokens is not None and picked.new:
                account.tokens -= len(picked.new)
                connection.execute(_SPEND_TOKENS, [account.tokens, account.id])
        return len(jobs)


def _pick(connection: Connection, batch_id: int, most: int, tokens: float | None, left: Decimal | None) -> _Picked:
    """Return the items that are next, new ones as far as their money is there: in their order, none overtakes."""
    begun = [key for (key,) in connection.execute(_PICK_BEGUN, [batch_id, most]).fetchall()]
    picked = _Picked(begun, [], None)
    room = most - len(begun) if tokens is None else min(most - len(begun), int(tokens))
    if room <= 0:
        return picked
    for key, usd in connection.execute(_PICK_NEW, [batch_id, room]).fetchall():
        if left is not None:
            if usd > left:
                rest = amount(max(left, Decimal(0)))
                picked.reason = f"{NO_MONEY}{rest} left, and the next video costs {amount(usd)}."
                break
            left -= usd
        picked.new.append(key)
    return picked
