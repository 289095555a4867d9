"""What people test their own programs with: the plugin for pytest, the scripted chat model, the clock."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient, NotSentError
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.testing import EmulatorClock, on_emulator
from tests.conftest import KEY, jpeg, submitted
from tests.gateways import ASK, standing_clock

ROOT = Path(__file__).parents[2]


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does, with the settings of nobody."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("behaviour", ["page"], indirect=True)
def test_the_files_of_the_page_are_a_test_suite_that_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    files = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for name, text in files[:-1]:  # the last one is another set-up
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = pytest_run(tmp_path)
    tests = sum(text.count("def test_") for _, text in files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout
    assert tests >= 5


def test_a_suite_may_set_up_the_emulator_in_another_way(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n"
        'pytest_plugins = ["langchain_nebula_video.testing.plugin"]\n\n\n'
        "@pytest.fixture\ndef emulator_options():\n"
        '    return {"balance": 7}\n',
        encoding="utf-8",
    )
    (tmp_path / "test_it.py").write_text(
        "def test_it(emulator, nebula_video):\n    assert emulator.balance == 7\n", encoding="utf-8"
    )
    done = pytest_run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_plugin_imports_pytest_and_nothing_of_it_is_loaded_unasked() -> None:
    lines = (
        "import sys",
        "from langchain_nebula_video.testing import EmulatorClock, ScriptedChatModel, on_emulator, tool_call",
        "assert 'pytest' not in sys.modules",
        "import importlib.metadata",
        "points = importlib.metadata.distribution('langchain-nebula-video').entry_points",
        "assert not [point for point in points if point.group == 'pytest11']",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("gateway", sorted(GATEWAYS))
def test_what_is_made_without_options_reaches_the_emulator_on_every_gateway(
    gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = GATEWAYS[gateway]
    monkeypatch.setenv(row.key_variable, "sk-of-a-real-gateway")
    monkeypatch.delenv(row.url_variable, raising=False)
    with Emulator(clock=standing_clock()) as emulator, on_emulator(emulator):
        image = jpeg(640, 480) if gateway == "vllm-omni" else ASK["image"]  # it takes files only
        task = NebulaVideoClient(gateway=gateway).submit(prompt="The cat blinks", image=image)
        assert [made.id in task.task_id for made in emulator.tasks] == [True]
    assert os.environ[row.key_variable] == "sk-of-a-real-gateway"
    assert row.url_variable not in os.environ


async def test_a_hundred_tasks_at_once_take_less_by_the_clock_than_one_after_the_other() -> None:
    """Time moves to the earliest moment at which one of them wakes up, not by the sum of what all of them sleep."""
    with Emulator(clock=standing_clock(), balance=1000) as emulator, on_emulator(emulator) as options:
        began = emulator.clock.now()
        async with AsyncNebulaVideoClient(**options) as client:
            asks = ({**ASK, "seed": number} for number in range(1, 101))
            videos = await asyncio.gather(*(client.generate(**ask) for ask in asks))
        assert len({video.task_id for video in videos}) == 100
        in_line = sum(task.finished_at - task.accepted_at for task in emulator.tasks)
        assert emulator.clock.now() - began < in_line


async def test_a_client_that_was_made_before_the_test_sends_nothing_to_a_real_gateway() -> None:
    requests: list[httpx.Request] = []

    def real(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=submitted())

    transport = httpx.MockTransport(real)
    client = NebulaVideoClient(api_key=KEY, http_client=httpx.Client(transport=transport))
    aclient = AsyncNebulaVideoClient(api_key=KEY, http_async_client=httpx.AsyncClient(transport=transport))
    with Emulator(clock=standing_clock()) as emulator, on_emulator(emulator):
        with pytest.raises(NotSentError, match=r"would have reached llm\.ai-nebula\.com"):
            client.submit(**ASK)
        with pytest.raises(NotSentError):
            await aclient.submit(**ASK)
        with pytest.raises(NotSentError):
            client.fetch("task-1")
    assert requests == []
    assert client.submit(**ASK).task_id == "task-1"  # after the test it works again
    assert len(requests) == 1


def test_no_sleeper_wakes_up_before_its_moment_and_together_they_sleep_no_longer_than_in_line() -> None:
    clock = EmulatorClock(Emulator(clock=standing_clock()))

    def sleep(seconds: float) -> float:
        lay_down = clock.monotonic()
        clock.sleep(seconds)
        return clock.monotonic() - lay_down

    began, wanted = clock.monotonic(), [4000.0, 1000.0, 3000.0, 2000.0]
    with ThreadPoolExecutor(4) as pool:
        slept = list(pool.map(sleep, wanted))
    assert all(real >= seconds for real, seconds in zip(slept, wanted, strict=True))
    assert 4000.0 <= clock.monotonic() - began <= sum(wanted)


async def test_a_sleeper_that_is_cancelled_holds_nobody_back() -> None:
    clock = EmulatorClock(Emulator(clock=standing_clock()))
    short, long = asyncio.create_task(clock.asleep(0.0)), asyncio.create_task(clock.asleep(1e9))
    await asyncio.wait([short])
    other = asyncio.create_task(clock.asleep(2e9))
    await asyncio.sleep(0)
    long.cancel()
    await other
    assert long.cancelled() or long.done()


def test_an_emulator_can_be_used_twice_and_without_its_extra_the_message_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Emulator(clock=standing_clock()) as emulator:
        for _ in range(2):
            with on_emulator(emulator) as options:
                NebulaVideoClient(**options).submit(**ASK)
    assert len(emulator.tasks) == 2
