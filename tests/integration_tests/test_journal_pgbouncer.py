"""A journal behind pgbouncer in transaction mode: each transaction may run on another connection of the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest

from langchain_nebula_video import Budget, BudgetExceededError, JournalError, SqlJournal
from langchain_nebula_video.journal import EntryState, Repeats
from tests.journals import JournalContract, SharedJournalContract, begin, entry
from tests.pgbouncer import Pool
from tests.postgres import Server

DATABASE = "pooled"


@pytest.fixture(scope="session")
def database(server: Server) -> str:
    return server.create(DATABASE, default_transaction_isolation="repeatable read")


@pytest.fixture
def url(pool: Pool, database: str) -> str:
    """One database, which each test finds empty: pgbouncer keeps connections to each that it has seen."""
    with _connected(database) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return pool.url(DATABASE)


@pytest.fixture
def journal(url: str) -> Iterator[SqlJournal]:
    made = SqlJournal(url, patience=20)
    yield made
    made.close()


def _connected(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


class TestPooledJournal(JournalContract):
    """The contract holds behind pgbouncer."""


class TestSharedPool(SharedJournalContract):
    """The contract holds for processes behind one pgbouncer."""


def _work(journal: SqlJournal, number: int) -> None:
    name = f"w{number}"
    journal.reserve(entry(id=name, key=name, request={"n": number}), Budget("1000"), repeats=Repeats())
    assert begin(journal, name, cap=100)
    journal.update(name, task_id=name, state=EntryState.SUBMITTED)
    assert journal.find(key=name) == journal.find(gateway="nebula", task_id=name)
    journal.update(name, state=EntryState.SUCCEEDED, billed_usd=Decimal("0.1"))


@pytest.mark.parametrize("option", ["", "?prepare_threshold=none", "?prepare_threshold=2"])
def test_every_statement_works_however_often_it_is_run(url: str, option: str) -> None:
    """A prepared statement stays on a connection of the server; with `prepare_threshold=2` that is noticed."""
    journals = [SqlJournal(f"{url}{option}", patience=20 + number) for number in range(3)]
    with ThreadPoolExecutor(12) as pool:
        assert [*pool.map(lambda number: _work(journals[number % 3], number), range(120))] == [None] * 120
    assert journals[0].spent() == Decimal("12.0")
    for each in journals:
        each.close()


def test_a_budget_holds_behind_a_pool(url: str) -> None:
    journals = [SqlJournal(url, patience=20 + number) for number in range(3)]

    def reserve(number: int) -> bool:
        try:
            journals[number % 3].reserve(entry(id=str(number), reserved_usd=Decimal("0.10")), Budget("1.00"))
        except BudgetExceededError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(reserve, range(60))) == 10
    for each in journals:
        each.close()


def test_a_journal_leaves_no_settings_behind_for_its_neighbours(url: str, journal: SqlJournal) -> None:
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit", "transaction_isolation")

    def settings() -> set[tuple[str, ...]]:
        connections = [_connected(url) for _ in range(8)]
        found = set()
        for each in connections:  # each holds a connection of the server until its transaction ends
            each.execute("BEGIN")
            rows = [each.execute(f"SHOW {name}".encode()).fetchone() for name in names]
            found.add(tuple(str(row[0]) for row in rows if row))
        for each in connections:
            each.execute("COMMIT")
            each.close()
        return found

    before = settings()
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda number: _work(journal, number), range(24))] == [None] * 24
    assert settings() == before == {("0", "0", "on", "repeatable read")}


def test_submits_are_synced_on_whichever_connection_they_land(url: str, database: str) -> None:
    with _connected(database) as connection:
        connection.execute(f"ALTER DATABASE {DATABASE} SET synchronous_commit = off".encode())
    journal = SqlJournal(url)
    try:
        with journal._store.database.transaction(1) as session:
            assert session.connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    finally:
        journal.close()
        with _connected(database) as connection:
            connection.execute(f"ALTER DATABASE {DATABASE} RESET synchronous_commit".encode())


def test_a_server_that_restarts_behind_the_pool_is_waited_for(server: Server, journal: SqlJournal) -> None:
    journal.reserve(entry(), None)
    server.stop("immediate")
    timer = threading.Timer(1, server.start)
    timer.start()
    try:
        found = journal.update("1", task_id="t", state=EntryState.SUBMITTED)
        assert (found.task_id, journal.spent()) == ("t", Decimal("0.369"))
    finally:
        timer.join()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("options=-csearch_path%3Dvideos", r"unsupported startup parameter.*Leave options out.*ALTER ROLE"),
        ("dbname=nowhere", r"nowhere"),
        ("sslmode=require", r"does not support SSL"),
    ],
)
def test_what_a_pool_does_not_take_is_told_at_once(url: str, option: str, told: str) -> None:
    journal = SqlJournal(f"{url}?{option}", patience=60)
    began = time.monotonic()
    with pytest.raises(JournalError, match=told):
        journal.reserve(entry(), None)
    assert time.monotonic() - began < 10
