"""The worker processes of a fleet: each is killed, drained or frozen in its turn, and another takes its place."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.chaos.fleet_worker import WITHOUT_DATABASE, work
from tests.processes import start


@dataclass
class Process:
    """A worker process, and what happened to it. Moments are in seconds of the machine's clock."""

    process: BaseProcess
    started: float
    terminated: float | None = None
    """When it was told to drain."""
    killed: float | None = None
    ended: float | None = None
    frozen: list[tuple[float, float]] = field(default_factory=list)
    """From when until when it stood still."""
    rss: list[tuple[float, int]] = field(default_factory=list)
    """Its age in seconds, and the memory that it held then, in kB."""

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, which: int) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, which)

    def lived_at(self, moment: float) -> bool:
        """Whether it lived, and did not stand still, at a moment and shortly before it."""
        end = min(self.killed or moment, self.ended or moment)
        # It takes a moment until a process that goes on has beaten again.
        return end >= moment and not any(begin <= moment <= end + 2 for begin, end in self.frozen)

    def measure(self) -> None:
        """Note the memory that it holds."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:  # it has just ended
            return
        found = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")]
        self.rss += [(time.time() - self.started, int(kilobytes)) for kilobytes in found]


class FleetHerd:
    """So many worker processes of a fleet.

    They are forked from a process that has imported everything: on two cores, the imports of one every three seconds
    would be most of the work.

    Args:
        count: How many.
        arguments: Those of `fleet_worker.work`, but for the host.
        environment: With the gateway's key.
        folder: Each has one in it, with its log as `stderr`.
        rng: Chooses whom something happens to.
        hosts: Whether each has a host name of its own.
    """

    def __init__(
        self,
        count: int,
        arguments: Sequence[Any],
        environment: Mapping[str, str],
        folder: Path,
        rng: random.Random,
        *,
        hosts: bool,
    ) -> None:
        self._arguments, self._environment, self._folder = arguments, environment, folder
        self._rng, self._hosts = rng, hosts
        self.processes: list[Process] = []
        self.crashes = 0
        """Workers that ended without being told to."""
        self._wanted = count
        self._frozen: Process | None = None
        self.look_after()

    @property
    def running(self) -> list[Process]:
        """Those that run, frozen and draining ones included."""
        return [process for process in self.processes if process.ended is None]

    @property
    def working(self) -> list[Process]:
        """Those that run undisturbed."""
        return [each for each in self.running if each.terminated is None and each is not self._frozen]

    def look_after(self) -> None:
        """Note which have ended, and start others in their places."""
        for process in self.running:
            if process.process.exitcode is not None:
                process.ended = time.time()
                expected = {0, WITHOUT_DATABASE}
                if process.terminated is not None:  # before it listened to the signal
                    expected.add(-signal.SIGTERM)
                self.crashes += process.killed is None and process.process.exitcode not in expected
        for _ in range(self._wanted - len(self.running)):
            number = len(self.processes)
            folder = self._folder / f"worker-{number}"
            folder.mkdir()
            host = f"machine-{number}" if self._hosts else None
            self.processes.append(
                Process(start(work, *self._arguments, host, cwd=folder, env=self._environment), time.time())
            )

    def measure(self) -> None:
        """Note the memory that each holds."""
        for process in self.running:
            process.measure()

    def kill(self) -> bool:
        """Kill one that works; whether there was one."""
        if chosen := self._choose():
            chosen.measure()
            chosen.killed = time.time()
            chosen.process.kill()
            chosen.process.join()
        self.look_after()
        return chosen is not None

    def drain(self) -> bool:
        """Tell one to drain."""
        if chosen := self._choose():
            chosen.terminated = time.time()
            chosen.signal(signal.SIGTERM)
        return chosen is not None

    def freeze(self) -> bool:
        """Let one stand still until `thaw`."""
        if self._frozen is None and (chosen := self._choose()):
            chosen.signal(signal.SIGSTOP)
            self._frozen = chosen
            chosen.frozen.append((time.time(), float("inf")))
            return True
        return False

    def thaw(self) -> None:
        """Let it go on."""
        if self._frozen is not None:
            self._frozen.frozen[-1] = (self._frozen.frozen[-1][0], time.time())
            self._frozen.signal(signal.SIGCONT)
            self._frozen = None

    def drain_all(self, seconds: float) -> bool:
        """Let all come to their end; whether they did in time."""
        self._wanted = 0
        self.thaw()
        self.measure()
        for process in self.running:
            process.terminated = process.terminated or time.time()
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            time.sleep(0.1)
            self.look_after()
        return not self.running

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.running:
            process.process.kill()
            process.process.join()

    def _choose(self) -> Process | None:
        return self._rng.choice(self.working) if self.working else None
