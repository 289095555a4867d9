"""Shared by the examples: the gateway and a photograph."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from langchain_core.messages.content import ImageContentBlock, create_image_block

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.testing import on_emulator

PHOTOGRAPH = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()


def picture(data: bytes) -> ImageContentBlock:
    """The content block of a JPEG image."""
    return create_image_block(base64=base64.b64encode(data).decode(), mime_type="image/jpeg")


@contextmanager
def gateway(speed: float = 500, *, most_usd: str = "0.40") -> Iterator[dict[str, Any]]:
    """Options for a client, a tool or a runnable: the emulator, or with `--live` the real gateway.

    Args:
        speed: How many times faster than the real gateway the emulator is.
        most_usd: What the example spends at most, for the question before real money is spent.
    """
    if "--live" in sys.argv[1:]:
        ask_to_pay(most_usd)
        yield {}
        return
    with Emulator(speed=speed) as emulator:
        print("Gateway: the emulator. Add --live for the real one, which costs money.")
        yield {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}


def ask_to_pay(most_usd: str) -> None:
    """End the program unless a person agrees to spend real money."""
    where = os.environ.get("NEBULA_BASE_URL", "its own address")
    print(f"Gateway: Nebula at {where}. This spends up to ${most_usd} of real money.")
    try:
        agreed = input("Go on? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:  # nobody is there to ask
        agreed = False
    if not agreed:
        sys.exit("Nothing was sent and nothing was spent.")


@contextmanager
def five_gateways() -> Iterator[Emulator]:
    """Start the emulator, with the address and key of each gateway in the environment, as in a deployment."""
    with Emulator(speed=500) as emulator, on_emulator(emulator):
        yield emulator
