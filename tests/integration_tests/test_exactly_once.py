"""One lost answer to a submit means one POST: whatever the fault, whoever called.

The judge is the emulator's own ledger.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    NotSentError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator
from tests.agents import animates
from tests.conftest import settle
from tests.gateways import BOTH, SPEED, HurriedClock

# A test of paying once that fails is news, also if it passes the next time.
pytestmark = pytest.mark.flaky(reruns=0)

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png"}
Caller = Callable[[dict[str, Any]], Any]


def client_sync(options: dict[str, Any]) -> Any:
    return NebulaVideoClient(**options).generate(**ASK)


async def client_async(options: dict[str, Any]) -> Any:
    return await AsyncNebulaVideoClient(**options).generate(**ASK)


def tool_sync(options: dict[str, Any]) -> Any:
    return NebulaVideoTool(**options, handle_tool_error=False).invoke(ASK)


async def tool_async(options: dict[str, Any]) -> Any:
    return await NebulaVideoTool(**options, handle_tool_error=False).ainvoke(ASK)


def _agent(options: dict[str, Any], *, handled: bool) -> Any:
    tool = NebulaVideoTool(**options, handle_tool_error=handled)
    return create_agent(animates(image=ASK["image"]), [tool], middleware=[ToolRetryMiddleware()])


_QUESTION: Any = {"messages": [{"role": "user", "content": "Animate it."}]}


def retried_tool_sync(options: dict[str, Any]) -> Any:
    return _agent(options, handled=False).invoke(_QUESTION)


async def retried_tool_async(options: dict[str, Any]) -> Any:
    return await _agent(options, handled=False).ainvoke(_QUESTION)


def retried_handled_tool_sync(options: dict[str, Any]) -> Any:
    return _agent(options, handled=True).invoke(_QUESTION)


def runnable_sync(options: dict[str, Any]) -> Any:
    return NebulaVideoRunnable(**options).invoke(ASK)


async def runnable_async(options: dict[str, Any]) -> Any:
    return await NebulaVideoRunnable(**options).ainvoke(ASK)


CALLERS: list[Caller] = [
    client_sync,
    client_async,
    tool_sync,
    tool_async,
    retried_tool_sync,
    retried_tool_async,
    retried_handled_tool_sync,
    runnable_sync,
    runnable_async,
]

# name: (the emulator's fault, its parameters, whether the task was accepted all the same)
LOST: dict[str, tuple[str, dict[str, Any], bool]] = {
    "read timeout": ("stall_after", {"seconds": 20}, True),
    "reset after acceptance": ("reset_after", {}, True),
    "reset before acceptance": ("reset_before", {}, False),
    "EOF after acceptance": ("eof_after", {}, True),
    "EOF before acceptance": ("eof_before", {}, False),
    "truncated": ("truncated", {}, True),
    "half a body": ("half", {}, True),
    "500": ("status", {"code": 500, "accepted": True}, True),
    "500 and not accepted": ("status", {"code": 500}, False),
    "502 in HTML": ("status", {"code": 502, "body": "html", "accepted": True}, True),
    "504 and empty": ("status", {"code": 504, "body": "empty", "accepted": True}, True),
    "200 in HTML": ("html", {}, True),
    "200 and empty": ("empty", {}, True),
    "a body of 100 MB": ("huge", {"megabytes": 100}, True),
    "trickled": ("trickle", {"delay": 0.5}, True),
}


CLIENTS: list[Caller] = [client_sync, client_async]
LOSSES = [("reset after acceptance", caller) for caller in CALLERS[2:]]
LOSSES += [("reset before acceptance", caller) for caller in CALLERS[2:]]
LOSSES += [(fault, caller) for fault in LOST for caller in CLIENTS]
"""Each fault for the two transports; each caller above them for a task that is there and for one that is not."""
PLAYED = [(*loss, "page") for loss in LOSSES]
PLAYED += [("reset after acceptance", caller, "source") for caller in (*CLIENTS, tool_sync, retried_tool_async)]
PLAYED += [("502 in HTML", caller, "source") for caller in CLIENTS]
"""And some of them where Nebula does as its published code."""


def by_name(value: Any) -> str:
    return value if isinstance(value, str) else str(value.__name__)


@pytest.mark.parametrize(("fault", "caller", "behaviour"), PLAYED, ids=by_name, indirect=["behaviour"])
async def test_a_lost_answer_means_one_post(
    emulator: Emulator, options: dict[str, Any], fault: str, caller: Caller
) -> None:
    kind, parameters, accepted = LOST[fault]
    emulator.faults.add("submit", kind, **parameters)
    hasty = {"timeout": 2.0} if fault in {"read timeout", "trickled"} else {}
    try:
        result = await settle(caller({**options, **hasty}))
    except SubmissionUnconfirmedError as error:
        told = str(error)
    else:
        told = result["messages"][-2].content
    assert "Money may have been spent" in told
    assert sum(request.point == "submit" for request in emulator.requests) == 1
    assert len(emulator.tasks) == accepted


@pytest.mark.parametrize("caller", CALLERS, ids=by_name)
async def test_429_is_repeated_and_pays_once(emulator: Emulator, options: dict[str, Any], caller: Caller) -> None:
    emulator.faults.add("submit", "status", times=1, code=429)
    emulator.faults.add("submit", "status", times=1, code=429, body="empty", retry_after=0)
    await settle(caller({**options, "clock": HurriedClock()}))
    assert sum(request.point == "submit" for request in emulator.requests) == 3
    assert len(emulator.tasks) == 1
    assert len(emulator.bill.lines) == 1


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class StartsTheServer(HurriedClock):
    """A clock on which the first sleep lasts until the server is there."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator: Emulator | None = emulator

    def sleep(self, seconds: float) -> None:
        if self._emulator is not None:
            self._emulator.start()
            self._emulator = None
        super().sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(0)
        await super().asleep(seconds)


