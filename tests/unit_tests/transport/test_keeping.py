"""What keeps the leases of many calls: one call never keeps the others from theirs."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from langchain_nebula_video.transport import keeping
from langchain_nebula_video.transport.keeping import Alarms, AsyncKeeper, BlockingKeeper
from langchain_nebula_video.transport.places import BlockingPlaces
from langchain_nebula_video.transport.runtime import run_sync


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "KEEP_ALIVE_PAUSE", 0.001)


def now() -> datetime:
    return datetime.now(UTC)


async def at_once(flow: Any) -> None:
    await flow


async def nothing() -> None:
    pass


async def test_while_one_task_sends_its_post_the_leases_of_the_others_are_kept() -> None:
    keeper, kept = AsyncKeeper(now), asyncio.Event()

    async def renew() -> None:
        kept.set()

    async with keeper.keep(nothing, at_once) as sending, sending.paused(), keeper.keep(renew, at_once):
        await asyncio.wait_for(kept.wait(), 5)


def test_while_one_thread_sends_its_post_the_leases_of_the_others_are_kept() -> None:
    keeper, kept = BlockingKeeper(now), threading.Event()

    async def renew() -> None:
        kept.set()

    async def work() -> None:
        async with keeper.keep(nothing) as sending, sending.paused(), keeper.keep(renew):
            assert kept.wait(5)

    run_sync(work())


async def test_leases_are_kept_after_somebody_has_cancelled_all_tasks_of_the_loop() -> None:
    keeper, kept, begun = AsyncKeeper(now), asyncio.Event(), asyncio.Event()

    async def renew_slowly() -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(3600)

    async def renew() -> None:
        kept.set()

    async with keeper.keep(renew_slowly, at_once):
        await asyncio.wait_for(begun.wait(), 5)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        async with keeper.keep(renew, at_once):
            await asyncio.wait_for(kept.wait(), 5)


async def test_a_call_that_ends_soon_makes_no_task_and_one_that_ends_in_a_renewal_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper, begun, done = AsyncKeeper(now), asyncio.Event(), asyncio.Event()

    async def renew() -> None:
        begun.set()
        await asyncio.sleep(0.01)
        done.set()

    async with keeper.keep(renew, at_once):
        await asyncio.wait_for(begun.wait(), 5)
    assert done.is_set()
    monkeypatch.setattr(keeping, "KEEP_ALIVE_PAUSE", 60)
    before = asyncio.all_tasks()
    async with keeper.keep(renew, at_once):
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before


def test_an_alarm_that_fails_or_finds_no_room_for_its_thread_does_not_stop_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alarms, called = Alarms("test-alarms"), threading.Event()

    def no_room(_: object) -> None:
        raise RuntimeError("can't start new thread")

    def fail() -> None:
        raise KeyError("a socket that went")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError):
            alarms.call_at(time.monotonic(), called.set)
    alarms.call_at(time.monotonic(), fail)
    alarms.call_at(time.monotonic() + 0.001, called.set)
    assert called.wait(5)


def test_an_alarm_that_is_cancelled_while_another_one_is_called_is_not_called() -> None:
    alarms, calls, done = Alarms("test-alarms"), [], threading.Event()
    when = time.monotonic() + 0.01
    pending: list[keeping.Alarm] = []

    def call() -> None:
        calls.append(1)
        for alarm in pending:
            alarm.cancel()
        done.set()

    pending += [alarms.call_at(when, call) for _ in range(5)]
    assert done.wait(5)
    ended = threading.Event()
    alarms.call_at(time.monotonic(), ended.set)
    assert ended.wait(5)
    assert calls == [1]


def test_a_thread_that_is_interrupted_as_it_gets_its_place_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    places = BlockingPlaces(1)
    assert places.acquire(0)

    def interrupt(turn: threading.Event, timeout: float | None = None) -> bool:
        places.release()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            places.acquire(5)
    assert places.acquire(0)
