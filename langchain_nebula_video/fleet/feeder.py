"""The feeder: moves a small window of items into the engine's queue. One worker at a time does it, by a lease.

Everything that decides whether an item may begin is decided here:

| what                        | where it stands                  | effect                                            |
|-----------------------------|----------------------------------|---------------------------------------------------|
| places of living workers    | `workers`                        | so many in flight, and a supply of some seconds   |
| cap, rate                   | `accounts`                       | items in flight, items a minute                   |
| pause of the account        | `accounts.paused_until`          | none                                              |
| refusals in a row (429)     | `accounts.refusals`              | after the pause one a tick, until one is made     |
| pause, budget of the batch  | `batches`                        | none; none that does not fit                      |
| off-peak hours, a beginning | `batches.hours`, `.not_before`   | none outside of them                              |
| priority                    | `batches.priority`               | the highest first, then the oldest batch          |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.hours import is_within
from langchain_nebula_video.fleet.schema import TASK

__all__ = ["Feeder", "queue_name"]

_LEASE = timedelta(seconds=5)
_MOST_AT_ONCE = 500
"""Items to a transaction."""
_DELAYED_AT_ONCE = 1000
_LEAST_SUPPLY, _MOST_SUPPLY = 4, 200
"""Items that wait in the engine's queue, so that a free place is taken at once."""

_TAKE_LEASE = (
    "UPDATE nebula_fleet_meta SET feeder = %s, feeder_until = now() + %s "
    "WHERE feeder = %s OR feeder_until < now() RETURNING name"
)
_RETURN_LEASE = "UPDATE nebula_fleet_meta SET feeder = NULL, feeder_until = '-infinity' WHERE feeder = %s"
_WAKE = (
    "UPDATE nebula_fleet_items SET state = 'waiting', next_at = NULL, updated_at = now() WHERE key IN ("
    "SELECT key FROM nebula_fleet_items WHERE state = 'delayed' AND next_at <= now() "
    "ORDER BY next_at LIMIT %s FOR UPDATE SKIP LOCKED)"
)
_ACCOUNTS = (
    "SELECT account.id, account.gateway, account.cap, account.rate, account.refusals, "
    "least(account.rate::float8, account.tokens + account.rate * extract(epoch FROM now() - account.tokens_at) / 60), "
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
    "SELECT batch.id, batch.hours, batch.budget, batch.priority, coalesce(sum(count.reserved), 0) "
    "FROM nebula_fleet_batches AS batch JOIN nebula_fleet_counts AS count ON count.batch_id = batch.id "
    "WHERE batch.account = %s AND batch.state = 'running' AND (batch.not_before IS NULL OR batch.not_before <= now()) "
    "GROUP BY batch.id HAVING coalesce(sum(count.items) FILTER (WHERE count.state = 'waiting'), 0) > 0 "
    "ORDER BY batch.priority DESC, batch.id"
)
_PICK = (
    "SELECT key, usd, reserved FROM nebula_fleet_items WHERE batch_id = %s AND state = 'waiting' "
    "ORDER BY n LIMIT %s FOR UPDATE SKIP LOCKED"
)
# What a canceled batch, or an orphan, left behind: a second job of the key could not be inserted beside it.
_DELETE_OLD = "DELETE FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock = ANY (%s)"
_DEFER = (
    "SELECT procrastinate_defer_jobs_v1(array_agg(ROW(%s, %s, %s, NULL, key, jsonb_build_object('key', key), NULL)"
    "::procrastinate_job_to_defer_v1 ORDER BY number)) FROM unnest(%s::text[]) WITH ORDINALITY AS picked (key, number)"
)
_QUEUE = (
    "UPDATE nebula_fleet_items AS item SET state = 'queued', job_id = job.id, reserved = true, updated_at = now() "
    "FROM procrastinate_jobs AS job WHERE job.id = ANY (%s) AND item.key = job.queueing_lock AND item.state = 'waiting'"
)
_SPEND_TOKENS = "UPDATE nebula_fleet_accounts SET tokens = %s, tokens_at = now() WHERE id = %s"


def queue_name(fleet: str, gateway: str, account: str) -> str:
    """Return the engine's queue of an account. The fleet's name is in it: channels belong to the whole database."""
    return f"nebula-{fleet}/{gateway}/{account}"


@dataclass(frozen=True, slots=True)
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
        """How many more items may begin now."""
        if not self.places:
            return 0
        supply = max(_LEAST_SUPPLY, min(_MOST_SUPPLY, self.places // 4))
        most = self.places + supply if self.cap is None else min(self.places + supply, self.cap)
        room = min(most - self.in_flight, _MOST_AT_ONCE)
        if self.tokens is not None:
            room = min(room, int(self.tokens))
        return max(0, min(room, 1) if self.refusals else room)


class Feeder:
    """Feeds the engine while it has the lease.

    Args:
        owner: The name of the worker.
        fresh: A worker whose last heartbeat is older has no places.
    """

    def __init__(self, owner: str, fresh: timedelta) -> None:
        self._owner = owner
        self._fresh = fresh

    def tick(self, connection: Connection) -> int | None:
        """Move what may begin; how many items, or `None`: another worker has the lease."""
        row = connection.execute(_TAKE_LEASE, [self._owner, _LEASE, self._owner]).fetchone()
        if row is None:
            return None
        connection.execute(_WAKE, [_DELAYED_AT_ONCE])
        accounts = [_Account(*each) for each in connection.execute(_ACCOUNTS, [self._fresh]).fetchall()]
        return sum(self._feed(connection, str(row[0]), account) for account in accounts if account.room)

    def stop(self, connection: Connection) -> None:
        """Return the lease, so that another worker goes on at once."""
        connection.execute(_RETURN_LEASE, [self._owner])

    def _feed(self, connection: Connection, fleet: str, account: _Account) -> int:
        fed, room = 0, account.room
        queue = queue_name(fleet, account.gateway, account.id)
        for batch_id, hours, budget, priority, reserved in connection.execute(_BATCHES, [account.id]).fetchall():
            if fed >= room:
                break
            if hours is not None and not is_within(hours, account.now):
                continue
            left = None if budget is None else budget - reserved
            with connection.transaction():
                keys = _pick(connection, batch_id, room - fed, left)
                if keys:
                    connection.execute(_DELETE_OLD, [keys])
                    row = connection.execute(_DEFER, [queue, TASK, priority, keys]).fetchone()
                    connection.execute(_QUEUE, [row and row[0]])
                    if account.tokens is not None:
                        connection.execute(_SPEND_TOKENS, [account.tokens - fed - len(keys), account.id])
            fed += len(keys)
        return fed


def _pick(connection: Connection, batch_id: int, most: int, left: Decimal | None) -> list[str]:
    """Return the keys of the items that are next, as far as their money is there: in their order, none overtakes."""
    keys = []
    for key, usd, reserved in connection.execute(_PICK, [batch_id, most]).fetchall():
        if left is not None and not reserved:
            if usd > left:
                break
            left -= usd
        keys.append(key)
    return keys
