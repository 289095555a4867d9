"""What is to happen in a part of a run, and the faults of the gateway."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video.emulator import Emulator, SupportsNow
from langchain_nebula_video.emulator.rendering import images
from tests.chaos.ledger import named

BEIJING = "sk-chaos-beijing-0123456789"
PROMPT = "The boat crosses the bay"
"""The same for all requests, so that the emulator renders one video."""
SPEED = 20_000.0

# What goes wrong, where, and how often in a thousand generations.
FAULTS: list[tuple[str, str, dict[str, Any], int]] = [
    ("submit", "reset_before", {}, 12),
    ("submit", "reset_after", {}, 12),
    ("submit", "eof_before", {}, 6),
    ("submit", "eof_after", {}, 6),
    ("submit", "truncated", {}, 6),
    ("submit", "empty", {}, 6),
    ("submit", "status", {"code": 500, "accepted": True}, 6),
    ("submit", "status", {"code": 503}, 6),
    ("submit", "status", {"code": 429}, 40),
    ("query", "reset_before", {}, 20),
    ("query", "eof_after", {}, 20),
    ("query", "truncated", {}, 20),
    ("query", "html", {}, 20),
    ("query", "status", {"code": 502}, 40),
    ("query", "status", {"code": 429}, 20),
    ("download", "reset_before", {}, 10),
    ("download", "cut", {}, 20),
    ("download", "half", {}, 10),
    ("download", "status", {"code": 503}, 10),
]


@dataclass(frozen=True)
class Plan:
    """What is to happen."""

    generations: int
    seed: int
    kills: int = 0
    processes: int = 4
    gateway: str = "nebula"
    make_journal: Callable[[str], str] | None = None
    """Makes a database by its name and returns its URL; `None`: SQLite in the part's folder."""
    clock_jumps: bool = True
    full_disks: bool = True
    """A disk that is full while a call ends may leave its lease behind: then the key waits for up to a minute."""
    budget_share: Decimal = Decimal("0.97")
    """The budget as a share of what all generations together cost: so it is reached."""

    def journal_url(self, folder: Path, name: str = "journal") -> str:
        """Return the URL of a new journal of a part that works in this folder."""
        if self.make_journal is not None:
            return self.make_journal(f"{folder.name}_{name}")
        return f"sqlite:///{folder / name}.db"


def new_emulator(*, speed: float = SPEED, clock: SupportsNow | None = None) -> Emulator:
    """Return an emulator with an account at Nebula and one at DashScope in Beijing."""
    emulator = Emulator(speed=speed, balance=10_000_000, clock=clock)
    emulator.add_account(BEIJING, region="beijing", balance=10_000_000)
    return emulator


def host_picture(emulator: Emulator, name: str = "chaos") -> str:
    """Serve a picture and return its address."""
    return emulator.host_image(images.sample(name, (640, 480)))


def reach(emulator: Emulator, gateway: str) -> dict[str, Any]:
    """Return the options of a client that say where the gateway is."""
    if gateway == "dashscope":
        return {"gateway": gateway, "base_url": emulator.dashscope_url(), "api_key": BEIJING}
    return {"gateway": gateway, "base_url": emulator.url, "api_key": emulator.api_key}


def fields(image: str, name: str, prompt: str = PROMPT) -> dict[str, Any]:
    """Return the request for a video with this name; see `ledger.named`."""
    return {"prompt": prompt, "image": named(image, name), "seed": 1, "resolution": "480p"}


def spread_faults(emulator: Emulator, generations: int, rng: random.Random) -> None:
    """Put each fault at random places of the run."""
    places: list[tuple[str, str, dict[str, Any], int]] = []
    for point, kind, params, often in FAULTS:
        count = max(1, often * generations // 1000)
        places += [(point, kind, params, rng.randrange(generations)) for _ in range(count)]
    # The first fault that is due takes the request, and those behind it do not see it: so the order is by due place.
    for point, kind, params, after in sorted(places, key=lambda place: place[3]):
        emulator.faults.add(point, kind, after=after, **params)
