"""Journals that older versions wrote open with the current code. `data/README.md` says how they were made."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import Budget, BudgetExceededError, SqlJournal
from langchain_nebula_video.journal import Entry, EntryState, Repeats
from langchain_nebula_video.journal.sql.schema import CURRENT

DATA = Path(__file__).with_name("data")
NAMES = sorted(path.stem for path in DATA.glob("*.db"))
MOMENTS = ("created_at", "sent_at", "lost_at", "held_until", "updated_at")
AMOUNTS = ("reserved_usd", "billed_usd")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copy(DATA / f"{name}.db", tmp_path))


@pytest.fixture
def journal(path: Path) -> Iterator[SqlJournal]:
    opened = SqlJournal(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def written(name: str) -> dict[str, Any]:
    """What the older version read back from its own file."""
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return found


def to_entry(data: dict[str, Any]) -> Entry:
    """The entry of its JSON data; a field that the older version did not know has its default."""
    moments = {name: datetime.fromisoformat(data[name]) for name in MOMENTS if data[name] is not None}
    amounts = {name: Decimal(data[name]) for name in AMOUNTS if data[name] is not None}
    scopes = tuple(data.get("scopes", ()))
    return Entry(**{**data, **moments, **amounts, "state": EntryState(data["state"]), "scopes": scopes})


def test_there_is_a_file_of_every_schema() -> None:
    assert [f"schema-{version}" for version in range(1, CURRENT.version + 1)] == NAMES


def test_an_old_file_has_every_state(written: dict[str, Any]) -> None:
    assert {entry["state"] for entry in written["entries"]} == {*map(str, EntryState)} - {EntryState.UNKNOWN}


def test_every_entry_of_an_old_file_is_read_as_it_was_written(journal: SqlJournal, written: dict[str, Any]) -> None:
    assert journal.entries() == [to_entry(data) for data in written["entries"]]
    assert journal.spent() == Decimal(written["spent_usd"]) == Decimal("2.583")
    for data in written["entries"]:
        assert set(data) <= {field.name for field in fields(Entry)}


def test_an_old_file_has_the_current_schema_once_it_is_open(journal: SqlJournal, path: Path) -> None:
    journal.entries()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM nebula_schema").fetchall() == [(CURRENT.version,)]


def test_an_old_file_has_the_indexes_and_triggers_of_a_new_one(journal: SqlJournal, path: Path, tmp_path: Path) -> None:
    new = SqlJournal(tmp_path / "new.db")
    names = []
    for each, file in ((journal, path), (new, tmp_path / "new.db")):
        each.entries()
        each.close()
        with closing(sqlite3.connect(file)) as connection:
            names.append(connection.execute("SELECT type, name FROM sqlite_master ORDER BY type, name").fetchall())
    assert names[0] == names[1]


def test_keys_and_task_ids_of_an_old_file_are_found(journal: SqlJournal, written: dict[str, Any]) -> None:
    for entry in map(to_entry, written["entries"]):
        assert journal.find(key=entry.key) == entry
        if entry.task_id is not None:
            assert journal.find(gateway=entry.gateway, task_id=entry.task_id) == entry
    for key in ("unconfirmed", "abandoned"):
        assert journal.find(key=f"{key}-retry") == journal.find(key=key) is not None


@pytest.mark.parametrize("key", ["succeeded", "running", "unconfirmed-retry", "abandoned-retry"])
def test_a_key_of_an_old_file_does_not_pay_again(journal: SqlJournal, key: str) -> None:
    first = journal.find(key=key)
    assert first is not None
    again = Entry(
        id="new",
        key=key,
        gateway=first.gateway,
        model=first.model,
        request=first.request,
        created_at=first.created_at + timedelta(days=30),
        reserved_usd=Decimal(1),
    )
    assert journal.reserve(again, Budget(0)) == first
    assert len(journal.entries()) == 8


def test_an_abandoned_entry_of_an_old_file_is_adopted(journal: SqlJournal) -> None:
    first = journal.find(key="unconfirmed")
    assert first is not None
    again = replace(
        first, id="new", key="new", created_at=first.created_at + timedelta(hours=1), state=EntryState.SUBMITTING,
        abandoned=False, sent_at=None, lost_at=None, updated_at=None,
    )  # fmt: skip
    assert journal.reserve(again, Budget(0), repeats=Repeats()) == first == journal.find(key="new")


def test_an_entry_that_an_old_file_has_in_mid_submit_becomes_unconfirmed(journal: SqlJournal) -> None:
    left = journal.find(key="submitting")
    assert left is not None
    assert left.held_until is not None
    (lost,) = journal.sweep(left.held_until)
    assert (lost.id, lost.state, lost.lost_at) == (left.id, EntryState.UNCONFIRMED, left.held_until)
    assert journal.spent() == Decimal("2.583")


def test_the_budget_of_an_old_file_is_settled(journal: SqlJournal) -> None:
    """Of 2.583 dollars, 0.369 are billed. The rest is reserved: 0.738 for ten seconds, and four times 0.369."""
    running, submitted = journal.find(key="running"), journal.find(key="submitted")
    assert running is not None
    assert submitted is not None
    new = Entry(
        id="new", gateway="nebula", model="m", request={}, created_at=running.created_at, reserved_usd=Decimal("0.3")
    )
    with pytest.raises(BudgetExceededError):
        journal.reserve(new, Budget("2.5"))
    journal.update(running.id, state=EntryState.SUCCEEDED, billed_usd=Decimal("0.30"))
    journal.update(submitted.id, state=EntryState.FAILED)
    assert journal.spent() == Decimal("1.776")
    journal.reserve(new, Budget("2.5"))
    assert journal.spent(running.created_at - timedelta(days=1)) == Decimal("2.076")
