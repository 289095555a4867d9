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
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from langchain_nebula_video import (
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    NebulaVideoToolkit,
    SqlJournal,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import EntryState
from tests.gateways import ASK, BOTH, all_gateways, reached

SHAPE = {name: value for name, value in ASK.items() if name != "image"}
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


@BOTH
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


def test_a_script_that_is_killed_while_it_saves_pays_once_and_the_next_one_saves(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'j.db'}"
    with all_gateways() as emulator:
        emulator.faults.add("download", "slow", bytes_per_second=2000.0)
        first = start(emulator, url, save_to=str(tmp_path))
        while not SqlJournal(url).entries(states=[EntryState.SUCCEEDED]):
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        emulator.faults.clear()
        told = json.loads(start(emulator, url, save_to=str(tmp_path)).communicate(timeout=30)[0])
        assert (posts(emulator), told["task_id"]) == (1, emulator.tasks[0].id)
        assert Path(told["path"]).is_file()


# --- who has the option, and who joins what ---


@pytest.fixture
def quick() -> Iterator[Emulator]:
    with all_gateways() as emulator:
        yield emulator


def test_clients_and_runnables_make_a_video_for_each_call_unless_told(quick: Emulator) -> None:
    animate = NebulaVideoRunnable(**reached(quick, "nebula"), **SHAPE)
    videos = animate.batch([ASK["image"]] * 2)
    client = NebulaVideoClient(**reached(quick, "nebula"), journal=animate.journal)
    videos.append(client.generate(**ASK))
    assert len({video.task_id for video in videos}) == posts(quick) == 3
    assert not any(video.reused for video in videos)


@pytest.mark.parametrize("window", [600, timedelta(minutes=10)])
def test_clients_and_runnables_join_within_a_window_if_they_are_told_to(quick: Emulator, window: Any) -> None:
    animate = NebulaVideoRunnable(**reached(quick, "nebula"), **SHAPE, repeat_window=window)
    videos = animate.batch([ASK["image"]] * 3)
    assert len({video.task_id for video in videos}) == posts(quick) == 1
    assert sorted(video.reused for video in videos) == [False, True, True]
    client = NebulaVideoClient(**reached(quick, "nebula"), journal=animate.journal, repeat_window=window)
    again = client.submit(**ASK)
    assert (again.reused, again.task_id, posts(quick)) == (True, videos[0].task_id, 1)
    assert client.wait(again).reused
    assert not client.wait(again.task_id).reused
    assert client.generate(**ASK, key="mine").task_id != again.task_id


class Made(TypedDict, total=False):
    made: list[str]


# --- keys in the inputs of a batch ---


async def batched(animate: NebulaVideoRunnable, how: str, inputs: list[Any]) -> list[str]:
    """The tasks that the videos of a batch come from."""
    made = animate.batch(inputs) if how == "batch" else await animate.abatch(inputs)
    return [video.task_id for video in made]


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_each_input_of_a_batch_may_have_its_own_key(quick: Emulator, how: str) -> None:
    animate = NebulaVideoRunnable(**reached(quick, "nebula"), **SHAPE)
    inputs = [{"image": ASK["image"], "key": name} for name in "ab"]
    block = {"type": "image", "url": ASK["image"]}
    inputs.append({"messages": [{"role": "user", "content": [block]}], "key": "c"})
    first = await batched(animate, how, inputs)
    assert await batched(animate, how, inputs) == first
    assert len(set(first)) == posts(quick) == 3
    assert {entry.key for entry in animate.journal.entries()} == {"a", "b", "c"}


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_two_equal_inputs_of_a_batch_are_two_videos_unless_their_key_is_the_same(
    quick: Emulator, how: str
) -> None:
    animate = NebulaVideoRunnable(**reached(quick, "nebula"), **SHAPE)
    assert len(set(await batched(animate, how, [{"image": ASK["image"]}, {"image": ASK["image"], "key": None}]))) == 2
    assert len(set(await batched(animate, how, [{"image": ASK["image"], "key": "same"}] * 2))) == 1
    assert posts(quick) == 3


@pytest.mark.parametrize(("keys", "videos"), [((None, None), 1), (("a", "b"), 2)])
def test_in_a_node_two_equal_inputs_are_one_video_unless_each_has_a_key(
    quick: Emulator, keys: tuple[Any, Any], videos: int
) -> None:
    animate = NebulaVideoRunnable(**reached(quick, "nebula"), **SHAPE)

    def both(state: Made) -> Made:
        takes = animate.batch([{"image": ASK["image"], "key": key} for key in keys])
        return {"made": [video.task_id for video in takes]}

    graph = StateGraph(Made)
    graph.add_node("both", both)
    graph.add_edge(START, "both")
    made = graph.compile().invoke({})["made"]
    assert len(set(made)) == posts(quick) == videos


def test_the_tool_that_only_submits_names_the_task_that_is_under_way(slow: Emulator) -> None:
    tools = {each.name: each for each in NebulaVideoToolkit(**reached(slow, "nebula")).get_tools()}
    first, again = (json.loads(tools["nebula_submit_video"].invoke(dict(ASK))) for _ in "ab")
    assert (first["task_id"], again["reused"], posts(slow)) == (again["task_id"], True, 1)
    assert f"task {first['task_id']} of an earlier identical request" in again["note"]
    video = json.loads(tools["nebula_image_to_video"].invoke(dict(ASK)))
    assert (video["task_id"], video["status"], video["reused"], posts(slow)) == (first["task_id"], "succeeded", True, 1)


def test_whoever_joins_saves_nothing_twice(slow: Emulator, tmp_path: Path) -> None:
    """Each has a client and a journal object of its own, as processes have."""

    def call(_: int) -> dict[str, Any]:
        journal = SqlJournal(f"sqlite:///{tmp_path / 'j.db'}")
        content: dict[str, Any] = json.loads(tool(slow, journal=journal, save_to=tmp_path / "videos").invoke(dict(ASK)))
        return content

    with ThreadPoolExecutor(5) as pool:
        contents = [*pool.map(call, range(5))]
    assert len({content["path"] for content in contents}) == posts(slow) == 1
    assert sum(request.point == "download" for request in slow.requests) == 1
    assert sum(content.get("reused", False) for content in contents) == 4


def test_who_joins_a_submit_that_is_refused_submits_itself(slow: Emulator) -> None:
    slow.faults.add("submit", "status", code=400, error_code="DataInspectionFailed")
    animate = tool(slow)
    with ThreadPoolExecutor(2) as pool:
        texts = [*pool.map(animate.invoke, [dict(ASK)] * 2)]
    refused, made = sorted(texts, key=lambda text: text.startswith("{"))
    assert "Nothing was spent" in refused
    assert "reused" not in json.loads(made)
    assert (posts(slow), len(slow.tasks)) == (2, 1)


def test_a_joined_video_whose_first_caller_gave_up_is_delivered_once(slow: Emulator) -> None:
    """Then a client that wants another video gets one."""
    journal = MemoryJournal()
    hasty = tool(slow, journal=journal, timeout=0.5)
    patient = tool(slow, journal=journal)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(hasty.invoke, dict(ASK))
        while not journal.entries():
            time.sleep(0.01)
        second = pool.submit(patient.invoke, dict(ASK))
        assert "still" in first.result()
        assert json.loads(second.result())["reused"] is True
    (entry,) = journal.entries()
    assert (entry.state, entry.abandoned, entry.holder) == (EntryState.SUCCEEDED, False, None)
    client = NebulaVideoClient(**reached(slow, "nebula"), journal=journal)
    assert client.submit(**ASK).task_id != entry.task_id


def test_who_joins_and_gives_up_leaves_the_task_to_the_first_one(slow: Emulator) -> None:
    journal = MemoryJournal()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tool(slow, journal=journal).invoke, dict(ASK))
        while not journal.entries(states=[EntryState.SUBMITTED, EntryState.RUNNING]):
            time.sleep(0.01)
        assert "still" in tool(slow, journal=journal, timeout=0.3).invoke(dict(ASK))
        assert [entry.abandoned for entry in journal.entries()] == [False]
        assert "reused" not in json.loads(first.result())


def test_a_lost_submit_is_joined_and_not_repeated(slow: Emulator) -> None:
    slow.faults.add("submit", "reset_after")
    animate = tool(slow)
    for _ in range(3):
        assert "Money may have been spent" in animate.invoke(dict(ASK))
    assert posts(slow) == 1
