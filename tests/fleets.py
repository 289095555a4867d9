"""Fleets of the tests' own: a fresh database each, quick workers that find their key in the environment, and judges.

The fixtures that use it are in `tests/integration_tests/conftest.py`: `fleet_url`, `fleet`, and `fleet_options` for
batches that are made by the emulator.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import psycopg

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import BatchStatus, Fleet, FleetWorker, Result, Timing
from langchain_nebula_video.fleet.database import Connection, Database
from langchain_nebula_video.fleet.schema import install
from langchain_nebula_video.journal import SqlJournal
from tests.gateways import ASK
from tests.postgres import Server

__all__ = [
    "PATIENCE",
    "QUICK",
    "Template",
    "all_results",
    "asks",
    "assert_counts_hold",
    "batch_status",
    "connected",
    "drop",
    "fresh_url",
    "items_of",
    "new_fleet",
    "query",
    "submits_of",
    "until",
    "work",
    "working",
]

QUICK = Timing(tick=timedelta(seconds=0.1), limit=timedelta(seconds=10), tidy=timedelta(seconds=1))
"""A worker that feeds ten times a second. It is dead after ten seconds: a busy machine may keep it so long."""
PATIENCE = 120.0
"""Seconds after which a test gives up waiting."""


class Template:
    """A database with the tables of fleet, engine and journal. Each test gets a copy, in a tenth of a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._name = f"fleet_{uuid.uuid4().hex[:12]}"
        url = server.create(self._name)
        journal = SqlJournal(url)
        journal.spent()  # makes the journal's tables
        journal.close()
        with Database(url).session() as connection:
            install(connection)

    @contextmanager
    def copy(self, **settings: str) -> Iterator[str]:
        """Make a database, and drop it after the body; its URL.

        Args:
            settings: Settings of its own, such as `default_transaction_isolation`.
        """
        name = f"fleet_{uuid.uuid4().hex[:12]}"
        url = self._server.create(name, template=self._name, **settings)
        try:
            yield url.replace("+psycopg", "")
        finally:
            drop(self._server, name)


def drop(server: Server, database: str) -> None:
    """Drop a database, whoever is still connected to it."""
    with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())


def fresh_url(server: Server) -> str:
    """Make an empty database, and return its URL."""
    return server.create(f"fleet_{uuid.uuid4().hex[:12]}").replace("+psycopg", "")


async def new_fleet(url: str) -> Fleet:
    """Return a fleet whose tables are made."""
    fleet = Fleet(url)
    await fleet.init()
    return fleet


def asks(count: int, **more: Any) -> list[dict[str, Any]]:
    """Return rows for so many different videos: 480p, for USD 0.1845 each."""
    return [{**ASK, "prompt": f"Take {number}", **more} for number in range(1, count + 1)]


@asynccontextmanager
async def working(
    url: str, *, concurrency: int = 20, timing: Timing = QUICK, **more: Any
) -> AsyncIterator[FleetWorker]:
    """Run a worker in this process for the body; then it drains. It finds its key in the environment."""
    worker = FleetWorker(url, concurrency=concurrency, timing=timing, **more)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    except BaseException:  # a test that failed does not wait for its items
        worker.cut_off()
        await asyncio.wait([running], timeout=PATIENCE)
        raise
    worker.stop()
    await asyncio.wait_for(running, PATIENCE)


def work(url: str, concurrency: int, timing: Timing) -> None:
    """Run a worker to its end, in a process of its own: signals stop it."""
    asyncio.run(FleetWorker(url, concurrency=concurrency, timing=timing).run(signals=True))


async def until(true: Callable[[], Any], what: str = "it") -> Any:
    """Wait until something holds, and return it; `true` may be async."""

    async def wait() -> Any:
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.05)

    try:
        return await asyncio.wait_for(wait(), PATIENCE)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {PATIENCE:.0f} s") from None


# --- what became of it ---


async def batch_status(fleet: Fleet, batch: str) -> BatchStatus:
    """How a batch is."""
    (status,) = (await fleet.status(batch)).batches
    return status


async def all_results(fleet: Fleet, batch: str) -> list[Result]:
    """Wait until all items of a batch have ended; their results, in the order of the list."""
    async with asyncio.timeout(PATIENCE):
        found = [result async for result in fleet.results(batch)]
    return sorted(found, key=lambda result: result.number)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection to a fleet's database."""
    with Database(url).connect() as connection:
        yield connection


def query(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement, and return its rows."""
    with connected(url) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def items_of(url: str, batch: str) -> list[dict[str, Any]]:
    """The rows of a batch's items, in the order of the list."""
    statement = (
        "SELECT item.key, item.n, item.state, item.usd, item.reserved, item.attempt, item.errors, item.next_at, "
        "item.job_id, item.worker, item.error FROM nebula_fleet_items AS item "
        "JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id WHERE batch.name = %s ORDER BY item.n"
    )
    with connected(url) as connection:
        cursor = connection.execute(statement.encode(), [batch])
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def assert_counts_hold(url: str) -> None:
    """The counts that triggers keep are those of the items, by batch and state, with their money."""
    counted = query(
        url,
        "SELECT batch_id, state, sum(items), sum(usd), sum(reserved) FROM nebula_fleet_counts GROUP BY batch_id, state",
    )
    real = query(
        url,
        "SELECT batch_id, state, count(*), sum(usd), sum(CASE WHEN reserved THEN usd ELSE 0 END) "
        "FROM nebula_fleet_items GROUP BY batch_id, state",
    )
    assert {row for row in counted if any(row[2:])} == set(real)


def submits_of(emulator: Emulator) -> Counter[str]:
    """How many tasks the gateway accepted for each prompt: more than one is paid twice."""
    return Counter(str(task.request["prompt"]) for task in emulator.tasks)
