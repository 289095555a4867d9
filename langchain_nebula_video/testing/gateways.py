"""Where each gateway is on an emulator, and how everything that is made without options gets there."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway
from langchain_nebula_video.lifecycle.default_clock import replaced_default_clock
from langchain_nebula_video.lifecycle.rehearsal import rehearsal
from langchain_nebula_video.testing.clock import EmulatorClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from langchain_nebula_video.emulator import Emulator

__all__ = ["EmulatorAccess", "add_regions", "locate", "on_emulator"]

REGIONS = {
    "dashscope": "beijing",
    "dashscope-intl": "singapore",
    "dashscope-us": "virginia",
    "dashscope-eu": "frankfurt",
    "dashscope-hk": "hongkong",
}
"""The emulator's regions of the gateways whose keys work in one region only."""
_OPENAI = ("litellm", "sglang", "vllm-omni")
"""Gateways whose API is OpenAI's."""


class EmulatorAccess(TypedDict):
    """The options that lead to an emulator. Every class of this package takes them."""

    base_url: str
    api_key: str
    clock: EmulatorClock


def add_regions(emulator: Emulator, *, balance: Decimal | int = 100) -> None:
    """Add an account in each region. Its key is the emulator's, a hyphen, and the region; `balance` is in its money."""
    there = {account.name for account in emulator.accounts}
    for region in (region for region in REGIONS.values() if region not in there):
        emulator.add_account(f"{emulator.api_key}-{region}", balance=balance, name=region, region=region)


def locate(emulator: Emulator, row: Gateway) -> tuple[str, str]:
    """Return a gateway's address and key on an emulator that has the accounts of `add_regions`."""
    region = REGIONS.get(row.name)
    if region is not None:
        return emulator.dashscope_url(region), f"{emulator.api_key}-{region}"
    if row.name in _OPENAI:
        return emulator.videos_url, emulator.api_key
    if row.name.startswith("newapi"):
        return emulator.newapi_url, emulator.api_key
    return (emulator.passthrough_url if row.prefix else emulator.url), emulator.api_key


@contextmanager
def on_emulator(emulator: Emulator) -> Iterator[EmulatorAccess]:
    """Send everything that this package makes inside to the emulator, and let it wait on the emulator's clock.

    Inside, the environment has the emulator's address and key for every gateway, so no object that is made without
    options reaches a real one. One that was made before, with the address of a real gateway, sends nothing there and
    raises `NotSentError`. An object keeps the clock it was made with: make it inside, too.

    Args:
        emulator: A running one. It gets an account in each region of DashScope.

    Yields:
        The keywords that do the same for one object: `NebulaVideoTool(**options)`.
    """
    add_regions(emulator)
    clock = EmulatorClock(emulator)
    before = dict(os.environ)
    for row in GATEWAYS.values():
        os.environ[row.url_variable], os.environ[row.key_variable] = locate(emulator, row)
    try:
        with replaced_default_clock(clock), rehearsal(emulator.url):
            yield {"base_url": emulator.url, "api_key": emulator.api_key, "clock": clock}
    finally:
        for name in {row.url_variable for row in GATEWAYS.values()} | {row.key_variable for row in GATEWAYS.values()}:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
