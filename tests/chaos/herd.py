"""The processes of a run: started, killed, started again, stopped for a moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tests.chaos.plan import Plan

ROOT = Path(__file__).parents[2]


def start_process(
    module: str, arguments: Sequence[str], log: BinaryIO, *, own_group: bool = False
) -> subprocess.Popen[bytes]:
    """Start a module of this package as a process; with `own_group` its children can be ended with it."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=log,
        process_group=0 if own_group else None,
    )


class Herd:
    """The worker processes. Each has its share of the keys, and is started again until it has finished them."""

    def __init__(self, plan: Plan, rng: random.Random, arguments: Sequence[str], log: BinaryIO) -> None:
        self._plan, self._rng, self._arguments, self._log = plan, rng, arguments, log
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.kills = self.falls = 0
        for first in range(plan.processes):
            self._start(first)

    def _start(self, first: int) -> None:
        jump = self._rng.choice([0.0, 0.0, -20.0, 20.0]) if self._plan.clock_jumps else 0.0
        own = ["--first", str(first), f"--jump={jump}", f"--seed={self._rng.randrange(1 << 30)}"]
        self._running[first] = start_process("tests.chaos.worker", [*self._arguments, *own], self._log)

    @property
    def busy(self) -> bool:
        """Whether any process still works."""
        return bool(self._running)

    @property
    def pids(self) -> set[int]:
        """The processes that run now."""
        return {process.pid for process in self._running.values()}

    def look_after(self) -> None:
        """Start again what fell by itself; leave what has finished."""
        for first, process in list(self._running.items()):
            code = process.poll()
            if code == 0:
                del self._running[first]
            elif code is not None:
                self.falls += 1
                self._start(first)

    def kill_one(self) -> None:
        """Kill one process and start it again, unless the plan's kills are used up."""
        if self._running and self.kills < self._plan.kills:
            first = self._rng.choice(sorted(self._running))
            self._running[first].send_signal(signal.SIGKILL)
            self._running[first].wait()
            self.kills += 1
            self._start(first)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all processes meanwhile, wherever they are. All their threads stand still, as far as anybody can see."""
        processes = [process for process in self._running.values() if process.poll() is None]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        for process in processes:
            # The signal comes back at once, and a thread that waits for its disk goes on until the disk has answered:
            # it would commit after the moment at which "all stand still".
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._running.values():
            process.kill()
            process.wait()
