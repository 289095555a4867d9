"""How many generations can wait in one asyncio process, and what each of them costs.

`python benchmarks/many.py 10000` submits so many videos at once, in one process, to a server of `server.py` in another
one, and waits for all of them. The same number of bare tasks that sleep tells what the event loop itself needs. Each
run is a process of its own, and one follows the other.

`--baseline PATH` measures another checkout of this package in the same way, such as a worktree of an older commit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from load import KEY, Server

IMAGE = "https://example.com/cat.jpg"
FEW = 400
"""The submits whose CPU time is the measure for those of many."""


class Heartbeat:
    """The longest time between two turns of the event loop, in seconds on the clock and of its thread's CPU."""

    def __init__(self) -> None:
        self.clock = self.cpu = 0.0

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            clock, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.01)
            self.clock = max(self.clock, time.monotonic() - clock - 0.01)
            self.cpu = max(self.cpu, time.thread_time() - cpu)


def memory() -> float:
    """Return the resident memory in kB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def count_tasks(url: str) -> int:
    """Return how many tasks a server has."""
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return int(json.load(answer)["tasks"])


def count_failed(videos: list[asyncio.Task[Any]]) -> int:
    """Return how many have ended without a video."""
    return sum(video.done() and video.exception() is not None for video in videos)


def our_client(url: str, *, fast: bool, **options: Any) -> Any:
    """Return the client of the package that this process finds."""
    if not fast:
        sys.modules["aiohttp"] = None  # type: ignore[assignment]
    from langchain_nebula_video import AsyncNebulaVideoClient, MemoryJournal

    with contextlib.suppress(ImportError):  # an older checkout, which knows of no beat
        from langchain_nebula_video import register_gateway
        from langchain_nebula_video.catalog.gateways import GATEWAYS

        # The local server has no beat: its tasks end at any time.
        register_gateway(replace(GATEWAYS["nebula"], beat_seconds=None), replace=True)

    return AsyncNebulaVideoClient(api_key=KEY, base_url=url, journal=MemoryJournal(), timeout=1800, **options)


async def generate(kind: str, url: str, tasks: int, *, whole: bool) -> dict[str, Any]:
    """Generate so many videos; unless `whole`, submit them only, and look at none of them."""
    client = our_client(url, fast=kind == "fast", **({} if whole else {"poll_interval": 900}))
    async with client:
        await client.submit(prompt="first", image=IMAGE)
        before, cpu, heart = memory(), time.process_time(), Heartbeat()
        beating = asyncio.create_task(heart.beat())
        videos = [
            asyncio.create_task(client.generate(prompt=f"video {number}", image=IMAGE)) for number in range(tasks)
        ]
        while (await asyncio.to_thread(count_tasks, url)) <= tasks:  # noqa: ASYNC110 the server counts
            await asyncio.sleep(0.25)
        await asyncio.sleep(0.25)  # the last answers arrive
        found: dict[str, Any] = {"submit": time.process_time() - cpu, "memory": (memory() - before) / tasks}
        if not whole:
            for task in (beating, *videos):
                task.cancel()
        results = await asyncio.gather(*videos, return_exceptions=True)
        found |= {"cpu": time.process_time() - cpu, "clock_block": heart.clock, "cpu_block": heart.cpu}
        found["failed"] = [repr(each)[:300] for each in results if isinstance(each, Exception)]
        beating.cancel()
    return found


async def sleep(tasks: int) -> dict[str, Any]:
    """Let bare tasks sleep."""
    before = memory()
    sleeping = [asyncio.create_task(asyncio.sleep(60)) for _ in range(tasks)]
    await asyncio.sleep(1)
    found = {"memory": (memory() - before) / tasks}
    for each in sleeping:
        each.cancel()
    return found


def run(kind: str, tasks: int, options: argparse.Namespace, *, whole: bool = True) -> dict[str, Any]:
    """Measure in a process of its own."""
    server = Server(options.median, options.spread, 0.0)
    command = [sys.executable, __file__, str(tasks), "--child", kind, "--url", server.url]
    path = options.baseline if kind == "baseline" else Path(__file__).parent.parent
    try:
        out = subprocess.run(
            [*command, "--whole"] if whole else command,
            env=os.environ | {"PYTHONPATH": str(path)},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found | server.stats()
    finally:
        server.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", type=int, nargs="?", default=10_000)
    parser.add_argument("--kinds", default="httpx,fast")
    parser.add_argument("--baseline", type=Path, help="the folder of another checkout of the package")
    parser.add_argument("--median", type=float, default=60.0, help="seconds of a video")
    parser.add_argument("--spread", type=float, default=0.2, help="standard deviation of the logarithm")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--whole", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    tasks = options.tasks
    if options.child:
        kind = options.child
        flow = sleep(tasks) if kind == "sleep" else generate(kind, options.url, tasks, whole=options.whole)
        print(json.dumps(asyncio.run(flow)))
        return
    bare = run("sleep", tasks, options)["memory"]
    print(f"{f'{tasks} at once':12}{'CPU s':>8}{'looks':>7}{'lag s':>7}{'submit ms':>11}{f'at {FEW}':>8}{'ratio':>7}"
          f"{'block CPU s':>13}{'clock s':>9}{'kB a task':>11}{'failed':>8}", flush=True)  # fmt: skip
    for kind in [*(["baseline"] if options.baseline else []), *options.kinds.split(",")]:
        few = 1000 * run(kind, FEW, options, whole=False)["submit"] / FEW
        submit = 1000 * run(kind, tasks, options, whole=False)["submit"] / tasks
        row = run(kind, tasks, options)
        print(f"{kind:12}{row['cpu']:8.1f}{row['looks'] / tasks:7.1f}{row['mean_lag']:7.2f}{submit:11.2f}{few:8.2f}"
              f"{submit / few:7.2f}{row['cpu_block']:13.2f}{row['clock_block']:9.2f}{row['memory'] - bare:11.1f}"
              f"{len(row['failed']):8}", *set(row["failed"][:3]), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
