"""What one call of the tool, of the runnable and of the client costs, beside a tool that does nothing.

`python benchmarks/call.py [--calls 200] [--only tool,memory]` makes one video after another. The clock is virtual: a
sleep takes no time, but all that a call does between two sleeps is done. The CPU time is that of this process, threads
included, and the median of the calls. The contenders take turns in a random order, so that a busy machine slows all of
them.

There are two tables. In the first one a transport inside this process answers at once: the sockets cost nothing. In
the second one a server in another process answers over loopback, and its CPU does not count.

| row           | what it is                                                                                     |
|---------------|------------------------------------------------------------------------------------------------|
| no-op tool    | a `BaseTool` that returns a text: what LangChain itself takes                                  |
| httpx pair    | POST and GET with a client of httpx: a new one for each pair, as each submit has a connection of |
|               | its own; in process, one client for all                                                        |
| the others    | a whole generation; the last column is that without the no-op tool                             |

`--profile out.pstats` profiles the chosen contenders instead, with `--over process` or `--over sockets`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
from langchain_core.tools import BaseTool

sys.path.insert(0, str(Path(__file__).parent))
from dialects import NEBULA
from load import IMAGE, KEY, Server

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    SqlJournal,
    register_gateway,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS

Call = Callable[[int], Any]
_WARM_UP = 20


class VirtualClock:
    """A clock on which a sleep takes no time."""

    def __init__(self) -> None:
        self._slept = 0.0
        self._began = datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic() + self._slept

    def utcnow(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC) + timedelta(seconds=self._slept)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self._slept += seconds

    async def asleep(self, seconds: float) -> None:
        """See `Clock`."""
        self._slept += seconds
        await asyncio.sleep(0)


class NoOp(BaseTool):
    """Returns a text and an artifact, as our tool does."""

    name: str = "no_op"
    description: str = "Does nothing."
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    def _run(self, prompt: str, image: str) -> tuple[str, dict[str, str]]:
        return prompt, {"image": image}

    async def _arun(self, prompt: str, image: str) -> tuple[str, dict[str, str]]:
        return prompt, {"image": image}


def _arguments(number: int) -> dict[str, Any]:
    return {"prompt": f"The cat of call {number} opens its eyes", "image": IMAGE}


class AnswersAtOnce(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """The answers of `server.py`, without a socket."""

    def __init__(self) -> None:
        self._count = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport`."""
        if request.method == "POST":
            self._count += 1
            task = b"task-%06d" % self._count
            content = NEBULA.submitted % {b"task": task}
        else:
            content = NEBULA.succeeded % {b"task": request.url.path.rpartition("/")[2].encode()}
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        return self.handle_request(request)


async def _plain_pair(client: httpx.AsyncClient, url: str, number: int) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": "wan2.5-i2v-preview", **_arguments(number)}
    answer = (await client.post(f"{url}/v1/video/generations", json=body, headers=headers)).json()
    (await client.get(f"{url}/v1/video/generations/{answer['task_id']}", headers=headers)).json()


async def _new_pair(url: str, number: int) -> None:
    async with httpx.AsyncClient(verify=False) as client:  # the server is on this machine, and speaks http
        await _plain_pair(client, url, number)


def _with_dict(invoke: Callable[[dict[str, Any]], Any]) -> Call:
    return lambda number: invoke(_arguments(number))


def _with_fields(generate: Callable[..., Any]) -> Call:
    return lambda number: generate(**_arguments(number))


