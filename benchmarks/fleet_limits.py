"""What a fleet needs: measured on this machine, then reckoned for 1, 10 and 100 workers and for a million videos.

`python benchmarks/fleet_limits.py [videos]` starts a PostgreSQL of its own and a gateway that makes videos in a second.
One worker makes so many of them, after it has idled. What each video has cost the database is multiplied; what only a
real night shows, such as a network between the machines, is not in it. The server runs without fsync: processor and
bytes are what they are in production, and the time of a commit is not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from load import KEY, Server

from langchain_nebula_video import register_gateway
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.fleet import Fleet, FleetWorker
from tests.postgres import Server as Postgres
from tests.postgres import programs_folder

VIDEO_SECONDS = 81
"""What a video takes at Nebula, in the median; see docs/benchmarks.md."""
LOOKS = 5.0
"""Looks at a task there: the row "rows move every 15.4 s" of docs/benchmarks.md."""
PLACES = 500
"""Places of a worker in the tables."""
NIGHT_HOURS = 8
CAPS = (5, 50, 500, 5_000)
"""Tasks at once that a gateway works on. 5 is the limit of an account at DashScope, and of all of Nebula."""
VIDEOS = (10_000, 100_000, 1_000_000)
IDLE_SECONDS = 10.0
IMAGE = "https://example.com/cat.jpg"
TABLES = {
    "the items": "relname LIKE 'nebula!_fleet!_%' ESCAPE '!'",
    "the journal": "relname LIKE 'nebula!_%' ESCAPE '!' AND relname NOT LIKE 'nebula!_fleet!_%' ESCAPE '!'",
    "the engine": "relname LIKE 'procrastinate!_%' ESCAPE '!'",
}


@dataclass
class Usage:
    """What a piece of work has taken from the database and from this process."""

    seconds: float
    transactions: int
    wal: int
    server_cpu: float
    own_cpu: float


class Meter:
    """Reads the database's counters and the processor time of its processes."""

    def __init__(self, server: Postgres, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])

    def read(self, statement: str) -> Any:
        """Return one value."""
        row = self._connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]

    def _server_cpu(self) -> float:
        """CPU seconds of all processes of the server, those that have ended included."""
        ticks = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(folder.name) == self._postmaster:
                ticks += sum(int(each) for each in fields[11:15])
            elif int(fields[1]) == self._postmaster:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _counters(self) -> tuple[float, int, int, float, float]:
        self._connection.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        transactions = self.read(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
        wal = self.read("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return time.perf_counter(), int(transactions), int(wal), self._server_cpu(), time.process_time()

    @contextmanager
    def measure(self) -> Iterator[Usage]:
        """Fill what it yields with what the body has taken."""
        usage = Usage(0, 0, 0, 0, 0)
        before = self._counters()
        yield usage
        after = self._counters()
        for name, one, other in zip(Usage.__dataclass_fields__, before, after, strict=True):
            setattr(usage, name, other - one)


def rows(count: int) -> list[dict[str, Any]]:
    """Return so many different videos."""
    return [
        {"prompt": f"The cat {number} blinks, and the camera moves closer", "image": IMAGE} for number in range(count)
    ]


@dataclass
class Found:
    """What was measured, for a video or for a worker."""

    enqueue: Usage
    idle: Usage
    run: Usage
    videos: int
    bytes: dict[str, float]
    connections: int

    def of_a_video(self, name: str) -> float:
        """Return what a video takes, from the list to the finished item, beyond what an idle worker takes."""
        idle = getattr(self.idle, name) / self.idle.seconds * self.run.seconds
        return float((getattr(self.enqueue, name) + getattr(self.run, name) - idle) / self.videos)


async def make(server: Postgres, url: str, gateway: str, count: int) -> Found:
    """Enqueue so many videos, idle, and make them."""
    fleet = Fleet(url)
    await fleet.init()
    meter = Meter(server, url)
    options: dict[str, Any] = {"base_url": gateway, "poll_interval": 1.0, "timeout": 600}
    await fleet.submit_many(rows(20), batch="warm", **options)
    with meter.measure() as enqueue:
        await fleet.submit_many([{**row, "seed": 1} for row in rows(count)], batch="many", paused=True, **options)
    worker = FleetWorker(url, concurrency=PLACES)
    running = asyncio.create_task(worker.run())
    async for _ in fleet.results("warm"):
        pass
    await asyncio.sleep(2)
    with meter.measure() as idle:
        await asyncio.sleep(IDLE_SECONDS)
    connections = int(meter.read("SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"))
    with meter.measure() as run:
        await fleet.resume("many")
        while (await fleet.status("many")).batches[0].left:  # noqa: ASYNC110 other processes could make them too
            await asyncio.sleep(1)
    size = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND "
    sizes = {name: meter.read(size + which) / (count + 20) for name, which in TABLES.items()}
    worker.stop()
    await running
    return Found(enqueue, idle, run, count, sizes, connections)


def print_measured(found: Found) -> None:
    """Print what was measured."""
    print(f"measured: {found.videos:,} videos by one worker, two cores, load {os.getloadavg()[0]:.1f}")
    told = {
        "videos a second": found.videos / found.run.seconds,
        "transactions a video": found.of_a_video("transactions"),
        "WAL a video, kB": found.of_a_video("wal") / 1000,
        "  of it, to enqueue it, kB": found.enqueue.wal / found.videos / 1000,
        "CPU of PostgreSQL a video, ms": found.of_a_video("server_cpu") * 1000,
        "CPU of the worker a video, ms": found.run.own_cpu / found.videos * 1000,
        **{f"disk of {name} a video, kB": size / 1000 for name, size in found.bytes.items()},
        "connections of a worker": found.connections,
        "an idle worker: transactions a second": found.idle.transactions / found.idle.seconds,
        "an idle worker: WAL a second, kB": found.idle.wal / found.idle.seconds / 1000,
        "an idle worker: CPU of PostgreSQL, %": found.idle.server_cpu / found.idle.seconds * 100,
        "an idle worker: its own CPU, %": found.idle.own_cpu / found.idle.seconds * 100,
    }
    for name, value in told.items():
        print(f"  {name:42}{value:10.2f}")


def print_workers(found: Found) -> None:
    """Print what 1, 10 and 100 workers need."""
    workers = (1, 10, 100)
    rates = [count * PLACES / VIDEO_SECONDS for count in workers]
    idle = found.idle
    lines: dict[str, list[float]] = {
        "videos at once": [count * PLACES for count in workers],
        "videos a second": rates,
        "hours for a million": [1_000_000 / rate / 3600 for rate in rates],
        "looks a second at the gateway": [rate * LOOKS for rate in rates],
        "transactions a second": [
            rate * found.of_a_video("transactions") + count * idle.transactions / idle.seconds
            for count, rate in zip(workers, rates, strict=True)
        ],
        "WAL, MB a second": [
            (rate * found.of_a_video("wal") + count * idle.wal / idle.seconds) / 1e6
            for count, rate in zip(workers, rates, strict=True)
        ],
        "cores of PostgreSQL": [
            rate * found.of_a_video("server_cpu") + count * idle.server_cpu / idle.seconds
            for count, rate in zip(workers, rates, strict=True)
        ],
        "cores of each worker": [rates[0] * found.run.own_cpu / found.videos] * len(workers),
        "connections": [count * found.connections for count in workers],
    }
    head = f"reckoned: {PLACES} places a worker, {VIDEO_SECONDS} s a video"
    print(f"\n{head:44}" + "".join(f"{count:>10}" for count in workers))
    for name, values in lines.items():
        print(
            f"  {name:42}"
            + "".join(f"{value:10,.{0 if value >= 100 or value == int(value) else 2}f}" for value in values)
        )


def print_lists(found: Found) -> None:
    """Print what lists need: disk, WAL, and nights."""
    disk = sum(found.bytes.values())
    print(f"\n{'reckoned: a list of':44}" + "".join(f"{count:>12,}" for count in VIDEOS))
    print(f"  {'disk, GB':42}" + "".join(f"{count * disk / 1e9:12.2f}" for count in VIDEOS))
    print(
        f"  {'WAL over its life, GB':42}"
        + "".join(f"{count * found.of_a_video('wal') / 1e9:12.2f}" for count in VIDEOS)
    )
    for cap in CAPS:
        nights = [count * VIDEO_SECONDS / cap / 3600 / NIGHT_HOURS for count in VIDEOS]
        label = f"nights of {NIGHT_HOURS} h, {cap:,} tasks at once"
        print(f"  {label:42}" + "".join(f"{night:12,.1f}" for night in nights))


def main() -> None:
    """Measure, reckon and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=int, nargs="?", default=2000)
    told = parser.parse_args()
    programs = programs_folder()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    os.environ["NEBULA_API_KEY"] = KEY
    # The local server has no beat: its tasks end at any time.
    register_gateway(replace(GATEWAYS["nebula"], beat_seconds=None), replace=True)
    folder = Path(tempfile.mkdtemp(prefix="nebula-limits-"))
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    server, gateway = Postgres(programs, folder / "pg"), Server(1.0, 0.0, 0.0)
    try:
        found = asyncio.run(make(server, server.create("fleet").replace("+psycopg", ""), gateway.url, told.videos))
    finally:
        gateway.close()
        server.stop("immediate")
    print_measured(found)
    print_workers(found)
    print_lists(found)


if __name__ == "__main__":
    main()
