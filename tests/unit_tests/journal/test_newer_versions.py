"""What a newer version wrote: a rolling deploy, or a rollback, costs nobody a video."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import (
    Cost,
    InvalidRequestError,
    JournalError,
    NebulaVideoClient,
    SqlJournal,
    Task,
    TaskStatus,
    Video,
)
from langchain_nebula_video.errors import Money
from langchain_nebula_video.graph.videos import _video_in, wait_node
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.journal.entries import Repeats
from langchain_nebula_video.journal.sql.schema import CURRENT
from langchain_nebula_video.journal.table import entries_as_csv
from tests.conftest import Gateway, MakeClient, settle
from tests.journals import LATER, MOMENT, begin, entry

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqlJournal]:
    made = SqlJournal(f"sqlite:///{path}", patience=0.1)
    yield made
    made.close()


def run(path: Path, statement: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def rewrite(path: Path, column: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of a column in all rows."""
    for name, text in run(path, f"SELECT id, {column} FROM nebula_entries"):
        data = json.loads(text)
        change(data)
        run(path, f"UPDATE nebula_entries SET {column} = ? WHERE id = ?", json.dumps(data), name)


def rows(path: Path) -> list[Any]:
    """All rows, but for their leases."""
    found = run(path, "SELECT * FROM nebula_entries")
    names = [row[1] for row in run(path, "PRAGMA table_info(nebula_entries)")]
    return [{n: v for n, v in zip(names, row, strict=True) if n not in {"holder", "held_until"}} for row in found]


# --- states ---


def test_an_unknown_state_is_listed_and_counted_and_left_alone(journal: SqlJournal, path: Path) -> None:
    for number in "123":
        journal.reserve(entry(id=number, key=number, request={"n": number}), None)
    run(path, "UPDATE nebula_entries SET state = 'paused', counted = 100000000000 WHERE id = '2'")
    run(path, "UPDATE nebula_entries SET state = 'refunded', counted = 0 WHERE id = '3'")
    before = rows(path)
    states = [found.state for found in journal.entries()]
    assert states == [EntryState.SUBMITTING, EntryState.UNKNOWN, EntryState.UNKNOWN]
    assert [found.id for found in journal.entries(states=[EntryState.UNKNOWN])] == ["2", "3"]
    assert [found.id for found in journal.entries(states=[EntryState.SUBMITTING, EntryState.UNKNOWN])] == [*"123"]
    assert [found.id for found in journal.entries(states=[EntryState.RUNNING])] == []
    assert journal.spent() == Decimal("0.469")
    assert journal.sweep(LATER) == []
    assert not journal.forget("2")
    assert journal.claim("2", "t") is None
    with pytest.raises(JournalError):
        begin(journal, "2")
    assert journal.reserve(entry(id="4", key="2", request={"n": "2"}), None).id == "2"
    assert rows(path) == before


@pytest.mark.parametrize(("column", "kept"), [("request", ["2"]), ("video", ["1", "2"])])
@pytest.mark.parametrize("value", ["[1]", '"text"', "7"])
def test_a_row_of_another_form_hides_no_other(
    journal: SqlJournal, path: Path, column: str, kept: list[str], value: str
) -> None:
    for number in "12":
        journal.reserve(entry(id=number, key=number, request={"prompt": number}), None)
    run(path, f"UPDATE nebula_entries SET {column} = ? WHERE id = '1'", value)
    assert [found.id for found in journal.entries()] == kept
    assert "2" in entries_as_csv(journal.entries())
    assert journal.summarize().count == 2


def test_a_repetition_joins_a_row_of_an_unknown_state_and_does_not_take_it_over(
    journal: SqlJournal, path: Path
) -> None:
    journal.reserve(entry(abandoned=True), None)
    run(path, "UPDATE nebula_entries SET state = 'paused'")
    before = rows(path)
    assert journal.reserve(entry(id="2"), None, repeats=Repeats()).id == "1"
    assert rows(path) == before


async def test_a_key_whose_row_has_an_unknown_state_gives_its_video_and_pays_nothing(
    make_client: MakeClient, gateway: Gateway, journal: SqlJournal, path: Path
) -> None:
    client = make_client(journal=journal)
    await settle(client.submit(**ASK, key="a"))
    run(path, "UPDATE nebula_entries SET state = 'paused'")
    before = rows(path)
    assert (await settle(client.generate(**ASK, key="a"))).task_id == "task-1"
    assert (await settle(client.wait("task-1"))).task_id == "task-1"
    assert await settle(client.resume()) == []
    assert rows(path) == before
    assert gateway.posts == 1


async def test_a_key_whose_row_has_an_unknown_state_and_no_task_is_not_paid_again(
    make_client: MakeClient, gateway: Gateway, journal: SqlJournal, path: Path
) -> None:
    client = make_client(journal=journal)
    await settle(client.submit(**ASK, key="a"))
    run(path, "UPDATE nebula_entries SET state = 'planned', task_id = NULL")
    with pytest.raises(JournalError, match=r"newer version.*may have been spent.*Upgrade") as caught:
        await settle(client.generate(**ASK, key="a"))
    assert caught.value.money is Money.MAYBE
    assert gateway.posts == 1


# --- fields ---


