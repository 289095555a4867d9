"""What a look at the fleet, and each turn of its workers, cost with ten thousand finished items, and with a million.

`python benchmarks/fleet_status.py [finished] [rounds]` starts a PostgreSQL of its own with two fleets. Both have
100,000 items that wait, 1,000 that run and 100 that failed; one has 10,000 finished ones, the other one so many. A
ratio of 1 means that it costs the same. At the end, it prints what 1,000 batches cost, what a batch of 100,000 takes to
be deleted, and how much disk an item takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_nebula_video.fleet import Fleet, control
from langchain_nebula_video.fleet.database import Connection, Database
from langchain_nebula_video.fleet.feeder import Feeder
from langchain_nebula_video.fleet.results import BEGINNING, Position, read_ended
from langchain_nebula_video.fleet.status import read_status
from langchain_nebula_video.fleet.sweep import give_back_unclaimed, sweep, tidy
from langchain_nebula_video.lifecycle.lease import new_holder
from tests.postgres import Server, programs_folder

FEW, MANY, ROUNDS = 10_000, 1_000_000, 15
WAITING, RUNNING, FAILED = 100_000, 1_000, 100
FRESH = timedelta(seconds=10)
REQUEST = json.dumps(
    {"prompt": "The cat blinks, and the camera moves closer", "image": f"https://example.com/{40 * 'c'}"}
)
VIDEO = json.dumps(
    {
        "task_id": f"task_{32 * 't'}",
        "url": f"https://results.example.com/{'s' * 300}",
        "path": f"s3://studio/videos/{40 * 'p'}.mp4",
        "gateway": "nebula",
        "model": "happyhorse-1.0-i2v",
        "cost": {
            "usd": "0.369",
            "cny": "2.70",
            "price_per_second": "0.0738",
            "seconds": 5,
            "group_ratio": "1",
            "basis": "billed",
        },
        "submitted_at": "2026-11-28T00:00:00Z",
        "finished_at": "2026-11-28T00:01:20Z",
        "expires_at": "2026-11-29T00:00:00Z",
    }
)

_ACCOUNT = "INSERT INTO nebula_fleet_accounts (id, gateway, base_url, allow_http) VALUES ('mark', 'nebula', 'u', false)"
_BATCH = "INSERT INTO nebula_fleet_batches (name, account, settings, size) VALUES (%s, 'mark', '{}', %s) RETURNING id"
_ITEMS = (
    "INSERT INTO nebula_fleet_items "
    "(key, batch_id, n, request, state, usd, reserved, video, error, worker, job_id, updated_at) "
    "SELECT 'batch-' || md5(%(batch)s || %(state)s || n), %(batch)s, n, %(request)s::json, %(state)s, 0.369, "
    "%(state)s <> 'waiting', CASE WHEN %(state)s = 'done' THEN %(video)s::json END, "
    "CASE WHEN %(state)s = 'failed' THEN 'TaskFailedError: The task failed.' END, "
    "CASE WHEN %(state)s = 'running' THEN 'worker' END, NULL, "
    "now() - interval '30 days' + n * interval '1 second' FROM generate_series(1, %(count)s) AS n"
)
_WORKER = (
    "INSERT INTO nebula_fleet_workers (id, host, pid, holder, version, accounts, concurrency) "
    "VALUES ('worker', 'here', %s, %s, '1', ARRAY['mark'], 1400)"
)
# A job of its own for each item that runs, or the sweep would take it for an orphan.
_JOBS = (
    "WITH jobs AS (INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
    "SELECT 'q', 'langchain_nebula_video.generate', jsonb_build_object('key', key), 'doing' "
    "FROM nebula_fleet_items WHERE state = 'running' RETURNING id, args->>'key' AS key) "
    "UPDATE nebula_fleet_items AS item SET job_id = jobs.id FROM jobs WHERE jobs.key = item.key"
)


def add_batch(connection: Connection, name: str, **items: int) -> int:
    """Add a batch with so many items in each state."""
    row = connection.execute(_BATCH, [name, sum(items.values())]).fetchone()
    assert row is not None
    for state, count in items.items():
        values = {"batch": row[0], "state": state, "count": count, "request": REQUEST, "video": VIDEO}
        connection.execute(_ITEMS, values)
    return int(row[0])


def make_fleet(url: str, finished: int) -> Connection:
    """Make a fleet with so many finished items, and return a connection to it."""
    asyncio.run(Fleet(url).init())
    connection = Database(url).connect()
    connection.execute(_ACCOUNT)
    add_batch(connection, "cats", done=finished, failed=FAILED, running=RUNNING, waiting=WAITING)
    connection.execute(_WORKER, [os.getpid(), new_holder()])
    connection.execute(_JOBS)
    connection.execute("VACUUM (ANALYZE)")
    return connection


def undone(connection: Connection, work: Callable[[], object]) -> Callable[[], object]:
    """Return the same work, of which nothing stays."""

    def run() -> None:
        with connection.transaction(force_rollback=True):
            work()

    return run


def works(connection: Connection, finished: int) -> dict[str, Callable[[], object]]:
    """Return what is measured."""
    row = connection.execute("SELECT id FROM nebula_fleet_batches WHERE name = 'cats'").fetchone()
    assert row is not None
    middle = connection.execute(
        "SELECT updated_at, key FROM nebula_fleet_items WHERE batch_id = %s AND state = 'done' AND n = %s",
        [row[0], finished // 2],
    ).fetchone()
    assert middle is not None
    half: Position = (middle[0], middle[1])
    feeder = Feeder("worker", FRESH)

    def feed() -> None:
        # The worker's own heartbeat, without which it has no places.
        connection.execute("UPDATE nebula_fleet_workers SET beat_at = now()")
        feeder.tick(connection)

    def full() -> None:
        connection.execute("UPDATE nebula_fleet_workers SET beat_at = now(), concurrency = 500")
        feeder.tick(connection)

    def search() -> None:
        sweep(connection, "worker", FRESH)
        give_back_unclaimed(connection)

    def pause() -> None:
        control.pause(connection, "cats")
        control.resume(connection, "cats")

    return {
        "status": lambda: read_status(connection),
        "status of one batch": lambda: read_status(connection, "cats"),
        "results, the first page": lambda: read_ended(connection, row[0], BEGINNING),
        "results, a page in the middle": lambda: read_ended(connection, row[0], half),
        "feeder, 500 jobs": undone(connection, feed),
        "feeder, no place free": undone(connection, full),
        "sweep": undone(connection, search),
        "tidy": undone(connection, lambda: tidy(connection)),
        "pause and resume": undone(connection, pause),
        "retry 100 failed": undone(connection, lambda: control.retry(connection, "cats")),
    }


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median of what a round takes, on the clock."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def disk(connection: Connection) -> tuple[int, int]:
    """Return the bytes of the items and their indexes, and of the counts."""
    row = connection.execute(
        "SELECT pg_total_relation_size('nebula_fleet_items'), pg_total_relation_size('nebula_fleet_counts')"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def print_many_batches(connection: Connection, rounds: int) -> None:
    """Print what 1,000 more batches cost: status, and a turn of the feeder."""
    for number in range(1000):
        add_batch(connection, f"batch {number}", done=20, failed=1)
    connection.execute("VACUUM (ANALYZE)")
    for name in ("status", "status of one batch", "feeder, 500 jobs"):
        work = works(connection, FEW)[name]
        print(f"{f'{name}, with 1,000 more batches':38}{milliseconds(work, rounds):10.1f} ms")


def print_forget(connection: Connection) -> None:
    """Print what it takes to delete a batch of 100,000 beside the others."""
    add_batch(connection, "old", done=100_000)
    began = time.perf_counter()
    control.forget(connection, "old")
    print(f"{'forget a batch of 100,000':38}{(time.perf_counter() - began) * 1000:10.0f} ms")


def main(finished: int, rounds: int) -> None:
    """Measure and print."""
    folder, programs = Path(tempfile.mkdtemp(prefix="nebula-status-")), programs_folder()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    server = Server(programs, folder / "pg")
    try:
        few, many = (make_fleet(server.create(f"fleet{count}"), count) for count in (FEW, finished))
        head = f"ms, load {os.getloadavg()[0]:.1f}"
        print(f"{head:38}{f'{FEW:,} done':>14}{f'{finished:,} done':>16}{'ratio':>8}")
        of_few, of_many = works(few, FEW), works(many, finished)
        for name, work in of_few.items():
            small, large = milliseconds(work, rounds), milliseconds(of_many[name], rounds)
            print(f"{name:38}{small:14.2f}{large:16.2f}{large / small:8.2f}", flush=True)
        items, counts = disk(many)
        print(f"\n{'disk, of an item, with its indexes':38}{items / (finished + WAITING + RUNNING):10.0f} bytes")
        print(f"{'disk, of all counts':38}{counts:10,} bytes")
        print_many_batches(few, rounds)
        print_forget(many)
    finally:
        server.stop("immediate")


if __name__ == "__main__":
    numbers: list[Any] = [int(each) for each in sys.argv[1:]]
    main(*(numbers + [MANY, ROUNDS][len(numbers) :]))
