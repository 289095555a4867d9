"""Identical calls from abandoned bodies: a caller gives up on a tool call and calls again, while the first one runs on.

Frameworks with a time limit of their own do so: they cannot end a thread, and often do not end a coroutine.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as GaveUpError
from pathlib import Path
from typing import Any

from langchain_nebula_video import NebulaVideoTool, SqlJournal
from tests.chaos.ledger import Delivery, Figures, Ledger
from tests.chaos.plan import Plan, fields, host_picture, new_emulator, reach

AT_ONCE = 8
CALLS = 4
"""How often a caller calls; it waits for the last call to the end."""
SPEED = 60.0
_LATE_SHARE = 0.3


def bodies(plan: Plan, folder: Path) -> Figures:
    """Let callers ask for a picture each; half of them in threads, half of them in coroutines."""
    began = time.monotonic()
    rng = random.Random(plan.seed)
    with new_emulator(speed=SPEED) as emulator:
        for after in sorted(rng.sample(range(plan.generations), round(plan.generations * _LATE_SHARE))):
            emulator.faults.add("submit", "late", seconds=1.0, after=after)
        image, where = host_picture(emulator), reach(emulator, "nebula")
        journal = SqlJournal(plan.journal_url(folder))
        tool = NebulaVideoTool(**where, journal=journal, poll_interval=0.2)
        names = [f"b{number}" for number in range(plan.generations)]
        callers = Callers(tool, image, rng)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(callers.call_in_threads, names[::2]))
        callers.finish()
        asyncio.run(callers.call_in_coroutines(names[1::2]))
        figures = Ledger(emulator).judge(journal.entries(), callers.received)
    figures.generations, figures.seconds = plan.generations, time.monotonic() - began
    figures.disturbances += Counter(bodies_given_up=callers.given_up, calls_refused=callers.refused)
    return figures


class Callers:
    """Callers with little patience."""

    def __init__(self, tool: NebulaVideoTool, image: str, rng: random.Random) -> None:
        self._tool, self._image, self._rng = tool, image, rng
        self._bodies = ThreadPoolExecutor(AT_ONCE * CALLS)
        self.received: list[Delivery] = []
        self.given_up = self.refused = 0

    def call_in_threads(self, name: str) -> None:
        """Call for one picture until a call returns in time; the last one is waited for."""
        calls: list[Future[Any]] = []
        for number in range(CALLS):
            calls.append(self._bodies.submit(self._tool.invoke, self._call(name)))
            try:
                self._receive(name, calls[-1].result(self._patience(number)))
            except GaveUpError:
                self.given_up += 1
            else:
                return

    async def call_in_coroutines(self, names: list[str]) -> None:
        """Do the same with coroutines that go on after the caller has given up."""
        places, running = asyncio.Semaphore(AT_ONCE), list[asyncio.Task[Any]]()

        async def call(name: str) -> None:
            async with places:
                for number in range(CALLS):
                    running.append(asyncio.create_task(self._tool.ainvoke(self._call(name))))
                    done, _ = await asyncio.wait(running[-1:], timeout=self._patience(number))
                    if done:
                        self._receive(name, done.pop().result())
                        return
                    self.given_up += 1

        await asyncio.gather(*map(call, names))
        await asyncio.gather(*running)

    def finish(self) -> None:
        """Wait for the bodies that nobody waits for."""
        self._bodies.shutdown()

    def _call(self, name: str) -> dict[str, Any]:
        call_id = f"call_{self._rng.random()}"
        return {"type": "tool_call", "id": call_id, "name": self._tool.name, "args": fields(self._image, name)}

    def _patience(self, number: int) -> float | None:
        return None if number == CALLS - 1 else self._rng.uniform(0.1, 0.6)

    def _receive(self, name: str, message: Any) -> None:
        if message.artifact is None:
            self.refused += 1
        else:
            self.received.append(Delivery.of(name, message.artifact["url"]))
