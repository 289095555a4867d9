"""One process of the storm: generates its share of the keys until each is finished, whatever happens to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import resource
import sys
import time
from pathlib import Path

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    Budget,
    BudgetExceededError,
    JournalError,
    NebulaVideoError,
    SqlJournal,
    SubmissionUnconfirmedError,
    TaskFailedError,
)
from tests.chaos.clock import JumpingClock
from tests.chaos.ledger import Delivery, ready_line
from tests.chaos.plan import fields

AT_ONCE = 12
FULL = "disk full\n"
PATIENCE = 30.0


def say(text: str) -> None:
    """Write into the log, which is on the disk that may be full."""
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


class Worker:
    """Generates keys, and ends the process if the journal keeps failing."""

    def __init__(self, client: AsyncNebulaVideoClient, image: str, delivered: Path, give_up_after: float) -> None:
        self._client, self._image, self._delivered = client, image, delivered
        self._give_up_after = give_up_after
        self._failing_since: float | None = None
        self._places = asyncio.Semaphore(AT_ONCE)

    async def finish(self, name: str) -> None:
        """Finish one key: a video on disk, a free failure, no money left, or a question for a person."""
        async with self._places:
            while True:
                try:
                    video = await self._client.generate(fields(self._image, name), key=name)
                except (SubmissionUnconfirmedError, TaskFailedError, BudgetExceededError):
                    return
                except NebulaVideoError as error:
                    say(f"{name}: {type(error).__name__}: {error}\n")
                    self._note_failure(error)
                    await asyncio.sleep(0.2)
                else:
                    self._failing_since = None
                    with contextlib.suppress(OSError), self._delivered.open("a") as out:
                        out.write(Delivery.of(name, video.url).line())
                    return

    def _note_failure(self, error: NebulaVideoError) -> None:
        if not isinstance(error, JournalError):
            self._failing_since = None
            return
        self._failing_since = self._failing_since or time.monotonic()
        if 0 < self._give_up_after < time.monotonic() - self._failing_since:
            say("the journal keeps failing: this process ends\n")
            os._exit(3)


def open_journal(journal: SqlJournal, delivered: Path) -> None:
    """Open the journal, and say so."""
    journal.spent()
    with delivered.open("a") as out:
        out.write(ready_line(os.getpid()))


async def main(asked: argparse.Namespace) -> None:
    """Finish all keys of this worker's share."""
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
    delivered = Path(asked.delivered)
    worker = Worker(client, asked.image, delivered, asked.give_up_after)
    await asyncio.to_thread(open_journal, journal, delivered)
    filling = asyncio.create_task(fill_the_disk(random.Random(asked.seed))) if asked.full_disks else None
    async with client, asyncio.TaskGroup() as group:
        for number in range(asked.first, asked.count, asked.step):
            group.create_task(worker.finish(f"k{number}"))
    if filling is not None:
        filling.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("gateway", "base-url", "api-key", "journal", "budget", "folder", "image", "delivered"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("first", "step", "count", "seed", "full-disks"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("jump", "give-up-after"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    asyncio.run(main(parser.parse_args()))
