"""A process that forks while clients and journals are open, from two threads at once; its children generate.

A child that inherits a connection or a lock would read another child's answers, or hang.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from langchain_nebula_video import MemoryJournal, NebulaVideoClient, NebulaVideoError, SqlJournal
from tests.chaos.ledger import Delivery
from tests.chaos.plan import fields

KEYS_PER_CHILD = 2
CHILD_SECONDS = 20.0
FORKED, FAILED, HUNG = "forked a child\n", "failed: ", "a child hung\n"
START_SECONDS = 2.0
"""After this the children of one thread poll together, so that their requests would meet on a shared connection."""
_TRIES = 5


class Parent:
    """The process, with an open client, an open journal and a journal in memory that another thread reads."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._image = asked.image
        self._out = os.open(asked.delivered, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.memory = MemoryJournal()
        self.client = NebulaVideoClient(
            gateway=asked.gateway,
            base_url=asked.base_url,
            api_key=asked.api_key,
            journal=SqlJournal(asked.journal),
            save_to=Path(asked.folder),
            poll_interval=0.05,
            timeout=15.0,
        )

    def generate(self, name: str) -> None:
        """Generate one key; an error is tried again, as any caller would."""
        for _ in range(_TRIES):
            try:
                video = self.client.generate(fields(self._image, name), key=name)
            except NebulaVideoError as error:
                sys.stderr.write(f"{FAILED}{name}: {type(error).__name__}: {error}\n")
            else:
                os.write(self._out, Delivery.of(name, video.url).line().encode())
                return

    def fork(self, names: list[str], children: int) -> None:
        """Fork children, each of which generates two keys of its own; wait for them all."""
        pids, start = [], time.monotonic() + START_SECONDS
        for number in range(children):
            pid = os.fork()
            if pid == 0:
                self._be_child(names[number::children], start)
            pids.append(pid)
            sys.stderr.write(FORKED)
        deadline = time.monotonic() + CHILD_SECONDS
        for pid in pids:
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    sys.stderr.write(HUNG)
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    break
                time.sleep(0.02)

    def _be_child(self, names: list[str], start: float) -> None:
        code = 1
        try:
            self.memory.spent()
            with suppress(NebulaVideoError):
                self.client.submit(fields(self._image, names[0]), key=names[0])
            time.sleep(max(0.0, start - time.monotonic()))
            for name in names:
                self.generate(name)
            code = 0
        finally:
            os._exit(code)


def main(asked: argparse.Namespace) -> None:
    """Fork until all keys of this process's share have been asked for."""
    parent = Parent(asked)
    names = [f"f{number}" for number in range(asked.first, asked.first + asked.count)]
    ended = threading.Event()

    def read_memory() -> None:
        while not ended.is_set():
            parent.memory.spent()

    with parent.client:
        parent.generate(names.pop())  # leaves a connection open
        threading.Thread(target=read_memory, daemon=True).start()
        while names:
            share = 2 * KEYS_PER_CHILD * asked.children
            batch, names = names[:share], names[share:]
            half = len(batch) // 2
            other = threading.Thread(target=parent.fork, args=(batch[half:], asked.children))
            other.start()
            parent.fork(batch[:half], asked.children)
            other.join()
    ended.set()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("gateway", "base-url", "api-key", "journal", "folder", "image", "delivered"):
        parser.add_argument(f"--{option}", required=True)
    for option in ("first", "count", "children"):
        parser.add_argument(f"--{option}", type=int, required=True)
    main(parser.parse_args())
