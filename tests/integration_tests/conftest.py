"""Integration tests speak real HTTP to the emulator on loopback, and to nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient, Video
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import encoder
from langchain_nebula_video.emulator.rendering.scene import Scene
from langchain_nebula_video.fleet import Fleet
from tests.conftest import settle
from tests.fleets import Template
from tests.gateways import ASK, INTERVAL, SPEED, HurriedClock, Make, played_from
from tests.pgbouncer import Pool, find_pgbouncer
from tests.postgres import Server, programs_folder
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


def _skip_or_fail(missing: str) -> None:
    """Skip, unless `NEBULA_REQUIRE_POSTGRES=1` says that the program must be there."""
    if os.environ.get("NEBULA_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"{missing}, and NEBULA_REQUIRE_POSTGRES=1 asks for it")
    pytest.skip(missing)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A private PostgreSQL on a socket in a folder."""
    programs = programs_folder()
    if programs is None:
        _skip_or_fail("PostgreSQL's programs (initdb, pg_ctl) are not installed")
        return
    folder = Path(tempfile.mkdtemp(prefix="nebula-pg-"))  # short: a socket's path has 107 bytes at most
    running = Server(programs, folder)
    try:
        yield running
    finally:
        running.stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def fleet_template(server: Server) -> Template:
    """A database with the tables of a fleet, to be copied."""
    return Template(server)


@pytest.fixture
def fleet_url(fleet_template: Template) -> Iterator[str]:
    """A database of its own with the tables of a fleet; see `tests.fleets`."""
    with fleet_template.copy() as url:
        yield url


@pytest.fixture
def fleet(fleet_url: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet with its tables, in whose environment a worker finds the emulator's key."""
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    return Fleet(fleet_url)


@pytest.fixture
def fleet_options(emulator: Emulator) -> dict[str, Any]:
    """Options of a batch whose gateway is the emulator."""
    return {"base_url": emulator.url, "poll_interval": INTERVAL}


@pytest.fixture(scope="session")
def pool(server: Server) -> Iterator[Pool]:
    """A private pgbouncer in transaction mode before the server."""
    program = find_pgbouncer()
    if program is None:
        _skip_or_fail("pgbouncer is not installed")
        return
    running = Pool(program, server, server.folder / "pgbouncer")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def behaviour(request: pytest.FixtureRequest) -> Iterator[str]:
    """What Nebula is played from; see `BOTH`. `NEBULA_BEHAVIOUR=source` says so for every test that does not."""
    named = getattr(request, "param", os.environ.get("NEBULA_BEHAVIOUR", "page"))
    with played_from(named):
        yield named


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
    """Either client at the emulator, with a clock on which nobody waits long. `files` is another server here."""
    kind: Any = NebulaVideoClient if request.param == "sync" else AsyncNebulaVideoClient
    return lambda **more: kind(**{**options, "clock": HurriedClock(), "download_hosts": ["127.0.0.1"], **more})


@pytest.fixture
def files() -> Iterator[Storage]:
    with serving(Storage()) as running:
        yield running


@pytest.fixture
async def video(make: Make, files: Storage) -> Video:
    """A finished video that lies in the storage."""
    made: Video = await settle(make().generate(**ASK))
    return made.model_copy(update={"url": f"{files.url}/video.mp4?Signature=x"})
