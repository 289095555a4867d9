"""A journal in PostgreSQL: the contracts, and a server that goes down in mid-flight.

The server is a private one on a socket in a folder. Without PostgreSQL's programs these tests are skipped, unless
`NEBULA_REQUIRE_POSTGRES=1` says that they must not be.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest
import sqlalchemy

from langchain_nebula_video import Budget, BudgetExceededError, JournalError, SqlJournal
from langchain_nebula_video.journal import EntryState, Repeats
from tests.comparison import compare_with_memory
from tests.journals import JournalContract, SharedJournalContract, begin, check_anew, check_triggers_return, entry
from tests.postgres import Server


@pytest.fixture
def url(server: Server) -> str:
    """A schema of its own for each test."""
    return schema_url(server)


def schema_url(server: Server) -> str:
    name = f"t{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    engine.dispose()
    return f"{server.url('postgres')}&options=-csearch_path%3D{name}"


@pytest.fixture
def journal(url: str) -> Iterator[SqlJournal]:
    made = SqlJournal(url, patience=20)
    yield made
    made.close()


class TestPostgresJournal(JournalContract):
    """The contract holds on PostgreSQL."""


def test_a_journal_in_postgres_does_what_one_in_memory_does(server: Server) -> None:
    compare_with_memory(lambda: SqlJournal(schema_url(server)), examples=5)


class TestSharedPostgres(SharedJournalContract):
    """The contract holds for processes on one database."""


# --- faults ---


def test_a_person_may_drop_the_tables_and_begin_anew(url: str) -> None:
    check_anew(url)


def test_triggers_that_a_backup_did_not_bring_back_are_made_again(url: str) -> None:
    check_triggers_return(url)


def test_a_server_that_is_restarted_is_waited_for(server: Server, journal: SqlJournal) -> None:
    journal.reserve(entry(), None)
    server.stop("immediate")
    timer = threading.Timer(0.5, server.start)
    timer.start()
    found = journal.update("1", task_id="t", state=EntryState.SUBMITTED)
    timer.join()
    assert (found.task_id, journal.spent()) == ("t", Decimal("0.369"))


def test_a_server_that_crashes_in_mid_flight_loses_nothing_and_doubles_nothing(
    server: Server, journal: SqlJournal
) -> None:
    def generation(number: int) -> str:
        name = f"g{number}"
        owner = journal.reserve(entry(id=name, key=name, request={"n": number}), Budget("1000"), repeats=Repeats())
        assert begin(journal, name, cap=100)
        journal.update(name, task_id=name, state=EntryState.SUBMITTED)
        journal.update(name, state=EntryState.SUCCEEDED, billed_usd=Decimal("0.1"))
        return owner.id

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(generation, number) for number in range(400)]
        for _ in range(2):
            waiting[len([each for each in waiting if each.done()]) + 40].result()
            server.stop("immediate")
            server.start()
        assert [each.result() for each in waiting] == [f"g{number}" for number in range(400)]
    assert sorted(found.id for found in journal.entries(states=[EntryState.SUCCEEDED])) == sorted(
        f"g{number}" for number in range(400)
    )
    assert journal.spent() == Decimal("40.0")


def test_a_server_that_stays_away_is_told_with_the_task(server: Server, url: str) -> None:
    journal = SqlJournal(url, patience=0.3)
    journal.reserve(entry(), None)
    server.stop("fast")
    try:
        with pytest.raises(JournalError, match=r"for 0\.3 seconds.*Task task-7 was accepted.*wait\('task-7'\)"):
            journal.update("1", task_id="task-7", state=EntryState.SUBMITTED)
        with pytest.raises(JournalError, match="Nothing was sent"):
            journal.reserve(entry(id="2"), None)
    finally:
        server.start()
    assert journal.update("1", abandoned=True).task_id == "task-7"
    journal.close()


def test_a_database_that_does_not_exist_is_told_at_once(server: Server) -> None:
    journal = SqlJournal(server.url("nowhere"), patience=60)
    with pytest.raises(JournalError, match=r'database "nowhere" does not exist'):
        journal.entries()


def test_a_frozen_process_does_not_hold_up_the_others_for_good(url: str, journal: SqlJournal) -> None:
    journal.reserve(entry(), None)
    other = SqlJournal(url)

    def freeze() -> None:
        with other._store.database.transaction(1) as frozen:
            frozen.run_text("SET LOCAL idle_in_transaction_session_timeout = '200ms'")
            assert journal.reserve(entry(id="2"), None).id == "2"

    with pytest.raises(sqlalchemy.exc.DBAPIError):
        freeze()
    other.close()


# --- a server as others have set it up ---

LEVELS = ["read uncommitted", "read committed", "repeatable read", "serializable"]


@pytest.fixture(params=LEVELS)
def isolated(request: pytest.FixtureRequest, server: Server) -> str:
    """A database whose transactions begin at that level, unless they say otherwise."""
    return server.create(f"i{uuid.uuid4().hex}", default_transaction_isolation=request.param)


def test_a_budget_holds_whatever_isolation_the_database_begins_with(isolated: str) -> None:
    journals = [SqlJournal(isolated, patience=number + 30) for number in range(4)]  # each has connections of its own

    def reserve(number: int) -> bool:
        try:
            journals[number % 4].reserve(entry(id=str(number), reserved_usd=Decimal("0.10")), Budget("1.00"))
        except BudgetExceededError:
            return False
        return True

    journals[0].entries()
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(reserve, range(64))) == 10
    assert journals[0].spent() == Decimal("1.00")
    for each in journals:
        each.close()


def test_no_more_submits_are_under_way_whatever_isolation_the_database_begins_with(isolated: str) -> None:
    journals = [SqlJournal(isolated, patience=number + 30) for number in range(4)]
    for number in range(32):
        journals[0].reserve(entry(id=str(number)), None)
    with ThreadPoolExecutor(16) as pool:
        begun = pool.map(lambda number: begin(journals[number % 4], str(number), cap=4), range(32))
        assert sum(begun) == 4
    for each in journals:
        each.close()


def test_one_key_is_one_entry_whatever_isolation_the_database_begins_with(isolated: str) -> None:
    journals = [SqlJournal(isolated, patience=number + 30) for number in range(4)]
    with ThreadPoolExecutor(16) as pool:
        owners = [*pool.map(lambda n: journals[n % 4].reserve(entry(id=str(n), key="a"), None).id, range(32))]
    assert len(set(owners)) == len(journals[0].entries()) == 1
    for each in journals:
        each.close()


def test_threads_that_use_a_database_first_at_once_make_its_tables_once(isolated: str) -> None:
    journals = [SqlJournal(isolated, patience=number + 30) for number in range(8)]
    barrier = threading.Barrier(8)

    def first_use(number: int) -> str:
        barrier.wait()
        return journals[number].reserve(entry(id=str(number)), None).id

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(first_use, range(8))] == [str(number) for number in range(8)]
    for each in journals:
        each.close()


def test_submits_are_synced_even_where_the_database_does_not_sync(server: Server) -> None:
    url = server.create(f"s{uuid.uuid4().hex}", synchronous_commit="off")
    journal = SqlJournal(url)
    with journal._store.database.transaction(1) as session:
        (row,) = session.connection.exec_driver_sql("SHOW synchronous_commit").all()
    assert row == ("on",)
    journal.close()


def test_the_id_of_a_paid_task_outlasts_a_statement_timeout(server: Server) -> None:
    url = server.create(f"t{uuid.uuid4().hex}", statement_timeout="200ms")
    journal = SqlJournal(url, patience=20)
    journal.reserve(entry(), None)
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE nebula_entries")
        timer = threading.Timer(1.5, other.rollback)
        timer.start()
        assert journal.update("1", task_id="t", state=EntryState.SUBMITTED).task_id == "t"
        timer.join()
    journal.close()


def test_the_id_of_a_paid_task_outlasts_a_failover_to_a_server_that_only_reads(server: Server) -> None:
    name = f"r{uuid.uuid4().hex}"
    url = server.create(name)
    journal = SqlJournal(url, patience=20)
    journal.reserve(entry(), None)

    def only_read(value: str) -> None:
        # As at a failover, every connection ends, and the next one finds the other kind of server.
        with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'.encode())
            other.execute("SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = %s", [name])

    only_read("on")
    began = time.monotonic()
    with pytest.raises(JournalError, match=r"read-only transaction\. Nothing was sent.*primary server"):
        journal.reserve(entry(id="2"), None)
    assert time.monotonic() - began < 10, "a refusal is told at once, not after the journal's patience"
    timer = threading.Timer(1.5, only_read, ["off"])
    timer.start()
    try:
        assert journal.update("1", task_id="t", state=EntryState.SUBMITTED).task_id == "t"
    finally:
        timer.join()
        journal.close()
