"""The fleet's chaos: its workers are killed, drained and frozen, and its PostgreSQL crashes and goes away.

    python -m tests.chaos.fleet --videos 5000

The emulator's ledger judges the money. The database judges the rest: a trigger writes down each move of each item.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from langchain_nebula_video import JournalError, MemoryJournal, NebulaVideoClient, SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import BatchState, Fleet, FleetStatus, ItemState
from tests.chaos.databases import databases
from tests.chaos.fleet_herd import FleetHerd, Process
from tests.chaos.fleet_record import Record, TakeUps, count_wrong_counts, install_record, spread
from tests.chaos.ledger import Figures, Ledger
from tests.chaos.plan import fields, host_picture, spread_faults
from tests.postgres import Server

TAKE_UP_SECONDS = 15.0
FREEZE_SECONDS = 20.0
BATCH = "chaos"
_NOISE = re.compile(rb"never retrieved|never awaited|Traceback|stumbled|failed unexpectedly")
"""What no worker's log may have."""


@dataclass(frozen=True)
class FleetPlan:
    """What is to happen. Each disturbance comes every so many seconds; 0: never."""

    videos: int
    seed: int = 1
    processes: int = 4
    concurrency: int = 25
    speed: float = 20.0
    """The emulator's: at 20, a video takes some five seconds."""
    kill_every: float = 3.0
    kills: int = 1_000_000
    """At most so many."""
    drain_every: float = 60.0
    freeze_every: float = 0.0
    crashes: int = 5
    away_seconds: float = 45.0
    """How long PostgreSQL is away once, halfway; 0: never."""
    hosts: bool = True
    """Whether each worker seems to be on another machine; otherwise its end is seen at once by its process id."""
    budget_share: Decimal = Decimal("0.99")
    """The budget as a share of what all videos cost together: so it is reached."""
    timeout: float = 3600.0


@dataclass
class FleetFigures:
    """The result of a run."""

    money: Figures
    take_ups: TakeUps
    seconds: float = 0.0
    videos: int = 0
    states: dict[str, int] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    ran_more_than_once: int = 0
    most_runs: int = 0
    swept_alive: list[str] = field(default_factory=list)
    taken_from_the_living: list[str] = field(default_factory=list)
    stuck: int = 0
    """Items that have neither ended nor wait for money."""
    jobs_left: int = 0
    wrong_counts: int = 0
    counts_compared: int = 0
    status_seconds: list[float] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    """Lines in the workers' logs that none should write."""
    memory_mb: str = ""

    @property
    def faults(self) -> dict[str, Any]:
        """What must not happen; empty: all is well."""
        judged = {
            "keys billed twice": self.money.keys_billed_twice,
            "billed without a row in the journal": self.money.billed_without_a_row,
            "paid and not saved": self.money.paid_and_not_saved,
            "US dollars over the budget": float(self.money.over_budget_usd),
            "given to the wrong item": self.money.given_to_the_wrong_caller,
            "items stuck": self.stuck,
            "items failed": self.states.get("failed", 0),
            "items never taken up": self.take_ups.never,
            "live workers swept": self.swept_alive,
            "items taken from live workers": self.taken_from_the_living[:5],
            "jobs left in the engine": self.jobs_left,
            "counts that differ from the items": self.wrong_counts,
            "workers that ended by themselves": self.events["crashed workers"],
            "workers that did not end": self.events["workers that did not end"],
            "lines that no worker should log": self.noise[:5],
        }
        return {name: value for name, value in judged.items() if value}

    @property
    def late(self) -> int:
        """Items that were taken up later than they should be, on a machine that is not busy."""
        return sum(seconds > TAKE_UP_SECONDS for seconds in self.take_ups.seconds)

    def __str__(self) -> str:
        money = self.money
        rows = {
            "videos": f"{self.videos} in {self.seconds:.0f} s",
            "items at the end": ", ".join(f"{count} {state}" for state, count in sorted(self.states.items())),
            "disturbances": ", ".join(f"{count} {what}" for what, count in sorted(self.events.items()) if count),
            "faults of the gateway": sum(money.disturbances.values()),
            "tasks accepted; keys billed twice": f"{money.tasks}; {money.keys_billed_twice}",
            "billed; budget; over it": f"${money.billed_usd}; ${money.budget_usd}; ${money.over_budget_usd}",
            "paid and not saved": money.paid_and_not_saved,
            "taken up again after a kill (min, median, max)": self.take_ups,
            "of these later than 15 s; never": f"{self.late}; {self.take_ups.never}",
            "items begun more than once; most often": f"{self.ran_more_than_once}; {self.most_runs} times",
            "live workers swept": len(self.swept_alive),
            "items taken from live workers": len(self.taken_from_the_living),
            "items stuck; jobs left in the engine": f"{self.stuck}; {self.jobs_left}",
            "comparisons of counts and items; differences": f"{self.counts_compared}; {self.wrong_counts}",
            "status (min, median, max)": f"{spread(self.status_seconds, 3)} s" if self.status_seconds else "-",
            "memory of a worker (min, median, max)": self.memory_mb,
            "must not happen": json.dumps(self.faults, default=str, ensure_ascii=False),
        }
        return "\n".join(f"{name + ':':52} {value}" for name, value in rows.items())