def test_tasks_videos_and_costs_ignore_fields_and_words_that_a_newer_version_added() -> None:
    cost = {
        "usd": "0.369",
        "cny": None,
        "currency": "EUR",
        "exchange_rate": 7,
        "price_per_second": None,
        "seconds": 5,
        "group_ratio": 1,
        "basis": "contract",
    }
    shared = {
        "task_id": "t", "gateway": "nebula", "model": "m", "cost": {**cost, "discount": "0.1"},
        "submitted_at": datetime(2026, 1, 1, tzinfo=UTC), "colour": "red",
    }  # fmt: skip
    task = Task.model_validate({**shared, "status": "paused"})
    assert task.status is TaskStatus.RUNNING
    video = Video.model_validate(
        {**shared, "url": "https://x", "expires_at": shared["submitted_at"], "finished_at": shared["submitted_at"]}
    )
    assert task.cost == video.cost
    assert (video.cost.usd, video.cost.basis, str(video.cost)) == (Decimal("0.369"), "unknown", "$0.369 (estimated)")
    assert isinstance(video.cost, Cost)


async def test_a_request_of_a_user_with_an_unknown_field_is_still_refused(make_client: MakeClient) -> None:
    with pytest.raises(InvalidRequestError, match="colour"):
        await settle(make_client().generate(**ASK, colour="red"))


async def test_a_key_whose_video_has_new_fields_gives_the_video_without_asking(
    make_client: MakeClient, gateway: Gateway, journal: SqlJournal, path: Path
) -> None:
    client = make_client(journal=journal)
    first = await settle(client.generate(**ASK, key="a"))
    rewrite(path, "video", lambda data: (data.update(colour="red"), data["cost"].update(discount="0.1")))
    rewrite(path, "request", lambda data: data.update(camera="pan"))
    asked = len(gateway.requests)
    assert await settle(client.generate(**ASK, key="a")) == first.model_copy(update={"raw": {}})
    assert len(gateway.requests) == asked


async def test_a_video_that_cannot_be_read_is_asked_for_again(
    make_client: MakeClient, gateway: Gateway, journal: SqlJournal, path: Path
) -> None:
    client = make_client(journal=journal)
    await settle(client.generate(**ASK, key="a"))
    rewrite(path, "video", lambda data: (data.pop("url"), data.update(expires_at="next week")))
    assert (await settle(client.generate(**ASK, key="a"))).task_id == "task-1"
    run(path, "UPDATE nebula_entries SET video = '[]'")
    assert (await settle(client.generate(**ASK, key="a"))).task_id == "task-1"
    assert gateway.posts == 1


# --- schemas ---


def _become_newer(path: Path, oldest: int) -> None:
    run(path, "ALTER TABLE nebula_entries ADD COLUMN colour TEXT")
    run(path, "UPDATE nebula_schema SET version = ?, oldest = ?", CURRENT.version + 1, oldest)


def test_a_newer_schema_that_this_version_may_use_is_used(journal: SqlJournal, path: Path) -> None:
    journal.reserve(entry(key="a"), None)
    journal.close()
    _become_newer(path, CURRENT.version)
    assert journal.update("1", task_id="t", state=EntryState.SUBMITTED).task_id == "t"
    assert journal.reserve(entry(id="2", key="b"), None).id == "2"
    assert run(path, "SELECT version FROM nebula_schema") == [(CURRENT.version + 1,)]


def test_a_newer_schema_found_in_mid_task_names_the_task(journal: SqlJournal, path: Path) -> None:
    journal.reserve(entry(key="a"), None)
    journal.close()
    _become_newer(path, CURRENT.version + 1)
    with pytest.raises(JournalError, match=r"newer langchain-nebula-video.*Task t was accepted.*Upgrade") as caught:
        journal.update("1", task_id="t", state=EntryState.SUBMITTED)
    assert (caught.value.task_id, caught.value.money) == ("t", Money.RUNNING)
    with pytest.raises(JournalError, match=r"newer langchain-nebula-video.*Nothing was sent.*Upgrade"):
        journal.reserve(entry(id="2", key="b"), None)


@pytest.mark.parametrize(
    ("statement", "total", "of_today"),
    [
        ("UPDATE nebula_entries SET counted = counted + 1000000000000", "2.738", "1.369"),
        ("UPDATE nebula_entries SET counted = 0 WHERE id = '2'", "0.369", "0"),
        ("UPDATE nebula_entries SET created_at = created_at + 86400000000", "0.738", "0.738"),
        ("DELETE FROM nebula_entries WHERE id = '1'", "0.369", "0.369"),
        ("UPDATE nebula_entries SET state = 'running'", "0.738", "0.369"),
    ],
)
def test_what_an_older_version_writes_counts(
    journal: SqlJournal, path: Path, statement: str, total: str, of_today: str
) -> None:
    """It knows nothing of the totals."""
    journal.reserve(entry(id="1"), None)
    journal.reserve(entry(id="2", created_at=MOMENT + timedelta(days=1)), None)
    run(path, statement)
    assert journal.spent() == Decimal(total)
    assert journal.spent(MOMENT + timedelta(hours=23)) == Decimal(of_today)


# --- checkpoints ---


async def test_a_graph_goes_on_with_the_checkpoint_of_a_newer_version(
    make_client: MakeClient, gateway: Gateway
) -> None:
    client = make_client()
    task = (await settle(client.submit(**ASK))).model_dump(mode="json", exclude={"raw"})
    newer = {**task, "status": "paused", "colour": "red", "cost": {**task["cost"], "discount": "0.1"}}
    node, given = wait_node(client), {"task": newer}
    state: Any = node.invoke(given) if isinstance(client, NebulaVideoClient) else await node.ainvoke(given)
    assert state["video"]["task_id"] == "task-1"
    state["video"]["colour"] = "red"
    assert _video_in(state).task_id == "task-1"
    assert gateway.posts == 1
