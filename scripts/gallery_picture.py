#!/usr/bin/env python3
"""scripts/gallery_picture.py [FOLDER]: take the pictures of the gallery for the docs, with the system's Chromium.

A journal in memory has two months of made-up work. Its videos come from the emulator. The default folder is
docs/pictures. Each picture has at most 256 colours, which keeps it small.
"""

from __future__ import annotations

import io
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from langchain_nebula_video import MemoryJournal, NebulaVideoClient
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.web.gallery import export_gallery

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
NOW = datetime(2026, 11, 27, 17, 30, tzinfo=UTC)
CAT = "The cat turns to the window and blinks"
PROMPTS = (CAT, "The camera glides over the hills at dusk", "Mist rises between the hills")
MODELS = (("nebula", "wan2.5-i2v-preview"), ("dashscope", "wan2.2-i2v-plus"), ("uniall", "viduq3p-720p"))
SIZES = {"gallery-light": (1280, 1500, "light"), "gallery-phone": (390, 1100, "dark")}


def videos(folder: Path) -> list[str]:
    """Make a video for each prompt, and return their files."""
    cat = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()
    with Emulator(speed=500) as emulator:
        client = NebulaVideoClient(base_url=emulator.url, api_key=emulator.api_key, save_to=folder)
        found = []
        for prompt in PROMPTS:
            image = cat if prompt == CAT else f"https://example.com/{prompt.split()[-1]}.jpg"
            found.append(str(client.generate(prompt=prompt, image=image, resolution="480p").path))
    return found


def made_up(paths: list[str]) -> MemoryJournal:
    """Return a journal of two months."""
    journal = MemoryJournal()
    for number in range(60):
        state = {7: EntryState.RUNNING, 4: EntryState.UNCONFIRMED, 23: EntryState.FAILED}.get(
            number, EntryState.SUCCEEDED
        )
        gateway, model = MODELS[(number * 7 + number // 5) % 3]
        usd = Decimal("0.369") * (1 + (number * number) % 4)
        made = NOW - timedelta(hours=number * 22 + (number * number) % 17)
        done = state is EntryState.SUCCEEDED
        video: dict[str, Any] = {"path": paths[number % 3], "duration": 5, "resolution": "720p", "image_name": "take"}
        entry = Entry(
            id=f"{number:032x}",
            gateway=gateway,
            model=model,
            request={"prompt": PROMPTS[number % 3]},
            created_at=made,
            state=state,
            task_id=None if state is EntryState.UNCONFIRMED else f"task-{number:04}",
            reserved_usd=usd,
            billed_usd=usd if done else None,
            video=video if done else None,
            reason="DataInspectionFailed: the prompt was refused" if state is EntryState.FAILED else None,
            host="gateway.example.com",
        )
        journal.reserve(entry, None)
    return journal


def main(folder: Path) -> None:
    """Export the gallery and take the pictures."""
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        journal = made_up(videos(Path(work, "videos")))
        page_file = export_gallery(journal, Path(work, "site"), now=NOW)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(page_file.as_uri())
            page.wait_for_function("[...document.querySelectorAll('video')].slice(0, 6).every(v => v.readyState >= 2)")
            picture = Image.open(io.BytesIO(page.screenshot())).quantize(256)
            picture.save(folder / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
