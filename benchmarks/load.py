"""What a client costs under load, against the vendor's own client in the same run.

`python benchmarks/load.py waiting --tasks 120` makes videos that take 81 s in the median, with this package, with its
extra `fast`, with httpx2, and with Alibaba's `AioVideoSynthesis`. All wait at the same time for the same finishing
times, each in a process of its own at a server of its own. `burst` looks at 1,000 tasks at once. Only ratios mean
something: a busy machine needs more CPU for the same work. `many.py` measures thousands of videos in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEY = "sk-test-5ecret5ecret5ecret"
IMAGE = "https://example.com/cat.jpg"
Generate = Callable[[int], Awaitable[object]]

NAMES = {
    "dashscope": "dashscope's AioVideoSynthesis",
    "httpx": "ours",
    "fast": "ours, with fast (aiohttp)",
    "httpx2": "ours, with a client of httpx2",
}


class Server:
    """A server of `server.py` in a process of its own."""

    def __init__(self, median: float, spread: float, delay: float) -> None:
        command = [sys.executable, str(HERE / "server.py")]
        options = ["--median", str(median), "--spread", str(spread), "--delay", str(delay)]
        self._process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def stats(self) -> dict[str, Any]:
        """Return what was asked of it."""
        with urllib.request.urlopen(f"{self.url}/stats") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def our_client(kind: str, url: str) -> Any:
    """Return our async client."""
    from langchain_nebula_video import AsyncNebulaVideoClient, MemoryJournal, register_gateway
    from langchain_nebula_video.catalog.gateways import GATEWAYS

    # The local server has no beat: its tasks end at any time, for all clients alike.
    register_gateway(replace(GATEWAYS["nebula"], beat_seconds=None), replace=True)
    if kind != "fast":
        sys.modules["aiohttp"] = None  # type: ignore[assignment]
    own = None
    if kind == "httpx2":
        import httpx2

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32)
        own = httpx2.AsyncClient(limits=limits)
    journal = MemoryJournal()
    return AsyncNebulaVideoClient(api_key=KEY, base_url=url, journal=journal, timeout=900, http_async_client=own)


def contender(kind: str, url: str) -> tuple[Any, Generate, Callable[[str], Awaitable[object]]]:
    """Return the client, what generates a video with it, and what looks at a task once."""
    if kind == "dashscope":
        import dashscope
        from dashscope.aigc.video_synthesis import AioVideoSynthesis

        dashscope.base_http_api_url = f"{url}/api/v1"
        model = "wan2.5-i2v-preview"
        return (
            None,
            lambda number: AioVideoSynthesis.call(model=model, prompt=f"video {number}", img_url=IMAGE, api_key=KEY),
            lambda task: AioVideoSynthesis.fetch(task, api_key=KEY),
        )
    client = our_client(kind, url)
    return client, lambda number: client.generate(prompt=f"video {number}", image=IMAGE), client.fetch


async def measure(kind: str, url: str, part: str, tasks: int) -> dict[str, Any]:
    """Measure one client in this process."""
    client, generate, look = contender(kind, url)
    if client is not None:
        await client.__aenter__()
    first = await _submit_one(kind, client)
    await look(first)
    cpu, wall = time.process_time(), time.monotonic()
    found: dict[str, Any] = {}
    if part == "burst":
        await asyncio.gather(*(look(first) for _ in range(tasks)))
    else:
        results = await asyncio.gather(*(generate(number) for number in range(tasks)), return_exceptions=True)
        found["failed"] = [repr(each)[:200] for each in results if isinstance(each, BaseException)]
    return found | {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}


async def _submit_one(kind: str, client: Any) -> str:
    if kind == "dashscope":
        from dashscope.aigc.video_synthesis import AioVideoSynthesis

        answer = await AioVideoSynthesis.async_call(
            model="wan2.5-i2v-preview", prompt="first", img_url=IMAGE, api_key=KEY
        )
        return str(answer.output.task_id)
    task = await client.submit(prompt="first", image=IMAGE)
    return str(task.task_id)


def run(kinds: list[str], part: str, tasks: int, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure the clients, each in a process of its own, all at the same time."""
    servers = {kind: Server(options.median, options.spread, options.delay) for kind in kinds}
    started = {
        kind: subprocess.Popen(
            [sys.executable, __file__, part, "--child", kind, "--url", server.url, "--tasks", str(tasks)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if kind == "dashscope" else None,  # it leaves its sessions open, and says so
            text=True,
        )
        for kind, server in servers.items()
    }
    found = {}
    for kind, process in started.items():
        out, _ = process.communicate()
        found[kind] = json.loads(out.splitlines()[-1]) | servers[kind].stats()
        servers[kind].close()
    return found


def print_waiting(found: dict[str, dict[str, Any]], tasks: int) -> None:
    """Print what a generation costs while so many wait."""
    base = found["dashscope"]
    print(f"\n{f'{tasks} videos at once':34}{'CPU ms':>8}{'ratio':>7}{'looks':>7}{'lag s':>7}{'ratio':>7}{'failed':>8}")
    for kind, row in found.items():
        ratio, lag = row["cpu"] / base["cpu"], row["mean_lag"]
        print(
            f"{NAMES[kind]:34}{1000 * row['cpu'] / tasks:8.1f}{ratio:7.2f}{row['looks'] / tasks:7.1f}{lag:7.2f}"
            f"{lag / base['mean_lag']:7.2f}{len(row['failed']):8}"
        )


def print_burst(found: dict[str, dict[str, Any]], tasks: int) -> None:
    """Print how long so many looks at once take."""
    base = found["dashscope"]
    print(f"\n{f'{tasks} looks at once':34}{'seconds':>8}{'ratio':>7}{'CPU ms a look':>15}{'connections':>13}")
    for kind, row in found.items():
        ratio = row["wall"] / base["wall"]
        print(f"{NAMES[kind]:34}{row['wall']:8.2f}{ratio:7.2f}{1000 * row['cpu'] / tasks:15.2f}{row['connections']:13}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["waiting", "burst"])
    parser.add_argument("--tasks", type=int, default=120)
    parser.add_argument("--median", type=float, default=81.0, help="seconds of a video")
    parser.add_argument("--spread", type=float, default=0.25, help="standard deviation of the logarithm")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until the server answers")
    parser.add_argument("--kinds", default="dashscope,httpx,fast,httpx2")
    parser.add_argument("--child")
    parser.add_argument("--url")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.child:
        print(json.dumps(asyncio.run(measure(options.child, options.url, options.part, options.tasks))))
        return
    kinds, tasks = options.kinds.split(","), options.tasks
    if options.part == "waiting":
        print_waiting(run(kinds, "waiting", tasks, options), tasks)
    else:
        print_burst({kind: run([kind], "burst", tasks, options)[kind] for kind in kinds}, tasks)


if __name__ == "__main__":
    main()
