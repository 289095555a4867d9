"""One process of the chaos run: generates its share of the keys until each has its end, whatever happens to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import resource
import sys
from pathlib import Path

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    Budget,
    BudgetExceededError,
    NebulaVideoError,
    SqlJournal,
    SubmissionUnconfirmedError,
    TaskFailedError,
)
from tests.chaos.clock import JumpingClock

AT_ONCE = 12
FULL = "disk full\n"
PATIENCE = 30.0


def say(text: str) -> None:
    """Into the log, which is on the disk that may be full."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)


async def fill_the_disk(rng: random.Random) -> None:
    """Now and then, for a moment, this process cannot make any file longer: to it, the disk is full."""
    while True:
        await asyncio.sleep(rng.uniform(2.0, 6.0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        await asyncio.sleep(rng.uniform(0.2, 0.8))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        say(FULL)


async def one(client: AsyncNebulaVideoClient, image: str, number: int, places: asyncio.Semaphore) -> None:
    """One key, to its end: a video on disk, a free failure, no money left, or a question for a person."""
    async with places:
        while True:
            try:
                await client.generate(
                    # The same scene for all, so that the emulator renders one video; the address tells them apart.
                    prompt="The boat crosses the bay",
                    image=f"{image}?key={number}",
                    seed=1,
                    resolution="480p",
                    key=f"k{number}",
                )
            except (SubmissionUnconfirmedError, TaskFailedError, BudgetExceededError):
                return
            except NebulaVideoError as error:
                say(f"k{number}: {type(error).__name__}: {error}\n")
                await asyncio.sleep(0.2)
            else:
                return


async def main(asked: argparse.Namespace) -> None:
    """All keys of this worker's share."""
    journal = SqlJournal(asked.journal)
    client = AsyncNebulaVideoClient(
        gateway=asked.gateway,
        base_url=asked.base_url,
        api_key=asked.api_key,
        journal=journal,
        budget=Budget(asked.budget),
        save_to=Path(asked.folder),
        poll_interval=0.05,
        timeout=PATIENCE,
        clock=JumpingClock(asked.jump),
    )
    places = asyncio.Semaphore(AT_ONCE)
    filling = asyncio.create_task(fill_the_disk(random.Random(asked.seed)))
    async with client, asyncio.TaskGroup() as group:
        for number in range(asked.first, asked.count, asked.step):
            group.create_task(one(client, asked.image, number, places))
    filling.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("--journal", "--gateway", "--base-url", "--api-key", "--budget", "--folder", "--image"):
        parser.add_argument(name, required=True)
    for name in ("--first", "--step", "--count", "--seed"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--jump", type=float, default=0.0)
    asyncio.run(main(parser.parse_args()))
