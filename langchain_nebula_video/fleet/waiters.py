"""Who waits for a batch: a node of a graph, which is to be resumed when the batch has ended.

`nebula_fleet_batches.waiter` has, as JSON:

```text
group         the name that the node was given for its batches
thread_id     the graph's thread
armed_at      when the node began to wait
keys          items in other batches that the node waits for too
collected_at  when the node took the results; then its graph still has to be stored
holder        who resumes the thread now; or, after `until`, who was cut off
until         until when; without a holder, not before when somebody may try
told_at       since when the graph has its results, and nobody waits any more
```

Some time after `told_at` the batch is deleted: the graph's state has its results. One holder at a time resumes a
thread, also if several of its batches have ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet import control
from langchain_nebula_video.fleet.database import Connection

__all__ = ["Waiter", "arm", "claim", "collect", "forget_old", "let_go", "release", "renew", "tell"]

_ARM = (
    "UPDATE nebula_fleet_batches SET waiter = ((CASE WHEN waiter IS NULL OR waiter->>'told_at' IS NOT NULL "
    "THEN jsonb_build_object('armed_at', now()) ELSE waiter::jsonb END || %s::jsonb) - 'collected_at')::json "
    "WHERE name = %s"
)
_COLLECT = (
    "UPDATE nebula_fleet_batches SET waiter = (waiter::jsonb || jsonb_build_object('collected_at', now()))::json "
    "WHERE name = %s AND waiter IS NOT NULL AND waiter->>'told_at' IS NULL"
)
_READY = (
    "SELECT batch.name, batch.waiter->>'thread_id', now() - (batch.waiter->>'armed_at')::timestamptz, "
    "now() - (batch.waiter->>'collected_at')::timestamptz, batch.waiter->>'holder' IS NOT NULL "
    "FROM nebula_fleet_batches AS batch "
    "WHERE batch.waiter IS NOT NULL AND batch.waiter->>'told_at' IS NULL "
    "AND (%(group)s::text IS NULL OR batch.waiter->>'group' = %(group)s) "
    "AND (%(thread)s::text IS NULL OR batch.waiter->>'thread_id' = %(thread)s) AND NOT batch.name = ANY (%(but)s) "
    "AND coalesce((batch.waiter->>'until')::timestamptz, '-infinity') < now() "
    "AND coalesce((SELECT sum(count.items) FROM nebula_fleet_counts AS count WHERE count.batch_id = batch.id "
    "AND count.state IN ('waiting', 'delayed', 'queued', 'running')), 0) = 0 "
    "AND NOT EXISTS (SELECT FROM nebula_fleet_items AS item WHERE item.key IN "
    "(SELECT json_array_elements_text(batch.waiter->'keys')) "
    "AND item.state IN ('waiting', 'delayed', 'queued', 'running')) ORDER BY batch.id LIMIT 100"
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('nebula fleet thread ' || %s, 0))"
_IS_HELD = (
    "SELECT EXISTS (SELECT FROM nebula_fleet_batches WHERE waiter IS NOT NULL AND waiter->>'told_at' IS NULL "
    "AND waiter->>'thread_id' = %s "
    "AND waiter->>'holder' IS NOT NULL AND (waiter->>'until')::timestamptz > now())"
)
_HOLD = (
    "UPDATE nebula_fleet_batches SET waiter = (waiter::jsonb "
    "|| jsonb_build_object('holder', %s::text, 'until', now() + %s))::json WHERE name = ANY (%s) AND waiter IS NOT NULL"
)
_RENEW = (
    "UPDATE nebula_fleet_batches SET waiter = (waiter::jsonb || jsonb_build_object('until', now() + %s))::json "
    "WHERE name = ANY (%s) AND waiter->>'holder' = %s"
)
_RELEASE = (
    "UPDATE nebula_fleet_batches SET waiter = ((waiter::jsonb - 'holder') "
    "|| jsonb_build_object('until', now() + %s))::json "
    "WHERE name = %s AND waiter IS NOT NULL AND waiter->>'holder' = %s"
)
_LET_GO = (
    "UPDATE nebula_fleet_batches SET waiter = (waiter::jsonb || jsonb_build_object('until', now()))::json "
    "WHERE name = %s AND waiter->>'holder' = %s"
)
_TELL = (
    "UPDATE nebula_fleet_batches SET waiter = json_build_object('group', waiter->>'group', 'told_at', now()) "
    "WHERE name = %s AND waiter->>'holder' = %s"
)
_OLD = (
    "SELECT batch.name FROM nebula_fleet_batches AS batch WHERE (batch.waiter->>'told_at')::timestamptz < now() - %s "
    "AND (%s::text IS NULL OR batch.waiter->>'group' = %s) "
    "AND coalesce((SELECT sum(count.items) FROM nebula_fleet_counts AS count WHERE count.batch_id = batch.id "
    "AND count.state NOT IN ('done', 'failed', 'canceled')), 0) = 0 ORDER BY batch.id LIMIT 100"
)


@dataclass(frozen=True, slots=True)
class Waiter:
    """A node that waits for a batch, which has ended."""

    batch: str
    thread_id: str
    age: timedelta
    """Since it began to wait."""
    collected: timedelta | None
    """Since it took the results; `None`: it has not."""
    cut_off: bool
    """Whether somebody began to resume its thread, and ended before it did."""


def arm(connection: Connection, batch: str, group: str, thread_id: str, keys: Sequence[str]) -> None:
    """Note who waits for a batch."""
    told = {"group": group, "thread_id": thread_id, "keys": list(keys)}
    connection.execute(_ARM, [json.dumps(told), batch])


def collect(connection: Connection, batch: str) -> None:
    """Note that the node has taken the results."""
    connection.execute(_COLLECT, [batch])


def claim(connection: Connection, group: str | None, holder: str, lease: timedelta, but: Sequence[str]) -> list[Waiter]:
    """Take the waiters of one thread whose batches have ended; none: there is no such thread.

    Args:
        connection: To the fleet's database.
        group: Only of nodes with this name for their batches; `None`: of all.
        holder: Who takes them.
        lease: For how long nobody else takes a waiter of the thread.
        but: Names of batches that are left out.
    """
    values = {"group": group, "thread": None, "but": list(but)}
    for thread_id in dict.fromkeys(row[1] for row in connection.execute(_READY, values).fetchall()):
        with connection.transaction():
            connection.execute(_LOCK, [thread_id])
            held = connection.execute(_IS_HELD, [thread_id]).fetchone()
            ready = connection.execute(_READY, {**values, "thread": thread_id}).fetchall()
            if ready and not (held and held[0]):
                connection.execute(_HOLD, [holder, lease, [row[0] for row in ready]])
                return [Waiter(*row) for row in ready]
    return []


def renew(connection: Connection, holder: str, lease: timedelta, batches: Sequence[str]) -> None:
    """Keep what a holder has."""
    connection.execute(_RENEW, [lease, list(batches), holder])


def release(connection: Connection, batch: str, holder: str, delay: timedelta) -> None:
    """Give a waiter back; the next one may take it after a delay."""
    connection.execute(_RELEASE, [delay, batch, holder])


def let_go(connection: Connection, batch: str, holder: str) -> None:
    """End while the thread is being resumed: the next one goes on with it at once."""
    connection.execute(_LET_GO, [batch, holder])


def forget_old(connection: Connection, group: str | None, keep: timedelta) -> int:
    """Delete batches whose graphs have had their results for some time; how many, at most a hundred.

    One with an unconfirmed item stays, until a person has decided about it.
    """
    names = [name for (name,) in connection.execute(_OLD, [keep, group, group]).fetchall()]
    for name in names:
        with suppress(InvalidRequestError):  # another process was quicker
            control.forget(connection, name)
    return len(names)


def tell(connection: Connection, batch: str, holder: str) -> None:
    """Note that nobody waits for a batch any more."""
    connection.execute(_TELL, [batch, holder])
