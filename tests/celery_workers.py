"""Celery with a real broker: two workers that run the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.brokers import BROKERS
from tests.engines import Opened, Site, Worker

__all__ = ["PINS", "celery"]

# The newest ones on 2026-11-28.
PINS = ("celery==5.7.0", "kombu==5.7.0", "redis==8.1.0")
_WORKER = ("celery", "--app", "celery_videos", "worker", "--loglevel", "INFO")


@dataclass(frozen=True)
class _Celery:
    site: Site
    workers: list[Worker]

    def enqueue(self, orders: Iterable[str]) -> None:
        """Run the recipe's program."""
        self.site.run("python", "celery_videos.py", *orders)


def celery(broker: str, pool: str, longest: float, places: int = 6) -> Opened:
    """Run a broker and two workers until the block is left.

    Args:
        broker: A name of `BROKERS`.
        pool: `threads` or `prefork`.
        longest: Seconds that a job may take.
        places: How many jobs each worker runs at once. With six, both have some of eight, whichever is asked first.
    """

    @contextmanager
    def opened(site: Site) -> Iterator[_Celery]:
        folder = site.folder / broker
        folder.mkdir()
        with BROKERS[broker](folder) as url:
            site = replace(site, variables={"BROKER_URL": url, "LONGEST_JOB": str(longest)})
            command = (*_WORKER, "--pool", pool, "--concurrency", str(places))
            commands = [(*command, "--hostname", f"{name}@here") for name in ("one", "two")]
            with site.workers(commands, " ready.") as workers:
                yield _Celery(site, workers)

    return opened
