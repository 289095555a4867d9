"""What goes wrong beside the gateway's faults: locks, files that are removed or replaced, databases that crash."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import sqlite3
import time
from pathlib import Path

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.transport import MAX_SUBMITS
from tests.chaos.herd import Herd
from tests.chaos.ledger import read_ready
from tests.chaos.storm import Disturbance
from tests.postgres import Server

_SUFFIXES = ("", "-wal", "-shm")


def lock_now_and_then(journal: Path) -> Disturbance:
    """Hold the journal's file for up to two seconds, as a backup or a hung process does."""

    def disturb(rng: random.Random, herd: Herd, emulator: Emulator) -> str:
        if rng.random() >= 0.1 or not journal.exists():
            return ""
        with contextlib.closing(sqlite3.connect(journal, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(rng.uniform(0.1, 2.0))
            connection.execute("ROLLBACK")
        return "locks"

    return disturb


def crash_now_and_then(server: Server) -> Disturbance:
    """Crash the database server and start it again: at the first call, later one time in five."""
    calls = itertools.count()

    def disturb(rng: random.Random, herd: Herd, emulator: Emulator) -> str:
        if next(calls) > 0 and rng.random() >= 0.2:
            return ""
        server.stop("immediate")
        time.sleep(rng.uniform(0.0, 1.0))
        server.start()
        return "server_crashes"

    return disturb


class FileTrouble:
    """The journal's file is removed and put back, or replaced by a backup, while processes have it open."""

    def __init__(self, journal: Path, times: int) -> None:
        self._journal = journal
        self._kinds = itertools.cycle(["removals", "replacements"])
        self._left = times
        self.submits_without_the_file = 0
        """Submits that began while the journal's file was away, and that the gateway accepted."""
        self.files_made_anew = 0
        """How often a process made a new, empty journal in the place of the one that was away."""

    def __call__(self, rng: random.Random, herd: Herd, emulator: Emulator) -> str:
        """See `Disturbance`."""
        # A process that opens the journal for the first time while it is away rightly makes a new one.
        if self._left == 0 or herd.pids - read_ready(self._journal.with_name("delivered")):
            return ""
        self._left -= 1
        kind = next(self._kinds)
        if kind == "removals":
            self._remove(rng.uniform(1.0, 1.6), emulator)
        else:
            self._replace(herd)
        return f"file_{kind}"

    def _remove(self, seconds: float, emulator: Emulator) -> None:
        """Take the file away and put the same file back. Nothing is lost by that alone."""
        aside = self._journal.with_name("aside")
        aside.mkdir(exist_ok=True)
        self._move(self._journal.parent, aside)
        before = len(emulator.tasks)
        time.sleep(seconds)
        # As many as may be on their way at once had begun before.
        self.submits_without_the_file += max(0, len(emulator.tasks) - before - MAX_SUBMITS)
        self.files_made_anew += self._journal.exists()
        self._move(aside, self._journal.parent)

    def _move(self, source: Path, target: Path) -> None:
        # A process that finds the file without its log takes the file for another one from then on.
        away = source == self._journal.parent
        for suffix in _SUFFIXES if away else reversed(_SUFFIXES):
            name = f"{self._journal.name}{suffix}"
            (target / name).unlink(missing_ok=True)
            if (source / name).exists():
                shutil.move(source / name, target / name)

    def _replace(self, herd: Herd) -> None:
        """Put a complete backup in the file's place. The processes stand still, so the backup lacks nothing."""
        backup = self._journal.with_name("backup.db")
        with herd.stopped():
            with (
                contextlib.closing(sqlite3.connect(self._journal, timeout=10)) as source,
                contextlib.closing(sqlite3.connect(backup)) as target,
            ):
                source.backup(target)
            backup.replace(self._journal)
            for suffix in _SUFFIXES[1:]:
                self._journal.with_name(f"{self._journal.name}{suffix}").unlink(missing_ok=True)
