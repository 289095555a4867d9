"""Chaos: generations under random faults and random kills; then the emulator's ledger judges the journal.

    python -m tests.chaos --generations 5000 --kills 200 --seed 1

Everything random is drawn from the seed; the moment at which a kill meets a process is the machine's.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from langchain_nebula_video import MemoryJournal, NebulaVideoClient, SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import images
from langchain_nebula_video.journal import Entry, EntryState
from tests.chaos.worker import FULL
from tests.postgres import Server, programs_folder

ROOT = Path(__file__).parents[2]
BEIJING = "sk-chaos-beijing-0123456789"
SPEED = 20_000.0
SPENT_STATES = {EntryState.SUBMITTED, EntryState.RUNNING, EntryState.SUCCEEDED}

# What goes wrong, where, and how often among a thousand generations.
FAULTS: list[tuple[str, str, dict[str, Any], int]] = [
    ("submit", "reset_before", {}, 12),
    ("submit", "reset_after", {}, 12),
    ("submit", "eof_before", {}, 6),
    ("submit", "eof_after", {}, 6),
    ("submit", "truncated", {}, 6),
    ("submit", "empty", {}, 6),
    ("submit", "status", {"code": 500, "accepted": True}, 6),
    ("submit", "status", {"code": 503}, 6),
    ("submit", "status", {"code": 429}, 40),
    ("query", "reset_before", {}, 20),
    ("query", "eof_after", {}, 20),
    ("query", "truncated", {}, 20),
    ("query", "html", {}, 20),
    ("query", "status", {"code": 502}, 40),
    ("query", "status", {"code": 429}, 20),
    ("download", "reset_before", {}, 10),
    ("download", "cut", {}, 20),
    ("download", "half", {}, 10),
    ("download", "status", {"code": 503}, 10),
]


@dataclass(frozen=True)
class Plan:
    """What is to happen."""

    generations: int
    kills: int
    seed: int
    processes: int = 4
    gateway: str = "nebula"
    journal: str = ""
    """`""`: SQLite in the run's folder."""
    clock_jumps: bool = True
    budget_share: Decimal = Decimal("0.97")
    """Of what all generations together would cost: so it is reached."""
    between: Callable[[random.Random], bool] | None = None
    """Called now and then while it runs: for what else may go wrong; whether it did."""


@dataclass
class Figures:
    """What came of it. The first four have to be 0."""

    billed_without_a_row: int = 0
    keys_billed_twice: int = 0
    paid_and_not_saved: int = 0
    over_budget_usd: str = "0"
    generations: int = 0
    tasks: int = 0
    billed_usd: str = "0"
    budget_usd: str = "0"
    states: dict[str, int] = field(default_factory=dict)
    without_a_row_because_of_the_budget: int = 0
    kills: int = 0
    falls: int = 0
    server_crashes: int = 0
    faults: int = 0
    full_disks: int = 0
    locks: int = 0
    peak_submits: int = 0
    seconds: float = 0.0

    @property
    def zeros(self) -> tuple[int, int, int, Decimal]:
        """What has to be 0."""
        return (
            self.billed_without_a_row,
            self.keys_billed_twice,
            self.paid_and_not_saved,
            Decimal(self.over_budget_usd),
        )


