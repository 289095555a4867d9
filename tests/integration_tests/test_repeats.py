"""Identical requests without a key: frameworks, servers and scripts that ask again while the first body runs on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import (
    MemoryJournal,
    NebulaVideoTool,
    SqlJournal,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import EntryState
from tests.gateways import ASK, all_gateways, reached

SECOND = {"speed": 60}
"""A video takes about a second."""


@pytest.fixture
def slow() -> Iterator[Emulator]:
    with all_gateways(**SECOND) as emulator:
        yield emulator


def posts(emulator: Emulator) -> int:
    return sum(request.method == "POST" for request in emulator.requests)


def tool(emulator: Emulator, **options: Any) -> NebulaVideoTool:
    return NebulaVideoTool(**reached(emulator, "nebula"), **options)


# --- bodies that run on ---


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_framework_that_gives_up_on_a_thread_and_asks_again_pays_once(
    slow: Emulator, tmp_path: Path, kind: str
) -> None:
    """As pydantic-ai's `tool_timeout` and smolagents' executor do: the thread runs on, the model repeats the call."""
    journal = MemoryJournal() if kind == "memory" else SqlJournal(f"sqlite:///{tmp_path / 'j.db'}")
    animate = tool(slow, journal=journal)
    answers: list[dict[str, Any]] = []
    bodies: list[Future[str]] = []
    with ThreadPoolExecutor(8) as pool:
        while not answers:
            bodies.append(pool.submit(animate.invoke, dict(ASK)))
            try:
                answers.append(json.loads(bodies[-1].result(timeout=0.3)))
            except FutureTimeoutError:
                continue
    assert len(bodies) > 2
    assert (posts(slow), len(slow.tasks)) == (1, 1)
    assert answers[0]["task_id"] == slow.tasks[0].id
    assert answers[0]["reused"] is True
    assert {json.loads(body.result())["task_id"] for body in bodies} == {slow.tasks[0].id}
    assert "reused" not in json.loads(bodies[0].result())
    (entry,) = journal.entries()
    assert (entry.state, entry.abandoned, entry.holder) == (EntryState.SUCCEEDED, False, None)


async def test_a_server_whose_clients_stop_listening_pays_once_for_seven_calls(slow: Emulator) -> None:
    """As an MCP server whose client has a time limit and does not tell the server: each body runs to its end."""
    animate = tool(slow)
    bodies: list[asyncio.Task[Any]] = []
    for _ in range(7):
        bodies.append(asyncio.create_task(animate.ainvoke(dict(ASK))))
        await asyncio.wait([bodies[-1]], timeout=0.1)
    contents = [json.loads(text) for text in await asyncio.gather(*bodies)]
    assert (posts(slow), len(slow.tasks)) == (1, 1)
    assert [content.get("reused", False) for content in contents] == [False, *[True] * 6]


SCRIPT = """
    import json, sys
    from langchain_nebula_video import NebulaVideoClient, SqlJournal

    options = json.loads(sys.argv[1])
    client = NebulaVideoClient(journal=SqlJournal(sys.argv[2]), **options)
    video = client.generate(**json.loads(sys.argv[3]))
    print(json.dumps({"task_id": video.task_id, "reused": video.reused, "path": video.path}))
"""


def start(emulator: Emulator, url: str, **options: Any) -> subprocess.Popen[str]:
    given = {**reached(emulator, "nebula"), **options}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), json.dumps(given), url, json.dumps(ASK)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_script_that_is_killed_in_mid_wait_and_run_again_pays_once(tmp_path: Path) -> None:
    """Without a key and without `repeat_window`: its process is gone, so nobody else waits for that video."""
    url = f"sqlite:///{tmp_path / 'j.db'}"
    with all_gateways(speed=20) as slow:
        first = start(slow, url, save_to=str(tmp_path))
        while not SqlJournal(url).entries(states=[EntryState.SUBMITTED, EntryState.RUNNING]):
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        slow.speed = 1000
        again = start(slow, url, save_to=str(tmp_path))
        told = json.loads(again.communicate(timeout=30)[0])
        assert (posts(slow), told["task_id"], told["reused"]) == (1, slow.tasks[0].id, True)
        assert Path(told["path"]).is_file()
        third = json.loads(start(slow, url, save_to=str(tmp_path)).communicate(timeout=30)[0])
    assert (third["reused"], third["task_id"] == told["task_id"]) == (False, False)  # it was delivered: a new video
