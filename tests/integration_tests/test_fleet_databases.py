"""The fleet in databases as others have set them up: schemas, rights, pools, isolation, versions, neighbours."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate.schema import SchemaManager

from langchain_nebula_video import JournalError
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, FleetWorker, ItemState
from langchain_nebula_video.fleet.database import Database
from langchain_nebula_video.fleet.schema import MIGRATIONS, VERSION, check_schema, install
from tests.fleets import (
    Template,
    all_results,
    asks,
    assert_counts_hold,
    batch_status,
    connected,
    drop,
    query,
    submits_of,
    until,
    working,
)
from tests.pgbouncer import Pool
from tests.postgres import Server

PRICE = Decimal("0.1845")


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """An empty database."""
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    yield server.create(name).replace("+psycopg", "")
    drop(server, name)


async def whole_journey(fleet: Fleet, url: str, options: dict[str, Any], emulator: Emulator) -> None:
    """A list with a budget on two workers, from the first row to the last, with everything a person does on the way."""
    rows = [*asks(12), {**asks(1)[0], "prompt": "[fail] A cat"}, {"prompt": ""}]
    told = await fleet.submit_many(rows, batch="a", budget=6 * PRICE, **options)
    assert (told.added, told.broken) == (13, 1)
    await fleet.submit_many(asks(3, seed=2), batch="b", paused=True, **options)
    async with working(url, concurrency=6), working(url, concurrency=6):

        async def spent() -> bool:
            return (await batch_status(fleet, "a")).spent == 6 * PRICE

        await until(spent, "six videos")
        assert await fleet.cancel("b") == 3
        assert await fleet.resume("b") == 3
        await fleet.change_batch("a", budget=100)
        results = await all_results(fleet, "a")
        assert [result.state for result in results] == [*[ItemState.DONE] * 12, ItemState.FAILED]
        assert await fleet.retry("a") == 1
        await all_results(fleet, "b")
        await all_results(fleet, "a")
    takes = {f"Take {number}": 1 for number in range(4, 13)} | {f"Take {number}": 2 for number in range(1, 4)}
    assert submits_of(emulator) == takes | {"[fail] A cat": 2}
    assert emulator.bill.usd == 15 * PRICE
    assert_counts_hold(url)
    assert query(url, "SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert await fleet.forget("b") == 3
    assert_counts_hold(url)
    status = await fleet.status()
    assert ([batch.name for batch in status.batches], status.workers) == (["a"], ())


# --- how others have set it up ---


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_journey_ends_well_whatever_isolation_the_database_begins_with(
    level: str, fleet: Fleet, fleet_template: Template, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    with fleet_template.copy(default_transaction_isolation=level) as url:
        await whole_journey(Fleet(url), url, fleet_options, emulator)


async def test_a_journey_ends_well_whatever_the_database_speaks(
    fleet_template: Template, fleet_options: dict[str, Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    spoken = {"datestyle": "German, DMY", "client_encoding": "LATIN1", "timezone": "Asia/Kathmandu"}
    with fleet_template.copy(**spoken, bytea_output="escape") as url:
        await whole_journey(Fleet(url), url, fleet_options, emulator)


async def test_a_journey_ends_well_behind_a_pool_in_transaction_mode(
    fleet: Fleet, fleet_template: Template, pool: Pool, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    with fleet_template.copy(default_transaction_isolation="repeatable read") as direct:
        url = pool.url(direct.partition("?")[0].rpartition("/")[2])
        await whole_journey(Fleet(url), url, fleet_options, emulator)


async def test_a_journey_ends_well_in_a_schema_of_its_own_beside_another_fleet(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    query(fleet_url, "CREATE SCHEMA studio")
    url = f"{fleet_url}&options=-csearch_path%3Dstudio"
    studio = Fleet(url)
    assert await studio.init()
    await fleet.submit_many(asks(2, seed=3), batch="of the first", **fleet_options)
    await whole_journey(studio, url, fleet_options, emulator)
    assert (await batch_status(fleet, "of the first")).counts == {ItemState.WAITING: 2}
    names = query(
        fleet_url, "SELECT name FROM public.nebula_fleet_meta UNION SELECT name FROM studio.nebula_fleet_meta"
    )
    assert len(names) == 2, "their channels belong to the whole database"


# --- init ---


async def test_init_is_done_once_however_often_it_is_called(empty_url: str) -> None:
    fleet = Fleet(empty_url)
    assert [await fleet.init() for _ in range(3)] == [True, False, False]


async def test_four_processes_may_call_init_at_the_same_moment(empty_url: str) -> None:
    program = (
        "import asyncio, sys; from langchain_nebula_video.fleet import Fleet; "
        "print(asyncio.run(Fleet(sys.argv[1]).init()))"
    )

    def run(_: int) -> str:
        command = [sys.executable, "-c", program, empty_url]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()

    with ThreadPoolExecutor(4) as starter:
        told = await asyncio.to_thread(lambda: list(starter.map(run, range(4))))
    assert sorted(told) == ["False", "False", "False", "True"]
    assert query(empty_url, "SELECT count(*) FROM nebula_fleet_meta") == [(1,)]


async def test_a_user_who_may_make_no_tables_is_told_so(server: Server, empty_url: str) -> None:
    name = f"guest_{uuid.uuid4().hex[:8]}"
    query(empty_url, f"CREATE ROLE {name} LOGIN")
    guest = Fleet(empty_url.replace("nebula@", f"{name}@"))
    with pytest.raises(JournalError, match="permission denied"):
        await guest.init()
    await Fleet(empty_url).init()
    with pytest.raises(JournalError, match=r"permission denied.*rights on the fleet's tables"):
        await guest.status()


async def test_without_tables_each_command_says_how_to_make_them(empty_url: str) -> None:
    fleet = Fleet(empty_url)
    for call in (fleet.status(), fleet.submit_many([], batch="a", api_key="sk-x"), FleetWorker(empty_url).run()):
        with pytest.raises(JournalError, match="fleet init"):
            await call
    for each in (fleet.pause("a"), fleet.cancel("a"), fleet.retry("a"), fleet.forget("a"), fleet.broken("a")):
        with pytest.raises(JournalError, match="fleet init"):
            await each


# --- versions ---


async def test_init_brings_older_tables_up_to_date_with_all_that_is_in_them(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    """Here with a next version that has a column more, as there is only one yet."""
    await fleet.submit_many(asks(3), batch="a", **fleet_options)
    name = query(fleet_url, "SELECT name FROM nebula_fleet_meta")
    later = (*MIGRATIONS, ("ALTER TABLE nebula_fleet_items ADD COLUMN stars int NOT NULL DEFAULT 5",))
    with connected(fleet_url) as connection:
        assert [install(connection, later), install(connection, later)] == [True, False]
        with pytest.raises(JournalError, match="pip install -U"):
            install(connection)
    assert query(fleet_url, "SELECT name FROM nebula_fleet_meta") == name
    assert query(fleet_url, "SELECT sum(stars), max(n) FROM nebula_fleet_items") == [(15, 3)]
    assert_counts_hold(fleet_url)


async def test_a_migration_that_fails_leaves_everything_as_it_was(fleet_url: str) -> None:
    broken = (*MIGRATIONS, ("ALTER TABLE nebula_fleet_items ADD COLUMN stars int", "SELECT no_such_thing"))
    with connected(fleet_url) as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn):
            install(connection, broken)
        assert check_schema(connection)
    assert not query(fleet_url, "SELECT 1 FROM information_schema.columns WHERE column_name = 'stars'")


async def test_an_older_version_refuses_newer_tables_with_words(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    query(fleet_url, "UPDATE nebula_fleet_meta SET version = %s", VERSION + 1)
    calls = (fleet.init(), fleet.status(), fleet.submit_many(asks(1), batch="a", **fleet_options))
    for call in (*calls, FleetWorker(fleet_url).run()):
        with pytest.raises(JournalError, match=rf"version {VERSION + 1}.* knows {VERSION}.*pip install -U"):
            await call


async def test_a_worker_that_refuses_newer_tables_is_seen_in_them(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    query(fleet_url, "UPDATE nebula_fleet_meta SET version = %s", VERSION + 1)
    with pytest.raises(JournalError):
        await FleetWorker(fleet_url).run()
    query(fleet_url, "UPDATE nebula_fleet_meta SET version = %s", VERSION)  # as the newer version reads them
    (worker,) = (await fleet.status()).workers
    assert "Upgrade this machine" in (worker.note or "")


async def test_a_running_worker_stops_when_the_tables_get_newer(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    worker = FleetWorker(fleet_url)
    running = asyncio.create_task(worker.run())

    async def registered() -> Any:
        return (await fleet.status()).workers

    await until(registered, "a worker")
    query(fleet_url, "UPDATE nebula_fleet_meta SET version = %s", VERSION + 1)
    with pytest.raises(JournalError, match="pip install -U"):
        await asyncio.wait_for(running, 60)


_WITHOUT_ENGINE = """
DROP TABLE procrastinate_jobs, procrastinate_events, procrastinate_workers, procrastinate_periodic_defers CASCADE;
DO $$ DECLARE each regprocedure; BEGIN
    FOR each IN SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'procrastinate%' LOOP
        EXECUTE 'DROP FUNCTION ' || each || ' CASCADE';
    END LOOP;
