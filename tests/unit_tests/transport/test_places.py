"""Places are given in the order in which they were asked for, and none is lost."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from langchain_nebula_video.transport.keeping import Alarms
from langchain_nebula_video.transport.places import AsyncPlaces, BlockingPlaces


async def test_a_free_place_goes_to_the_first_waiter_and_not_to_a_newcomer() -> None:
    places, order = AsyncPlaces(1), []
    first = await places.acquire()

    async def wait(name: str) -> None:
        place = await places.acquire()
        order.append(name)
        places.release(place)

    async with asyncio.TaskGroup() as group:
        group.create_task(wait("second"))
        await asyncio.sleep(0)
        places.release(first)  # the second has not run yet
        group.create_task(wait("newcomer"))
    assert order == ["second", "newcomer"]


async def test_a_waiter_that_is_cancelled_with_its_place_passes_it_on() -> None:
    places = AsyncPlaces(1)
    first = await places.acquire()
    waiter, next_one = asyncio.create_task(places.acquire()), asyncio.create_task(places.acquire())
    await asyncio.sleep(0)
    places.release(first)
    waiter.cancel()
    assert await asyncio.wait_for(next_one, 1) == first
    assert waiter.cancelled()


async def test_the_place_that_was_used_last_is_used_next() -> None:
    places = AsyncPlaces(3)
    one, two = await places.acquire(), await places.acquire()
    places.release(one)
    places.release(two)
    assert await places.acquire() == two
    assert places.free_for(60.0) != []


def test_threads_get_their_places_in_their_order() -> None:
    places, order = BlockingPlaces(1), []
    assert places.acquire(0)

    def wait(name: int) -> None:
        assert places.acquire(5)
        order.append(name)
        places.release()

    threads = []
    for name in range(5):
        threads.append(threading.Thread(target=wait, args=(name,)))
        threads[-1].start()
        while len(places._waiters) <= name:
            time.sleep(0.001)
    places.release()
    for thread in threads:
        thread.join()
    assert order == list(range(5))
    assert places.acquire(0)
    assert not places.acquire(0.001)


def test_one_thread_calls_all_alarms_at_their_times() -> None:
    alarms, called, done = Alarms("test-alarms"), [], threading.Event()
    now = time.monotonic()
    alarms.call_at(now + 0.02, done.set)
    alarms.call_at(now + 0.01, lambda: called.append(threading.current_thread().name))
    alarms.call_at(now + 0.005, lambda: called.append("cancelled")).cancel()
    assert done.wait(5)
    assert called == ["test-alarms"]


@pytest.mark.parametrize("count", [50])
def test_many_alarms_need_one_thread(count: int) -> None:
    alarms = Alarms("test-many-alarms")
    pending = [alarms.call_at(time.monotonic() + 60, lambda: None) for _ in range(count)]
    assert [thread.name for thread in threading.enumerate()].count("test-many-alarms") == 1
    for alarm in pending:
        alarm.cancel()
