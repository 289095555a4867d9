"""What each look and each turn of a fleet reads: never a table from its beginning, however much has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from langchain_nebula_video.fleet import control
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.feeder import Feeder
from langchain_nebula_video.fleet.results import _PAGE, BEGINNING, read_ended
from langchain_nebula_video.fleet.status import read_status
from langchain_nebula_video.fleet.sweep import give_back_unclaimed, sweep, tidy
from tests.fleets import connected

FRESH = timedelta(minutes=10)
FINISHED = 30_000
WAITING, FAILED, DELAYED, CANCELED, RUNNING = 2000, 30, 20, 40, 20

_FLEET = """
INSERT INTO nebula_fleet_accounts (id, gateway, base_url, allow_http) VALUES ('mark', 'nebula', 'u', false);
INSERT INTO nebula_fleet_batches (name, account, settings) VALUES ('cats', 'mark', '{}'), ('dogs', 'mark', '{}');
INSERT INTO nebula_fleet_workers (id, host, pid, holder, version, accounts, concurrency)
VALUES ('worker', 'elsewhere', 1, 'elsewhere', '1', ARRAY['mark'], 40);
"""
_ITEMS = """
INSERT INTO nebula_fleet_items (key, batch_id, n, request, state, reserved, error, worker, next_at, updated_at)
SELECT %(state)s || n, 1 + n %% 2, n, json_build_object('prompt', repeat('x', 600)), %(state)s, %(state)s <> 'waiting',
       'TaskFailedError', CASE WHEN %(state)s = 'running' THEN 'worker' END, now() + interval '1 hour',
       now() - n * interval '1 second'
FROM generate_series(1, %(count)s) AS n
"""
_JOBS = """
WITH jobs AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)
    SELECT 'q', 'langchain_nebula_video.generate', json_build_object('key', key), 'doing'
    FROM nebula_fleet_items WHERE state = 'running' RETURNING id, args->>'key' AS key
)
UPDATE nebula_fleet_items AS item SET job_id = jobs.id FROM jobs WHERE jobs.key = item.key
"""
_READ = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'nebula_fleet_items'"


def fill(connection: Connection) -> None:
    """Make two batches with many finished items, and with some in every other state."""
    connection.execute(_FLEET)
    counts = {"done": FINISHED, "waiting": WAITING, "failed": FAILED, "delayed": DELAYED, "canceled": CANCELED}
    for state, count in (counts | {"running": RUNNING}).items():
        connection.execute(_ITEMS, {"state": state, "count": count})
    connection.execute(_JOBS)
    connection.execute("VACUUM (ANALYZE)")


def reads(connection: Connection, work: Callable[[Connection], object]) -> tuple[int, int]:
    """How many rows of items a piece of work reads from the table's beginning, and how many by an index."""
    with connection.transaction(force_rollback=True):
        before = connection.execute(_READ).fetchone() or (0, 0)
        work(connection)
        after = connection.execute(_READ).fetchone() or (0, 0)
    return after[0] - before[0], after[1] - before[1]


def feed(connection: Connection) -> None:
    """A turn of the feeder."""
    assert Feeder("worker", FRESH).tick(connection)


def search(connection: Connection) -> None:
    """A turn of the sweep, with everything that it does now and then."""
    sweep(connection, "worker", FRESH)
    give_back_unclaimed(connection)
    tidy(connection)


def read_all(connection: Connection) -> None:
    """The first page of a batch's results."""
    assert read_ended(connection, 1, BEGINNING)[0]


def pause_and_resume(connection: Connection) -> None:
    control.pause(connection, "cats")
    assert control.resume(connection, "cats") == CANCELED // 2


def feed_beside_a_canceled_batch(connection: Connection) -> None:
    """A turn of the feeder while a batch is canceled, some of whose items come back only now."""
    connection.execute("UPDATE nebula_fleet_batches SET state = 'canceled' WHERE name = 'cats'")
    feed(connection)


WORKS: dict[str, tuple[Callable[[Connection], object], int]] = {  # and the most rows that it reads
    "status": (read_status, 50),
    "status of a batch": (lambda connection: read_status(connection, "cats"), 50),
    "results": (read_all, 2 * _PAGE),
    "feeder": (feed, 500),
    "feeder, with a canceled batch": (feed_beside_a_canceled_batch, 5000),
    "sweep": (search, 500),
    "pause and resume": (pause_and_resume, 500),
    "retry": (lambda connection: control.retry(connection, "cats"), 500),
    "cancel": (lambda connection: control.cancel(connection, "cats"), 5 * WAITING),
}


@pytest.mark.parametrize("name", WORKS)
def test_however_many_items_are_finished_few_are_read(fleet_url: str, name: str) -> None:
    work, most = WORKS[name]
    with connected(fleet_url) as connection:
        fill(connection)
        scanned, found = reads(connection, work)
    assert scanned == 0
    assert found <= most


def test_a_batch_is_deleted_by_its_own_items_alone_but_for_one_look_at_the_others(fleet_url: str) -> None:
    with connected(fleet_url) as connection:
        fill(connection)
        connection.execute("UPDATE nebula_fleet_batches SET name = 'done' WHERE id = 1")
        connection.execute("UPDATE nebula_fleet_items SET batch_id = 2 WHERE state IN ('running', 'delayed')")
        scanned, _ = reads(connection, lambda connection: control.forget(connection, "done"))
    assert scanned <= FINISHED + WAITING + FAILED + DELAYED + CANCELED + RUNNING
