"""What a person decides: pause, resume, cancel, retry, forget, another key. The gateway's ledger is the judge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import BatchState, Fleet, ItemState
from tests.fleets import (
    all_results,
    asks,
    assert_counts_hold,
    batch_status,
    items_of,
    query,
    submits_of,
    until,
    working,
)

PRICE = Decimal("0.1845")
SLOW = 20.0
"""A video takes some seconds: it is under way for as long as a test needs, and no longer."""


@pytest.fixture(autouse=True)
def _counts_hold(fleet_url: str) -> Iterator[None]:
    yield
    assert_counts_hold(fleet_url)


async def under_way(emulator: Emulator, count: int) -> None:
    """Wait until the gateway has accepted so many tasks."""
    await until(lambda: len(emulator.tasks) >= count, f"{count} tasks")


def states(url: str, batch: str) -> dict[str, int]:
    """How many items are in each state."""
    found = [item["state"] for item in items_of(url, batch)]
    return {state: found.count(state) for state in found}


# --- pause, cancel ---


async def test_a_paused_batch_ends_what_runs_and_begins_nothing_until_it_is_resumed(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.speed = SLOW
    await fleet.submit_many(asks(40), batch="a", **fleet_options)
    async with working(fleet_url, concurrency=4):
        await under_way(emulator, 4)
        await fleet.pause("a", "the studio sleeps")
        emulator.speed = 20_000
        await until(lambda: set(states(fleet_url, "a")) == {"done", "waiting"}, "the end of what had begun")
        made = states(fleet_url, "a")["done"]
        assert 4 <= made <= 8, "four ran, and four were queued"
        status = await batch_status(fleet, "a")
        assert (status.state, status.reason) == (BatchState.PAUSED, "the studio sleeps")
        assert await fleet.resume("a") == 0
        await all_results(fleet, "a")
    assert emulator.bill.usd == 40 * PRICE
    assert max(submits_of(emulator).values()) == 1


async def test_a_canceled_batch_ends_what_runs_and_cancels_the_rest(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.speed = SLOW
    await fleet.submit_many(asks(40), batch="a", **fleet_options)
    async with working(fleet_url, concurrency=4):
        await under_way(emulator, 4)
        canceled = await fleet.cancel("a")
        emulator.speed = 20_000
        results = await all_results(fleet, "a")
        assert [result.state for result in results].count(ItemState.CANCELED) == canceled >= 32
        assert len(emulator.tasks) == 40 - canceled
        assert (await batch_status(fleet, "a")).spent == (40 - canceled) * PRICE
        for refused in (fleet.pause("a"), fleet.retry("a"), fleet.submit_many(asks(1), batch="a", **fleet_options)):
            with pytest.raises(InvalidRequestError, match="'a' is canceled"):
                await refused

        assert await fleet.resume("a") == canceled
        await all_results(fleet, "a")
    assert emulator.bill.usd == 40 * PRICE
    assert max(submits_of(emulator).values()) == 1


async def test_what_comes_back_without_a_video_after_a_cancel_is_canceled_too(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    """Otherwise it would wait for ever in a batch that nothing is begun of."""
    emulator.faults.add("submit", "status", code=429, retry_after=600, times=None)
    await fleet.submit_many(asks(3), batch="a", **fleet_options)
    async with working(fleet_url, concurrency=1):
        await until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_accounts WHERE refusals > 0"), "a refusal")
        await fleet.cancel("a")
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.CANCELED}
    assert (await batch_status(fleet, "a")).reserved == 0


async def test_an_abandoned_task_goes_on_at_the_gateway_and_is_taken_up_by_its_key(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.speed = SLOW
    await fleet.submit_many(asks(6), batch="a", **fleet_options)
    async with working(fleet_url, concurrency=6):
        await under_way(emulator, 6)
        await fleet.cancel("a", abandon=True)
        results = await all_results(fleet, "a")
        assert {result.state for result in results} == {ItemState.CANCELED}
        assert all("is billed" in (result.error or "") for result in results)
        status = await batch_status(fleet, "a")
        assert status.spent == 6 * PRICE, "the gateway goes on"

        assert await fleet.resume("a") == 6
        emulator.speed = 20_000
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.DONE}
    assert submits_of(emulator) == {f"Take {number}": 1 for number in range(1, 7)}
    assert emulator.bill.usd == 6 * PRICE


# --- retry ---


async def test_only_what_ended_badly_is_tried_again(fleet: Fleet, fleet_options: dict[str, Any]) -> None:
    await fleet.submit_many(asks(2), batch="a", **fleet_options)
    assert await fleet.retry("a") == 0
    for state in set(ItemState) - {ItemState.FAILED, ItemState.UNCONFIRMED}:
        with pytest.raises(InvalidRequestError, match=f"{state} are not tried again"):
            await fleet.retry("a", [state])


async def test_each_retry_of_a_video_that_failed_for_nothing_is_a_new_task(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    row = {**asks(1)[0], "prompt": "[fail] A cat", "key": "mine"}
    await fleet.submit_many([row], batch="a", **fleet_options)
    async with working(fleet_url):
        for attempt in (1, 2, 3):
            (result,) = await all_results(fleet, "a")
            assert (result.key, result.state, len(emulator.tasks)) == ("mine", ItemState.FAILED, attempt)
            assert await fleet.retry("a") == 1
        await all_results(fleet, "a")
    keys = {key for (key,) in query(fleet_url, "SELECT key FROM nebula_entries")}
    assert keys == {"mine", "mine#attempt-2", "mine#attempt-3", "mine#attempt-4"}
    assert (await batch_status(fleet, "a")).reserved == 0


async def test_a_second_job_of_the_same_item_makes_no_second_video(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    """A sweep may give an item back whose job runs all the same: the engine runs jobs at least once."""
    emulator.speed = SLOW
    await fleet.submit_many(asks(4), batch="a", **fleet_options)
    copies = (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
        "SELECT queue_name, task_name, args FROM procrastinate_jobs"
    )
    async with working(fleet_url, concurrency=16), working(fleet_url, concurrency=16):
        await until(lambda: query(fleet_url, "SELECT 1 FROM procrastinate_jobs"), "jobs")
        query(fleet_url, copies)
        await under_way(emulator, 4)
        query(fleet_url, "UPDATE nebula_fleet_items SET state = 'waiting', job_id = NULL WHERE n <= 2")
        query(fleet_url, copies)
        await until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_items WHERE claims > 1"), "a second claim")
        emulator.speed = 20_000
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.DONE}
    assert submits_of(emulator) == {f"Take {number}": 1 for number in range(1, 5)}
    assert all(item["errors"] == 0 for item in items_of(fleet_url, "a")), "to be run again is no error"


# --- forget ---


async def test_what_is_forgotten_stays_paid_for_and_the_same_list_pays_nothing_again(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    async with working(fleet_url):
        await fleet.submit_many([*asks(5), {"prompt": ""}], batch="a", **fleet_options)
        await all_results(fleet, "a")
        assert await fleet.forget("a") == 5
        assert (await fleet.status()).batches == ()
        for table in ("items", "counts", "broken", "images"):
            assert query(fleet_url, f"SELECT count(*) FROM nebula_fleet_{table}") == [(0,)]
        with pytest.raises(InvalidRequestError, match="There is no batch 'a'"):
            await fleet.forget("a")

        await fleet.submit_many(asks(5), batch="b", **fleet_options)
        results = await all_results(fleet, "b")
    assert {result.state for result in results} == {ItemState.DONE}
    assert all(result.video is not None and result.video.url for result in results)
    assert emulator.bill.usd == 5 * PRICE


async def test_what_runs_cannot_be_forgotten(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.speed = SLOW
    await fleet.submit_many(asks(3), batch="a", **fleet_options)
    async with working(fleet_url):
        await under_way(emulator, 3)
        with pytest.raises(InvalidRequestError, match=r"3 items of 'a' are queued or running.*Cancel it"):
            await fleet.forget("a")
        emulator.speed = 20_000
        await all_results(fleet, "a")
        assert await fleet.forget("a") == 3


async def test_batches_may_be_forgotten_while_lists_come_in_and_the_feeder_works(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    """Whoever is too late is told, and nothing of a batch stays behind."""

    async def add(number: int) -> None:
        try:
            await fleet.submit_many(asks(30, seed=number), batch=f"batch {number % 3}", **fleet_options)
        except InvalidRequestError as error:
            assert "has just been deleted" in str(error)

    async def forget(number: int) -> None:
        await asyncio.sleep(0.05 * (number % 7))
        try:
            await fleet.forget(f"batch {number % 3}")
        except InvalidRequestError as error:
            assert "queued or running" in str(error) or "There is no batch" in str(error)

    async with working(fleet_url, concurrency=5):
        for turn in range(3):
            await asyncio.gather(*(call(3 * turn + each) for each in range(4) for call in (add, forget, forget)))
        for number in range(3):
            names = [batch.name for batch in (await fleet.status()).batches]
            if f"batch {number}" in names:
                await fleet.cancel(f"batch {number}")
                await all_results(fleet, f"batch {number}")
                await fleet.forget(f"batch {number}")
        for table in ("batches", "items", "counts"):
            assert query(fleet_url, f"SELECT count(*) FROM nebula_fleet_{table}") == [(0,)]
    keys = query(fleet_url, "SELECT count(key), count(DISTINCT key) FROM nebula_entries")
    assert keys == [(len(emulator.tasks), len(emulator.tasks))]


# --- another key ---


async def test_a_task_of_the_old_key_is_not_paid_again_with_the_new_one(
    fleet: Fleet,
    fleet_url: str,
    fleet_options: dict[str, Any],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emulator.speed = SLOW
    await fleet.submit_many(asks(3), batch="a", budget=3 * PRICE, **fleet_options)
    async with working(fleet_url, concurrency=1) as worker:
        await under_way(emulator, 1)
        worker.cut_off()
        await until(lambda: states(fleet_url, "a").get("running") is None, "an item that is given back")
    (mark,) = query(fleet_url, "SELECT id FROM nebula_fleet_accounts")[0]
    emulator.add_account("sk-another", balance=100)
    monkeypatch.setenv("NEBULA_API_KEY", "sk-another")
    await fleet.replace_key(mark)
    emulator.speed = 20_000
    async with working(fleet_url):
        results = await all_results(fleet, "a")
    assert [result.state for result in results] == ["failed", "done", "done"]
    assert emulator.tasks[0].id in (results[0].error or "")
    assert (await batch_status(fleet, "a")).spent == 3 * PRICE, "the old key's task is billed"
    assert submits_of(emulator) == {f"Take {number}": 1 for number in range(1, 4)}
