"""A journal in SQLite: several processes, faults of the file, older and newer schemas, answers that are lost."""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text

from langchain_nebula_video import (
    Budget,
    InvalidRequestError,
    JournalError,
    MemoryJournal,
    SqlJournal,
)
from langchain_nebula_video.journal import EntryState, Journal, Repeats
from langchain_nebula_video.journal.sql.schema import CURRENT, Schema, prepare
from tests.comparison import compare_with_memory, without_clock
from tests.conftest import Gateway, MakeClient, settle
from tests.journals import LATER, LEASE, SENT, SharedJournalContract, begin, check_anew, check_triggers_return, entry
from tests.tables import each_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def journal(url: str) -> Iterator[SqlJournal]:
    """One that soon loses patience."""
    made = SqlJournal(url, patience=0.2)
    yield made
    made.close()


class TestSharedFile(SharedJournalContract):
    """The contract holds for processes on one file."""


# --- where it is ---


@each_row("url", ["", "nonsense", "mysql://a@b/c", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_a_url_that_cannot_hold_a_journal_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="Give sqlite:///path"):
        SqlJournal(url)


def test_a_password_is_in_the_pickle_and_not_in_the_repr() -> None:
    journal = SqlJournal("postgresql://nebula:5ecret@db.example.com/videos")
    assert repr(journal) == "SqlJournal('postgresql+psycopg://nebula:***@db.example.com/videos')"
    assert b"5ecret" in pickle.dumps(journal)


def test_a_relative_path_stays_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = SqlJournal("sqlite:///here.db")
    monkeypatch.chdir("/")
    journal.reserve(entry(), None)
    journal.close()
    assert (tmp_path / "here.db").exists()


def test_making_a_journal_touches_nothing(journal: SqlJournal, path: Path) -> None:
    assert not path.exists()


def test_a_new_file_is_its_owners_alone(journal: SqlJournal, path: Path) -> None:
    journal.reserve(entry(), None)
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert set(modes) == {"journal.db", "journal.db-wal", "journal.db-shm"}
    assert set(modes.values()) == {0o600}


def test_what_was_written_is_there_after_the_end(url: str) -> None:
    first = SqlJournal(url)
    written = first.reserve(entry(key="a"), None)
    first.close()
    second = SqlJournal(url)
    assert second.find(key="a") == written
    second.close()


def test_a_submit_and_its_task_id_are_on_disk_before_the_call_returns(journal: SqlJournal) -> None:
    def level() -> int:
        with _connection(journal) as connection:
            return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    normal, full = 1, 2
    journal.reserve(entry(), None)
    assert level() == normal
    assert begin(journal, "1")
    assert level() == full
    journal.update("1", state=EntryState.SUBMITTED)
    assert level() == normal
    journal.update("1", task_id="t")
    assert level() == full


@contextlib.contextmanager
def _connection(journal: SqlJournal) -> Iterator[sqlalchemy.Connection]:
    """The journal's own connection, as it was left."""
    (session,) = journal._store.database._sessions
    yield session.connection


# --- faults ---


@pytest.fixture
def hasty(url: str) -> Iterator[SqlJournal]:
    """One that loses patience at once: the file stays locked however long it waits."""
    made = SqlJournal(url, patience=0.02)
    yield made
    made.close()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_locked_file_is_waited_for(url: str, path: Path) -> None:
    patient = SqlJournal(url, patience=20)
    patient.reserve(entry(), None)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE other (x)")
    timer = threading.Timer(0.1, other.execute, ["COMMIT"])
    timer.start()
    assert patient.reserve(entry(id="2"), None).id == "2"
    timer.join()
    other.close()
    patient.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit to the size of a process's files")
def test_a_task_id_is_written_as_soon_as_the_disk_has_room_again(url: str) -> None:
    """In a process that may make no file longer for a fifth of a second, which is what a full disk is to it."""
    import resource

    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            journal = SqlJournal(url, patience=20)
            journal.reserve(entry(), None)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            threading.Timer(0.2, resource.setrlimit, [resource.RLIMIT_FSIZE, unlimited]).start()
            try:
                journal.reserve(entry(id="2"), None)
            except JournalError as error:
                os.write(told, f"{error.spent} ".encode())
            os.write(told, str(journal.update("1", task_id="task-7", state=EntryState.SUBMITTED).task_id).encode())
        finally:
            os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    assert os.read(heard, 100).split() == [b"False", b"task-7"]
    os.close(heard)


def test_before_a_submit_a_locked_file_means_that_nothing_was_sent(hasty: SqlJournal, path: Path) -> None:
    hasty.reserve(entry(), None)
    with _locked(path):
        for work in (lambda: hasty.reserve(entry(id="2"), None), lambda: begin(hasty, "1")):
            with pytest.raises(
                JournalError, match=r"for 0.02 seconds: database is locked\. Nothing was sent.*fuser FILE"
            ) as caught:
                work()
            assert caught.value.spent is False
    assert begin(hasty, "1")


def test_a_task_id_that_cannot_be_written_is_named_and_written_with_the_next_change(
    hasty: SqlJournal, path: Path
) -> None:
    hasty.reserve(entry(), None)
    with _locked(path):
        with pytest.raises(JournalError, match=r"Task task-7 was accepted.*wait\('task-7'\)") as caught:
            hasty.update("1", task_id="task-7", state=EntryState.SUBMITTED)
        assert (caught.value.task_id, caught.value.spent) == ("task-7", None)
        with pytest.raises(JournalError, match="task-7"):
            hasty.update("1", abandoned=True)
    found = hasty.update("1", reserved_usd=Decimal(1))
    assert (found.task_id, found.state, found.abandoned) == ("task-7", EntryState.SUBMITTED, True)


@pytest.mark.parametrize(
    ("state", "spent"), [(EntryState.SUCCEEDED, True), (EntryState.FAILED, False), (EntryState.UNCONFIRMED, None)]
)
def test_what_cannot_be_written_says_what_it_means_for_the_money(
    hasty: SqlJournal, path: Path, state: EntryState, spent: bool | None
) -> None:
    hasty.reserve(entry(), None)
    with _locked(path), pytest.raises(JournalError) as caught:
        hasty.update("1", state=state)
    assert caught.value.spent is spent


def test_a_full_disk_is_told_and_leaves_the_journal_whole(journal: SqlJournal) -> None:
    journal.reserve(entry(), None)
    with _connection(journal) as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    large = entry(id="large", request={"prompt": "x" * 1_000_000})
    with pytest.raises(JournalError, match=r"database or disk is full\. Nothing was sent.*Make room"):
        journal.reserve(large, None)
    journal.update("1", task_id="t")
    assert journal.reserve(entry(id="2"), None).id == "2"


def test_a_file_that_must_not_be_written_iswithout_clock(journal: SqlJournal) -> None:
    journal.reserve(entry(), None)
    with _connection(journal) as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(JournalError, match=r"attempt to write a readonly database.*may write to"):
        journal.reserve(entry(id="2"), None)


def test_a_folder_that_is_missing_iswithout_clock(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"unable to open database file.*in a folder that exists"):
        SqlJournal(f"sqlite:///{tmp_path}/missing/journal.db").entries()


def test_a_file_that_is_something_else_is_told_and_left_alone(journal: SqlJournal, path: Path) -> None:
    path.write_bytes(b"not a database, but a letter of some length" * 50)
    with pytest.raises(JournalError, match=r"file is not a database.*a file of its own"):
        journal.reserve(entry(), None)
    assert path.read_bytes().startswith(b"not a database")


def test_a_file_that_is_damaged_iswithout_clock(journal: SqlJournal, path: Path) -> None:
    for number in range(50):
        journal.reserve(entry(id=str(number), key=f"k{number}"), None)
    journal.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(JournalError, match=r"malformed.*\.recover"):
        journal.reserve(entry(id="x", key="k1"), None)


def test_an_error_tells_no_prompt_and_no_address(hasty: SqlJournal, path: Path) -> None:
    hasty.reserve(entry(), None)
    with _locked(path), pytest.raises(JournalError) as caught:
        hasty.update("1", video={"url": "https://example.com/v.mp4?sig=5ecret"})
    cause = caught.value.__cause__
    assert "5ecret" not in f"{caught.value} {caught.value!r} {cause} {cause!r}"
    assert "5ecret" not in str(pickle.dumps(caught.value))


# --- answers that are lost ---


def _losing(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what ends a transaction work, and its answer be lost."""
    (session,) = journal._store.database._sessions
    run = session._execute

    def lose(text: str, names: Any, values: Any) -> tuple[list[Any], int]:
        answer = run(text, names, values)
        if "PRAGMA" in text or session._driver.in_transaction:
            return answer
        lost = sqlite3.OperationalError("the answer is lost")
        lost.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise sqlalchemy.exc.OperationalError(text, (), lost)

    monkeypatch.setattr(session, "_execute", lose)


REPEATED: dict[str, Any] = {
    "reserve": lambda journal: journal.reserve(entry(id="new", created_at=LATER), Budget("5")),
    "reserve with a key": lambda journal: journal.reserve(entry(id="new", key="new", created_at=LATER), Budget("5")),
    "reserve what makes room": lambda journal: journal.reserve(entry(id="new", key="unsent", created_at=LATER), None),
    "reserve what is lost": lambda journal: journal.reserve(entry(id="new", key="sent", created_at=LATER), None),
    "reserve what was left": lambda journal: journal.reserve(
        entry(id="new", request={"n": 1}, created_at=LATER), None, repeats=Repeats()
    ),
    "reserve what was left, with a key": lambda journal: journal.reserve(
        entry(id="new", key="new", request={"n": 1}, created_at=LATER), None, repeats=Repeats()
    ),
    "begin": lambda journal: begin(journal, "open", cap=1),
    "hold": lambda journal: journal.hold("left", holder="b", now=LATER, until=LATER + timedelta(minutes=1)),
    "release": lambda journal: journal.release("sent", "a"),
    "update": lambda journal: journal.update("open", task_id="t9", state=EntryState.SUBMITTED, updated_at=LATER),
    "claim": lambda journal: journal.claim("lost", "t8"),
    "forget": lambda journal: journal.forget("lost"),
    "forget what has a task": lambda journal: journal.forget("left"),
    "sweep": lambda journal: journal.sweep(LATER),
}


@pytest.mark.parametrize("work", REPEATED.values(), ids=list(REPEATED))
def test_what_was_done_and_not_answered_is_not_done_twice(
    journal: SqlJournal, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryJournal()
    results = []
    for each in (memory, journal):
        each.reserve(entry(id="unsent", key="unsent", request={"n": 0}, **LEASE), None)
        each.reserve(entry(id="sent", key="sent", request={"n": 2}, **SENT), None)
        each.reserve(entry(id="open", request={"n": 3}), None)
        each.reserve(entry(id="lost", request={"n": 4}, state=EntryState.UNCONFIRMED, abandoned=True), None)
        each.reserve(entry(id="left", request={"n": 1}, state=EntryState.SUBMITTED, task_id="t", abandoned=True), None)
        if each is journal:
            _losing(journal, monkeypatch)
        results.append((without_clock(work(each)), without_clock(each.entries())))
    assert results[0] == results[1]


# --- schemas ---


def _later(versions: int) -> Schema:
    """What the code may know so many versions from now: each adds a column."""

    def step(number: int) -> Any:
        return lambda connection: connection.execute(text(f"ALTER TABLE nebula_entries ADD COLUMN later{number} TEXT"))

    steps = {CURRENT.version + number: step(number) for number in range(versions)}
    return Schema(CURRENT.version + versions, {**CURRENT.steps, **steps})


def _prepare(url: str, schema: Schema) -> list[str]:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        prepare(connection, schema)
        columns = [column["name"] for column in sqlalchemy.inspect(connection).get_columns("nebula_entries")]
    engine.dispose()
    return [name for name in columns if name.startswith("later")]


def test_an_older_schema_is_brought_forward_step_by_step(url: str, journal: SqlJournal) -> None:
    journal.reserve(entry(key="a"), None)
    journal.close()
    assert _prepare(url, CURRENT) == []
    assert _prepare(url, _later(1)) == ["later0"]
    assert _prepare(url, _later(3)) == ["later0", "later1", "later2"]
    assert _prepare(url, _later(3)) == ["later0", "later1", "later2"]


def test_a_step_that_fails_changes_nothing(url: str, journal: SqlJournal) -> None:
    journal.reserve(entry(key="a"), None)
    journal.close()
    later = _later(2)
    steps = {**later.steps, later.version - 1: lambda connection: connection.execute(text("nonsense"))}
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            prepare(connection, Schema(later.version, steps))
        connection.exec_driver_sql("ROLLBACK")
    engine.dispose()
    assert journal.find(key="a") == entry(key="a")


def test_a_person_may_drop_the_tables_and_begin_anew(url: str) -> None:
    check_anew(url)


def test_triggers_that_a_backup_did_not_bring_back_are_made_again(url: str) -> None:
    check_triggers_return(url)


def test_a_newer_schema_is_left_alone(url: str, journal: SqlJournal) -> None:
    _prepare(url, CURRENT)
    _prepare(url, replace(_later(6), oldest=CURRENT.version + 1))
    told = rf"its schema is {CURRENT.version + 6}, and this one knows {CURRENT.version}\. Nothing was sent.*Upgrade"
    with pytest.raises(JournalError, match=told):
        journal.reserve(entry(), None)


# --- the plan of the database ---


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("sum_spent", "nebula_totals USING PRIMARY KEY (level=?)"),
        ("sum_spent since", "COVERING INDEX nebula_entries_spent (created_at>? AND created_at<?)"),
        ("sum_spent since", "nebula_totals USING PRIMARY KEY (level=? AND bucket>? AND bucket<?)"),
        ("sum_spent scope", "INDEX sqlite_autoindex_nebula_scopes_1"),
        ("sum_spent since scope", "INDEX sqlite_autoindex_nebula_scopes_1"),
        ("filter_entries summary", "COVERING INDEX nebula_entries_states"),
        ("filter_entries newest", "INDEX nebula_entries_spent"),
        ("filter_entries oldest since of_digest", "INDEX nebula_entries_request (digest=? AND created_at>?)"),
        ("DELETE_SCOPES", "INDEX nebula_scopes_entry"), ("FIND", "COVERING INDEX nebula_scopes_entry"),
        ("FIND_BY_TASK", "INDEX nebula_entries_task"),
        ("FIND_REPEATED", "INDEX nebula_entries_request (digest=? AND created_at>?)"),
        ("SWEEP_SENT", "INDEX nebula_entries_states"), ("BEGIN", "INDEX nebula_entries_states"),
        ("FIND", "MULTI-INDEX OR"),
    ],
)  # fmt: skip
def test_no_statement_reads_all_rows(journal: SqlJournal, statement: str, index: str) -> None:
    from langchain_nebula_video.journal.sql import statements, totals

    journal.reserve(entry(), None)
    with _connection(journal) as connection:
        name, *given = statement.split()
        made: Any
        if name == "sum_spent":
            made, _ = totals.sum_spent(1 if "since" in given else None, "run" if "scope" in given else None)
        elif name == "filter_entries":
            made, _ = statements.filter_entries(given[0], None, dict.fromkeys(given[1:] or ["most"], 5))
        else:
            made = getattr(statements, name)
        compiled = made.compile(dialect=connection.dialect)
        values = ("1",) * len(compiled.positiontup or [])
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]
    assert any(index in line for line in plan), plan
    scans = [line for line in plan if line.startswith("SCAN nebula_entries") and "COVERING" not in line]
    assert not scans or "LIMIT" in str(compiled), plan


# --- as a journal in memory ---


def test_a_journal_in_a_file_does_what_one_in_memory_does(tmp_path: Path) -> None:
    numbers = count()
    compare_with_memory(lambda: SqlJournal(f"sqlite:///{tmp_path}/{next(numbers)}.db"), examples=8)


def test_a_journal_is_one_by_its_type(journal: SqlJournal) -> None:
    journals: list[Journal] = [journal, MemoryJournal()]
    assert [each.blocking for each in journals] == [True, False]


async def test_a_key_never_pays_twice_in_the_life_of_a_file(
    make_client: MakeClient, gateway: Gateway, url: str
) -> None:
    ask = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg", "key": "a"}
    videos = []
    for _ in range(2):
        journal = SqlJournal(url)
        videos.append(await settle(make_client(journal=journal, budget=Budget("0.50")).generate(**ask)))
        journal.close()
    assert videos[0] == videos[1].model_copy(update={"raw": videos[0].raw})
    assert gateway.posts == 1