def run(plan: Plan, folder: Path) -> Figures:
    """The whole run in a folder."""
    rng = random.Random(plan.seed)
    url = plan.journal or f"sqlite:///{folder / 'journal.db'}"
    videos = folder / "videos"
    began = time.monotonic()
    with Emulator(speed=SPEED, balance=10_000_000) as emulator:
        emulator.add_account(BEIJING, region="beijing", balance=10_000_000)
        image = emulator.host_image(images.sample("chaos", (640, 480)))
        reach = _reach(emulator, plan.gateway)
        each = NebulaVideoClient(**reach, journal=MemoryJournal()).quote(resolution="480p", image=image).usd
        assert each is not None
        budget = (each * plan.generations * plan.budget_share).quantize(Decimal("0.01"))
        _spread_faults(emulator, plan, rng)
        command = [sys.executable, "-m", "tests.chaos.worker", "--journal", url, "--folder", str(videos),
                   "--budget", str(budget), "--image", image, "--count", str(plan.generations),
                   "--step", str(plan.processes)]  # fmt: skip
        command += [f"--{name.replace('_', '-')}={value}" for name, value in reach.items()]
        storm = _storm(plan, rng, command, folder)
        _settle(plan, url, reach, videos)
        figures = _judged(plan, url, emulator, videos, budget)
        figures.kills, figures.falls, figures.server_crashes, figures.locks = storm
        figures.full_disks = (folder / "workers.log").read_text(errors="replace").count(FULL)
        figures.faults = sum(record.played for record in emulator.faults.records())
        figures.peak_submits = emulator.peaks.submits
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


def _reach(emulator: Emulator, gateway: str) -> dict[str, Any]:
    if gateway == "dashscope":
        return {"gateway": gateway, "base_url": emulator.dashscope_url(), "api_key": BEIJING}
    return {"gateway": gateway, "base_url": emulator.url, "api_key": emulator.api_key}


