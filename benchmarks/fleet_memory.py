"""What a waiting job costs a worker of the fleet, against the client alone: memory, CPU, and how late its loop is.

`python benchmarks/fleet_memory.py [jobs]` starts a PostgreSQL and a gateway of its own in other processes. A worker
with so many places submits so many videos, none of which is finished, and none of which is looked at. Then a process
with the client alone does the same: `generate` with keys and a journal in the same database, one started after the
other at the worker's own pace. Each process is measured from its twentieth job on until the last one waits.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from load import KEY, Server
from many import IMAGE, count_tasks, memory

from langchain_nebula_video import AsyncNebulaVideoClient, SqlJournal, register_gateway
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.fleet import Fleet, FleetWorker
from tests.postgres import Server as Postgres
from tests.postgres import programs_folder

WARM = 20
"""Jobs before the measured ones: imports, connections, caches."""
NEVER = 3600.0
"""Seconds of a video, and between two looks at it."""
OPTIONS: dict[str, Any] = {"poll_interval": 900, "timeout": 2 * NEVER}


class Lateness:
    """How late a timer of 10 ms is, and the loop's CPU time meanwhile, which a busy machine changes less; in ms."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.busy: list[float] = []

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            began, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.01)
            self.late.append((time.perf_counter() - began) * 1000 - 10)
            self.busy.append((time.thread_time() - cpu) * 1000)

    def told(self) -> dict[str, float]:
        """Return what was seen."""
        late, busy = sorted(self.late), sorted(self.busy)
        near_end = int(len(late) * 0.99)
        return {"p99": late[near_end], "most": late[-1], "busy_p99": busy[near_end], "busy_most": busy[-1]}


def rows(name: str, count: int) -> list[dict[str, Any]]:
    """Return so many different videos."""
    return [{"prompt": f"{name} {number}", "image": IMAGE} for number in range(count)]


async def until_submitted(gateway: str, count: int) -> None:
    """Wait until the gateway has so many tasks."""
    while (await asyncio.to_thread(count_tasks, gateway)) < count:  # noqa: ASYNC110 the server counts
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)  # the last answers arrive


class Measured:
    """Measures this process from here on."""

    def __init__(self) -> None:
        gc.collect()
        self._lateness = Lateness()
        self._watching = asyncio.create_task(self._lateness.watch())
        self._memory, self._cpu, self._began = memory(), time.process_time(), time.perf_counter()

    def end(self, jobs: int) -> dict[str, float]:
        """Return what each of so many jobs has cost."""
        self._watching.cancel()
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        gc.collect()
        kilobytes = (memory() - self._memory) / jobs
        return {"seconds": seconds, "kB": kilobytes, "cpu_ms": cpu / jobs * 1000, **self._lateness.told()}


async def run_fleet(database: str, gateway: str, jobs: int) -> dict[str, float]:
    """Run a worker of the fleet."""
    worker, fleet = FleetWorker(database, concurrency=jobs + WARM), Fleet(database)
    running = asyncio.create_task(worker.run())
    await until_submitted(gateway, WARM)
    measured = Measured()
    (account,) = (await fleet.status()).accounts
    await fleet.change_account(account.id, cap=0)
    await until_submitted(gateway, WARM + jobs)
    found = measured.end(jobs)
    worker.cut_off()
    await asyncio.wait([running], timeout=60)
    return found


async def run_client(database: str, gateway: str, jobs: int, pace: float) -> dict[str, float]:
    """Run the client alone, and start a job after the other."""
    async with AsyncNebulaVideoClient(base_url=gateway, api_key=KEY, journal=SqlJournal(database), **OPTIONS) as client:
        tasks: list[asyncio.Task[Any]] = []

        async def start(name: str, count: int) -> None:
            began = time.perf_counter()
            for number, row in enumerate(rows(name, count)):
                tasks.append(asyncio.create_task(client.generate(row, key=f"{name}-{number}")))
                await asyncio.sleep(max(0.0, began + number * pace - time.perf_counter()))

        await start("warm", WARM)
        await until_submitted(gateway, WARM)
        measured = Measured()
        await start("many", jobs)
        await until_submitted(gateway, WARM + jobs)
        found = measured.end(jobs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


def measure(kind: str, url: str, jobs: int, pace: float = 0.0) -> dict[str, float]:
    """Run one of them in a process of its own, with a gateway of its own."""
    server = Server(NEVER, 0.0, 0.0)
    try:
        if kind == "fleet":
            asyncio.run(enqueue(url, server.url, jobs))
        command = [sys.executable, __file__, str(jobs), "--child", kind, "--database", url, "--gateway", server.url]
        env = {**os.environ, "NEBULA_API_KEY": KEY, "PYTHONPATH": str(Path(__file__).parents[1])}
        out = subprocess.run([*command, "--pace", str(pace)], env=env, stdout=subprocess.PIPE, check=True, text=True)
        found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
        return found
    finally:
        server.close()


async def enqueue(url: str, gateway: str, jobs: int) -> None:
    """Hand all jobs to the fleet. The account's cap lets a few of them begin."""
    os.environ["NEBULA_API_KEY"] = KEY
    fleet = Fleet(url)
    await fleet.init()
    await fleet.submit_many(rows("many", WARM + jobs), batch="many", base_url=gateway, **OPTIONS)
    (account,) = (await fleet.status()).accounts
    await fleet.change_account(account.id, cap=WARM)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int, nargs="?", default=10_000)
    for name in ("--child", "--database", "--gateway"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--pace", type=float, help=argparse.SUPPRESS)
    told = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if told.child:
        # The local server has no beat: its tasks end at any time.
        register_gateway(replace(GATEWAYS["nebula"], beat_seconds=None), replace=True)
        values = (told.database, told.gateway, told.jobs)
        flow = run_fleet(*values) if told.child == "fleet" else run_client(*values, told.pace)
        print(json.dumps(asyncio.run(flow)), flush=True)
        os._exit(0)
    programs = programs_folder()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="nebula-memory-"))
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    server = Postgres(programs, folder / "pg")
    try:
        fleet = measure("fleet", server.create("fleet"), told.jobs)
        client = measure("client", server.create("client"), told.jobs, fleet["seconds"] / told.jobs)
    finally:
        server.stop("immediate")
    print(f"{f'{told.jobs:,} jobs, load {os.getloadavg()[0]:.1f}':32}{'client':>10}{'fleet':>10}{'ratio':>8}")
    for key, label in (
        ("seconds", "s until all wait"),
        ("kB", "kB a waiting job"),
        ("cpu_ms", "CPU ms a job"),
        ("p99", "loop late by ms, 99 %"),
        ("most", "loop late by ms, most"),
        ("busy_p99", "CPU ms of its turns in 10, 99 %"),
        ("busy_most", "CPU ms of its turns in 10, most"),
    ):
        print(f"{label:32}{client[key]:10.2f}{fleet[key]:10.2f}{fleet[key] / client[key]:8.2f}")


if __name__ == "__main__":
    main()
