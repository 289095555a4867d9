"""What a journal costs per generation: reserve, begin, task id, running, succeeded, saved.

`python benchmarks/journal.py [generations] [postgresql+psycopg://…]` measures the journal in memory, in SQLite in a
temporary folder, and in PostgreSQL if the URL of a database is given. It prints the CPU time of this process, the wall
time, and the generations per second from one process and from four. The ratio compares each with the bare SQLite
driver, which runs the same six transactions with the same syncs.

The second part measures how long an event loop is blocked while an async client makes generations on the emulator. It
uses the journal in memory, SQLite, and SQLite while another process locks the file for two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

from langchain_nebula_video import AsyncNebulaVideoClient, Budget, MemoryJournal, SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import Entry, EntryState, Journal

REQUEST = {"prompt": "The cat blinks, and the camera moves closer", "image": f"sha256:{'a' * 64}", "duration": 5}
VIDEO = {"task_id": "t", "url": f"https://results.example.com/{'s' * 300}", "cost": {"usd": "0.369"}, **REQUEST}
PROCESSES = 4
NO_LIMIT = 1_000_000


def write_generation(journal: Journal, budget: Budget | None) -> None:
    """Write everything that a journal records of one generation."""
    name, now = uuid.uuid4().hex, datetime.now(UTC)
    until = now + timedelta(minutes=2)
    lease: dict[str, Any] = {"holder": "me", "held_until": until}
    cost = Decimal("0.369")
    journal.reserve(
        Entry(
            id=name, key=name, gateway="nebula", model="m", request=REQUEST, created_at=now, reserved_usd=cost, **lease
        ),
        budget,
    )
    journal.begin(name, holder="me", now=now, until=until, cap=NO_LIMIT)
    journal.update(name, task_id=name, state=EntryState.SUBMITTED)
    journal.update(name, state=EntryState.RUNNING)
    journal.update(name, state=EntryState.SUCCEEDED, billed_usd=cost, video=VIDEO)
    journal.update(name, video=VIDEO)


def write_bare_rows(connection: sqlite3.Connection) -> None:
    """Run the same transactions on the bare driver."""
    name, execute = uuid.uuid4().hex, connection.execute
    execute("INSERT INTO t VALUES (?, ?, ?, 'submitting', NULL)", (name, str(REQUEST), 0.369))
    execute("PRAGMA synchronous=FULL")
    execute("UPDATE t SET cost = ? WHERE id = ?", (0.1, name))
    execute("UPDATE t SET state = ? WHERE id = ?", ("submitted", name))
    execute("PRAGMA synchronous=NORMAL")
    execute("UPDATE t SET state = ? WHERE id = ?", ("running", name))
    execute("UPDATE t SET state = ?, video = ? WHERE id = ?", ("succeeded", str(VIDEO), name))
    execute("UPDATE t SET video = ? WHERE id = ?", (str(VIDEO), name))


def measure(work: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Return the milliseconds of CPU time and of wall time per round."""
    for _ in range(20):
        work()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        work()
    return (time.process_time() - cpu) / rounds * 1000, (time.perf_counter() - wall) / rounds * 1000


def run_process(url: str, rounds: int) -> float:
    """Write generations in one of several processes, and return the seconds that they took."""
    journal = SqlJournal(url)
    write_generation(journal, None)
    began = time.perf_counter()
    for _ in range(rounds):
        write_generation(journal, Budget(NO_LIMIT))
    journal.close()
    return time.perf_counter() - began


async def measure_delays(journal: Journal, rounds: int, emulator: Emulator) -> list[float]:
    """Return the milliseconds by which a timer of one millisecond is late while generations run on the same loop."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began) * 1000 - 1)

    client = AsyncNebulaVideoClient(
        base_url=emulator.url, api_key=emulator.api_key, journal=journal, poll_interval=0.05, timeout=600
    )
    places = asyncio.Semaphore(16)

    async def one() -> None:
        async with places:
            await client.generate(prompt="x", image="https://example.com/cat.png", key=uuid.uuid4().hex)

    async with client:
        await one()  # imports, connections
        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(one() for _ in range(rounds)))
        ticking.cancel()
    return sorted(late)


def lock_file(path: str, seconds: float) -> None:
    """Lock the journal's file for some seconds."""
    time.sleep(0.5)
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def print_delays(folder: str, rounds: int) -> None:
    """Measure and print how long the event loop is blocked."""
    path = f"{folder}/loop.db"
    print(f"\n{'event loop, late by ms':34}{'median':>8}{'99 %':>8}{'most':>8}{'ratio of 99 %':>16}")
    base = 0.0
    for name, held in (("memory", False), ("SQLite", False), ("SQLite, held for 2 s", True)):
        journal: Journal = MemoryJournal() if name == "memory" else SqlJournal(f"sqlite:///{path}")
        other = get_context("spawn").Process(target=lock_file, args=(path, 2.0)) if held else None
        with Emulator(speed=1000, balance=NO_LIMIT) as emulator:
            if other is not None:
                other.start()
            late = asyncio.run(measure_delays(journal, rounds, emulator))
        if other is not None:
            other.join()
        journal.close()
        high = late[int(len(late) * 0.99)]
        base = base or high
        print(f"{name:34}{late[len(late) // 2]:8.2f}{high:8.2f}{late[-1]:8.1f}{high / base:16.1f}")


def main(rounds: int, server: str | None) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        plain = sqlite3.connect(f"{folder}/plain.db", isolation_level=None)
        plain.execute("PRAGMA journal_mode=WAL")
        plain.execute("CREATE TABLE t (id TEXT PRIMARY KEY, request TEXT, cost REAL, state TEXT, video TEXT)")
        base = measure(lambda: write_bare_rows(plain), rounds)
        plain.close()
        print(f"{'':34}{'CPU ms':>8}{'ms':>8}{'ratio':>8}{'a second':>10}{'from four':>11}")
        print(f"{'SQLite, by the bare driver':34}{base[0]:8.2f}{base[1]:8.2f}{1:8.1f}{1000 / base[1]:10.0f}")
        urls = {"SQLite": f"sqlite:///{folder}/journal.db", **({"PostgreSQL": server} if server else {})}
        for name, url in [("memory", None), *urls.items()]:
            journal = MemoryJournal() if url is None else SqlJournal(url)
            for budget in (None, Budget(NO_LIMIT, per=timedelta(hours=1))):
                cpu, wall = measure(lambda: write_generation(journal, budget), rounds)  # noqa: B023 measure calls it at once
                label = f"{name}, {'without' if budget is None else 'with'} a budget"
                print(f"{label:34}{cpu:8.2f}{wall:8.2f}{cpu / base[0]:8.1f}{1000 / wall:10.0f}", end="")
                print() if url is None or budget is None else None
            journal.close()
            if url is not None:
                with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
                    took = list(pool.map(run_process, [url] * PROCESSES, [rounds] * PROCESSES))
                print(f"{PROCESSES * rounds / max(took):11.0f}")
        print_delays(folder, min(rounds, 300))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, sys.argv[2] if len(sys.argv) > 2 else None)