END $$;
DROP TYPE procrastinate_job_status, procrastinate_job_event_type, procrastinate_job_to_defer_v1 CASCADE;
"""


def replace_engine(url: str, version: str) -> None:
    """Put in the engine's tables as its releases made them one after the other, up to this one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_WITHOUT_ENGINE)
        for file in engine_migrations():
            if file.name < version:
                connection.execute(file.read_bytes())


def engine_migrations() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


async def test_init_brings_an_older_engine_of_ours_up_to_date(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    replace_engine(fleet_url, "03.03")
    query(fleet_url, "UPDATE nebula_fleet_meta SET engine = '03.02.00_50_post_batch_defer_jobs.sql'")
    await fleet.init()
    assert query(fleet_url, "SELECT engine FROM nebula_fleet_meta") == [(engine_migrations()[-1].name,)]
    await whole_journey(fleet, fleet_url, fleet_options, emulator)


async def test_an_older_engine_of_another_application_is_left_as_it_is(fleet: Fleet, fleet_url: str) -> None:
    replace_engine(fleet_url, "03.03")
    query(fleet_url, "UPDATE nebula_fleet_meta SET engine = NULL")
    with pytest.raises(JournalError, match=r"older than the installed one.*another application's.*a schema of its own"):
        await fleet.init()


# --- neighbours ---


@pytest.fixture
def other_app(empty_url: str) -> procrastinate.App:
    """Another application on the same engine in the same schema."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=empty_url))

    @app.task(name="other.greet", queue="greetings")
    async def greet(name: str) -> None:
        query(empty_url, "INSERT INTO greeted VALUES (%s)", name)

    return app


async def test_another_application_on_the_same_engine_is_left_alone_and_leaves_alone(
    empty_url: str,
    other_app: procrastinate.App,
    fleet_options: dict[str, Any],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    query(empty_url, "CREATE TABLE greeted (name text)")
    greet = other_app.tasks["other.greet"]
    async with other_app.open_async():
        await other_app.schema_manager.apply_schema_async()
        fleet = Fleet(empty_url)
        assert await fleet.init()
        assert not await fleet.init()
        rows = [{**row, "key": f"order-{number}"} for number, row in enumerate(asks(6))]
        await fleet.submit_many(rows, batch="a", **fleet_options)
        # Its locks may be named like our keys, and its queue may be long.
        for number in range(6):
            await greet.configure(queueing_lock=f"order-{number}").defer_async(name=f"guest {number}")
        async with working(empty_url, concurrency=3):
            await all_results(fleet, "a")
            await until(lambda: _jobs_of(empty_url, "langchain") == 0, "an empty queue of ours")
            assert _jobs_of(empty_url, "other") == 6
            assert query(empty_url, "SELECT count(*) FROM greeted") == [(0,)]

            # Its worker takes its own. When it starts, it ends workers that it takes for stalled: ours is none.
            query(empty_url, "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '5 minutes'")
            await until(lambda: _stalled(empty_url) == 0, "a beat of ours")
            await fleet.submit_many(asks(4, seed=2), batch="b", **fleet_options)
            await other_app.run_worker_async(queues=["greetings"], wait=False, install_signal_handlers=False)
            await all_results(fleet, "b")
        assert query(empty_url, "SELECT count(*) FROM greeted") == [(6,)]
        assert await other_app.job_manager.get_stalled_jobs() == []
    assert emulator.bill.usd == 10 * PRICE


def _jobs_of(url: str, task: str) -> int:
    statement = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND task_name LIKE %s || '%%'"
    count: int = query(url, statement, task)[0][0]
    return count


def _stalled(url: str) -> int:
    statement = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat < now() - interval '30 seconds'"
    count: int = query(url, statement)[0][0]
    return count


async def test_a_database_that_stays_away_is_told_once_while_it_is_tried_and_once_at_the_end() -> None:
    told: list[JournalError] = []
    with pytest.raises(JournalError, match=r"The fleet's database \S+ did not work: .*refused"):
        await Database("postgresql://me@127.0.0.1:1/videos").reach(2, told.append)
    assert len(told) == 1
