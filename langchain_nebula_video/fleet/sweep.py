"""The sweep: gives back what dead workers had, and what has lost its job.

A worker is dead

1. at once, if it ran on this machine and its process is gone; or
2. if its heartbeat is older than the limit, and the fleet has been heard without a gap for longer than the limit.
   After an outage of the database everyone looks dead, and nobody is.

A worker that was taken for dead in error goes on with its next heartbeat, and its items are paid for once all the same:
in the journal, their keys lead to their tasks.
"""

from __future__ import annotations

from datetime import timedelta

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.feeder import requeue
from langchain_nebula_video.fleet.jobs import TASK
from langchain_nebula_video.fleet.rows import RETRY_MARK
from langchain_nebula_video.lifecycle.lease import is_dead, process_name

__all__ = ["give_back_unclaimed", "hear", "sweep", "tidy"]

_UNCLAIMED = timedelta(seconds=5)
"""A job that was fetched is claimed within milliseconds. Later, its worker was killed in between, or the answer to the
fetch was lost. To take one back in error does no harm: its claim finds nothing."""

# One heartbeat of any worker is enough for a moment. A row that another transaction has is passed over: nobody may wait
# here, or all hearts stop.
_HEAR = (
    "UPDATE nebula_fleet_meta SET heard_at = now(), "
    "heard_since = CASE WHEN heard_at < now() - %s THEN now() ELSE heard_since END "
    "WHERE name IN (SELECT name FROM nebula_fleet_meta WHERE heard_at < now() - %s FOR UPDATE SKIP LOCKED)"
)
_WORKERS = (
    "SELECT id, holder, beat_at < now() - %s FROM nebula_fleet_workers WHERE ended_at IS NULL AND id <> %s ORDER BY id"
)
# Whoever beats in between is not dead, and of two sweepers one finds the row.
_BURY = (
    "UPDATE nebula_fleet_workers SET ended_at = now(), died = true WHERE id = %(name)s AND ended_at IS NULL "
    "AND (%(gone)s OR (beat_at < now() - %(limit)s AND pg_postmaster_start_time() < now() - %(limit)s "
    "AND EXISTS (SELECT FROM nebula_fleet_meta "
    "WHERE heard_since < now() - %(limit)s AND heard_at > now() - %(limit)s / 2))) RETURNING engine_id"
)
_GIVE_BACK = (
    "UPDATE nebula_fleet_items AS item SET state = 'waiting', worker = NULL, job_id = NULL, updated_at = now() "
)
_ITEMS_OF_DEAD = (
    f"{_GIVE_BACK} FROM ("  # noqa: S608 of constants
    "SELECT key, job_id FROM nebula_fleet_items WHERE state = 'running' AND worker = %s "
    "UNION ALL SELECT args->>'key', id FROM procrastinate_jobs WHERE worker_id = %s AND status = 'doing') AS held "
    "WHERE item.key = held.key AND item.job_id = held.job_id AND item.state IN ('queued', 'running') "
    "RETURNING held.job_id, item.key, "
    f"item.key || CASE WHEN item.attempt > 1 THEN '{RETRY_MARK}' || item.attempt ELSE '' END"
)
# Otherwise whoever takes such an item up waits for the journal's lease on it, for up to a minute.
_END_LEASES = (
    "UPDATE nebula_entries SET held_until = (extract(epoch FROM now()) * 1000000)::bigint "
    "WHERE key = ANY (%s) AND starts_with(holder, %s)"
)
_DELETE_JOBS = "DELETE FROM procrastinate_jobs WHERE id = ANY (%s)"
_RETURN_LEASE = "UPDATE nebula_fleet_meta SET feeder_until = '-infinity' WHERE feeder = %s"
_LOST_FETCHES = (
    f"{_GIVE_BACK} FROM procrastinate_jobs AS job WHERE item.key = job.args->>'key' AND item.job_id = job.id "
    "AND item.state = 'queued' AND job.status = 'doing' AND EXISTS (SELECT FROM procrastinate_events AS event "
    "WHERE event.job_id = job.id AND event.type = 'started' AND event.at < now() - %s) RETURNING job.id"
)
# A job lives as long as its item is queued or running: one without the other is what a lost answer has left behind.
_JOBS_WITHOUT_ITEM = (
    "DELETE FROM procrastinate_jobs AS job WHERE job.task_name = %s AND NOT EXISTS ("
    "SELECT FROM nebula_fleet_items AS item "
    "WHERE item.key = job.args->>'key' AND item.job_id = job.id AND item.state IN ('queued', 'running'))"
)
# One state at a time: each has an index of its own.
_ITEMS_WITHOUT_JOB = tuple(
    f"{_GIVE_BACK} WHERE item.state = '{state}' "
    "AND NOT EXISTS (SELECT FROM procrastinate_jobs AS job WHERE job.id = item.job_id)"
    for state in ("queued", "running")
)
_OF_THE_ENDED = (
    f"{_GIVE_BACK} WHERE item.state = 'running' AND NOT EXISTS (SELECT FROM nebula_fleet_workers AS worker "
    "WHERE worker.id = item.worker AND worker.ended_at IS NULL)"
)
_FORGET_WORKERS = "DELETE FROM nebula_fleet_workers WHERE ended_at < now() - interval '7 days'"
_FORGET_ENGINE_WORKERS = (
    "DELETE FROM procrastinate_workers AS engine WHERE last_heartbeat < now() - interval '1 day' "
    "AND NOT EXISTS (SELECT FROM nebula_fleet_workers AS worker WHERE worker.engine_id = engine.id "
    "AND (worker.ended_at IS NULL OR worker.ended_at > now() - interval '1 day')) "
    "AND NOT EXISTS (SELECT FROM procrastinate_jobs AS job WHERE job.worker_id = engine.id)"
)


