"""What a journal costs a generation: reserve, begin, task id, running, succeeded, saved.

`python benchmarks/journal.py [generations] [postgresql+psycopg://…]` prints for the journal in memory, for SQLite in a
temporary folder, and for PostgreSQL if its URL is given (a database to write to): CPU of this process, the time that
passes, and generations per second from one process and from four. Each is told as a multiple of SQLite's own work as
well: the same six transactions said to the bare driver, with the same syncs.

And how long an event loop stands still while an async client makes as many generations on it against the emulator:
with the journal in memory, with SQLite, and with SQLite whose file another process holds for two seconds meanwhile.
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
WIDE = 1_000_000


def generation(journal: Journal, budget: Budget | None) -> None:
    """All that is written of one generation."""
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
    journal.begin(name, holder="me", now=now, until=until, cap=WIDE)
    journal.update(name, task_id=name, state=EntryState.SUBMITTED)
    journal.update(name, state=EntryState.RUNNING)
    journal.update(name, state=EntryState.SUCCEEDED, billed_usd=cost, video=VIDEO)
    journal.update(name, video=VIDEO)


def bare(connection: sqlite3.Connection) -> None:
    """As many transactions, said to the driver."""
    name, say = uuid.uuid4().hex, connection.execute
    say("INSERT INTO t VALUES (?, ?, ?, 'submitting', NULL)", (name, str(REQUEST), 0.369))
    say("PRAGMA synchronous=FULL")
    say("UPDATE t SET cost = ? WHERE id = ?", (0.1, name))
    say("UPDATE t SET state = ? WHERE id = ?", ("submitted", name))
    say("PRAGMA synchronous=NORMAL")
    say("UPDATE t SET state = ? WHERE id = ?", ("running", name))
    say("UPDATE t SET state = ?, video = ? WHERE id = ?", ("succeeded", str(VIDEO), name))
    say("UPDATE t SET video = ? WHERE id = ?", (str(VIDEO), name))


def measured(work: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Milliseconds of CPU and of time that one round takes."""
    for _ in range(20):
        work()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        work()
    return (time.process_time() - cpu) / rounds * 1000, (time.perf_counter() - wall) / rounds * 1000


def crowd(url: str, rounds: int) -> float:
    """One of several processes; its seconds."""
    journal = SqlJournal(url)
    generation(journal, None)
    began = time.perf_counter()
    for _ in range(rounds):
        generation(journal, Budget(WIDE))
    journal.close()
    return time.perf_counter() - began


async def pauses(journal: Journal, rounds: int, emulator: Emulator) -> list[float]:
    """Milliseconds by which a timer of one millisecond is late, while generations run on the same loop."""
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


def hold(path: str, seconds: float) -> None:
    """Keep the journal's file to oneself."""
    time.sleep(0.5)
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def standstill(folder: str, rounds: int) -> None:
    """How long the event loop is kept waiting."""
    path = f"{folder}/loop.db"
    print(f"\n{'event loop, late by ms':34}{'median':>8}{'99 %':>8}{'most':>8}{'ratio of 99 %':>16}")
    base = 0.0
    for name, held in (("memory", False), ("SQLite", False), ("SQLite, held for 2 s", True)):
        journal: Journal = MemoryJournal() if name == "memory" else SqlJournal(f"sqlite:///{path}")
        other = get_context("spawn").Process(target=hold, args=(path, 2.0)) if held else None
        with Emulator(speed=1000, balance=WIDE) as emulator:
            if other is not None:
                other.start()
            late = asyncio.run(pauses(journal, rounds, emulator))
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
        base = measured(lambda: bare(plain), rounds)
        plain.close()
        print(f"{'':34}{'CPU ms':>8}{'ms':>8}{'ratio':>8}{'a second':>10}{'from four':>11}")
        print(f"{'SQLite, by the bare driver':34}{base[0]:8.2f}{base[1]:8.2f}{1:8.1f}{1000 / base[1]:10.0f}")
        urls = {"SQLite": f"sqlite:///{folder}/journal.db", **({"PostgreSQL": server} if server else {})}
        for name, url in [("memory", None), *urls.items()]:
            journal = MemoryJournal() if url is None else SqlJournal(url)
            for budget in (None, Budget(WIDE, per=timedelta(hours=1))):
                cpu, wall = measured(lambda: generation(journal, budget), rounds)  # noqa: B023 it is called here
                label = f"{name}, {'without' if budget is None else 'with'} a budget"
                print(f"{label:34}{cpu:8.2f}{wall:8.2f}{cpu / base[0]:8.1f}{1000 / wall:10.0f}", end="")
                print() if url is None or budget is None else None
            journal.close()
            if url is not None:
                with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
                    took = list(pool.map(crowd, [url] * PROCESSES, [rounds] * PROCESSES))
                print(f"{PROCESSES * rounds / max(took):11.0f}")
        standstill(folder, min(rounds, 300))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, sys.argv[2] if len(sys.argv) > 2 else None)
