"""URLs of journals: what is refused, and what of them is told."""

from __future__ import annotations

import pickle
import sqlite3
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    JournalError,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    SqlJournal,
)
from tests.journals import entry

SERVER = "postgresql://nebula@db.example.com/videos"


@pytest.mark.parametrize("value", ["none", "None", "0", "5"])
def test_prepared_statements_are_switched_on_and_off_by_the_url(value: str) -> None:
    journal = SqlJournal(f"{SERVER}?prepare_threshold={value}")
    assert pickle.loads(pickle.dumps(journal)) is journal


@pytest.mark.parametrize("value", ["-1", "5.0", "yes", "٣", "1" * 30, "1&prepare_threshold=2"])
def test_a_threshold_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"prepare_threshold.*neither a whole number nor none.*Leave it out"):
        SqlJournal(f"{SERVER}?prepare_threshold={value}")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("pgbouncer=true", r"no option 'pgbouncer'.*Leave pgbouncer out of the URL.*works behind PgBouncer as it is"),
        ("schema=public", r"no option 'schema'.*Leave schema out.*options=-csearch_path%3DNAME.*ALTER ROLE"),
        ("schema=public&pgbouncer=true", r"Leave pgbouncer, schema out"),
        ("connection_limit=5", r"no option 'connection_limit'.*Leave connection_limit out"),
        ("autocommit=false", r"no option 'autocommit'"),
    ],
)
def test_an_option_of_another_library_is_refused_when_the_journal_is_made(query: str, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        SqlJournal(f"{SERVER}?{query}")


@pytest.mark.parametrize("query", ["sslmode=require", "host=a&host=b", "application_name=videos&connect_timeout=3"])
def test_what_libpq_knows_is_taken(query: str) -> None:
    SqlJournal(f"{SERVER}?{query}")


@pytest.mark.parametrize("query", ["sslmode=maybe", "target_session_attrs=x"])
def test_a_value_that_libpq_does_not_take_is_told_at_once(query: str) -> None:
    journal = SqlJournal(f"postgresql://nebula@/videos?host=/nowhere&{query}", patience=60)
    began = time.monotonic()
    with pytest.raises(JournalError, match="invalid"):
        journal.entries()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "url",
    ["postgresql://a@host:5432x/db", "postgresql://a@host:port/db", "postgresql://a@/db?port=x",
     "postgresql://a@/db?host=a&host=b&port=5432&port=x", "sqlite://host:x/j.db"],
)  # fmt: skip
def test_a_port_that_is_no_number_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="Give sqlite:///path"):
        SqlJournal(url)


@pytest.mark.parametrize(
    "password", ["5ec@ret", "5ec@r/et", "@5ecret", "5e@c@ret", "5ec@ret:5432", "5ec@r?et", "5ec@r#et", "5ec/r@et?x=y"]
)
def test_a_password_with_an_at_sign_is_refused_and_not_told(password: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"more than one @.*write @ as %40") as caught:
        SqlJournal(f"postgresql://nebula:{password}@127.0.0.1:1/videos")
    assert "ret" not in str(caught.value).replace("urllib.parse", "")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("password", ["5ec/ret", "5ec?ret", "5ec#ret", "5ec%40ret", "5ec:ret", "5ec%ret", "5ec[ret]"])
def test_no_part_of_a_password_is_in_an_error_or_a_repr(password: str) -> None:
    journal = SqlJournal(f"postgresql://nebula:{password}@127.0.0.1:1/videos", patience=0)
    with pytest.raises(JournalError) as caught:
        journal.entries()
    shown = f"{journal!r} {caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "ret" not in shown
    assert "5ec" not in shown
    assert "nebula" in repr(journal)


@pytest.mark.parametrize("name", ["password", "sslpassword", "passfile", "oauth_client_secret"])
def test_a_password_among_the_parameters_is_in_the_pickle_and_not_in_the_repr(name: str) -> None:
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    if name not in known:
        pytest.skip(f"this libpq does not know {name}")
    journal = SqlJournal(f"{SERVER}?{name}=5ecret&application_name=videos")
    assert "5ecret" not in repr(journal)
    assert "application_name=videos" in repr(journal)
    assert b"5ecret" in pickle.dumps(journal)


def test_a_python_with_too_old_an_sqlite_is_told_when_the_journal_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(InvalidRequestError, match=r"too old for a journal.*Use Python with SQLite 3\.35"):
        SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    assert list(tmp_path.iterdir()) == []


# --- as an option ---


@pytest.mark.parametrize(
    "where",
    ["sqlite:///{}/j.db", "{}/j.db", Path("{}/j.db"), "j.db", Path("j.db"), Path("j"), Path("a?b#c%20d@e.db")],
    ids=str,
)
def test_a_url_or_a_path_as_the_journal_option_is_a_journal_in_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    given = type(where)(str(where).format(tmp_path)) if isinstance(where, Path) else where.format(tmp_path)
    journal = NebulaVideoTool(api_key="k", journal=given).journal
    assert isinstance(journal, SqlJournal)
    journal.reserve(entry(), None)
    name = Path(str(where)).name
    assert (tmp_path / name).exists()
    assert pickle.loads(pickle.dumps(journal)) is journal
    assert NebulaVideoRunnable(api_key="k", journal=given).journal is journal
    journal.close()


@pytest.mark.parametrize("where", ["postgres://u:5ecret@db.example.com/videos", "postgresql+psycopg://u@h/d"])
def test_a_postgres_url_as_the_journal_option_is_a_journal_there(where: str) -> None:
    for made in (NebulaVideoTool, NebulaVideoRunnable):
        assert made(api_key="k", journal=where).journal == SqlJournal(where)
    for each in (NebulaVideoClient, AsyncNebulaVideoClient):
        assert "5ecret" not in repr(each(api_key="k", journal=where))


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("memory", r"is no journal; give \"sqlite:///videos\.db\""), ("", "is no journal"), (7, "is no journal"),
        ("mysql://u:5ecret@h/d", "cannot be kept in 'mysql'"), ("sqlite://", "in SQLite is a file"),
        ("postgres://u:5ec@ret@h/d", "more than one @"), ("postgres://u:5ecret@h/d?schema=x", "Leave schema out"),
    ],
)  # fmt: skip
def test_what_is_no_journal_is_refused_in_words_that_repeat_no_password(where: Any, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told) as caught:
        NebulaVideoClient(api_key="k", journal=where)
    assert "5ec" not in str(caught.value)
