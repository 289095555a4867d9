"""Workers that are killed, frozen and drained, a database that goes away, and answers of it that get lost.

The gateway's ledger is the judge: whatever happens, each video is paid once, and none is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, FleetWorker, ItemState, Timing
from langchain_nebula_video.fleet.feeder import Feeder
from tests.fleets import (
    QUICK,
    all_results,
    asks,
    assert_counts_hold,
    batch_status,
    connected,
    query,
    submits_of,
    until,
    work,
    working,
)
from tests.gateways import SPEED
from tests.postgres import Server
from tests.processes import forked

STILL = 0.001
"""The gateway's speed at which no task ends."""
NERVOUS = Timing(tick=timedelta(seconds=0.1), limit=timedelta(seconds=3), tidy=timedelta(seconds=1))
"""A worker that takes others for dead after three seconds. On a busy machine it may be wrong; that must do no harm."""
BATCH = "takes"


def counts(url: str) -> dict[str, int]:
    return dict(query(url, "SELECT state, count(*) FROM nebula_fleet_items GROUP BY state"))


def holders(url: str) -> list[str]:
    return [name for (name,) in query(url, "SELECT DISTINCT worker FROM nebula_fleet_items WHERE state = 'running'")]


def died(url: str) -> list[str]:
    statement = "SELECT id FROM nebula_fleet_workers WHERE died OR comebacks > 0"
    return [name for (name,) in query(url, statement)]


async def assert_made_once(fleet: Fleet, url: str, emulator: Emulator, count: int) -> None:
    """Each video is made, and paid once; nothing is left in the engine; the counts are right."""
    results = await all_results(fleet, BATCH)
    assert [result.state for result in results] == [ItemState.DONE] * count, results
    assert submits_of(emulator) == {f"Take {number}": 1 for number in range(1, count + 1)}
    assert_counts_hold(url)
    await until(lambda: not query(url, "SELECT id FROM procrastinate_jobs"), "an empty queue of the engine")


async def submit(fleet: Fleet, emulator: Emulator, count: int, **options: Any) -> None:
    """Enqueue videos that do not end until the gateway is quick."""
    emulator.speed = STILL
    await fleet.submit_many(asks(count), batch=BATCH, **options)


async def all_submitted(count: int, *urls: str) -> None:
    """Wait until so many tasks are on record: what is killed before may be unconfirmed."""
    statement = "SELECT count(*) FROM nebula_entries WHERE task_id IS NOT NULL"
    await until(lambda: sum(query(url, statement)[0][0] for url in urls) == count, f"{count} submits")


