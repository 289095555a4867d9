"""What docs/other-engines.md says beside its table: recipes without what they set, memory of waiting jobs, slots.

`NEBULA_PEERS=1 python benchmarks/engines_changed.py`; some six minutes. It needs Linux.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_nebula_video.emulator import Emulator
from tests import celery_workers, langgraph_servers, temporal_workers
from tests.engines import ORDERS, RECIPES, SPEED, Opened, Site, wait_until
from tests.environments import environment
from tests.job_engines import ENGINES

CELERY, TEMPORAL = ENGINES["Celery, RabbitMQ"], ENGINES["Temporal"]
NO_KEY = {
    "generate(request, key=key)": "generate(request)",
    'journal=os.environ.get("NEBULA_JOURNAL", "sqlite:///videos.db"),': "",
    "/{key}.mp4": "/{task_id}.mp4",
}
DEFAULTS = {"task_acks_late=True,": "", "task_reject_on_worker_lost=True,": "", "worker_prefetch_multiplier=1,": ""}
NO_SWEEP = {'"unacked_restore_interval": 5,': "", '"unacked_restore_throttle": 1,': ""}


@dataclass(frozen=True)
class Changed:
    """A recipe with less than it has."""

    name: str
    engine: str
    opened: Opened
    without: dict[str, str]
    """What is replaced, and by what."""
    seconds: float = 40.0
    """How long the jobs of the killed worker are waited for."""


rabbitmq = celery_workers.celery("rabbitmq", "threads", 900)
TRIALS = (
    Changed("Celery with RabbitMQ, no key, no shared journal", CELERY.name, rabbitmq, NO_KEY),
    Changed("Temporal, no key, no shared journal", TEMPORAL.name, temporal_workers.temporal, NO_KEY),
    Changed("Celery with its default settings", CELERY.name, rabbitmq, DEFAULTS),
    Changed(
        "Celery with Redis, visibility 30 s, restore as by default",
        CELERY.name,
        celery_workers.celery("redis", "threads", 15),
        NO_SWEEP,
        120,
    ),
    Changed(
        "Temporal without heartbeat_timeout",
        TEMPORAL.name,
        temporal_workers.temporal,
        {"heartbeat_timeout=HEARTBEAT,": ""},
        25,
    ),
)


@contextmanager
def a_site(engine: str, without: dict[str, str], speed: float) -> Iterator[Site]:
    """A place for an engine, with a changed copy of its recipe."""
    row = ENGINES[engine]
    with tempfile.TemporaryDirectory() as home, Emulator(speed=speed) as emulator:
        folder = Path(home)
        code = (RECIPES / f"{row.recipe}.py").read_text(encoding="utf-8")
        for what, by in without.items():
            assert what in code, what
            code = code.replace(what, by)
        (folder / f"{row.recipe}.py").write_text(code, encoding="utf-8")
        yield Site(environment(row.environment, row.pins), folder, emulator, recipes=folder)


def try_changed(trial: Changed) -> str:
    """Kill the worker that has the most jobs; what came of the orders."""
    with a_site(trial.engine, trial.without, SPEED) as site, trial.opened(site) as cluster:
        emulator = site.emulator
        cluster.enqueue(ORDERS)
        wait_until(lambda: len(emulator.tasks) == len(ORDERS), "all are submitted")
        wait_until(lambda: any(request.point == "query" for request in emulator.requests), "somebody waits")
        doomed = max(cluster.workers, key=lambda worker: len(worker.begun()))
        (other,) = [worker for worker in cluster.workers if worker is not doomed]
        held = set(doomed.begun()) - set(doomed.made())
        doomed.kill()
        killed, again, made = time.monotonic(), 0.0, set(doomed.made())
        while time.monotonic() < killed + trial.seconds and made != set(ORDERS):
            again = again or (time.monotonic() - killed if held & set(other.begun()) else 0.0)
            made.update(other.made())
            time.sleep(0.1)
        bills = len(emulator.bill.lines)
        when = f"run again from {again:.1f} s on" if again else f"not run again within {trial.seconds:.0f} s"
        posts = sum(request.point == "submit" for request in emulator.requests)
        return f"{trial.name}: {len(held)} jobs killed, {when}; {posts} POSTs, {bills} bills, {len(made)} videos"


def memory_of_a_waiting_job(name: str, engine: str, opened: Callable[[int], Opened], jobs: int) -> str:
    """How much memory one more job takes while it waits."""
    with a_site(engine, {}, 1) as site, opened(jobs)(site) as cluster:
        worker, other = cluster.workers
        other.kill()
        orders = [f"order-{number}" for number in range(jobs)]
        cluster.enqueue(orders[:1])
        wait_until(lambda: len(worker.begun()) == 1, "one job")
        time.sleep(2)
        before = worker.memory()
        cluster.enqueue(orders[1:])
        wait_until(lambda: len(site.emulator.tasks) == jobs, "all jobs")
        time.sleep(3)
        each = (worker.memory() - before) / (jobs - 1)
        worker.kill()
        return f"{name}: {each / 1e6:.2f} MB for each of {jobs} waiting jobs"


def seconds_with_slots(slots: int) -> str:
    """How long eight videos take in a LangGraph server with so many slots."""
    with tempfile.TemporaryDirectory() as home, Emulator(speed=SPEED) as emulator:
        folder = Path(home)
        (folder / "server").mkdir()
        site = Site(environment("langgraph-server", langgraph_servers.PINS), folder, emulator)
        code = (RECIPES / "langgraph_videos.py").read_text(encoding="utf-8")
        graphs = {"film": "./graphs.py:film"}
        server = langgraph_servers.LangGraphServer(site.python, folder / "server", code, graphs, site.environment)
        site = replace(site, variables={"LANGGRAPH_URL": server.url})
        with server.running("--no-reload", "--n-jobs-per-worker", str(slots)):
            begun = time.monotonic()
            site.run("python", "langgraph_videos.py", *ORDERS)
            wait_until(lambda: site.saved() == set(ORDERS), "all are saved")
            return f"LangGraph server, {slots} slots: {len(ORDERS)} videos in {time.monotonic() - begun:.0f} s"


def celery(pool: str) -> Callable[[int], Opened]:
    """Workers of a pool with so many places."""
    return lambda jobs: celery_workers.celery("redis", pool, 900, places=jobs)


if __name__ == "__main__":
    for each in TRIALS:
        print(try_changed(each), flush=True)
    print(memory_of_a_waiting_job("Celery, a thread", CELERY.name, celery("threads"), 50), flush=True)
    print(memory_of_a_waiting_job("Celery, a process", CELERY.name, celery("prefork"), 20), flush=True)
    print(memory_of_a_waiting_job("Temporal", TEMPORAL.name, lambda _: temporal_workers.temporal, 50), flush=True)
    for slots in (1, 4, 8):
        print(seconds_with_slots(slots), flush=True)
