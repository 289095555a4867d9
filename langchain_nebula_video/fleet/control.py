"""What a person does to batches and accounts: pause, resume, cancel, retry, forget, and another key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.jobs import remove_jobs
from langchain_nebula_video.fleet.options import check_whole
from langchain_nebula_video.fleet.states import ItemState

__all__ = [
    "cancel",
    "cancel_some",
    "change_account",
    "change_batch",
    "find_account",
    "find_batch",
    "forget",
    "forget_empty",
    "move_to_account",
    "pause",
    "resume",
    "retry",
]

_FIND = "SELECT id FROM nebula_fleet_batches WHERE name = %s"
_NAMES = "SELECT name FROM nebula_fleet_batches ORDER BY id DESC LIMIT 1000"
# The feeder locks this row for each of its moves: what a person decides holds from the next one on.
_HOLD_FEEDER = "SELECT FROM nebula_fleet_meta FOR UPDATE"
_PAUSE = "UPDATE nebula_fleet_batches SET state = 'paused', reason = %s WHERE id = %s AND state <> 'canceled'"
_RESUME = (
    "UPDATE nebula_fleet_batches SET state = 'running', reason = NULL, abandon = false, refusals = 0, "
    "paused_until = NULL WHERE id = %s"
)
_CANCEL = "UPDATE nebula_fleet_batches SET state = 'canceled', reason = NULL, abandon = %s WHERE id = %s"
_FREEZE = "UPDATE nebula_fleet_batches SET state = 'paused', reason = %s WHERE id = %s"
_IS_CANCELED = "SELECT FROM nebula_fleet_batches WHERE id = %s AND state = 'canceled'"
_CHUNK = 10_000
# The planner takes the items of a batch to be spread evenly: it would read the table from its beginning for each chunk.
_BY_INDEX = "SET LOCAL enable_seqscan = off"
# In chunks, each a transaction: a million rows in one would hold back vacuum, and the feeder.
# And one state at a time: each has an index of its own, and a batch has none over all its items.
_CANCEL_ITEMS = {
    state: "UPDATE nebula_fleet_items SET state = 'canceled', job_id = NULL, next_at = NULL, "  # noqa: S608 of constants
    "reserved = reserved AND claims > 0, "  # nobody has taken those from the queue
    "updated_at = clock_timestamp() WHERE key IN (SELECT key FROM nebula_fleet_items "
    f"WHERE batch_id = %s AND state = '{state}' LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING key"
    for state in (ItemState.DELAYED, ItemState.WAITING, ItemState.QUEUED)
}
_COUNT_CANCELED = "SELECT coalesce(sum(items), 0) FROM nebula_fleet_counts WHERE batch_id = %s AND state = 'canceled'"
_UNCANCEL_ITEMS = (
    "UPDATE nebula_fleet_items SET state = 'waiting', error = NULL, updated_at = now() WHERE key IN ("
    "SELECT key FROM nebula_fleet_items WHERE batch_id = %s AND state = 'canceled' LIMIT %s FOR UPDATE SKIP LOCKED) "
    "RETURNING key"
)
# An item that failed for nothing gets a new key of the journal; one that may be paid for keeps its own.
_RETRY = (
    "UPDATE nebula_fleet_items SET state = 'waiting', errors = 0, error = NULL, next_at = NULL, updated_at = now(), "
    "claims = CASE WHEN state = 'failed' AND NOT reserved THEN 0 ELSE claims END, "
    "attempt = attempt + CASE WHEN state = 'failed' AND NOT reserved THEN 1 ELSE 0 END WHERE key IN ("
    "SELECT key FROM nebula_fleet_items WHERE batch_id = %s AND state = ANY (%s) LIMIT %s FOR UPDATE SKIP LOCKED) "
    "RETURNING key"
)
_BEGUN = (
    "SELECT coalesce(sum(items), 0) FROM nebula_fleet_counts WHERE batch_id = %s AND state IN ('queued', 'running')"
)
_FORGET_ITEMS = tuple(
    "DELETE FROM nebula_fleet_items WHERE key IN ("  # noqa: S608 of constants
    f"SELECT key FROM nebula_fleet_items WHERE batch_id = %s AND {which} LIMIT %s) RETURNING key"
    for which in ("state IN ('done', 'failed', 'unconfirmed', 'canceled')", "state = 'waiting'")
)
# First the batch: a list that is being added to it waits for this row, and finds none.
_FORGET = (
    "DELETE FROM nebula_fleet_batches WHERE id = %s",
    "DELETE FROM nebula_fleet_items WHERE batch_id = %s",
    "DELETE FROM nebula_fleet_images WHERE batch_id = %s",
    "DELETE FROM nebula_fleet_broken WHERE batch_id = %s",
    "DELETE FROM nebula_fleet_counts WHERE batch_id = %s",
)
_LOCK = "SELECT FROM nebula_fleet_batches WHERE id = %s FOR UPDATE"  # who adds rows changes its size
_SIZE = "SELECT coalesce(sum(items), 0) FROM nebula_fleet_counts WHERE batch_id = %s"
_UNPRICED = (
    "SELECT FROM nebula_fleet_items WHERE batch_id = %s AND state = 'waiting' AND NOT reserved AND usd = 0 LIMIT 1"
)
_LIMITS = ("budget", "not_before", "hours")
"""What a batch need not have."""
_CHANGES = ", ".join(
    f"{name} = CASE WHEN '{name}' = ANY (%(without)s) THEN NULL ELSE coalesce(%({name})s, {name}) END"
    for name in (*_LIMITS, "priority")
)
_CHANGE = (
    f"UPDATE nebula_fleet_batches SET {_CHANGES}, "  # noqa: S608 of constants
    "reason = CASE WHEN state = 'running' AND refusals = 0 THEN NULL ELSE reason END WHERE id = %(batch)s"
)
_FIND_ACCOUNT = "SELECT gateway, base_url, allow_http FROM nebula_fleet_accounts WHERE id = %s"
_MARKS = "SELECT id FROM nebula_fleet_accounts"
_PAUSE_ACCOUNT = "UPDATE nebula_fleet_accounts SET paused_until = 'infinity', reason = %s WHERE id = %s"
_RESUME_ACCOUNT = (
    "UPDATE nebula_fleet_accounts SET paused_until = NULL, reason = NULL, refusals = 0, resumed_at = now() "
    "WHERE id = %s"
)
_QUEUED_OF = (
    "UPDATE nebula_fleet_items SET state = 'waiting', job_id = NULL, updated_at = now() WHERE key IN ("
    "SELECT key FROM nebula_fleet_items WHERE batch_id = %s AND state = 'queued' LIMIT %s FOR UPDATE SKIP LOCKED) "
    "RETURNING key"
)
_MOVE = (
    "UPDATE nebula_fleet_batches SET account = %s WHERE account = %s AND EXISTS ("
    "SELECT FROM nebula_fleet_accounts AS old JOIN nebula_fleet_accounts AS new "
    "ON new.gateway = old.gateway AND new.base_url = old.base_url "
    "WHERE old.id = %s AND new.id = %s) RETURNING id, name"
)


def find_batch(connection: Connection, name: str) -> int:
    """Return the number of a batch.

    Raises:
        InvalidRequestError: there is none of this name.
    """
    row = connection.execute(_FIND, [name]).fetchone()
    if row is None:
        names = [each for (each,) in connection.execute(_NAMES).fetchall()]
        raise InvalidRequestError(
            f"There is no batch {name!r}.{did_you_mean(name, names)}", hint="nebula-video fleet status lists them."
        )
    return int(row[0])


def pause(connection: Connection, name: str, reason: str | None = None) -> None:
    """Begin nothing more of a batch. What is in the engine's queue, some items, and what runs goes on.

    Raises:
        InvalidRequestError: it is canceled.
    """
    batch_id = find_batch(connection, name)
    if not _decide(connection, _PAUSE, [reason or "paused by a person", batch_id]):
        raise InvalidRequestError(f"The batch {name!r} is canceled.", hint="There is nothing to pause.")


def resume(connection: Connection, name: str) -> int:
    """Go on with a batch that is paused or was canceled; how many canceled items wait again."""
    batch_id = find_batch(connection, name)
    _decide(connection, _RESUME, [batch_id])
    return _in_chunks(connection, _UNCANCEL_ITEMS, [batch_id])


def cancel(connection: Connection, name: str, *, abandon: bool = False) -> int:
    """Cancel what has not begun; how many items. What runs goes on to its end: it is billed in any case.

    Args:
        connection: To the fleet's database.
        name: The batch.
        abandon: Whether workers let go of what runs, too. The gateway goes on and bills; `nebula-video resume` takes
            such tasks up.
    """
    batch_id = find_batch(connection, name)
    before = _count_canceled(connection, batch_id)
    _decide(connection, _CANCEL, [abandon, batch_id])
    for statement in _CANCEL_ITEMS.values():
        _in_chunks(connection, statement, [batch_id], and_jobs=True)
    with connection.transaction():  # the feeder may have canceled some of them meanwhile
        connection.execute(_HOLD_FEEDER)
        return _count_canceled(connection, batch_id) - before


def _count_canceled(connection: Connection, batch_id: int) -> int:
    row = connection.execute(_COUNT_CANCELED, [batch_id]).fetchone()
    return 0 if row is None else int(row[0])


def cancel_some(connection: Connection, batch_id: int, most: int) -> None:
    """Cancel items that have come back since their batch was canceled, at most so many of each state."""
    with connection.transaction():
        connection.execute(_BY_INDEX)
        for state in (ItemState.DELAYED, ItemState.WAITING):
            connection.execute(_CANCEL_ITEMS[state], [batch_id, most])


def retry(connection: Connection, name: str, states: Sequence[ItemState] = (ItemState.FAILED,)) -> int:
    """Let items that ended badly wait again; how many. Items that may be paid for keep their key, and never pay twice.

    Raises:
        InvalidRequestError: a state is none that can be tried again, or the batch is canceled.
    """
    batch_id = find_batch(connection, name)
    if connection.execute(_IS_CANCELED, [batch_id]).rowcount:
        raise InvalidRequestError(f"The batch {name!r} is canceled.", hint="Resume it first.")
    wrong = [state for state in states if state not in {ItemState.FAILED, ItemState.UNCONFIRMED}]
    if wrong:
        raise InvalidRequestError(
            f"Items that are {wrong[0]} are not tried again.", hint="failed and unconfirmed ones are."
        )
    return _in_chunks(connection, _RETRY, [batch_id, [state.value for state in states]])


def forget(connection: Connection, name: str) -> int:
    """Delete a batch with its items, images and broken rows; how many items. The journal keeps what was paid.

    Raises:
        InvalidRequestError: some of it runs.
    """
    batch_id = find_batch(connection, name)
    with connection.transaction():
        connection.execute(_HOLD_FEEDER)
        row = connection.execute(_BEGUN, [batch_id]).fetchone()
        if row and row[0]:
            raise InvalidRequestError(
                f"{row[0]} items of {name!r} are queued or running.", hint="Cancel it, and wait until they have ended."
            )
        connection.execute(_FREEZE, ["being deleted", batch_id])
    deleted = sum(_in_chunks(connection, statement, [batch_id]) for statement in _FORGET_ITEMS)
    with connection.transaction():
        for statement in _FORGET:
            connection.execute(statement, [batch_id])
    return deleted


def forget_empty(connection: Connection, name: str) -> bool:
    """Delete a batch if it has no items; whether it had none. A list that is being added to it keeps it."""
    batch_id = find_batch(connection, name)
    with connection.transaction():
        connection.execute(_LOCK, [batch_id])
        row = connection.execute(_SIZE, [batch_id]).fetchone()
        if row and row[0]:
            return False
        for statement in _FORGET:
            connection.execute(statement, [batch_id])
    return True


def change_batch(
    connection: Connection,
    name: str,
    *,
    budget: Decimal | None = None,
    priority: int | None = None,
    not_before: datetime | None = None,
    hours: str | None = None,
    without: Collection[str] = (),
) -> None:
    """Change what decides when the items of a batch begin; `None`: as it is. What `without` names is taken away.

    Raises:
        InvalidRequestError: it has videos without a known price, which no budget can limit; or `without` names what is
            no limit.
    """
    for each in without:
        if each not in _LIMITS:
            raise InvalidRequestError(f"{each!r:.80} is no limit of a batch.", hint=f"There are: {', '.join(_LIMITS)}.")
    batch_id = find_batch(connection, name)
    if budget is not None and connection.execute(_UNPRICED, [batch_id]).fetchone() is not None:
        raise InvalidRequestError(
            f"The batch {name!r} has videos whose price is not known: no budget can limit them.",
            hint="Cancel it, and enqueue the rows in another batch that says the price.",
        )
    given = {"budget": budget, "priority": priority, "not_before": not_before, "hours": hours}
    _decide(connection, _CHANGE, {**given, "without": list(without), "batch": batch_id})


def find_account(connection: Connection, mark: str) -> tuple[str, str, bool]:
    """Return the gateway of an account, its base URL, and whether this may be plain http.

    Raises:
        InvalidRequestError: there is no such account.
    """
    row = connection.execute(_FIND_ACCOUNT, [mark]).fetchone()
    if row is None:
        marks = [each for (each,) in connection.execute(_MARKS).fetchall()]
        raise InvalidRequestError(
            f"There is no account {mark!r}.{did_you_mean(mark, marks)}", hint="nebula-video fleet status lists them."
        )
    return str(row[0]), str(row[1]), bool(row[2])


def change_account(
    connection: Connection,
    mark: str,
    *,
    cap: int | None = None,
    rate: int | None = None,
    paused: bool | None = None,
    reason: str | None = None,
) -> None:
    """Change what an account may do; `None`: as it is, and 0: no limit.

    Raises:
        InvalidRequestError: there is no such account, or a limit is below 0.
    """
    find_account(connection, mark)
    for column, value in (("cap", cap), ("rate", rate)):
        check_whole(value or 0, column, least=0)
    connection.execute(
        "UPDATE nebula_fleet_accounts SET cap = CASE WHEN %s::int IS NULL THEN cap ELSE nullif(%s::int, 0) END, "
        "rate = CASE WHEN %s::int IS NULL THEN rate ELSE nullif(%s::int, 0) END, tokens = 0, tokens_at = now() "
        "WHERE id = %s",
        [cap, cap, rate, rate, mark],
    )
    if paused is not None:
        values: list[Any] = [reason or "paused by a person", mark] if paused else [mark]
        connection.execute(_PAUSE_ACCOUNT if paused else _RESUME_ACCOUNT, values)


def move_to_account(connection: Connection, old: str, new: str) -> list[str]:
    """Pay the batches of an account with another key of the same gateway from now on; their names.

    A task that was submitted with the old key belongs to it. Its item fails, names the task, and is not paid again:
    take the video with the old key, or from the gateway's console.
    """
    with connection.transaction():
        connection.execute(_HOLD_FEEDER)
        moved = connection.execute(_MOVE, [new, old, old, new]).fetchall()
    for batch_id, _ in moved:  # they are in the engine's queue of the old account, which nobody may listen to
        _in_chunks(connection, _QUEUED_OF, [batch_id], and_jobs=True)
    return [str(name) for _, name in moved]


def _decide(connection: Connection, statement: Any, values: list[Any] | dict[str, Any]) -> int:
    """Change a row between two moves of the feeder; how many rows it was."""
    with connection.transaction():
        connection.execute(_HOLD_FEEDER)
        return connection.execute(statement, values).rowcount


def _in_chunks(connection: Connection, statement: Any, values: list[Any], *, and_jobs: bool = False) -> int:
    total = 0
    while True:
        with connection.transaction():
            connection.execute(_BY_INDEX)
            keys = [key for (key,) in connection.execute(statement, [*values, _CHUNK]).fetchall()]
            if keys and and_jobs:
                remove_jobs(connection, keys)
        total += len(keys)
        if len(keys) < _CHUNK:
            return total
