"""URLs of journals: what is refused, and what of them is told."""

from __future__ import annotations

import pickle
import time

import pytest

from langchain_nebula_video import InvalidRequestError, JournalError, SqlJournal

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


@pytest.mark.parametrize("query", ["sslmode=maybe", "keepalives=x", "port=x"])
def test_a_value_that_libpq_does_not_take_is_told_at_once(query: str) -> None:
    journal = SqlJournal(f"{SERVER}?{query}", patience=60)
    began = time.monotonic()
    with pytest.raises(JournalError, match="invalid"):
        journal.entries()
    assert time.monotonic() - began < 5
