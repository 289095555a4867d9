"""Shared by the recipes: the gateway, what the scripted model asks for, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_nebula_video.emulator import Emulator

Call = dict[str, Any]
"""The arguments that the scripted model gives to the tool."""
Answer = tuple[str, dict[str, Any] | None]
"""What the model reads, and what the program has at hand."""

VIDEO: Call = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
WRONG: Call = {**VIDEO, "duration": 7}


@contextmanager
def gateway(speed: float = 500) -> Iterator[dict[str, Any]]:
    """Options for a tool on the emulator. For the real gateway, set `NEBULA_API_KEY` and pass none of them."""
    with Emulator(speed=speed) as emulator:
        print("Gateway: the emulator.")
        yield {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}


def show(converse: Callable[[dict[str, Any], Sequence[Call]], list[Answer]]) -> None:
    """Let an agent make one video and one mistake. Print what its model reads and what the program has at hand."""
    with gateway() as options:
        (made, facts), (refused, _) = converse(options, [VIDEO, WRONG])
    print("Made:   ", made)
    print("Refused:", refused)
    print("At hand:", facts["cost_usd"] if facts else json.loads(made)["cost_usd"], "dollars")
