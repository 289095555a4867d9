"""What the feeder moves into the engine's queue: windows, limits, pauses, hours, priorities, budgets, and its lease.

No worker runs here: its places are a row in a table, and what becomes of items is written as a worker writes it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video.fleet import BatchState, Fleet, ItemState
from langchain_nebula_video.fleet.feeder import Feeder
from tests.fleets import (
    asks,
    assert_counts_hold,
    batch_status,
    connected,
    items_of,
    query,
    until,
    working,
)

FRESH = timedelta(seconds=60)
PRICE = Decimal("0.1845")


def add_worker(url: str, *, places: int, accounts: list[str] | None = None, name: str = "w") -> None:
    """A worker with so many places for these accounts, or for all."""
    marks = (
        accounts if accounts is not None else [mark for (mark,) in query(url, "SELECT id FROM nebula_fleet_accounts")]
    )
    query(
        url,
        "INSERT INTO nebula_fleet_workers (id, host, pid, holder, version, accounts, concurrency) "
        "VALUES (%s, 'host', 1, 'nobody', '1', %s, %s)",
        name,
        marks,
        places,
    )


def feed(url: str, owner: str = "w") -> int | None:
    """One turn of a feeder; how many items it moved."""
    with connected(url) as connection:
        return Feeder(owner, FRESH).tick(connection)


def fed_prompts(url: str) -> list[str]:
    """The prompts of the items in the engine's queue, in the order in which a worker fetches them."""
    rows = query(
        url,
        "SELECT item.request->>'prompt' FROM procrastinate_jobs AS job JOIN nebula_fleet_items AS item "
        "ON item.job_id = job.id WHERE job.status = 'todo' ORDER BY job.priority DESC, job.id",
    )
    return [prompt for (prompt,) in rows]


def end(url: str, count: int, state: str = "done", *, reserved: bool = True) -> None:
    """So many of the queued items end."""
    query(
        url,
        "WITH ended AS (SELECT key, job_id FROM nebula_fleet_items WHERE state = 'queued' ORDER BY n LIMIT %s), "
        "job AS (DELETE FROM procrastinate_jobs WHERE id IN (SELECT job_id FROM ended)) "
        "UPDATE nebula_fleet_items SET state = %s, reserved = %s, job_id = NULL "
        "WHERE key IN (SELECT key FROM ended)",
        count,
        state,
        reserved,
    )


# --- how many ---


async def test_without_a_worker_nothing_is_queued(fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]) -> None:
    await fleet.submit_many(asks(5), batch="a", **fleet_options)
    assert feed(fleet_url) == 0
    add_worker(fleet_url, places=10, accounts=["another account"])
    assert feed(fleet_url) == 0


@pytest.mark.parametrize("change", ["draining = true", "ended_at = now()", "beat_at = now() - interval '2 minutes'"])
async def test_a_worker_that_drains_has_ended_or_is_silent_has_no_places(
    change: str, fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(5), batch="a", **fleet_options)
    add_worker(fleet_url, places=10)
    query(fleet_url, f"UPDATE nebula_fleet_workers SET {change}")
    assert feed(fleet_url) == 0


async def test_no_more_are_queued_than_places_and_a_small_supply(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(300), batch="a", **fleet_options)
    add_worker(fleet_url, places=80)
    assert (feed(fleet_url), feed(fleet_url)) == (100, 0)
    assert fed_prompts(fleet_url) == [f"Take {number}" for number in range(1, 101)]
    end(fleet_url, 30)
    assert (feed(fleet_url), feed(fleet_url)) == (30, 0)
    add_worker(fleet_url, places=20, name="another")
    assert feed(fleet_url) == 25
    assert_counts_hold(fleet_url)


async def test_a_cap_holds_over_all_batches_of_the_account(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(5), batch="a", **fleet_options)
    await fleet.submit_many(asks(20, seed=2), batch="b", **fleet_options)
    add_worker(fleet_url, places=50)
    (mark,) = query(fleet_url, "SELECT id FROM nebula_fleet_accounts")[0]
    await fleet.change_account(mark, cap=7)
    assert (feed(fleet_url), feed(fleet_url)) == (7, 0)
    end(fleet_url, 6)
    assert feed(fleet_url) == 6
    await fleet.change_account(mark, cap=0)
    assert feed(fleet_url) == 12, "0 takes the limit away"


async def test_a_rate_holds_also_after_hours_in_which_nothing_was_begun(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(200), batch="a", **fleet_options)
    add_worker(fleet_url, places=500)
    (mark,) = query(fleet_url, "SELECT id FROM nebula_fleet_accounts")[0]
    await fleet.change_account(mark, rate=60)
    later = "UPDATE nebula_fleet_accounts SET tokens_at = tokens_at - %s::interval"
    query(fleet_url, later, "3 hours")
    begun = 0
    for _ in range(60):  # a minute
        begun += feed(fleet_url) or 0
        query(fleet_url, later, "1 second")
    assert 60 <= begun <= 70


