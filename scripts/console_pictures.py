#!/usr/bin/env python3
"""scripts/console_pictures.py [FOLDER]: take the pictures of the console for the docs, with the system's Chromium.

An emulator whose clock stands plays some minutes of work on two gateways. So the pictures always show the same, but for
the ids. The default folder is docs/pictures. Each picture has at most 256 colours, which keeps it small.
"""

from __future__ import annotations

import io
import json
import sys
from http.client import HTTPConnection
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from langchain_nebula_video.emulator import Clock, Emulator
from langchain_nebula_video.web.console import add_console

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
BEIJING = "sk-beijing"
WORK: tuple[tuple[float, str, dict[str, Any]], ...] = (
    (0, "nebula", {"prompt": "The cat looks up and blinks", "resolution": "720p", "seed": 11}),
    (9, "nebula", {"prompt": "The camera glides over the hills at dusk", "duration": 10, "seed": 5}),
    (7, "dashscope", {"prompt": "Mist rises between the hills", "seed": 8}),
    (21, "nebula", {"prompt": "A storm with lightning [moderated]", "seed": 3}),
    (24, "nebula", {"prompt": "The sun sets behind the ridge", "resolution": "1080p", "seed": 2}),
    (16, "dashscope", {"prompt": "Slow zoom on the valley, birds far away", "seed": 21}),
    (30, "nebula", {"prompt": "The cat turns to the window and yawns", "resolution": "480p", "seed": 4}),
)
"""Seconds since the one before, gateway, and what is asked for."""
SIZES = {
    "console-light": (1280, 1000, "light"),
    "console-dark": (1280, 1000, "dark"),
    "console-phone": (390, 1100, "dark"),
}


def main(folder: Path) -> None:
    """Play the work and take the pictures."""
    emulator = Emulator(clock=Clock(start=1_764_237_600.0, running=False))
    emulator.add_account(BEIJING, region="beijing", name="beijing")
    add_console(emulator)
    cat = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()
    with emulator, sync_playwright() as playwright:
        for seconds, gateway, fields in WORK:
            emulator.clock.advance(seconds)
            subject = fields["prompt"].split()[1]
            picture = emulator.host_image(cat) if subject == "cat" else f"https://example.com/{subject}.jpg"
            submit(emulator, gateway, picture, fields)
        emulator.clock.advance(45)
        emulator.faults.add("query", "status", code=503, times=3)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme) in SIZES.items():
            take(browser, emulator.url, folder / f"{name}.png", (width, height), scheme)


def submit(emulator: Emulator, gateway: str, picture: str, fields: dict[str, Any]) -> None:
    """Submit one task as a client does."""
    if gateway == "nebula":
        path, key, more = "/v1/video/generations", emulator.api_key, {}
        body: dict[str, Any] = {"model": "wan2.5-i2v-preview", "image": picture, **fields}
    else:
        path, key = "/api/v1/services/aigc/video-generation/video-synthesis", BEIJING
        more = {"X-DashScope-Async": "enable"}
        inputs = {"prompt": fields["prompt"], "img_url": picture}
        body = {"model": "wan2.2-i2v-plus", "input": inputs, "parameters": {"seed": fields["seed"]}}
    address = urlsplit(emulator.url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **more}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(answer.read().decode())
    connection.close()


def take(browser: Browser, url: str, path: Path, size: tuple[int, int], scheme: Any) -> None:
    """Take one picture."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.goto(url)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)  # until each player has drawn itself
    with Image.open(io.BytesIO(page.screenshot())) as image:
        colours = image.convert("RGB").quantize(256)
        image.convert("RGB").quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    page.close()
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
