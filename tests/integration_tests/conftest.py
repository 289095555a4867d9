"""Integration tests speak real HTTP to the emulator on loopback, and to nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from langchain_nebula_video.emulator import Emulator


@pytest.fixture(autouse=True)
def _loopback_only() -> None:
    enable_socket()
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(speed=1000) as running:
        yield running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    """Keywords that point any of our classes at the emulator."""
    return {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.05}