def hear(connection: Connection, tick: timedelta, limit: timedelta) -> None:
    """Note that a heartbeat has just worked. After a gap of half the limit, the fleet counts as heard from now on.

    Args:
        connection: On which it worked.
        tick: Between two heartbeats.
        limit: A worker whose heartbeat is older is dead.
    """
    connection.execute(_HEAR, [limit / 2, tick / 2])


def sweep(connection: Connection, owner: str, limit: timedelta) -> list[str]:
    """Give back the items of dead workers, and return these workers' names. Any number may sweep at once.

    Args:
        connection: Each worker is a transaction of its own.
        owner: The name of this worker, which lives.
        limit: A heartbeat that is older is that of a dead worker.
    """
    dead = []
    for name, holder, silent in connection.execute(_WORKERS, [limit, owner]).fetchall():
        gone = is_dead(holder)
        if not gone and not silent:
            continue
        with connection.transaction():
            row = connection.execute(_BURY, {"name": name, "gone": gone, "limit": limit}).fetchone()
            if row is None:
                continue
            held = connection.execute(_ITEMS_OF_DEAD, [name, row[0]]).fetchall()
            connection.execute(_DELETE_JOBS, [[job for job, _, _ in held]])
            connection.execute(_END_LEASES, [[key for _, _, key in held], process_name(holder)])
        connection.execute(_RETURN_LEASE, [name])
        requeue(connection, [key for _, key, _ in held])
        dead.append(str(name))
    return dead


def give_back_unclaimed(connection: Connection) -> None:
    """Give back items whose job was fetched, and that nobody has claimed."""
    with connection.transaction():
        lost = [job for (job,) in connection.execute(_LOST_FETCHES, [_UNCLAIMED]).fetchall()]
        if lost:
            connection.execute(_DELETE_JOBS, [lost])


def tidy(connection: Connection) -> None:
    """Give back items without a live job, delete jobs without a live item, and forget workers that ended long ago."""
    connection.execute(_JOBS_WITHOUT_ITEM, [TASK])
    for statement in (*_ITEMS_WITHOUT_JOB, _OF_THE_ENDED):
        connection.execute(statement)
    connection.execute(_FORGET_WORKERS)
    connection.execute(_FORGET_ENGINE_WORKERS)