# --- when ---


async def test_nothing_of_a_paused_batch_or_account_is_begun_until_it_is_resumed(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(3), batch="a", paused=True, **fleet_options)
    add_worker(fleet_url, places=50)
    assert feed(fleet_url) == 0
    await fleet.resume("a")
    (mark,) = query(fleet_url, "SELECT id FROM nebula_fleet_accounts")[0]
    await fleet.change_account(mark, paused=True)
    assert feed(fleet_url) == 0
    await fleet.change_account(mark, paused=False)
    assert feed(fleet_url) == 3


async def test_nothing_is_begun_before_its_time_and_outside_of_its_hours(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    now = datetime.now(UTC)
    await fleet.submit_many(asks(1), batch="later", not_before=now + timedelta(hours=1), **fleet_options)
    await fleet.submit_many(asks(1, seed=2), batch="earlier", not_before=now - timedelta(hours=1), **fleet_options)
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    open_now = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    await fleet.submit_many(asks(1, seed=3), batch="closed", hours=closed, **fleet_options)
    await fleet.submit_many(asks(1, seed=4), batch="open", hours=open_now, **fleet_options)
    add_worker(fleet_url, places=50)
    assert feed(fleet_url) == 2
    begun = [batch.name for batch in (await fleet.status()).batches if not batch.counts.get(ItemState.WAITING)]
    assert begun == ["earlier", "open"]


async def test_the_highest_priority_goes_first_and_then_the_oldest_batch(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    for name, priority in (("old", 0), ("new", 0), ("urgent", 5), ("idle", -5)):
        rows = [{**row, "prompt": f"{name} {row['prompt']}"} for row in asks(2)]
        await fleet.submit_many(rows, batch=name, priority=priority, **fleet_options)
    add_worker(fleet_url, places=3)
    assert feed(fleet_url) == 7
    assert fed_prompts(fleet_url) == [
        *("urgent Take 1", "urgent Take 2", "old Take 1", "old Take 2", "new Take 1", "new Take 2", "idle Take 1")
    ]
    await fleet.change_batch("idle", priority=9)
    end(fleet_url, 1)
    feed(fleet_url)
    assert fed_prompts(fleet_url)[0] == "idle Take 2"


async def test_after_refusals_one_at_a_turn_is_begun(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(30), batch="a", **fleet_options)
    add_worker(fleet_url, places=50)
    query(fleet_url, "UPDATE nebula_fleet_accounts SET refusals = 3, paused_until = now() + interval '1 hour'")
    assert feed(fleet_url) == 0
    query(fleet_url, "UPDATE nebula_fleet_accounts SET paused_until = now()")
    assert [feed(fleet_url) for _ in range(3)] == [1, 1, 1]
    query(fleet_url, "UPDATE nebula_fleet_accounts SET refusals = 0")
    assert feed(fleet_url) == 27


# --- the budget of a batch ---


async def test_a_budget_for_seven_of_twenty_begins_seven_and_says_why_no_more(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(20), batch="a", budget=7 * PRICE + Decimal("0.1"), **fleet_options)
    add_worker(fleet_url, places=50)
    assert (feed(fleet_url), feed(fleet_url)) == (7, 0)
    status = await batch_status(fleet, "a")
    assert (status.state, status.reserved) == (BatchState.RUNNING, 7 * PRICE)
    assert status.reason == "The budget has $0.1000 left, and the next video costs $0.1845."

    end(fleet_url, 3, "failed", reserved=False)
    assert feed(fleet_url) == 3, "what failed for nothing has given its money back"
    end(fleet_url, 7)
    assert feed(fleet_url) == 0
    assert (await batch_status(fleet, "a")).spent == 7 * PRICE

    await fleet.change_batch("a", budget=20 * PRICE)
    assert (await batch_status(fleet, "a")).reason is None
    assert feed(fleet_url) == 10
    assert_counts_hold(fleet_url)


async def test_what_was_begun_goes_on_first_and_needs_no_new_budget(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(9), batch="a", budget=3 * PRICE, **fleet_options)
    add_worker(fleet_url, places=50)
    assert feed(fleet_url) == 3
    end(fleet_url, 1, "failed", reserved=False)  # the first one; the next free money is that of the fourth
    assert feed(fleet_url) == 1
    end(fleet_url, 3, "waiting")  # their workers died: each may be paid for
    query(fleet_url, "UPDATE nebula_fleet_items SET state = 'waiting' WHERE state = 'failed'")
    await fleet.change_batch("a", budget=Decimal(0))
    assert (feed(fleet_url), fed_prompts(fleet_url)) == (3, ["Take 2", "Take 3", "Take 4"])
    assert (await batch_status(fleet, "a")).reserved == 3 * PRICE


async def test_a_budget_holds_whoever_feeds_at_the_same_moment(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(60), batch="a", budget=23 * PRICE, **fleet_options)
    add_worker(fleet_url, places=5)
    barrier = threading.Barrier(4)

    def keep_feeding(number: int) -> None:
        barrier.wait()
        for turn in range(25):
            if number == 0:  # a lease that is over in the midst of it
                query(fleet_url, "UPDATE nebula_fleet_meta SET feeder_until = now() - interval '1 second'")
            feed(fleet_url, f"feeder {number}")
            if turn % 3 == 0:
                end(fleet_url, 1, "failed" if turn % 6 else "done", reserved=not turn % 6)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep_feeding, range(4)))
    reserved = sum(item["usd"] for item in items_of(fleet_url, "a") if item["reserved"])
    assert 0 < reserved <= 23 * PRICE
    jobs = query(fleet_url, "SELECT count(*), count(DISTINCT args->>'key') FROM procrastinate_jobs")
    queued = sum(item["state"] == "queued" for item in items_of(fleet_url, "a"))
    assert jobs == [(queued, queued)]
    assert queued <= 9
    assert_counts_hold(fleet_url)


