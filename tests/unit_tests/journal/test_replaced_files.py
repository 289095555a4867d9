"""A journal's file that is deleted, moved, restored or mounted over while a process uses it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import Budget, JournalError, SqlJournal
from langchain_nebula_video.errors import Money
from langchain_nebula_video.journal import EntryState
from tests.conftest import Gateway, MakeClient, settle, submitted
from tests.journals import LATER, MOMENT, begin, entry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of a file that is open")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqlJournal]:
    made = SqlJournal(f"sqlite:///{path}", patience=0.1)
    yield made
    made.close()


def delete(path: Path) -> None:
    for each in path.parent.glob("journal.db*"):
        each.unlink()


def delete_it_alone(path: Path) -> None:
    path.unlink()


def rotate(path: Path) -> None:
    path.rename(path.with_suffix(".1"))
    path.touch()


def restore_a_backup(path: Path) -> None:
    backup = path.with_suffix(".backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    backup.replace(path)


def restore_a_backup_in_place(path: Path) -> None:
    """As `cp` does; what SQLite keeps beside the file is deleted, so that it does not mix with it."""
    backup = path.with_suffix(".backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    path.write_bytes(backup.read_bytes())
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()


def mount_over(path: Path) -> None:
    path.parent.rename(path.parent.with_name("below"))
    path.parent.mkdir()


def delete_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


LOSSES = [
    delete, delete_it_alone, rotate, restore_a_backup, restore_a_backup_in_place, mount_over, delete_the_folder,
]  # fmt: skip
WORKS: dict[str, Callable[[SqlJournal], object]] = {
    "reserve": lambda journal: journal.reserve(entry(id="2", key="a"), Budget("1")),
    "begin": lambda journal: begin(journal, "1"),
    "update": lambda journal: journal.update("1", state=EntryState.RUNNING),
    "hold": lambda journal: journal.hold("1", holder="a", now=MOMENT, until=LATER),
    "sweep": lambda journal: journal.sweep(LATER),
    "find": lambda journal: journal.find(key="a"),
    "entries": lambda journal: journal.entries(),
    "spent": lambda journal: journal.spent(),
}


@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_is_paid_into_a_file_that_is_not_there_any_more(
    journal: SqlJournal, path: Path, lose: Callable[[Path], None]
) -> None:
    journal.reserve(entry(key="a"), None)
    lose(path)
    for name, work in WORKS.items():
        with pytest.raises(JournalError, match=r"deleted or replaced while it was in use.*Put the file back") as caught:
            work(journal)
        if name in {"reserve", "begin"}:
            assert caught.value.money is Money.NOT_SENT


@pytest.mark.parametrize("lose", [delete, rotate, mount_over])
def test_the_id_of_a_paid_task_is_named_and_kept_until_the_file_is_back(
    journal: SqlJournal, path: Path, lose: Callable[[Path], None]
) -> None:
    journal.reserve(entry(key="a"), None)
    kept = path.parent.with_name("kept")
    kept.mkdir()
    for each in path.parent.glob("journal.db*"):
        os.link(each, kept / each.name)
    lose(path)
    with pytest.raises(JournalError, match=r"Task t was accepted.*wait\('t'\)") as caught:
        journal.update("1", task_id="t", state=EntryState.SUBMITTED)
    assert (caught.value.task_id, caught.value.money) == ("t", Money.RUNNING)
    for each in kept.iterdir():
        each.replace(path.parent / each.name)
    found = journal.find(key="a")
    assert found is not None
    assert found.task_id == "t"


def test_a_journal_that_is_closed_uses_the_file_that_is_there(journal: SqlJournal, path: Path) -> None:
    journal.reserve(entry(key="a"), None)
    delete(path)
    with pytest.raises(JournalError):
        journal.entries()
    journal.close()
    assert journal.entries() == []
    assert journal.reserve(entry(key="a"), None).id == "1"


def test_a_child_process_pays_into_its_parents_file_or_none(journal: SqlJournal, path: Path) -> None:
    journal.reserve(entry(key="a"), None)
    delete(path)
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            journal.reserve(entry(id="2", key="a"), None)
            os.write(told, b"paid again")
        except JournalError:
            os.write(told, b"refused")
        finally:
            os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    assert os.read(heard, 100) == b"refused"
    os.close(heard)


@pytest.mark.parametrize("other", ["another journal", "a checkpoint", "a vacuum"])
def test_what_other_processes_do_with_the_file_is_no_loss(journal: SqlJournal, path: Path, other: str) -> None:
    journal.reserve(entry(), None)
    if other == "another journal":
        second = SqlJournal(f"sqlite:///{path}", patience=1)
        second.reserve(entry(id="2"), None)
        second.close()
    else:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)" if other == "a checkpoint" else "VACUUM")
    journal.update("1", state=EntryState.RUNNING)
    assert journal.entries()[0].state is EntryState.RUNNING


# --- clients ---

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


async def test_a_client_pays_nothing_once_its_journal_is_gone(
    make_client: MakeClient, gateway: Gateway, journal: SqlJournal, path: Path
) -> None:
    client = make_client(journal=journal, budget=Budget("1.00"))
    await settle(client.generate(**ASK, key="a"))
    delete(path)
    for key in ("a", "b", None):
        with pytest.raises(JournalError, match="Nothing was sent") as caught:
            await settle(client.generate(**ASK, key=key))
        assert caught.value.spent is False
    assert gateway.posts == 1


async def test_a_journal_that_goes_while_the_request_is_under_way_names_the_task(
    make_client: MakeClient, gateway: Gateway, journal: SqlJournal, path: Path
) -> None:
    class Losing(list[Any]):
        def pop(self, *_: Any) -> Any:
            delete(path)
            return httpx.Response(200, json=submitted("task-7"))

    gateway.submits = Losing([submitted("task-7"), submitted("task-7")])
    with pytest.raises(JournalError, match="task-7") as caught:
        await settle(make_client(journal=journal).generate(**ASK, key="a"))
    assert (caught.value.task_id, caught.value.spent) == ("task-7", None)


@pytest.mark.parametrize("work", ["begin", "update"])
def test_a_file_that_goes_at_the_very_moment_of_a_change_is_noticed_before_anybody_relies_on_it(
    journal: SqlJournal, path: Path, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a process that was stopped between its look at the file and its change."""
    journal.reserve(entry(key="a"), None)
    (session,) = journal._store.database._sessions
    ask = session._execute

    def late(text: str, *values: Any) -> Any:
        if text.startswith("UPDATE") and path.exists():
            restore_a_backup(path)
        return ask(text, *values)

    monkeypatch.setattr(session, "_execute", late)
    with pytest.raises(JournalError, match="deleted or replaced") as caught:
        begin(journal, "1") if work == "begin" else journal.update("1", task_id="t", state=EntryState.SUBMITTED)
    assert caught.value.money is (Money.NOT_SENT if work == "begin" else Money.RUNNING)


def test_a_file_that_goes_just_before_it_is_opened_leaves_no_empty_one_behind(
    journal: SqlJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.reserve(entry(key="k"), None)
    log = path.with_name("journal.db-wal")
    aside, connect = path.with_suffix(".aside"), sqlite3.connect
    journal._store.database.before_fork()  # closes the connection, and forgets nothing
    journal._store.database.after_fork_in_parent()
    log.write_bytes(b"what was paid for")

    def go_first(*args: Any, **options: Any) -> Any:
        path.rename(aside)
        return connect(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", go_first)
    with pytest.raises(JournalError, match="deleted or replaced"):
        journal.spent()
    assert not path.exists()
    assert log.exists()
