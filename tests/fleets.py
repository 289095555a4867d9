"""Fleets of the tests' own: a fresh database each, quick workers, and the key in the environment as workers have it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from langchain_nebula_video.fleet import Fleet, FleetWorker, Timing
from tests.gateways import ASK
from tests.postgres import Server

__all__ = ["PATIENCE", "QUICK", "asks", "fresh_url", "new_fleet", "until", "working"]

QUICK = Timing(tick=timedelta(seconds=0.1), limit=timedelta(seconds=10), tidy=timedelta(seconds=1))
"""A worker that feeds ten times a second. It is dead after ten seconds: a busy machine may keep it so long."""
PATIENCE = 120.0
"""Seconds after which a test gives up waiting."""


def fresh_url(server: Server) -> str:
    """Make an empty database, and return its URL."""
    return server.create(f"fleet_{uuid.uuid4().hex[:12]}").replace("+psycopg", "")


def asks(count: int, **more: Any) -> list[dict[str, Any]]:
    """Return rows for so many different videos."""
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
    finally:
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)


async def until(true: Callable[[], Any], what: str = "it") -> None:
    """Wait until something holds; `true` may be async."""

    async def wait() -> None:
        while True:
            found = true()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.05)

    try:
        await asyncio.wait_for(wait(), PATIENCE)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {PATIENCE:.0f} s") from None


async def new_fleet(url: str) -> Fleet:
    """Return a fleet whose tables are made."""
    fleet = Fleet(url)
    await fleet.init()
    return fleet