def _spread_faults(emulator: Emulator, plan: Plan, rng: random.Random) -> None:
    """Each fault at random places of the run."""
    places: list[tuple[str, str, dict[str, Any], int]] = []
    for point, kind, params, often in FAULTS:
        count = max(1, often * plan.generations // 1000)
        places += [(point, kind, params, rng.randrange(plan.generations)) for _ in range(count)]
    # The first that is due takes the request and those behind it do not see it: spread by where they are due.
    for point, kind, params, after in sorted(places, key=lambda place: place[3]):
        emulator.faults.add(point, kind, after=after, **params)


class _Herd:
    """The processes of a run."""

    def __init__(self, plan: Plan, rng: random.Random, command: list[str], log: BinaryIO) -> None:
        self._plan, self._rng, self._command, self._log = plan, rng, command, log
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.kills = self.falls = 0
        for first in range(plan.processes):
            self._start(first)

    def _start(self, first: int) -> None:
        jump = self._rng.choice([0.0, 0.0, -20.0, 20.0]) if self._plan.clock_jumps else 0.0
        self._running[first] = subprocess.Popen(
            [*self._command, "--first", str(first), f"--jump={jump}", f"--seed={self._rng.randrange(1 << 30)}"],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def look_after(self) -> None:
        """Start again what fell by itself; leave what has come to its end."""
        for first, process in list(self._running.items()):
            code = process.poll()
            if code == 0:
                del self._running[first]
            elif code is not None:
                self.falls += 1
                self._start(first)

    def kill_one(self) -> None:
        if self._running and self.kills < self._plan.kills:
            first = self._rng.choice(sorted(self._running))
            self._running[first].send_signal(signal.SIGKILL)
            self._running[first].wait()
            self.kills += 1
            self._start(first)

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def _storm(plan: Plan, rng: random.Random, command: list[str], folder: Path) -> tuple[int, int, int, int]:
    """The processes, killed at random moments and started again until all have come to their end."""
    deadline = time.monotonic() + 60 + plan.generations * 0.5
    crashes = locks = 0
    with (folder / "workers.log").open("ab") as log:
        herd = _Herd(plan, rng, command, log)
        try:
            while herd.busy:
                if time.monotonic() > deadline:
                    raise TimeoutError("the chaos run did not come to its end")
                time.sleep(rng.uniform(0.6, 2.2) if herd.kills < plan.kills else 0.5)
                if plan.between is not None:
                    crashes += plan.between(rng)
                elif rng.random() < 0.1:
                    _lock(folder / "journal.db", rng.uniform(0.1, 2.0))
                    locks += 1
                herd.look_after()
                herd.kill_one()
        finally:
            herd.end()
    return herd.kills, herd.falls, crashes, locks


def _lock(journal: Path, seconds: float) -> None:
    """Hold the journal's file for oneself, as a backup or a hung process does."""
    if not journal.exists():
        return
    with contextlib.closing(sqlite3.connect(journal, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def _settle(plan: Plan, url: str, reach: dict[str, Any], videos: Path) -> None:
    """What any operator does afterwards: finish what the journal holds unfinished."""
    client = NebulaVideoClient(**reach, journal=SqlJournal(url), save_to=videos, poll_interval=0.05)
    for task in client.resume():
        try:
            client.wait(task, timeout=30)
        except RuntimeError as error:
            sys.stderr.write(f"{task.task_id}: {error}\n")
    del plan


_KEY = re.compile(r"[?]key=(\d+)")


def _judged(plan: Plan, url: str, emulator: Emulator, videos: Path, budget: Decimal) -> Figures:
    journal = SqlJournal(url)
    entries = {entry.key: entry for entry in journal.entries()}
    by_task = {entry.task_id: entry for entry in entries.values() if entry.task_id}
    billed = {line.task_id: line for line in emulator.bill.lines}
    keys = collections.Counter[str]()
    figures = Figures(generations=plan.generations, tasks=len(emulator.tasks))
    for task in emulator.tasks:
        if task.id not in billed:
            continue
        found = _KEY.search(json.dumps(dict(task.request)))
        assert found is not None
        key = f"k{found.group(1)}"
        keys[key] += 1
        if task.id not in by_task and not _doubts(entries.get(key)):
            figures.billed_without_a_row += 1
    figures.keys_billed_twice = sum(count > 1 for count in keys.values())
    for entry in entries.values():
        if entry.state in SPENT_STATES and not _is_saved(entry, videos):
            figures.paid_and_not_saved += 1
    spent = emulator.bill.usd + emulator.bill.cny / Decimal("7.2")
    over = max(spent - budget, journal.spent() - budget, Decimal(0))
    figures.over_budget_usd = str(over.quantize(Decimal("0.0001")))
    figures.billed_usd, figures.budget_usd = str(spent.quantize(Decimal("0.0001"))), str(budget)
    figures.states = dict(sorted(collections.Counter(entry.state.value for entry in entries.values()).items()))
    figures.without_a_row_because_of_the_budget = plan.generations - len(entries)
    return figures


def _doubts(entry: Entry | None) -> bool:
    return entry is not None and entry.state is EntryState.UNCONFIRMED


def _is_saved(entry: Entry, videos: Path) -> bool:
    path = videos / f"{entry.task_id}.mp4"
    return path.is_file() and path.stat().st_size > 10_000 and path.read_bytes()[4:8] == b"ftyp"


def on_postgres(asked: dict[str, Any], folder: Path) -> Figures:
    """The run with its journal in a PostgreSQL that crashes and comes back."""
    programs = programs_folder()
    if programs is None:
        raise SystemExit("PostgreSQL's programs are not installed")
    (folder / "postgres").mkdir()
    server = Server(programs, folder / "postgres")
    try:
        return run(Plan(**asked, journal=server.url("postgres"), between=_now_and_then(server)), folder)
    finally:
        server.stop("immediate")


def _now_and_then(server: Server) -> Callable[[random.Random], bool]:
    """Surely at the first call, later one time in five."""
    calls = itertools.count()

    def between(rng: random.Random) -> bool:
        crashes = next(calls) == 0 or rng.random() < 0.2
        if crashes:
            server.stop("immediate")
            time.sleep(rng.uniform(0.0, 1.0))
            server.start()
        return crashes

    return between


def main() -> int:
    """The command line; 0 if the four zeros are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--gateway", choices=["nebula", "dashscope"], default="nebula")
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL that is restarted now and then")
    asked = vars(parser.parse_args())
    shared = asked.pop("postgres")
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 PostgreSQL has a user of its own
        figures = on_postgres(asked, Path(folder)) if shared else run(Plan(**asked), Path(folder))
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    return 0 if figures.zeros == (0, 0, 0, Decimal(0)) else 1
