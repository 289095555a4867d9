"""Fixtures for pytest. In your topmost `conftest.py`: `pytest_plugins = ["langchain_nebula_video.testing.plugin"]`.

It is no entry point: pytest would load it in every run of every project whose environment has this package, and its
names would stand beside those of the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_nebula_video.emulator import Emulator
    from langchain_nebula_video.testing.gateways import EmulatorAccess

__all__ = ["emulator", "emulator_options", "nebula_video"]


@pytest.fixture
def emulator_options() -> dict[str, Any]:
    """Keywords for the `Emulator` of a test. Override this fixture to change them; default: none."""
    return {}


@pytest.fixture
def emulator(emulator_options: dict[str, Any]) -> Iterator[Emulator]:
    """An emulator of all gateways, on a free port of this machine, for one test.

    Its clock stands still unless somebody waits on an `EmulatorClock`, or calls `emulator.clock.advance`.
    """
    from langchain_nebula_video.emulator import Clock, Emulator  # noqa: PLC0415 an extra

    with Emulator(**{"clock": Clock(running=False), **emulator_options}) as running:
        yield running


@pytest.fixture
def nebula_video(emulator: Emulator) -> Iterator[EmulatorAccess]:
    """Keywords for any class of this package: `NebulaVideoTool(**nebula_video)`. Nobody waits and nobody pays.

    During the test, whatever is made without these keywords reaches the emulator too. See `on_emulator`.
    """
    from langchain_nebula_video.testing.gateways import on_emulator  # noqa: PLC0415 most runs do not need it

    with on_emulator(emulator) as options:
        yield options
