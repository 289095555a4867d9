"""A photo that no gateway takes as it is, through every door: the video shows it upright, and the caller is told."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from langchain_nebula_video import NebulaVideoRunnable, NebulaVideoTool
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.mcp.service import VideoService
from langchain_nebula_video.mcp.settings import read_settings
from tests.conftest import settle
from tests.gateways import Make
from tests.image_corpus import difference, scene, stored, write
from tests.processes import run_command
from tests.unit_tests.mcp.test_service import Person

TURNED, TAG = stored(scene(), 6)
PHOTO = write(TURNED, "WEBP", exif=TAG, quality=90)
NOTE = "image: converted from WEBP, turned upright"
ASK: dict[str, Any] = {"prompt": "The cat blinks", "resolution": "480p", "duration": 5, "seed": 1}
URI = {**ASK, "image": f"data:image/webp;base64,{base64.b64encode(PHOTO).decode()}"}


def shows_the_scene(path: str | Path | None) -> bool:
    with av.open(str(path), mode="r") as container:
        first = Image.fromarray(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    return difference(first, scene().resize(first.size)) < 40


async def test_both_clients(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "langchain_nebula_video")
    video = await settle(make(fit=True, save_to=tmp_path).generate(**ASK, image=PHOTO))
    assert shows_the_scene(video.path)
    assert video.image_notes == (NOTE,)
    assert NOTE in caplog.messages


async def test_the_runnable_the_tool_and_its_functions(options: dict[str, Any], tmp_path: Path) -> None:
    fitting = {**options, "fit": True, "save_to": tmp_path}
    assert NebulaVideoRunnable(**fitting).invoke({**ASK, "image": PHOTO}).image_notes == (NOTE,)
    tool = NebulaVideoTool(**fitting)
    for call in (tool.invoke, tool.as_function(), tool.as_async_function()):
        told = json.loads(await settle(call(URI) if call == tool.invoke else call(**URI)))
        assert (told["image_notes"], shows_the_scene(told["path"])) == ([NOTE], True)


async def test_the_mcp_server(options: dict[str, Any], tmp_path: Path) -> None:
    settings, client = read_settings({**options, "fit": True, "save_to": tmp_path})
    answer = await VideoService(client, settings).animate(URI, Person())
    assert answer.facts["image_notes"] == [NOTE]
    assert shows_the_scene(answer.facts["path"])


def test_the_command(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "cat.webp").write_bytes(PHOTO)
    nebula = GATEWAYS["nebula"]
    assert nebula.url_variable
    env = {**os.environ, nebula.url_variable: emulator.url, nebula.key_variable: emulator.api_key}
    line = ["cat.webp", "The cat blinks", "--yes", "--fit", "--resolution", "480p", "--seed", "1"]
    done = run_command(["generate", *line, "--out", "cat.mp4", "--poll-interval", "0.02"], cwd=tmp_path, env=env)
    assert f"{NOTE}." in done.stderr.decode()
    assert shows_the_scene(tmp_path / "cat.mp4")