@pytest.mark.parametrize("caller", [*CLIENTS, retried_tool_sync], ids=by_name)
async def test_a_connection_refused_is_repeated_and_pays_once(options: dict[str, Any], caller: Caller) -> None:
    port = free_port()
    emulator = Emulator(speed=SPEED, port=port)
    try:
        clock = StartsTheServer(emulator)
        await settle(caller({**options, "base_url": f"http://127.0.0.1:{port}", "clock": clock}))
        assert sum(request.point == "submit" for request in emulator.requests) == 1
        assert len(emulator.tasks) == 1
    finally:
        emulator.stop()


@pytest.mark.parametrize("caller", CLIENTS, ids=by_name)
async def test_a_host_that_is_not_there_costs_nothing(options: dict[str, Any], caller: Caller) -> None:
    nowhere = {"base_url": f"http://127.0.0.1:{free_port()}", "clock": HurriedClock()}
    with pytest.raises(NotSentError, match="Nothing was sent"):
        await settle(caller({**options, **nowhere}))


@pytest.mark.parametrize("caller", CLIENTS, ids=by_name)
async def test_a_kept_alive_connection_that_the_server_closes_between_polls_is_no_error(
    emulator: Emulator, options: dict[str, Any], caller: Caller
) -> None:
    emulator.speed = 400
    for point in ("submit", "query"):
        emulator.faults.add(point, "close_idle", times=None, delay=0.01)
    await settle(caller({**options, "poll_interval": 0.05}))
    polls = [request.connection for request in emulator.requests if request.point == "query"]
    assert len(polls) == len(set(polls)) > 1
    assert sum(request.point == "submit" for request in emulator.requests) == 1
    assert len(emulator.bill.lines) == 1


@pytest.mark.parametrize("door", ["sync", "async"])
async def test_a_submit_after_an_idle_connection_was_closed_is_no_error(
    emulator: Emulator, options: dict[str, Any], door: str
) -> None:
    for point in ("submit", "query"):
        emulator.faults.add(point, "close_idle", times=None, delay=0.01)
    if door == "sync":
        with NebulaVideoClient(**options) as client:
            for _ in range(3):
                client.generate(**ASK)
                time.sleep(0.1)  # noqa: ASYNC251 nothing else is on this loop
    else:
        async with AsyncNebulaVideoClient(**options) as aclient:
            for _ in range(3):
                await aclient.generate(**ASK)
                await asyncio.sleep(0.1)
    assert sum(request.point == "submit" for request in emulator.requests) == 3
    assert len(emulator.tasks) == 3


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
@pytest.mark.parametrize("fault", ["reset_after", "eof_after"])
async def test_a_callers_own_client_of_either_library_is_treated_alike(
    emulator: Emulator, options: dict[str, Any], library: Any, fault: str
) -> None:
    with library.Client() as own:
        client = NebulaVideoClient(**options, http_client=own)
        client.generate(**ASK)
        emulator.faults.add("submit", fault)
        with pytest.raises(SubmissionUnconfirmedError):
            client.generate(**ASK)
    async with library.AsyncClient() as own:
        aclient = AsyncNebulaVideoClient(**options, http_async_client=own)
        await aclient.generate(**ASK)
        emulator.faults.add("submit", fault)
        with pytest.raises(SubmissionUnconfirmedError):
            await aclient.generate(**ASK)
    assert sum(request.point == "submit" for request in emulator.requests) == 4


@BOTH
def test_a_submit_opens_its_own_connection_and_polls_share_one(emulator: Emulator, options: dict[str, Any]) -> None:
    emulator.speed = 400
    with NebulaVideoClient(**options) as client:
        client.generate(**ASK)
        client.generate(**ASK)
    submits = [request.connection for request in emulator.requests if request.point == "submit"]
    polls = [request.connection for request in emulator.requests if request.point == "query"]
    assert len(set(submits)) == 2
    assert len(polls) > 4
    assert len(set(polls)) == 1
    assert not set(submits) & set(polls)


async def test_at_most_four_submits_and_a_hundred_looks_are_under_way(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    emulator.faults.add("submit", "late", times=None, seconds=0.05)
    emulator.faults.add("query", "late", times=None, seconds=0.3)
    async with AsyncNebulaVideoClient(**options) as client:
        tasks = await asyncio.gather(*(client.submit(**ASK, seed=number) for number in range(1, 121)))
        await asyncio.gather(*map(client.wait, tasks))
    assert emulator.peaks.submits == 4
    assert 32 < emulator.peaks.queries <= 100
    assert len(emulator.bill.lines) == 120


def test_one_tool_first_used_by_many_threads_still_sends_four_at_once(
    emulator: Emulator, options: dict[str, Any]
) -> None:
    emulator.faults.add("submit", "late", times=None, seconds=0.1)
    tool = NebulaVideoTool(**options)
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda number: tool.invoke({**ASK, "seed": number}), range(1, 25)))
    assert emulator.peaks.submits == 4
    assert len(emulator.bill.lines) == 24