# --- the lease ---


async def test_one_feeds_at_a_time_and_whoever_stops_hands_over_at_once(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(20), batch="a", **fleet_options)
    add_worker(fleet_url, places=4)
    assert feed(fleet_url, "one") == 8
    end(fleet_url, 5)
    assert feed(fleet_url, "two") is None
    assert feed(fleet_url, "one") == 5
    with connected(fleet_url) as connection:
        Feeder("one", FRESH).stop(connection)
    assert feed(fleet_url, "two") == 0
    assert feed(fleet_url, "one") is None


async def test_the_lease_of_a_feeder_that_died_passes_on_within_seconds(fleet_url: str) -> None:
    assert feed(fleet_url, "dead") == 0
    await until(lambda: feed(fleet_url, "heir") is not None, "another feeder")


async def test_a_feeder_that_was_frozen_moves_nothing_when_it_wakes_up(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(20), batch="a", **fleet_options)
    add_worker(fleet_url, places=50)
    with connected(fleet_url) as connection:

        class Frozen(Feeder):
            def _feed_batch(self, *args: Any) -> int:
                query(fleet_url, "UPDATE nebula_fleet_meta SET feeder_until = now() - interval '1 second'")
                assert feed(fleet_url, "another") == 20
                return super()._feed_batch(*args)

        assert Frozen("w", FRESH).tick(connection) == 0
    assert query(fleet_url, "SELECT count(*) FROM procrastinate_jobs") == [(20,)]


async def test_an_older_version_moves_nothing_in_newer_tables(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(20), batch="a", **fleet_options)
    add_worker(fleet_url, places=50)
    query(fleet_url, "UPDATE nebula_fleet_meta SET version = version + 1")
    assert feed(fleet_url) is None


# --- together ---


async def test_a_budget_for_seven_of_twenty_pays_for_seven_on_two_workers(
    fleet_url: str, fleet: Fleet, fleet_options: dict[str, Any], emulator: Any
) -> None:
    """Three of the first seven fail for nothing, and their money makes three others."""
    rows = [{**row, "prompt": f"[fail] {row['prompt']}"} if at % 3 == 0 else row for at, row in enumerate(asks(20))]
    await fleet.submit_many(rows, batch="a", budget=7 * PRICE, **fleet_options)
    async with working(fleet_url, concurrency=10), working(fleet_url, concurrency=10):
        await until(lambda: emulator.bill.usd >= 7 * PRICE, "seven videos")

        async def stands() -> bool:
            status = await batch_status(fleet, "a")
            return status.reason is not None and not status.counts.keys() & {ItemState.QUEUED, ItemState.RUNNING}

        await until(stands, "a batch whose budget is spent")
        assert emulator.bill.usd == 7 * PRICE
        status = await batch_status(fleet, "a")
        assert (status.spent, status.counts[ItemState.DONE]) == (7 * PRICE, 7)
        await fleet.change_batch("a", budget=100)

        async def over() -> bool:
            return (await batch_status(fleet, "a")).left == 0

        await until(over, "the end of the batch")
    assert (await batch_status(fleet, "a")).counts == {ItemState.DONE: 13, ItemState.FAILED: 7}
    assert emulator.bill.usd == 13 * PRICE
    assert_counts_hold(fleet_url)
