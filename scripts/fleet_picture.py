#!/usr/bin/env python3
"""scripts/fleet_picture.py [FOLDER]: take the picture of a fleet's batches for the docs, with the system's Chromium.

`NEBULA_JOURNAL` names an empty PostgreSQL. The emulator plays the gateway, and a worker in this process makes the
videos. The default folder is docs/pictures.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.async_api import async_playwright

from langchain_nebula_video import SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, FleetWorker
from langchain_nebula_video.web.gallery import gallery_app

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
SHOTS = {"hills": 400, "cat": 12, "rain": 50}


def rows(scene: str) -> list[dict[str, Any]]:
    """Return made-up rows."""
    image = f"https://example.com/{scene}.jpg"
    return [{"prompt": f"{scene}, take {n}", "image": image, "resolution": "480p"} for n in range(SHOTS[scene])]


async def main(folder: Path) -> None:
    """Make a night's work, and take the picture in its middle."""
    url = os.environ["NEBULA_JOURNAL"]
    fleet = Fleet(url)
    await fleet.init()
    with Emulator(speed=200, balance=1000) as emulator:
        os.environ["NEBULA_API_KEY"] = emulator.api_key
        worker = FleetWorker(url, concurrency=20)
        working = asyncio.create_task(worker.run())
        emulator.faults.add("submit", "reset_after", after=5)
        refused = {"prompt": "The cat [fail]", "image": "https://example.com/cat.jpg", "key": "cat-13"}
        cats = [{**row, "key": f"cat-{number}"} for number, row in enumerate(rows("cat"), start=1)]
        await fleet.submit_many([*cats, refused], batch="cats", budget="5.00", base_url=emulator.url)
        async for _ in fleet.results("cats"):
            pass
        rain = [*rows("rain"), {"prompt": ""}]
        await fleet.submit_many(rain, batch="rain", paused="waits for the client's yes", base_url=emulator.url)
        await fleet.submit_many(
            rows("hills"),
            batch="hills-at-night",
            budget="90.00",
            priority=5,
            hours="00:00-23:59",
            base_url=emulator.url,
        )
        while (await fleet.status("hills-at-night")).batches[0].ended < 200:  # noqa: ASYNC110 there is no event
            await asyncio.sleep(0.2)
        await take(gallery_app(SqlJournal(url), fleet=fleet), folder / "fleet-light.png")
        await fleet.cancel("hills-at-night")
        worker.stop()
        await working


async def take(app: Any, file: Path) -> None:
    """Serve the gallery, and take the picture."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 uvicorn has none
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
        await page.goto(f"http://127.0.0.1:{port}/fleet")
        picture = Image.open(io.BytesIO(await page.screenshot())).quantize(256)
        await asyncio.to_thread(picture.save, file, optimize=True)
        await browser.close()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
