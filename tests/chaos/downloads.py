"""Long downloads beside submits, in one client; another process asks for the same keys meanwhile.

The clients' time runs fast, so a download of a few seconds takes minutes to them. A submit that waits behind the
downloads outlives its lease, and the other client then decides about the key.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NebulaVideoError,
    SqlJournal,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator
from tests.chaos.clock import FastClock
from tests.chaos.ledger import Delivery, Figures, Ledger
from tests.chaos.plan import Plan, fields, host_picture, new_emulator, reach

FACTOR = 60.0
DOWNLOAD_SECONDS = 4.0
BATCH = 64
"""Twice the number of requests that a client has under way at once."""
_TRIES = 10


def downloads(plan: Plan, folder: Path, kinds: Sequence[str] = ("blocking", "async")) -> Figures:
    """Generate batches of keys, in turn with each kind of client; submit the same keys with another client."""
    began = time.monotonic()
    clock, rng = FastClock(FACTOR), random.Random(plan.seed)
    with new_emulator(speed=1000 * FACTOR, clock=clock) as emulator:
        callers = Callers(emulator, clock, plan.journal_url(folder), folder / "videos")
        names = [f"d{number}" for number in range(plan.generations)]
        for kind, first in zip(cycle(kinds), range(0, len(names), BATCH), strict=False):
            batch = names[first : first + BATCH]
            delays = [rng.uniform(1.0, 3.0) for _ in batch]
            with ThreadPoolExecutor(BATCH) as others:
                twins = others.map(callers.submit, batch, delays)
                if kind == "async":
                    asyncio.run(callers.generate_in_coroutines(batch))
                else:
                    callers.generate_in_threads(batch)
                list(twins)
        emulator.faults.clear()
        callers.resume()
        figures = Ledger(emulator).judge(callers.journal.entries(), callers.received, videos=folder / "videos")
        slow = sum(request.fault == "slow" for request in emulator.requests)
    figures.generations, figures.seconds = plan.generations, time.monotonic() - began
    figures.disturbances += callers.errors + Counter(slow_downloads=slow)
    return figures


class Callers:
    """A client of each kind that saves its videos, and another one that only submits."""

    def __init__(self, emulator: Emulator, clock: FastClock, url: str, videos: Path) -> None:
        self.journal = SqlJournal(url)
        self.received: list[Delivery] = []
        self.errors = Counter[str]()
        self._image = host_picture(emulator)
        options: dict[str, Any] = {**reach(emulator, "dashscope"), "clock": clock, "poll_interval": 3.0}
        self._blocking = NebulaVideoClient(**options, journal=self.journal, save_to=videos)
        self._async = AsyncNebulaVideoClient(**options, journal=self.journal, save_to=videos)
        self._other = NebulaVideoClient(**options, journal=SqlJournal(url))
        path = self._blocking.generate(fields(self._image, "size"), key="size").path
        assert path is not None
        rate = Path(path).stat().st_size / DOWNLOAD_SECONDS
        emulator.faults.add("download", "slow", bytes_per_second=rate, times=None)

    def generate_in_threads(self, names: list[str]) -> None:
        """Generate all keys at once with the blocking client."""

        def generate(name: str) -> None:
            for _ in range(_TRIES):
                try:
                    video = self._blocking.generate(fields(self._image, name), key=name)
                except NebulaVideoError as error:
                    if self._is_final(error):
                        return
                else:
                    self.received.append(Delivery.of(name, video.url))
                    return

        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(generate, names))

    async def generate_in_coroutines(self, names: list[str]) -> None:
        """Generate all keys at once with the async client."""

        async def generate(name: str) -> None:
            for _ in range(_TRIES):
                try:
                    video = await self._async.generate(fields(self._image, name), key=name)
                except NebulaVideoError as error:
                    if self._is_final(error):
                        return
                else:
                    self.received.append(Delivery.of(name, video.url))
                    return

        await asyncio.gather(*map(generate, names))

    def submit(self, name: str, delay: float) -> None:
        """Ask for the same key a moment later, as another process does."""
        time.sleep(delay)
        try:
            self._other.submit(fields(self._image, name), key=name)
        except NebulaVideoError as error:
            self._is_final(error)

    def resume(self) -> None:
        """Finish what is left, as an operator does."""
        for task in self._blocking.resume():
            self._blocking.wait(task)

    def _is_final(self, error: NebulaVideoError) -> bool:
        self.errors[f"error_{type(error).__name__}"] += 1
        return isinstance(error, SubmissionUnconfirmedError)
