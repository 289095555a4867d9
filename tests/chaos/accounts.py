"""Two users on one account: a journal each, a prompt that both use, pictures of their own; and submits that get lost.

The gateway lists its tasks. The list names neither pictures nor users.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoError, SqlJournal
from langchain_nebula_video.emulator import Emulator
from tests.chaos.clock import FastClock
from tests.chaos.ledger import Delivery, Figures, Ledger
from tests.chaos.plan import Plan, fields, host_picture, new_emulator, reach

FACTOR = 10.0
"""Not more: to the client, the answer to a list would look late, and the gateway's clock wrong."""
PAIRS = 8
USERS = ("alice", "bob")
_LOST = {"reset_before": 0.15, "reset_after": 0.1, "eof_before": 0.05}
"""How a submit gets lost, and the share of submits."""
_TIMEOUT = 60.0


def accounts(plan: Plan, folder: Path) -> Figures:
    """Let pairs of users generate at the same moments, over and over. Each pair has its own prompt."""
    return asyncio.run(_accounts(plan, folder))


async def _accounts(plan: Plan, folder: Path) -> Figures:
    began = time.monotonic()
    clock, rng = FastClock(FACTOR), random.Random(plan.seed)
    rounds = max(1, plan.generations // (PAIRS * len(USERS)))
    submits = rounds * PAIRS * len(USERS)
    with new_emulator(clock=clock) as emulator:
        for kind, share in _LOST.items():
            for after in sorted(rng.sample(range(submits), max(1, round(submits * share)))):
                emulator.faults.add("submit", kind, after=after)
        users = {user: User(user, plan.journal_url(folder, user), emulator, clock) for user in USERS}

        async def meet(pair: int) -> None:
            for number in range(rounds):
                async with asyncio.TaskGroup() as group:
                    for user in users.values():
                        group.create_task(user.generate(f"{user.name}{pair}.{number}", f"Stock prompt {pair}"))

        await asyncio.gather(*map(meet, range(PAIRS)))
        for user in users.values():
            await user.resume()
        rows = [row for user in users.values() for row in user.journal.entries()]
        figures = Ledger(emulator).judge(rows, [found for user in users.values() for found in user.received])
    figures.peak_submits = 0  # it is bounded for each journal, and there are two
    figures.generations, figures.seconds = submits, time.monotonic() - began
    for user in users.values():
        figures.disturbances += user.errors
    return figures


class User:
    """One user of the account, with a journal and a picture of their own."""

    def __init__(self, name: str, journal: str, emulator: Emulator, clock: FastClock) -> None:
        self.name = name
        self.journal = SqlJournal(journal)
        self.received: list[Delivery] = []
        self.errors = Counter[str]()
        self._image = host_picture(emulator, name)
        options: dict[str, Any] = {**reach(emulator, "dashscope"), "journal": self.journal, "clock": clock}
        self._client = AsyncNebulaVideoClient(**options, poll_interval=1.0, timeout=_TIMEOUT)

    async def generate(self, name: str, prompt: str) -> None:
        """Generate one video."""
        try:
            video = await self._client.generate(fields(self._image, name, prompt), key=name)
        except NebulaVideoError as error:
            self.errors[f"error_{type(error).__name__}"] += 1
        else:
            self.received.append(Delivery.of(name, video.url))

    async def resume(self) -> None:
        """Finish what is left, as an operator does."""
        for task in await self._client.resume():
            await self._client.wait(task)
