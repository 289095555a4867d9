"""A key belongs to one gateway, one account and one request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError, MemoryJournal, SqlJournal
from langchain_nebula_video.journal import EntryState, Journal
from langchain_nebula_video.journal.entries import Repeats
from tests.conftest import Gateway, MakeClient, settle

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal = MemoryJournal() if request.param == "memory" else SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    yield made
    made.close()


OTHERS = [
    ({"gateway": "uniall", "base_url": "https://uniall.example.com"}, r"of the gateway 'nebula'.*for 'uniall'"),
    ({"api_key": "sk-another-0123456789"}, r"another account of the gateway 'nebula'.*API key"),
    ({"base_url": "https://proxy.example.com"}, r"another account of the gateway 'nebula'.*base_url"),
]


@pytest.mark.parametrize(("options", "told"), OTHERS, ids=["gateway", "key", "address"])
@pytest.mark.parametrize("finished", [True, False])
async def test_a_key_of_another_gateway_or_account_is_refused_and_nothing_is_sent(
    make_client: MakeClient, gateway: Gateway, journal: Journal, options: Any, told: str, finished: bool
) -> None:
    first = make_client(journal=journal)
    await settle(first.generate(**ASK, key="a") if finished else first.submit(**ASK, key="a"))
    asked, rows = len(gateway.requests), journal.entries()
    other = make_client(journal=journal, **options)
    for verb in (other.generate, other.submit):
        with pytest.raises(InvalidRequestError, match=rf"The key 'a' belongs to .*{told}") as caught:
            await settle(verb(**ASK, key="a"))
        assert (caught.value.task_id, caught.value.spent) == ("task-1", False)
    assert (len(gateway.requests), journal.entries()) == (asked, rows)
    assert (await settle(first.generate(**ASK, key="a"))).task_id == "task-1"


@pytest.mark.parametrize("finished", [True, False])
async def test_a_key_that_a_repetition_got_belongs_to_its_gateway_and_account_too(
    make_client: MakeClient, gateway: Gateway, journal: Journal, finished: bool
) -> None:
    first = make_client(journal=journal)
    await settle(first.submit(**ASK, key="a"))
    (row,) = journal.entries()
    journal.update(row.id, abandoned=True)
    joined = journal.reserve(replace(row, id="new", key="b", state=EntryState.SUBMITTING), None, repeats=Repeats())
    assert joined.id == row.id
    if finished:
        await settle(first.generate(**ASK, key="b"))
    asked = len(gateway.requests)
    for options, told in OTHERS:
        with pytest.raises(InvalidRequestError, match=rf"The key 'b' belongs to .*{told}"):
            await settle(make_client(journal=journal, **options).generate(**ASK, key="b"))
    assert len(gateway.requests) == asked


async def test_a_row_of_an_older_version_may_be_of_any_account_of_its_gateway(
    make_client: MakeClient, gateway: Gateway, journal: Journal
) -> None:
    await settle(make_client(journal=journal).submit(**ASK, key="a"))
    (row,) = journal.entries()
    journal.update(row.id, account=None)
    other = make_client(journal=journal, api_key="sk-another-0123456789")
    assert (await settle(other.generate(**ASK, key="a"))).task_id == "task-1"
    with pytest.raises(InvalidRequestError, match="of the gateway 'nebula'"):
        await settle(make_client(journal=journal, **OTHERS[0][0]).generate(**ASK, key="a"))
    assert gateway.posts == 1


async def test_a_key_that_another_account_is_submitting_is_refused_at_once(
    make_client: MakeClient, gateway: Gateway, journal: Journal
) -> None:
    first = make_client(journal=journal)
    await settle(first.submit(**ASK, key="a"))
    (row,) = journal.entries()
    journal.update(row.id, state=EntryState.SUBMITTING, task_id=None, holder="another", held_until=None)
    asked = len(gateway.requests)
    for options, told in OTHERS:
        with pytest.raises(InvalidRequestError, match=told):
            await settle(make_client(journal=journal, timeout=1000, **options).generate(**ASK, key="a"))
    assert len(gateway.requests) == asked