@asynccontextmanager
async def away(server: Server) -> AsyncIterator[None]:
    """Crash the server, and start it again after the body."""
    await asyncio.to_thread(server.stop, "immediate")
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def test_a_killed_workers_items_are_taken_up_by_another(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    await submit(fleet, emulator, 4, **fleet_options)
    with forked(work, fleet_url, 4, QUICK, cwd=tmp_path) as process:
        await all_submitted(4, fleet_url)
        (killed,) = holders(fleet_url)
        process.kill()
        process.join()
    async with working(fleet_url) as worker:
        await until(lambda: holders(fleet_url) == [worker.name], "the take-up")
        assert died(fleet_url) == [killed]
        emulator.speed = SPEED
        await assert_made_once(fleet, fleet_url, emulator, 4)


async def test_a_worker_killed_on_another_machine_is_found_out_by_its_silence_and_its_leases_end_with_it(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    await submit(fleet, emulator, 2, **fleet_options)
    with forked(work, fleet_url, 2, QUICK, cwd=tmp_path) as process:
        await all_submitted(2, fleet_url)
        process.kill()
        process.join()
    # To whoever runs here, its process was on another machine.
    query(fleet_url, "UPDATE nebula_fleet_workers SET holder = 'elsewhere/' || holder")
    query(fleet_url, "UPDATE nebula_entries SET holder = 'elsewhere/' || holder WHERE holder IS NOT NULL")
    async with working(fleet_url, timing=NERVOUS) as worker:
        await until(lambda: holders(fleet_url) == [worker.name], "the take-up")
        emulator.speed = SPEED
        await assert_made_once(fleet, fleet_url, emulator, 2)


async def test_a_frozen_worker_is_taken_for_dead_comes_back_and_loses_nothing(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    await submit(fleet, emulator, 4, **fleet_options)
    with forked(work, fleet_url, 4, NERVOUS, cwd=tmp_path) as process:
        await all_submitted(4, fleet_url)
        (frozen,) = holders(fleet_url)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        async with working(fleet_url, timing=NERVOUS) as worker:
            await until(lambda: frozen in died(fleet_url), "the end of a silent worker")
            await until(lambda: holders(fleet_url) == [worker.name], "the take-up")
            os.kill(process.pid, signal.SIGCONT)
            living = "SELECT comebacks FROM nebula_fleet_workers WHERE id = %s AND ended_at IS NULL"
            await until(lambda: query(fleet_url, living, frozen), "its heartbeat")
            emulator.speed = SPEED
            await assert_made_once(fleet, fleet_url, emulator, 4)
        os.kill(process.pid, signal.SIGTERM)
        process.join(60)
        assert process.exitcode == 0, (tmp_path / "stderr").read_text()


async def test_a_drain_that_takes_longer_than_the_limit_does_not_look_dead(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    timing = Timing(tick=timedelta(seconds=0.1), limit=timedelta(seconds=5), tidy=timedelta(seconds=1))
    await submit(fleet, emulator, 3, **fleet_options)
    draining = FleetWorker(fleet_url, concurrency=3, timing=timing)
    running = asyncio.create_task(draining.run())
    await all_submitted(3, fleet_url)
    async with working(fleet_url, timing=timing):
        draining.stop()
        await asyncio.sleep(timing.limit.total_seconds() * 1.5)
        assert holders(fleet_url) == [draining.name]
        assert died(fleet_url) == []
        emulator.speed = SPEED
        await assert_made_once(fleet, fleet_url, emulator, 3)
        await running


async def test_after_an_outage_nobody_takes_live_workers_for_dead(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, server: Server
) -> None:
    await submit(fleet, emulator, 6, **fleet_options)
    async with working(fleet_url, concurrency=3, timing=NERVOUS), working(fleet_url, concurrency=3, timing=NERVOUS):
        await all_submitted(6, fleet_url)
        before = sorted(holders(fleet_url))
        async with away(server):
            await asyncio.sleep(NERVOUS.limit.total_seconds() * 1.5)
        beaten = "SELECT count(*) = 2 FROM nebula_fleet_workers WHERE beat_at > pg_postmaster_start_time()"
        await until(lambda: query(fleet_url, beaten)[0][0], "the heartbeats")
        assert sorted(holders(fleet_url)) == before
        assert died(fleet_url) == []
        emulator.speed = SPEED
        await assert_made_once(fleet, fleet_url, emulator, 6)


async def test_a_worker_that_drains_while_the_database_is_away_waits_and_writes_what_it_made(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, server: Server
) -> None:
    await submit(fleet, emulator, 4, **fleet_options)
    worker = FleetWorker(fleet_url, concurrency=4, timing=QUICK)
    running = asyncio.create_task(worker.run())
    await all_submitted(4, fleet_url)
    async with away(server):
        worker.stop()
        emulator.speed = SPEED
        await asyncio.sleep(1)
        assert not running.done()
    await running
    assert counts(fleet_url) == {"done": 4}
    await assert_made_once(fleet, fleet_url, emulator, 4)


async def test_an_idle_worker_that_is_cut_off_does_not_wait_for_a_database_that_is_away(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], server: Server
) -> None:
    await fleet.submit_many(asks(1), batch=BATCH, paused=True, **fleet_options)
    worker = FleetWorker(fleet_url, timing=QUICK)
    running = asyncio.create_task(worker.run())
    await until(lambda: query(fleet_url, "SELECT 1 FROM procrastinate_workers"), "the engine")
    async with away(server):
        worker.stop()
        await asyncio.sleep(1)
        assert not running.done()
        worker.cut_off()
        await asyncio.wait_for(running, 120)


async def test_the_first_signal_drains_and_the_second_cuts_off_what_another_then_takes_up(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    await submit(fleet, emulator, 8, **fleet_options)
    with forked(work, fleet_url, 4, QUICK, cwd=tmp_path) as process:
        await all_submitted(4, fleet_url)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        await until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_workers WHERE draining"), "the drain")
        assert process.is_alive()
        os.kill(process.pid, signal.SIGTERM)
        await asyncio.to_thread(process.join, 60)
        assert process.exitcode == 0, (tmp_path / "stderr").read_text()
        assert "never" not in (tmp_path / "stderr").read_text()
    assert holders(fleet_url) == []
    assert died(fleet_url) == []
    emulator.speed = SPEED
    async with working(fleet_url):
        await assert_made_once(fleet, fleet_url, emulator, 8)


async def test_what_takes_longer_than_the_grace_goes_on_with_another_worker(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    await submit(fleet, emulator, 3, **fleet_options)
    async with working(fleet_url, grace=0.2):
        await all_submitted(3, fleet_url)
    assert counts(fleet_url) == {"waiting": 3}
    emulator.speed = SPEED
    async with working(fleet_url):
        await assert_made_once(fleet, fleet_url, emulator, 3)


async def test_a_canceled_run_cuts_off_what_runs(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    await submit(fleet, emulator, 3, **fleet_options)
    running = asyncio.create_task(FleetWorker(fleet_url, concurrency=3, timing=QUICK).run())
    await all_submitted(3, fleet_url)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 60)
    assert counts(fleet_url) == {"waiting": 3}
    emulator.speed = SPEED
    async with working(fleet_url):
        await assert_made_once(fleet, fleet_url, emulator, 3)


async def test_a_job_whose_fetch_was_lost_comes_back(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    await fleet.submit_many(asks(2), batch=BATCH, **fleet_options)
    with connected(fleet_url) as connection:
        connection.execute(  # places of a worker that has ended by the time
            "INSERT INTO nebula_fleet_workers (id, host, pid, holder, version, accounts, concurrency) "
            "SELECT 'gone', 'elsewhere', 1, 'elsewhere:1:0-0', '0', array_agg(id), 1 FROM nebula_fleet_accounts"
        )
        Feeder("gone", QUICK.limit).tick(connection)
        connection.execute("UPDATE nebula_fleet_workers SET ended_at = now()")
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
        connection.execute("UPDATE procrastinate_events SET at = at - interval '1 minute'")
    assert counts(fleet_url) == {"queued": 2}
    async with working(fleet_url):
        await assert_made_once(fleet, fleet_url, emulator, 2)


async def test_an_item_whose_claim_was_lost_comes_back_also_from_a_worker_that_lives(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    await fleet.submit_many(asks(2), batch=BATCH, paused=True, **fleet_options)
    async with working(fleet_url) as worker:
        query(fleet_url, "UPDATE nebula_fleet_items SET state = 'running', worker = %s, job_id = 1000000", worker.name)
        await until(lambda: counts(fleet_url) == {"waiting": 2}, "the return of the items")
        await fleet.resume(BATCH)
        await assert_made_once(fleet, fleet_url, emulator, 2)


async def test_a_worker_goes_on_if_the_engine_has_forgotten_it(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    async with working(fleet_url):
        await fleet.submit_many(asks(1), batch=BATCH, **fleet_options)
        await all_results(fleet, BATCH)
        # Another application on the same engine does so if it takes this worker for stalled.
        query(fleet_url, "DELETE FROM procrastinate_workers")
        await fleet.submit_many(asks(5), batch=BATCH, **fleet_options)
        await assert_made_once(fleet, fleet_url, emulator, 5)


async def test_two_fleets_in_two_schemas_of_a_database_do_not_hear_each_other(
    fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, fleet: Fleet
) -> None:
    urls = []
    for name in ("one", "two"):
        query(fleet_url, f"CREATE SCHEMA {name}")
        urls.append(f"{fleet_url}{'&' if '?' in fleet_url else '?'}options=-csearch_path%3D{name}")
    one, two = (Fleet(url) for url in urls)
    await one.init()
    await two.init()
    emulator.speed = STILL
    await one.submit_many(asks(3), batch=BATCH, **fleet_options)
    await two.submit_many(asks(3, seed=2), batch=BATCH, **fleet_options)
    async with working(urls[0], concurrency=3), working(urls[1], concurrency=3):
        await all_submitted(6, *urls)
        await one.cancel(BATCH, abandon=True)  # its jobs have the numbers of the other fleet's
        await until(lambda: counts(urls[0]) == {"canceled": 3}, "the end of the canceled")
        assert counts(urls[1]) == {"running": 3}
        emulator.speed = SPEED
        results = await all_results(two, BATCH)
    assert [result.state for result in results] == [ItemState.DONE] * 3
    assert (await batch_status(one, BATCH)).counts == {ItemState.CANCELED: 3}
    assert submits_of(emulator) == {f"Take {number}": 2 for number in range(1, 4)}
