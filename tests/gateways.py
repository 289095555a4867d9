"""All gateways on one emulator, and clocks on which nobody waits long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.emulator import Clock, Emulator
from langchain_nebula_video.testing.gateways import locate

Make = Callable[..., Any]
ASK: dict[str, Any] = {
    "prompt": "The cat blinks",
    "image": "https://example.com/cat.png",
    "resolution": "480p",
    "seed": 1,
}
"""With a seed, so that all who save this video share one rendering."""
SPEED = 20_000.0
"""A clip of five seconds takes three to six milliseconds."""
INTERVAL = 0.02
"""Seconds between two polls."""
BEIJING, SINGAPORE = "sk-beijing-0123456789", "sk-singapore-0123456789"
REGIONS = {
    "dashscope": ("beijing", BEIJING),
    "dashscope-intl": ("singapore", SINGAPORE),
    "dashscope-us": ("virginia", "sk-virginia-0123456789"),
    "dashscope-eu": ("frankfurt", "sk-frankfurt-0123456789"),
    "dashscope-hk": ("hongkong", "sk-hongkong-0123456789"),
}
"""The emulator's region of each of DashScope's rows, and the key there."""


BOTH = pytest.mark.parametrize("behaviour", ["page", "source"], indirect=True)
"""On a journey that has to end alike whether Nebula does as its page says or as its published code does."""


@contextmanager
def played_from(behaviour: str) -> Iterator[None]:
    """Let every emulator that is made inside play Nebula so, whoever makes it: a fixture, a page of the docs."""
    # If the vendor refused bytes, most journeys would end there.
    settings = {} if behaviour == "page" else {"behaviour": behaviour, "bytes_accepted": True}
    with mock.patch.dict(Emulator.__init__.__kwdefaults__, settings):
        yield


@contextmanager
def all_gateways(**settings: Any) -> Iterator[Emulator]:
    """An emulator with an account in each region besides the gateways' own."""
    with Emulator(**{"speed": SPEED, **settings}) as emulator:
        for region, key in REGIONS.values():
            emulator.add_account(key, region=region, balance=settings.get("balance", 100))
        yield emulator


def reached(emulator: Emulator, gateway: str) -> dict[str, Any]:
    """The keywords that reach a gateway there."""
    address, key = locate(emulator, find_gateway(gateway))
    if gateway in REGIONS:
        key = REGIONS[gateway][1]
    return {"gateway": gateway, "base_url": address, "api_key": key, "poll_interval": INTERVAL}


class HurriedClock:
    """The machine's clock, on which fifty seconds are slept through in one; the moments are the true ones."""

    _PACE = 50.0

    def monotonic(self) -> float:
        return time.monotonic() * self._PACE

    def utcnow(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._PACE)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._PACE)


def standing_clock() -> Clock:
    """A clock for an emulator that moves when it is pushed."""
    return Clock(running=False)
