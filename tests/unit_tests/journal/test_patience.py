"""How long a journal tries, and what its errors say of the money."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from langchain_nebula_video import JournalError, SqlJournal
from langchain_nebula_video.errors import Money
from langchain_nebula_video.journal import EntryState
from tests.conftest import Gateway, MakeClient, settle
from tests.journals import LATER, MOMENT, begin, entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def make(path: Path) -> Iterator[Callable[[float], SqlJournal]]:
    made = []

    def make_one(patience: float) -> SqlJournal:
        made.append(SqlJournal(f"sqlite:///{path}", patience=patience))
        return made[-1]

    yield make_one
    for each in made:
        each.close()


@contextlib.contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Lock the file meanwhile, or for that long."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE IF NOT EXISTS other (x)")
    timer = threading.Timer(seconds or 0, other.execute, ["COMMIT"])
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.join() if seconds is not None else other.execute("ROLLBACK")
        other.close()


@contextlib.contextmanager
def refusing(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Let the database refuse each change of an entry, with a fault that no driver calls passing."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TRIGGER no BEFORE UPDATE ON nebula_entries BEGIN SELECT RAISE(ABORT, 'not now'); END")
    timer = threading.Timer(seconds or 0, other.execute, ["DROP TRIGGER no"])
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.join() if seconds is not None else other.execute("DROP TRIGGER no")
        other.close()


@pytest.mark.parametrize("fault", [locked, refusing])
def test_the_id_of_a_paid_task_is_tried_for_the_whole_patience_whatever_the_fault(
    make: Any, path: Path, fault: Any
) -> None:
    journal = make(10)
    journal.reserve(entry(), None)
    with fault(path, 0.5):
        assert journal.update("1", task_id="t", state=EntryState.SUBMITTED).task_id == "t"


@pytest.mark.parametrize("fault", [locked, refusing])
def test_an_id_that_could_not_be_written_is_written_by_the_next_call_whatever_it_is(
    make: Any, path: Path, fault: Any
) -> None:
    for work in ("reserve", "find", "entries", "sweep"):
        journal = make(0.05)
        name = f"of {work}"
        journal.reserve(entry(id=name, key=name, request={"n": name}), None)
        with fault(path), pytest.raises(JournalError, match=rf"Task t-{work} was accepted.*Note the task's id"):
            journal.update(name, task_id=f"t-{work}", state=EntryState.SUBMITTED)
        if work == "reserve":
            found = journal.reserve(entry(id="again", key=name, request={"n": name}, created_at=LATER), None)
            assert (found.id, found.task_id) == (name, "t-reserve")
        elif work == "find":
            assert journal.find(gateway="nebula", task_id="t-find").id == name
        elif work == "entries":
            assert "t-entries" in {found.task_id for found in journal.entries()}
        else:
            journal.sweep(LATER)
            assert make(5).find(key=name).task_id == "t-sweep"


def test_a_fault_that_lasts_is_told_at_once_before_a_submit(make: Any, path: Path) -> None:
    journal = make(30)
    journal.reserve(entry(), None)
    with refusing(path):
        began = time.monotonic()
        with pytest.raises(JournalError, match=r"not now\. Nothing was sent"):
            begin(journal, "1")
        assert time.monotonic() - began < 5


def test_the_patience_is_not_spent_twice_on_one_entry(make: Any, path: Path) -> None:
    """A call that gave up cleans up behind itself, and its caller waits for the error."""
    journal = make(0.6)
    journal.reserve(entry(), None)
    with locked(path):
        spent = []
        works: list[Callable[[], object]] = [
            lambda: journal.reserve(entry(id="2"), None),
            lambda: journal.forget("2"),
            lambda: journal.update("1", task_id="t"),
            lambda: journal.update("1", task_id="t", abandoned=True),
            lambda: journal.release("1", "a"),
        ]
        for work in works:
            began = time.monotonic()
            with pytest.raises(JournalError, match="database is locked"):
                work()
            spent.append(time.monotonic() - began)
    assert [round(each, 1) > 0.4 for each in spent] == [True, False, True, False, False], spent
    assert max(spent) < 1.5
    assert journal.find(gateway="nebula", task_id="t").abandoned  # and what was to be written is written


def test_once_the_database_works_again_it_is_waited_for_again(make: Any, path: Path) -> None:
    journal = make(0.3)
    journal.reserve(entry(), None)
    with locked(path), pytest.raises(JournalError):
        journal.update("1", task_id="t")
    assert journal.find(key="nobody's") is None
    with locked(path, 0.15):
        assert journal.update("1", state=EntryState.RUNNING).task_id == "t"


WORKS: dict[str, tuple[Any, Money]] = {
    "reserve": (lambda journal: journal.reserve(entry(id="2"), None), Money.NOT_SENT),
    "begin": (lambda journal: begin(journal, "1"), Money.NOT_SENT),
    "forget": (lambda journal: journal.forget("1"), Money.REFUSED),
    "find a task": (lambda journal: journal.find(gateway="nebula", task_id="t"), Money.RUNNING),
    "find a key": (lambda journal: journal.find(key="a"), Money.LOOKED),
    "entries": (lambda journal: journal.entries(), Money.LOOKED),
    "spent": (lambda journal: journal.spent(), Money.LOOKED),
    "sweep": (lambda journal: journal.sweep(LATER), Money.LOOKED),
    "hold": (lambda journal: journal.hold("1", holder="a", now=MOMENT, until=LATER), Money.RUNNING),
    "release": (lambda journal: journal.release("1", "a"), Money.RUNNING),
    "claim": (lambda journal: journal.claim("1", "t"), Money.RUNNING),
    "update": (lambda journal: journal.update("1", task_id="t"), Money.RUNNING),
}


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
def test_only_work_before_a_submit_says_that_nothing_was_spent(make: Any, path: Path, work: tuple[Any, Money]) -> None:
    """A file that cannot be read any more: nobody knows what stands in it."""
    path.write_bytes(b"not a database, but a letter of some length" * 50)
    journal = make(0.05)
    call, money = work
    with pytest.raises(JournalError, match="not a database") as caught:
        call(journal)
    assert caught.value.money is money
    assert caught.value.spent is (False if money in {Money.NOT_SENT, Money.REFUSED} else None)


def test_a_task_that_cannot_be_looked_up_is_named(make: Any, path: Path) -> None:
    path.write_bytes(b"not a database, but a letter of some length" * 50)
    with pytest.raises(JournalError, match=r"\[task task-9\].*goes on at the gateway.*wait\('task-9'\)") as caught:
        make(0.05).find(gateway="nebula", task_id="task-9")
    assert caught.value.task_id == "task-9"


async def test_the_key_of_a_finished_task_gives_its_video_though_the_file_can_only_be_read(
    make_client: MakeClient, gateway: Gateway, make: Any
) -> None:
    journal = make(0.1)
    client = make_client(journal=journal)
    ask = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
    first = await settle(client.generate(**ask, key="a"))
    await settle(client.submit(**ask, key="b"))
    journal.close()
    engine = journal._store.database._engine
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    journal._store.database._ready = True  # to make ready would write
    again = await settle(client.generate(**ask, key="a"))
    assert again == first.model_copy(update={"raw": {}})
    for key in ("b", "c"):
        with pytest.raises(JournalError, match=r"readonly database\. Nothing was sent"):
            await settle(client.generate(**ask, key=key))
    assert gateway.posts == 2
