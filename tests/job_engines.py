"""Which engines have a recipe in examples/engines, and how each is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from langchain_nebula_video.emulator import Emulator
from tests.celery_workers import PINS as CELERY
from tests.celery_workers import celery
from tests.engines import SPEED, Ledger, Site, Worker, kill_a_worker
from tests.environments import environment
from tests.temporal_workers import PINS as TEMPORAL
from tests.temporal_workers import temporal

__all__ = ["ENGINES", "HEADER", "Engine"]

HEADER = (
    "| Engine | A killed worker's jobs run again after | Orders run twice | Most POSTs and bills of an order "
    "| Videos saved |\n|---|---|---|---|---|"
)
"""Of the table that the rows make."""


@dataclass(frozen=True)
class Engine:
    """An engine, and a trial of it in which a worker dies."""

    name: str
    recipe: str
    environment: str
    pins: tuple[str, ...]
    trial: Callable[[Site], Ledger]

    def measure(self, home: Path) -> Ledger:
        """Run the trial in the engine's environment; `home` is where it may write.

        Raises:
            NotInstalledError: the environment could not be made.
        """
        python = environment(self.environment, self.pins)
        with Emulator(speed=SPEED) as emulator:
            return self.trial(Site(python, home, emulator))


def _celery(name: str, broker: str, pool: str, strike: Callable[[Worker], None], longest: float = 900) -> Engine:
    trial = partial(kill_a_worker, celery(broker, pool, longest), strike=strike)
    return Engine(name, "celery_videos", "celery", CELERY, trial)


ENGINES = {
    row.name: row
    for row in (
        _celery("Celery, RabbitMQ", "rabbitmq", "threads", Worker.kill),
        # The broker gives the jobs to another worker after twice the longest job: here after 20 seconds.
        _celery("Celery, Redis", "redis", "threads", Worker.kill, longest=10),
        _celery("Celery, Redis, a process of the pool", "redis", "prefork", Worker.kill_children),
        # Of the repeated orders, the one that failed runs anew. The others are done already.
        Engine("Temporal", "temporal_videos", "temporal", TEMPORAL, partial(kill_a_worker, temporal, repeated=1)),
    )
}
