"""Integration tests speak real HTTP to the emulator on loopback, and to nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient, Video
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import encoder
from langchain_nebula_video.emulator.rendering.scene import Scene
from tests.conftest import settle
from tests.gateways import ASK, INTERVAL, SPEED, HurriedClock, Make
from tests.storage import Storage, serving


@pytest.fixture(autouse=True)
def _loopback_only() -> None:
    enable_socket()
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


_RENDERED: dict[Scene, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _each_scene_is_rendered_once() -> Iterator[None]:
    """Share finished videos among the emulators of these tests: one scene always gives the same bytes."""
    real = encoder.render

    def remembered(scene: Scene, stop: threading.Event | None = None) -> bytes:
        if scene not in _RENDERED:
            _RENDERED[scene] = real(scene, stop)
        return _RENDERED[scene]

    with mock.patch.object(encoder, "render", remembered):
        yield


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A gateway whose tasks take some milliseconds, or as fast as a test says."""
    with Emulator(speed=getattr(request, "param", SPEED)) as running:
        yield running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    """Keywords that point any of our classes at the emulator."""
    return {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": INTERVAL}


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, options: dict[str, Any]) -> Make:
    """Either client at the emulator, with a clock on which nobody waits long."""
    kind: Any = NebulaVideoClient if request.param == "sync" else AsyncNebulaVideoClient
    return lambda **more: kind(**{**options, "clock": HurriedClock(), **more})


@pytest.fixture
def files() -> Iterator[Storage]:
    with serving(Storage()) as running:
        yield running


@pytest.fixture
async def video(make: Make, files: Storage) -> Video:
    """A finished video that lies in the storage."""
    made: Video = await settle(make().generate(**ASK))
    return made.model_copy(update={"url": f"{files.url}/video.mp4?Signature=x"})
