"""The engine's jobs of items: put into its queue by the hundred, and taken out again.

Its table may hold another application's jobs too. Ours are told by the task's name, and by locks with a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_nebula_video.fleet.database import Connection

__all__ = ["TASK", "insert_jobs", "queue_name", "remove_jobs"]

TASK = "langchain_nebula_video.generate"
"""The engine's name of the only task."""
_LOCK_PREFIX = "langchain_nebula_video:"
"""One queued job for each lock: a second net below the items' own state."""

_INSERT = (
    "SELECT procrastinate_defer_jobs_v1(array_agg(ROW(%s, %s, %s, NULL, %s || key, jsonb_build_object('key', key), "
    "NULL)::procrastinate_job_to_defer_v1 ORDER BY number)) "
    "FROM unnest(%s::text[]) WITH ORDINALITY AS given (key, number)"
)
_REMOVE = (
    "DELETE FROM procrastinate_jobs WHERE status = 'todo' AND task_name = %s "
    "AND queueing_lock IN (SELECT %s || key FROM unnest(%s::text[]) AS given (key))"
)


def queue_name(fleet: str, account: str) -> str:
    """Return the engine's queue of an account. The fleet's name is in it: channels belong to the whole database.

    The engine's channel is `procrastinate_queue_v1#` and this, and PostgreSQL has no channels of more than 63 bytes.
    """
    return f"nebula-{fleet}/{account}"


def insert_jobs(connection: Connection, queue: str, priority: int, keys: Sequence[str]) -> list[int]:
    """Put a job for each key into a queue; their ids. What an orphan of a key left behind is taken out first."""
    remove_jobs(connection, keys)
    row = connection.execute(_INSERT, [queue, TASK, priority, _LOCK_PREFIX, list(keys)]).fetchone()
    return [] if row is None else list(row[0])


def remove_jobs(connection: Connection, keys: Sequence[str]) -> None:
    """Take the jobs of these keys out of the queue, unless a worker has them."""
    connection.execute(_REMOVE, [TASK, _LOCK_PREFIX, list(keys)])