def contenders(url: str | None, folder: str) -> dict[str, Call]:
    """Return what to measure, by name. Without a URL, the answers come from this process."""
    register_gateway(replace(GATEWAYS["nebula"], beat_seconds=None), replace=True)
    no_op, clients = NoOp(), dict[str, Any]()
    pair: Call
    if url is None:
        url = "http://127.0.0.1:1"
        client = httpx.AsyncClient(transport=AnswersAtOnce())
        clients = {"http_client": httpx.Client(transport=AnswersAtOnce()), "http_async_client": client}
        pair = partial(_plain_pair, client, url)
    else:
        pair = partial(_new_pair, url)
    found: dict[str, Call] = {
        "no-op tool.ainvoke": _with_dict(no_op.ainvoke),
        "no-op tool.invoke": _with_dict(no_op.invoke),
        "httpx pair": pair,
    }
    for kind in ("memory", "SQLite"):

        def options(name: str, kind: str = kind) -> dict[str, Any]:
            journal = MemoryJournal() if kind == "memory" else SqlJournal(Path(folder, f"{name}.db"))
            return {"api_key": KEY, "base_url": url, "journal": journal, "clock": VirtualClock(), **clients}

        found |= {
            f"tool.ainvoke, {kind}": _with_dict(NebulaVideoTool(**options("tool")).ainvoke),
            f"tool.invoke, {kind}": _with_dict(NebulaVideoTool(**options("blocking-tool")).invoke),
            f"runnable.ainvoke, {kind}": _with_dict(NebulaVideoRunnable(**options("runnable")).ainvoke),
            f"client.generate, {kind}": _with_fields(AsyncNebulaVideoClient(**options("client")).generate),
            f"blocking generate, {kind}": _with_fields(NebulaVideoClient(**options("blocking")).generate),
        }
    return found


async def _run(call: Call, number: int) -> None:
    found = call(number)
    if isinstance(found, Awaitable):
        await found


async def measure(calls: dict[str, Call], count: int) -> dict[str, tuple[float, float]]:
    """Return the median CPU milliseconds of a call, of all threads and of this one."""
    for call in calls.values():
        for number in range(_WARM_UP):
            await _run(call, -1 - number)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    chance = random.Random(1)
    for number in range(count):
        for name, call in chance.sample([*calls.items()], len(calls)):  # who comes after itself finds warm caches
            thread, process = time.thread_time(), time.process_time()
            await _run(call, number)
            times[name].append((time.process_time() - process, time.thread_time() - thread))
    return {
        name: (1000 * statistics.median(all_), 1000 * statistics.median(own))
        for name, (all_, own) in ((name, zip(*pairs, strict=True)) for name, pairs in times.items())
    }


async def profile(calls: dict[str, Call], count: int, path: str) -> None:
    """Write a profile of the event loop's thread."""
    for call in calls.values():
        for number in range(_WARM_UP):
            await _run(call, -1 - number)
    profiler = cProfile.Profile()
    profiler.enable()
    for number in range(count):
        for call in calls.values():
            await _run(call, number)
    profiler.disable()
    profiler.dump_stats(path)


def run(over: str, options: argparse.Namespace) -> dict[str, tuple[float, float]] | None:
    """Measure or profile."""
    own = Server(0.0, 0.0, 0.0) if over == "sockets" else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            calls = contenders(None if own is None else own.url, folder)
            words = (options.only or "").split(",")
            calls = {name: call for name, call in calls.items() if all(word in name for word in words)}
            if options.profile:
                asyncio.run(profile(calls, options.calls, options.profile))
                return None
            return asyncio.run(measure(calls, options.calls))
    finally:
        if own is not None:
            own.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--only", help="words, with commas between them, that the names of the contenders have")
    parser.add_argument("--over", choices=["process", "sockets"])
    parser.add_argument("--profile", metavar="PATH")
    options = parser.parse_args()
    for over in [options.over] if options.over else ["process", "sockets"]:
        found = run(over, options)
        if found is None:
            continue
        where = "answered in this process" if over == "process" else "over loopback"
        print(f"\n{f'CPU ms of a call, {where}':44}{'all':>8}{'own thread':>12}{'over no-op':>12}")
        for name, (all_, own) in found.items():
            blocking = "tool.invoke" in name or "blocking" in name
            base = found.get(f"no-op tool.{'invoke' if blocking else 'ainvoke'}", (0.0,))[0]
            over_base = "" if name.startswith("no-op") or not base else f"{all_ - base:12.2f}"
            print(f"{name:44}{all_:8.2f}{own:12.2f}{over_base}")


if __name__ == "__main__":
    main()
