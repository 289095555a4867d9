"""What it takes to hand a list to the fleet, against a bare `COPY` of the same rows.

`python benchmarks/fleet_enqueue.py [rows] [rounds]` starts a PostgreSQL of its own. In each round

- `COPY` writes the rows, as JSON, into a table without key, index and trigger. That is the best plain way with this
  driver: `copy.write_row((number, json.dumps(row)))`.
- `COPY` writes the items that the fleet made of the rows, with their keys and prices, into such a table. To make them
  is not counted.
- `Fleet.submit_many` gets the rows, in an empty fleet: it checks them, makes their keys and prices, and puts them into
  tables with keys, indexes and counts, ten thousand to a transaction.
- `Fleet.submit_many` gets the same rows once more.

It prints seconds on the clock, and the CPU seconds of this process and of the server's, which a busy machine changes
less. A ratio is the median of the rounds' ratios.
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
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg

from langchain_nebula_video.fleet import Fleet
from langchain_nebula_video.fleet.rows import Item, Planner
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from tests.postgres import Server, programs_folder

ROWS, ROUNDS = 100_000, 5
BARE = "DROP TABLE IF EXISTS bare; CREATE TABLE bare (n bigint, request json)"
BARE_ITEMS = (
    "DROP TABLE IF EXISTS bare; "
    "CREATE TABLE bare (key text, batch_id bigint, n bigint, request json, tag json, usd numeric)"
)
EMPTY = "TRUNCATE nebula_fleet_items, nebula_fleet_counts, nebula_fleet_batches, nebula_fleet_broken"


def make_rows(count: int) -> list[dict[str, Any]]:
    """Return so many different rows."""
    return [
        {
            "prompt": f"The cat {number} blinks, and the camera moves closer",
            "image": f"https://images.example.com/cats/{number:06}.jpg",
            "tag": number,
        }
        for number in range(count)
    ]


class Stopwatch:
    """Measures a piece of work: seconds on the clock, and CPU seconds of this process and of the server."""

    def __init__(self, server: Server) -> None:
        self._postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])

    def _server_seconds(self) -> float:
        """CPU seconds of the server's processes that have ended: each connection has one."""
        fields = Path(f"/proc/{self._postmaster}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def measure(self, work: Callable[[], object]) -> tuple[float, float]:
        """Return the seconds on the clock, and the CPU seconds."""
        server, own, began = self._server_seconds(), time.process_time(), time.perf_counter()
        work()
        clock, cpu = time.perf_counter() - began, time.process_time() - own
        time.sleep(0.2)  # until the postmaster has heard of the end of a process
        return clock, cpu + self._server_seconds() - server


def copy_rows(url: str, rows: list[dict[str, Any]]) -> None:
    """Write rows with a bare COPY."""
    with psycopg.connect(url) as connection, connection.cursor().copy("COPY bare FROM STDIN") as copy:
        for number, row in enumerate(rows):
            copy.write_row((number, json.dumps(row)))


def copy_items(url: str, items: list[Item]) -> None:
    """Write finished items with a bare COPY."""
    with psycopg.connect(url) as connection, connection.cursor().copy("COPY bare FROM STDIN") as copy:
        for number, item in enumerate(items):
            copy.write_row((item.key, 1, number, item.request, item.tag, item.usd))


def execute(url: str, statement: str) -> None:
    """Run a statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    os.environ["NEBULA_API_KEY"] = "sk-of-a-benchmark"
    folder, programs = Path(tempfile.mkdtemp(prefix="nebula-enqueue-")), programs_folder()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    server = Server(programs, folder / "pg")
    try:
        url = server.create("fleet").replace("+psycopg", "")
        fleet, rows, watch = Fleet(url), make_rows(count), Stopwatch(server)
        asyncio.run(fleet.init())
        items = [each for each in Planner(LifecycleOptions()).plan(rows) if isinstance(each, Item)]
        ways: dict[str, tuple[str | None, Callable[[], object]]] = {
            "COPY of the rows": (BARE, lambda: copy_rows(url, rows)),
            "COPY of finished items": (BARE_ITEMS, lambda: copy_items(url, items)),
            "submit_many": (EMPTY, lambda: asyncio.run(fleet.submit_many(rows, batch="cats"))),
            "the same list again": (None, lambda: asyncio.run(fleet.submit_many(rows, batch="cats"))),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (prepare, work) in ways.items():
                if prepare:
                    execute(url, prepare)
                found[name].append(watch.measure(work))
        load = os.getloadavg()[0]
        print(f"{f'{count:,} rows, load {load:.1f}':28}{'s':>8}{'ratio':>8}{'least':>8}{'CPU s':>8}{'ratio':>8}")
        base = found["COPY of the rows"]
        for name, each in found.items():
            clock, cpu = (statistics.median(one[place] for one in each) for place in (0, 1))
            of_clock, of_cpu = ([one[p] / zero[p] for one, zero in zip(each, base, strict=True)] for p in (0, 1))
            print(f"{name:28}{clock:8.2f}{statistics.median(of_clock):8.2f}{min(of_clock):8.2f}"
                  f"{cpu:8.2f}{statistics.median(of_cpu):8.2f}")  # fmt: skip
    finally:
        server.stop("immediate")


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    main(*(numbers + [ROWS, ROUNDS][len(numbers) :]))
