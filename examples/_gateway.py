"""Where the examples send their requests: to the real gateway if there is a key, else to the emulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from langchain_nebula_video.emulator import Emulator

PHOTOGRAPH = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()


@contextmanager
def gateway() -> Iterator[dict[str, Any]]:
    """Keywords for a client, a tool or a runnable."""
    if os.environ.get("NEBULA_API_KEY"):
        print("Gateway: the real one. This costs money.")
        yield {}
        return
    with Emulator(speed=500) as emulator:
        print("Gateway: the emulator. Set NEBULA_API_KEY for the real one.")
        yield {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}