def fleet_chaos(plan: FleetPlan, folder: Path) -> FleetFigures:
    """Run the whole chaos in a folder that PostgreSQL's user can reach."""
    with (
        databases(folder, pooled=False, isolation="read committed") as made,
        Emulator(speed=plan.speed, balance=10_000_000) as emulator,
    ):
        return _Run(plan, folder, made.server, made.create("fleet"), emulator).run()


class _Run:
    def __init__(self, plan: FleetPlan, folder: Path, server: Server, url: str, emulator: Emulator) -> None:
        self._plan, self._folder, self._server, self._emulator = plan, folder, server, emulator
        self._url, self._plain_url = url, url.replace("+psycopg", "")
        self._rng = random.Random(plan.seed)
        self._fleet = Fleet(url)
        self._where: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key}
        self._events = Counter[str]()
        self._returns: list[float] = []
        self._status_seconds: list[float] = []
        self._wrong_counts = self._compared = 0
        self._outages = _outages(plan)
        self._back_at: float | None = None
        image = host_picture(emulator)
        price = NebulaVideoClient(**self._where, journal=MemoryJournal()).quote(resolution="480p", image=image).usd
        assert price is not None
        self._price = price
        self._budget = price * round(plan.videos * plan.budget_share)
        self._rows = [{**fields(image, f"k{number}"), "key": f"k{number}"} for number in range(plan.videos)]

    def run(self) -> FleetFigures:
        """Run it, and judge."""
        spread_faults(self._emulator, self._plan.videos, self._rng)
        asyncio.run(self._enqueue())
        environment = {**os.environ, "NEBULA_API_KEY": self._emulator.api_key}
        arguments = (self._url, self._plan.concurrency, str(self._budget))
        began = time.monotonic()
        herd = FleetHerd(self._plan.processes, arguments, environment, self._folder, self._rng, hosts=self._plan.hosts)
        try:
            for status in self._watch(herd):
                if self._is_over(status):
                    break
            seconds = time.monotonic() - began
            self._events["workers that did not end"] += not herd.drain_all(120)
        finally:
            herd.end()
        self._events["crashed workers"] += herd.crashes
        return self._judge(herd, seconds)

    async def _enqueue(self) -> None:
        await self._fleet.init()
        install_record(self._plain_url)
        options: dict[str, Any] = {**self._where, "poll_interval": 0.5, "save_to": str(self._folder / "videos")}
        await self._fleet.submit_many(self._rows, batch=BATCH, budget=self._budget, **options)

    # --- the run ---

    def _watch(self, herd: FleetHerd) -> Iterator[FleetStatus]:
        """Disturb, and tell about every half second how the fleet is."""
        compare, measure = _Timer(10.0), _Timer(2.0)
        disturb: list[tuple[_Timer, Callable[[], None]]] = []
        deadline = time.monotonic() + self._plan.timeout
        while time.monotonic() < deadline:
            time.sleep(0.2)
            herd.look_after()
            for timer, act in disturb:
                if timer.is_due():
                    act()
            if measure.is_due():
                herd.measure()
            if self._server_is_away():
                continue
            if compare.is_due():
                self._compare_counts()
            if (status := self._status()) is not None:
                if not disturb and status.batches[0].counts.get(ItemState.RUNNING):
                    disturb = self._disturbances(herd)
                self._begin_outage(status.batches[0].ended / self._plan.videos)
                sys.stderr.write(f"\r{dict(status.batches[0].counts)}, {dict(self._events)}  ")
                yield status
        raise TimeoutError("the fleet did not finish")

    def _disturbances(self, herd: FleetHerd) -> list[tuple[_Timer, Callable[[], None]]]:
        plan, thaw = self._plan, _Timer(FREEZE_SECONDS)

        def note(what: str, act: Callable[[], bool]) -> Callable[[], None]:
            def run() -> None:
                self._events[what] += act()

            return run

        def freeze() -> bool:
            thaw.restart()
            return herd.freeze()

        def kill() -> bool:
            return self._events["kills"] < plan.kills and herd.kill()

        return [
            (thaw, herd.thaw),
            (_Timer(plan.kill_every), note("kills", kill)),
            (_Timer(plan.drain_every), note("drains", herd.drain)),
            (_Timer(plan.freeze_every), note("freezes", freeze)),
        ]

    def _begin_outage(self, share: float) -> None:
        """Crash the server if it is time for it, by the share of videos that have ended."""
        if self._outages and share >= self._outages[0][0]:
            _, seconds = self._outages.pop(0)
            self._server.stop("immediate")
            self._events["crashes of PostgreSQL" if seconds < 1 else f"outage of {seconds:.0f} s"] += 1
            self._back_at = time.monotonic() + seconds

    def _server_is_away(self) -> bool:
        if self._back_at is None:
            return False
        if time.monotonic() < self._back_at:
            return True
        self._server.start()
        self._returns.append(time.time())
        self._back_at = None
        return False

    def _status(self) -> FleetStatus | None:
        began = time.monotonic()
        with suppress(JournalError):
            status = asyncio.run(self._fleet.status())
            self._status_seconds.append(time.monotonic() - began)
            return status
        return None

    def _compare_counts(self) -> None:
        with psycopg.connect(self._plain_url, autocommit=True) as connection:
            self._wrong_counts += count_wrong_counts(connection)
            self._compared += 1

    def _is_over(self, status: FleetStatus) -> bool:
        (batch,) = status.batches
        moving = sum(batch.counts.get(each, 0) for each in (ItemState.QUEUED, ItemState.RUNNING, ItemState.DELAYED))
        if moving or batch.reserved:
            return False
        left = self._budget - batch.spent - batch.maybe_spent
        return batch.state is BatchState.PAUSED or left < self._price or not batch.counts.get(ItemState.WAITING)

    # --- the judgement ---

    def _judge(self, herd: FleetHerd, seconds: float) -> FleetFigures:
        rows = SqlJournal(self._url).entries()
        money = Ledger(self._emulator).judge(rows, [], videos=self._folder / "videos", budget=self._budget)
        self._compare_counts()
        with psycopg.connect(self._plain_url, autocommit=True) as connection:
            record = Record.read(connection)
            jobs = connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
        status = asyncio.run(self._fleet.status())
        (batch,) = status.batches
        states = {state.value: count for state, count in batch.counts.items()}
        return FleetFigures(
            money=money,
            take_ups=record.take_ups(herd.processes, self._returns),
            seconds=seconds,
            videos=self._plan.videos,
            states=states,
            events=self._events,
            ran_more_than_once=sum(runs > 1 for runs in record.runs),
            most_runs=max(record.runs, default=0),
            swept_alive=record.swept_alive(herd.processes),
            taken_from_the_living=record.taken_from_the_living(herd.processes),
            stuck=sum(states.get(each, 0) for each in ("queued", "running", "delayed")),
            jobs_left=jobs[0] if jobs else 0,
            wrong_counts=self._wrong_counts,
            counts_compared=self._compared,
            status_seconds=self._status_seconds,
            noise=_noise(self._folder),
            memory_mb=_memory(herd.processes),
        )


