"""The sweep: gives back what dead workers had, and what has lost its job.

A worker is dead

1. at once, if it ran on this machine and its process is gone; or
2. if its heartbeat is older than the limit, and this worker's own has worked for longer than the limit without a gap.
   After an outage of the database everyone looks dead, and nobody is.

An item that is given back in error is made once all the same: the journal's lease has its key, and whoever takes the
item next waits for that one.
"""

from __future__ import annotations

from datetime import timedelta

from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.lifecycle.lease import is_dead

__all__ = ["sweep", "tidy"]

_UNCLAIMED = timedelta(seconds=20)
"""A job that was fetched is claimed within milliseconds. Later, its fetch was lost."""

_WORKERS = (
    "SELECT id, holder, beat_at < now() - %s AND pg_postmaster_start_time() < now() - %s "
    "FROM nebula_fleet_workers WHERE ended_at IS NULL AND id <> %s"
)
# Whoever beats in between is not dead, and of two sweepers one finds the row.
_BURY = (
    "UPDATE nebula_fleet_workers SET ended_at = now(), died = true "
    "WHERE id = %s AND ended_at IS NULL AND (%s OR beat_at < now() - %s) RETURNING engine_id"
)
_ITEMS_OF_DEAD = (
    "UPDATE nebula_fleet_items AS item SET state = 'waiting', worker = NULL, job_id = NULL, updated_at = now() "
    "FROM (SELECT key, job_id FROM nebula_fleet_items WHERE state = 'running' AND worker = %s "
    "UNION ALL SELECT item.key, item.job_id FROM procrastinate_jobs AS job "
    "JOIN nebula_fleet_items AS item ON item.job_id = job.id "
    "WHERE job.worker_id = %s AND job.status = 'doing' AND item.state = 'queued') AS held "
    "WHERE item.key = held.key RETURNING held.job_id"
)
_DELETE_JOBS = "DELETE FROM procrastinate_jobs WHERE id = ANY (%s)"
_ORPHANS = (
    "UPDATE nebula_fleet_items AS item SET state = 'waiting', worker = NULL, job_id = NULL, updated_at = now() "
    "WHERE item.key IN (SELECT key FROM nebula_fleet_items WHERE state = 'queued' AND updated_at < now() - %s) "
    "AND item.state = 'queued' "
    "AND NOT EXISTS (SELECT FROM procrastinate_jobs AS job WHERE job.id = item.job_id AND job.status = 'todo')"
)
_OF_THE_ENDED = (
    "UPDATE nebula_fleet_items AS item SET state = 'waiting', worker = NULL, job_id = NULL, updated_at = now() "
    "WHERE item.state = 'running' AND NOT EXISTS (SELECT FROM nebula_fleet_workers AS worker "
    "WHERE worker.id = item.worker AND worker.ended_at IS NULL)"
)
_FORGET_WORKERS = "DELETE FROM nebula_fleet_workers WHERE ended_at < now() - interval '7 days'"
_FORGET_ENGINE_WORKERS = (
    "DELETE FROM procrastinate_workers AS engine WHERE last_heartbeat < now() - interval '1 day' "
    "AND NOT EXISTS (SELECT FROM nebula_fleet_workers AS worker WHERE worker.engine_id = engine.id "
    "AND (worker.ended_at IS NULL OR worker.ended_at > now() - interval '1 day')) "
    "AND NOT EXISTS (SELECT FROM procrastinate_jobs AS job WHERE job.worker_id = engine.id)"
)


def sweep(connection: Connection, owner: str, limit: timedelta, *, healthy: bool) -> list[str]:
    """Give back the items of dead workers, and return these workers' names.

    Args:
        connection: Each worker is a transaction of its own.
        owner: The name of this worker, which lives.
        limit: A heartbeat that is older is that of a dead worker.
        healthy: Whether this worker's own heartbeats have worked for longer than the limit.
    """
    dead = []
    for name, holder, silent in connection.execute(_WORKERS, [limit, limit, owner]).fetchall():
        gone = is_dead(holder)
        if not gone and not (silent and healthy):
            continue
        with connection.transaction():
            row = connection.execute(_BURY, [name, gone, limit]).fetchone()
            if row is None:
                continue
            jobs = [job for (job,) in connection.execute(_ITEMS_OF_DEAD, [name, row[0]]).fetchall()]
            connection.execute(_DELETE_JOBS, [jobs])
        dead.append(str(name))
    return dead


def tidy(connection: Connection) -> None:
    """Give back items without a live job, and forget workers that ended long ago."""
    connection.execute(_ORPHANS, [_UNCLAIMED])
    connection.execute(_OF_THE_ENDED)
    connection.execute(_FORGET_WORKERS)
    connection.execute(_FORGET_ENGINE_WORKERS)
