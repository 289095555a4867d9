"""A machine without a name server, and one whose name server makes up every address: the main job, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from langchain_nebula_video import AsyncNebulaVideoClient, DownloadError, NebulaVideoClient, NebulaVideoError
from tests.gateways import BEIJING, INTERVAL
from tests.ground.places import FILES, FRONT, GATEWAY, MADE_UP, MADE_UP_NETWORK, OWN, PROXY, VENDOR

CAT = files("langchain_nebula_video") / "assets" / "cat.jpg"
ASK: dict[str, Any] = {"prompt": "The cat blinks", "resolution": "480p", "seed": 1}


async def run(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


class Jobs:
    """Runs each job with both clients, and counts what went wrong."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.faults = 0
        self.image = CAT.read_bytes()

    def options(self, host: str, **more: Any) -> dict[str, Any]:
        vendor = host == VENDOR
        return {
            "gateway": "dashscope" if vendor else "nebula",
            "api_key": BEIJING if vendor else self.facts["key"],
            "base_url": f"https://{host}:{self.facts['port']}" + (self.facts["beijing"] if vendor else ""),
            "verify": self.facts["authority"],
            "poll_interval": INTERVAL,
            "timeout": 60,
            **more,
        }

    async def try_each(self, title: str, check: Callable[[Any], Any], **options: Any) -> None:
        for kind in (NebulaVideoClient, AsyncNebulaVideoClient):
            word = "async" if kind is AsyncNebulaVideoClient else "blocking"
            with tempfile.TemporaryDirectory() as folder:
                try:
                    told, passed = await check(kind(save_to=folder, **options)), True
                except (AssertionError, NebulaVideoError) as error:
                    told, passed = f"{type(error).__name__}: {error}", False
            self.faults += not passed
            print(f"{'ok   ' if passed else 'FAULT'} {title}, {word}: {told}", flush=True)

    async def make(self, client: Any) -> str:
        """The main job: a local image in, a saved video out."""
        video = await run(client.generate(image=self.image, **ASK))
        size = Path(video.path).stat().st_size
        assert size > 10_000
        return f"{size // 1000} kB from {video.url.split('/')[2].split(':')[0]}"

    async def refuse(self, client: Any) -> str:
        """A video at a made-up address of a name that is not known to be the gateway's storage."""
        try:
            video = await run(client.generate(image=self.image, **ASK))
        except DownloadError as error:
            assert error.spent
            assert f"leads to {FILES} ({MADE_UP})" in error.what
            assert MADE_UP_NETWORK in error.hint
            return f"{error.what} {error.hint.partition(' It can be')[0]}"
        raise AssertionError(f"{video.path} was saved")


async def main(folder: Path) -> int:
    jobs = Jobs(json.loads((folder / "facts.json").read_text()))
    with contextlib.suppress(socket.gaierror):
        print(f"FAULT this machine resolves {GATEWAY}: {socket.getaddrinfo(GATEWAY, 443)}")
        return 1
    print("ok    this machine has no name server")
    for setting, url in jobs.facts["proxies"].items():
        os.environ["HTTPS_PROXY"] = url
        await jobs.try_each(setting, jobs.make, **jobs.options(GATEWAY))
        await jobs.try_each(f"{setting}, DashScope", jobs.make, **jobs.options(VENDOR))
        await jobs.try_each(f"{setting}, a literal public address", jobs.make, **jobs.options(FRONT))
    del os.environ["HTTPS_PROXY"]

    (folder / "resolv.conf").write_text(f"nameserver {PROXY}\n")  # which is /etc/resolv.conf here
    print(f"ok    the name server says that {GATEWAY} is at {socket.gethostbyname(GATEWAY)}")
    assert socket.gethostbyname(VENDOR) == MADE_UP
    await jobs.try_each("made-up addresses, DashScope", jobs.make, **jobs.options(VENDOR))
    await jobs.try_each("made-up addresses, Nebula", jobs.make, **jobs.options(GATEWAY))
    await jobs.try_each("made-up addresses, other storage", jobs.refuse, **jobs.options(OWN))
    for allowed in (MADE_UP_NETWORK, FILES):
        await jobs.try_each(f"and {allowed} allowed", jobs.make, **jobs.options(OWN, download_hosts=[allowed]))
    print(f"{jobs.faults} faults")
    return min(jobs.faults, 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