class _Timer:
    """Is due every so many seconds; at 0, never."""

    def __init__(self, every: float) -> None:
        self._every = every
        self.restart()

    def restart(self) -> None:
        """Begin to wait anew."""
        self._at = time.monotonic() + self._every

    def is_due(self) -> bool:
        """Whether it is, and then wait anew."""
        if not self._every or time.monotonic() < self._at:
            return False
        self.restart()
        return True


def _outages(plan: FleetPlan) -> list[tuple[float, float]]:
    """Return after which share of the videos PostgreSQL goes away, and for how many seconds."""
    crashes = [((number + 1) / (plan.crashes + 1) * 0.9, 0.5) for number in range(plan.crashes)]
    return sorted([*crashes, *([(0.5, plan.away_seconds)] if plan.away_seconds else [])])


def _noise(folder: Path) -> list[str]:
    lines = (line for log in folder.glob("worker-*/stderr") for line in log.read_bytes().splitlines())
    return [line.decode(errors="replace") for line in lines if _NOISE.search(line)]


def _memory(processes: list[Process]) -> str:
    found = [kilobytes / 1000 for process in processes for age, kilobytes in process.rss if age > 5]
    return f"{spread(found, 0)} MB" if found else "-"


def main() -> int:
    """The command line; 0 if nothing happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=25)
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--crashes", type=int, default=5)
    parser.add_argument("--away-seconds", type=float, default=45.0)
    parser.add_argument("--freeze-every", type=float, default=0.0)
    parser.add_argument("--one-host", action="store_true", help="the workers see each other's process ids")
    parser.add_argument("--keep", type=Path, help="a folder for logs, instead of a temporary one")
    asked = vars(parser.parse_args())
    hosts, keep = not asked.pop("one_host"), asked.pop("keep")
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = keep or Path(name)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL has a user of its own
        figures = fleet_chaos(FleetPlan(**asked, hosts=hosts), folder)
    sys.stdout.write(f"\n{figures}\n")
    return 1 if figures.faults or figures.late else 0


if __name__ == "__main__":
    raise SystemExit(main())
