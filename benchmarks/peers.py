"""The clients that are compared, each called as its own documentation shows.

`clients.py` runs this file in the environment of one client: `python peers.py waiting fal --url … --tasks 24`. It
prints one line of JSON. Nothing but the standard library is imported before the client is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import sys
import time
import urllib.request
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEY = "sk-test-5ecret5ecret5ecret"
IMAGE = "https://example.com/cat.jpg"
VIDEO = "results.example.com"
"""What is in the answer of a client that has its video."""
PATIENCE = 150.0
"""Seconds until a client with a fault is given up. fal's ten attempts take 77 s at most."""
Generate = Callable[[str], Any]
Opened = Callable[[str, dict[str, Any]], Generate]


@dataclass(frozen=True)
class Client:
    """A client: how it is opened, which packages it is, and how it is called.

    `open` takes the server's address and options for ours, and returns what makes a video of a prompt: a coroutine, or
    with `blocking` a plain function, which then runs in a thread for each video.
    """

    open: Opened
    packages: tuple[str, ...]
    call: str
    environment: str = "peers"
    blocking: bool = False


def _our_options(url: str, options: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import replace
    from types import MappingProxyType

    from langchain_nebula_video import MemoryJournal, register_gateway, register_model
    from langchain_nebula_video.catalog.gateways import GATEWAYS
    from langchain_nebula_video.catalog.models import MODELS

    # The local server has no beat: its tasks end at any time, for all clients alike.
    register_gateway(replace(GATEWAYS["nebula"], beat_seconds=None), replace=True)
    median = options.pop("median", None)
    if median:  # not the real times of the model's row, in a quick run
        row = MODELS["wan2.5-i2v-preview"]
        usual = dict.fromkeys(row.typical_seconds, (median * 0.74, median * 1.5))
        register_model(replace(row, typical_seconds=MappingProxyType(usual)), replace=True)
    return {"api_key": KEY, "base_url": url, "journal": MemoryJournal(), "timeout": 900, **options}


class Ours:
    """Our client as a function of a prompt. Its first look comes late, so `look` makes one for the warm-up."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, prompt: str) -> Any:
        """Make a video."""
        return self._client.generate(prompt=prompt, image=IMAGE)

    def look(self) -> Any:
        """Look at the first task of the server."""
        return self._client.fetch("task-000000")


def open_ours(url: str, options: dict[str, Any]) -> Generate:
    """Open our async client; without the extra `fast`, if its packages are hidden."""
    from langchain_nebula_video import AsyncNebulaVideoClient

    return Ours(AsyncNebulaVideoClient(**_our_options(url, options)))


def open_ours_without_fast(url: str, options: dict[str, Any]) -> Generate:
    """Open our async client as if aiohttp was not installed."""
    sys.modules["httpx_aiohttp"] = sys.modules["aiohttp"] = None  # type: ignore[assignment]
    return open_ours(url, options)


def open_ours_blocking(url: str, options: dict[str, Any]) -> Generate:
    """Open our blocking client."""
    from langchain_nebula_video import NebulaVideoClient

    return Ours(NebulaVideoClient(**_our_options(url, options)))


def open_dashscope(url: str, _: dict[str, Any]) -> Generate:
    """Open Alibaba's SDK, with its classes of version 1."""
    import dashscope

    dashscope.base_http_api_url = f"{url}/api/v1"
    return lambda prompt: dashscope.VideoSynthesis.call(
        model="wan2.5-i2v-preview", prompt=prompt, img_url=IMAGE, api_key=KEY
    )


def open_dashscope_aio(url: str, _: dict[str, Any]) -> Generate:
    """Open the classes of version 1 for asyncio."""
    import dashscope
    from dashscope.aigc.video_synthesis import AioVideoSynthesis

    dashscope.base_http_api_url = f"{url}/api/v1"
    return lambda prompt: AioVideoSynthesis.call(model="wan2.5-i2v-preview", prompt=prompt, img_url=IMAGE, api_key=KEY)


def open_dashscope2(url: str, _: dict[str, Any]) -> Generate:
    """Open the client of version 2."""
    import dashscope

    client = dashscope.AsyncClient(api_key=KEY, base_url=f"{url}/api/v1")

    async def generate(prompt: str) -> object:
        job = await client.videos.generate(model="wan2.5-i2v-preview", prompt=prompt, image_url=IMAGE)
        return job.video_url

    return generate


def open_fal(url: str, _: dict[str, Any]) -> Generate:
    """Open fal's client. Its address is always https, so a constant of the module is replaced."""
    import fal_client
    import fal_client.client

    fal_client.client.QUEUE_URL_FORMAT = f"{url}/fal/"
    client = fal_client.AsyncClient(key=KEY)
    return lambda prompt: client.subscribe("wan/image-to-video", {"prompt": prompt, "image_url": IMAGE})


def open_runway(url: str, _: dict[str, Any]) -> Generate:
    """Open Runway's client."""
    from runwayml import AsyncRunwayML

    client = AsyncRunwayML(api_key=KEY, base_url=f"{url}/runway")

    async def generate(prompt: str) -> object:
        task = await client.image_to_video.create(
            model="gen4_turbo", prompt_image=IMAGE, prompt_text=prompt, ratio="1280:720", duration=5
        )
        return await task.wait_for_task_output()

    return generate


def open_openai(url: str, _: dict[str, Any]) -> Generate:
    """Open OpenAI's client."""
    from openai import AsyncOpenAI

    warnings.simplefilter("ignore", DeprecationWarning)
    client = AsyncOpenAI(api_key=KEY, base_url=f"{url}/openai/v1")

    async def generate(prompt: str) -> object:
        video = await client.videos.create_and_poll(model="sora-2", prompt=prompt)
        return VIDEO if video.status == "completed" else video

    return generate


def open_replicate(url: str, _: dict[str, Any]) -> Generate:
    """Open Replicate's client. Its `run` has the server hold the request for a minute; a video takes longer."""
    import replicate

    client = replicate.Client(api_token=KEY, base_url=f"{url}/replicate")

    async def generate(prompt: str) -> object:
        prediction = await client.models.predictions.async_create(
            model=("wan", "i2v"), input={"prompt": prompt, "image": IMAGE}
        )
        await prediction.async_wait()
        return prediction.output

    return generate


def open_wavespeed(url: str, _: dict[str, Any]) -> Generate:
    """Open the LangChain tool of WaveSpeed. Its client is the one that the tool makes itself, with another address."""
    from langchain_wavespeed import WaveSpeedVideoGeneration
    from wavespeed import Client as WaveSpeed

    client = WaveSpeed(api_key=KEY, base_url=f"{url}/wavespeed", client_name="langchain-wavespeed", max_retries=0)
    tool = WaveSpeedVideoGeneration(client=client)
    return lambda prompt: tool.invoke({"prompt": prompt, "duration": 5})


def open_magic_hour(url: str, _: dict[str, Any]) -> Generate:
    """Open the LangChain tool of Magic Hour. Its client is the one that the tool makes itself, with another address."""
    from langchain_magic_hour import MagicHourTextToVideoTool
    from magic_hour import AsyncClient

    tool = MagicHourTextToVideoTool(api_key=KEY, async_client=AsyncClient(token=KEY, base_url=f"{url}/magic-hour"))
    return lambda prompt: tool.ainvoke({"prompt": prompt})


def open_magic_hour_blocking(url: str, _: dict[str, Any]) -> Generate:
    """Open the same tool for threads."""
    from langchain_magic_hour import MagicHourTextToVideoTool
    from magic_hour import Client as MagicHour

    tool = MagicHourTextToVideoTool(api_key=KEY, client=MagicHour(token=KEY, base_url=f"{url}/magic-hour"))
    return lambda prompt: tool.invoke({"prompt": prompt})


OURS = ("langchain-nebula-video",)
WAVESPEED = ("langchain-wavespeed", "wavespeed")
MAGIC_HOUR = ("langchain-magic-hour", "magic_hour")
CLIENTS = {
    "ours": Client(open_ours_without_fast, OURS, "AsyncNebulaVideoClient.generate", "ours"),
    "ours-fast": Client(open_ours, (*OURS, "aiohttp"), "the same, with the extra `fast`", "ours"),
    "ours-blocking": Client(open_ours_blocking, OURS, "NebulaVideoClient.generate", "ours", blocking=True),
    "dashscope1": Client(open_dashscope, ("dashscope",), "VideoSynthesis.call", "dashscope1", blocking=True),
    "dashscope1-aio": Client(open_dashscope_aio, ("dashscope",), "AioVideoSynthesis.call", "dashscope1"),
    "dashscope2": Client(open_dashscope2, ("dashscope",), "AsyncClient.videos.generate"),
    "fal": Client(open_fal, ("fal-client",), "AsyncClient.subscribe"),
    "runway": Client(open_runway, ("runwayml",), "image_to_video.create, wait_for_task_output"),
    "openai": Client(open_openai, ("openai",), "videos.create_and_poll"),
    "replicate": Client(open_replicate, ("replicate",), "predictions.async_create, async_wait"),
    "wavespeed": Client(open_wavespeed, WAVESPEED, "WaveSpeedVideoGeneration.invoke", blocking=True),
    "magic-hour": Client(open_magic_hour, MAGIC_HOUR, "MagicHourTextToVideoTool.ainvoke"),
    "magic-hour-blocking": Client(
        open_magic_hour_blocking, MAGIC_HOUR, "MagicHourTextToVideoTool.invoke", blocking=True
    ),
}

FAULTS = {
    "lost": ("lost", 1),
    "500": ("500", 1),
    "429": ("429", 1),
    "always lost": ("lost", 1_000),
    "always 500": ("500", 1_000),
    "look 502": ("look-502", 1),
    "look lost": ("look-lost", 1),
}
"""The fault of the server, and how often it happens."""


class Run:
    """A client in this process, and the server that it talks to."""

    def __init__(self, client: Client, url: str, options: dict[str, Any], threads: int) -> None:
        self._url = url
        self._blocking = client.blocking
        self._threads = ThreadPoolExecutor(max(threads, 1))
        self._generate = client.open(url, options)

    async def generate(self, prompt: str) -> object:
        """Make a video."""
        return await self._call(self._generate, prompt)

    async def _call(self, function: Callable[..., Any], *arguments: object) -> object:
        if self._blocking:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        made: Awaitable[object] = function(*arguments)
        return await made

    async def warm_up(self, count: int) -> list[asyncio.Task[object]]:
        """Begin to make some videos, and return when nothing more happens that happens once in a process."""
        begun = self.start(count)
        await self.until_accepted(count, 60)
        if isinstance(self._generate, Ours):
            await self._call(self._generate.look)
        await asyncio.sleep(8)  # Runway's client looks after 4.5 to 7.5 s
        return begun

    def start(self, count: int) -> list[asyncio.Task[object]]:
        """Begin to make so many videos."""
        return [asyncio.create_task(self.generate(f"video {number}")) for number in range(count)]

    async def stats(self, path: str = "stats") -> dict[str, Any]:
        """Ask the server."""
        return await asyncio.to_thread(ask, self._url, path)

    async def until_accepted(self, count: int, seconds: float) -> float:
        """Return the seconds until the server has so many tasks, or the most seconds."""
        began = time.monotonic()
        while time.monotonic() - began < seconds and (await self.stats())["tasks"] < count:  # noqa: ASYNC110 it counts
            await asyncio.sleep(0.1)
        return time.monotonic() - began


def ask(url: str, path: str = "stats") -> dict[str, Any]:
    """Ask the server what was asked of it, or set a fault."""
    with urllib.request.urlopen(f"{url}/{path}") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def memory() -> float:
    """Return the resident memory in kB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def told(result: object) -> str:
    """Say how a call has ended."""
    if isinstance(result, BaseException):
        return type(result).__name__
    return "video" if VIDEO in str(result) else "error in the result"


async def waiting(run: Run, tasks: int) -> dict[str, Any]:
    """Make so many videos at once. One more begins before, so that nothing is counted that happens once."""
    first = await run.warm_up(1)
    cpu, wall = time.process_time(), time.monotonic()
    results = await asyncio.gather(*run.start(tasks), *first, return_exceptions=True)
    ends = [told(each) for each in results]
    spent = {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}
    return spent | {"ends": {end: ends.count(end) for end in dict.fromkeys(ends)}}


async def burst(run: Run, tasks: int) -> dict[str, Any]:
    """Begin so many videos at once, which last longer than this measurement, after some others."""
    few = await run.warm_up(5)
    before, accepted, cpu = memory(), (await run.stats())["tasks"], time.process_time()
    many = run.start(tasks)
    took = await run.until_accepted(accepted + tasks, 60)
    spent = time.process_time() - cpu
    await asyncio.sleep(2)
    failed = [told(task.exception() or task.result()) for task in [*few, *many] if task.done()]
    grown = (memory() - before) / tasks
    count = (await run.stats())["tasks"] - accepted
    return {"seconds": took, "cpu": spent, "accepted": count, "failed": failed, "memory": grown}


async def faults(run: Run, _: int) -> dict[str, Any]:
    """Make one video with each fault."""
    found = {}
    for name, (kind, times) in FAULTS.items():
        before = await run.stats(f"fault/{kind}/{times}")
        result: object
        try:
            result = await asyncio.wait_for(run.generate(f"a video with {name}"), PATIENCE)
        except Exception as error:  # noqa: BLE001 whatever a client raises
            result = error
        after = await run.stats("fault/none/0")
        found[name] = {
            "paid": after["tasks"] - before["tasks"],
            "posts": after["posts"] - before["posts"],
            "end": told(result),
        }
    return found


async def startup(run: Run, _: int) -> dict[str, Any]:
    """Tell the memory of a process that has opened the client."""
    return {"rss": memory() / 1024, "tasks": (await run.stats())["tasks"]}


PARTS = {"waiting": waiting, "burst": burst, "faults": faults, "startup": startup}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one client in this process."""
    client = CLIENTS[options.client]
    began = time.process_time()
    run = Run(client, options.url, json.loads(options.options), options.tasks + 20)
    opened = time.process_time() - began
    found = await PARTS[options.part](run, options.tasks)
    return {**found, "opened": opened, "versions": {name: version(name) for name in client.packages}}


def main() -> None:
    """Measure one client and print what came out, on the stream that it began with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--options", default="{}", help="of our client, as JSON")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # some clients print
        found = asyncio.run(_measure_and_print(options, out))
    sys.exit(found)


async def _measure_and_print(options: argparse.Namespace, out: Any) -> int:
    out.write(json.dumps(await measure(options)) + "\n")
    out.flush()
    os._exit(0)  # a burst leaves calls behind, which nobody waits for


if __name__ == "__main__":
    main()
