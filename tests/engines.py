"""Job engines that make videos by the recipes of examples/engines: what a killed worker does there, and what it costs.

Real servers and real workers, each in a process of its own. The judge is the emulator's ledger.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from langchain_nebula_video import NebulaVideoClient, SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import EntryState
from tests.environments import CHECKOUT

__all__ = ["ORDERS", "RECIPES", "SPEED", "Cluster", "Ledger", "Opened", "Site", "Worker", "kill_a_worker", "wait_until"]

RECIPES = CHECKOUT / "examples" / "engines"
ORDERS = tuple(f"order-{number}" for number in range(8))
SPEED = 20
"""A video takes three to five seconds, so that all of them are under way when a worker dies."""
PATIENCE = 240.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: It took longer than anybody should wait.
    """
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.1)


@dataclass
class Worker:
    """A process that runs jobs, or serves them."""

    process: subprocess.Popen[bytes]
    log: Path

    def read(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def begun(self) -> list[str]:
        """The orders that it has begun, a second time too."""
        return re.findall(r"begins (order-\d+)", self.read())

    def made(self) -> list[str]:
        """The orders that it has ended with a video."""
        return re.findall(r"has made (order-\d+)", self.read())

    def memory(self) -> int:
        """Bytes that it and its children have, what they share counted once."""
        main = self.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        told = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in (main, *children)]
        return sum(1024 * int(re.findall(r"^Pss: +(\d+)", text, re.MULTILINE)[0]) for text in told)

    def kill(self) -> None:
        """`kill -9`, of its children too. As a supervisor does, ask for its exit code."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_children(self) -> None:
        """`kill -9` of its children alone: the processes of a pool."""
        for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass
class Site:
    """Where an engine runs: its Python, a folder and the gateway."""

    python: Path
    folder: Path
    emulator: Emulator
    variables: Mapping[str, str] = field(default_factory=dict)
    """More environment variables."""
    recipes: Path = RECIPES
    """Where its processes run."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables of each process: what the recipes read, and nobody's settings."""
        others = ("NEBULA_", "DASHSCOPE_", "UNIALL_", "LANG", "PYTHON", "CELERY_", "TEMPORAL_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(others)},
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NEBULA_BASE_URL": self.emulator.url,
            "NEBULA_API_KEY": self.emulator.api_key,
            "NEBULA_JOURNAL": self.journal_url,
            "FOLDER": str(self.folder / "videos"),
            **self.variables,
        }

    @property
    def journal_url(self) -> str:
        """Of the journal that all processes share."""
        return f"sqlite:///{self.folder}/videos.db"

    def saved(self) -> set[str]:
        """The orders whose video is in the folder."""
        return {file.stem for file in (self.folder / "videos").glob("*.mp4")}

    def run(self, *command: str) -> None:
        """Run a program of the engine's environment to its end."""
        program, *arguments = command
        subprocess.run(
            [str(self.python.parent / program), *arguments],
            cwd=self.recipes,
            env=self.environment,
            check=True,
            timeout=PATIENCE,
            capture_output=True,
        )

    @contextmanager
    def workers(self, commands: Iterable[tuple[str, ...]], ready: str) -> Iterator[list[Worker]]:
        """Run workers, each in a session of its own, until the block is left.

        Args:
            commands: Programs of the engine's environment with their arguments.
            ready: What each of them writes once it takes jobs.
        """
        with contextlib.ExitStack() as stack:
            workers: list[Worker] = []
            for program, *arguments in commands:
                log = self.folder / f"worker-{len(workers)}.log"
                with log.open("wb") as output:
                    process = subprocess.Popen(
                        [str(self.python.parent / program), *arguments],
                        cwd=self.recipes,
                        env=self.environment,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                worker = Worker(process, log)
                workers.append(worker)
                stack.callback(worker.stop)
            for worker in workers:
                wait_until(lambda worker=worker: ready in worker.read(), f"{ready!r} in {worker.log}")  # type: ignore[misc]
            yield workers


class Cluster(Protocol):
    """An engine that runs."""

    @property
    def workers(self) -> list[Worker]:
        """Its workers, dead ones too."""

    def enqueue(self, orders: Iterable[str]) -> None:
        """Ask for these videos, as a program of the caller's does."""


Opened = Callable[[Site], AbstractContextManager[Cluster]]


@dataclass(frozen=True)
class Ledger:
    """What came of a killed worker."""

    again_after: dict[str, float]
    """By each order that the worker had begun and not ended: seconds from the kill until it was begun again."""
    posts: dict[str, int]
    """How often each order was submitted."""
    bills: dict[str, int]
    """How often each order was billed."""
    saved: set[str]
    """The orders whose video is in the folder."""
    unconfirmed: set[str] = field(default_factory=set)
    """The orders whose worker died within the paid request, before a person looked."""
    twice: set[str] = field(default_factory=set)
    """The orders that were begun more than once, before anybody repeated one."""

    @classmethod
    def of(cls, site: Site, again_after: dict[str, float], **more: set[str]) -> Ledger:
        """Read the emulator's books."""
        emulator = site.emulator
        orders = {task.id: task.request["prompt"].rpartition(" ")[2] for task in emulator.tasks}
        posts = Counter(orders.values())
        assert posts.total() == sum(request.point == "submit" for request in emulator.requests)
        bills = Counter(orders[line.task_id] for line in emulator.bill.lines)
        return cls(again_after, dict(posts), dict(bills), site.saved(), **more)

    def row(self, name: str) -> str:
        """As the table of docs/other-engines.md has it."""
        again = self.again_after.values()
        cells = (
            name,
            f"{min(again):.1f} to {max(again):.1f} s",
            f"{len(self.twice)} of {len(ORDERS)}",
            f"{max(self.posts.values())} and {max(self.bills.values())}",
            f"{len(self.saved)} of {len(ORDERS)}",
        )
        return f"| {' | '.join(cells)} |"


def kill_a_worker(
    opened: Opened, site: Site, *, repeated: int = len(ORDERS), strike: Callable[[Worker], None] = Worker.kill
) -> Ledger:
    """Kill a worker that waits for videos, and is within one paid request. Then repeat all orders.

    Args:
        opened: Starts the engine.
        site: Where.
        repeated: How many jobs the engine makes of the repeated orders.
        strike: How it dies.
    """
    emulator, journal = site.emulator, SqlJournal(site.journal_url)
    emulator.faults.add("submit", "late", seconds=2 * PATIENCE)  # accepted, and its worker does not hear of it

    def in_state(state: EntryState) -> set[str]:
        return {str(entry.key) for entry in journal.entries(states=[state])}

    def count(point: str) -> int:
        return sum(request.point == point for request in emulator.requests)

    with opened(site) as cluster:

        def begun() -> Counter[str]:
            return Counter(order for worker in cluster.workers for order in worker.begun())

        def made() -> int:
            return sum(len(worker.made()) for worker in cluster.workers)

        cluster.enqueue(ORDERS)
        wait_until(lambda: len(emulator.tasks) == len(ORDERS), "all are submitted")
        (lost,) = wait_for(lambda: in_state(EntryState.SUBMITTING), 1)  # the ids of the others are written
        doomed = next(worker for worker in cluster.workers if lost in worker.begun())
        wait_until(lambda: count("query") > 0, "somebody waits")
        held = set(doomed.begun()) - set(doomed.made())
        before = begun()
        strike(doomed)
        killed = time.monotonic()
        again: dict[str, float] = {}

        def all_again() -> bool:
            now = time.monotonic() - killed
            again.update(dict.fromkeys((begun() - before).keys() & held - again.keys(), now))
            return again.keys() == held

        wait_until(all_again, "the killed jobs run again")
        wait_until(lambda: site.saved() == set(ORDERS) - {lost}, "all but one are saved")
        unconfirmed = wait_for(lambda: in_state(EntryState.UNCONFIRMED), 1)
        runs = begun()

        # A person looks into the key's log, and the caller repeats whatever it ever asked for.
        with NebulaVideoClient(
            base_url=emulator.url, api_key=emulator.api_key, journal=journal, sole_account=True
        ) as client:
            wait_until(lambda: len(client.reconcile(key_in_address=True).found) == 1, "the lost one is in the log")
        ended = made()
        cluster.enqueue(ORDERS)
        wait_until(lambda: made() >= ended + repeated, "the repetitions end")

    return Ledger.of(site, again, unconfirmed=unconfirmed, twice={order for order, count in runs.items() if count > 1})


def wait_for(found: Callable[[], set[str]], count: int) -> set[str]:
    """Wait until there are so many; return them."""
    kept: set[str] = set()

    def enough() -> bool:
        kept.clear()
        kept.update(found())
        return len(kept) == count

    wait_until(enough, f"{count} of them")
    return kept
