"""A worker's clients: shared by batches with the same settings, and few of them open at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import SetupError
from langchain_nebula_video.fleet.clients import Clients
from langchain_nebula_video.fleet.items import Batch
from langchain_nebula_video.journal import SqlJournal


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setenv("NEBULA_API_KEY", "sk-0123456789")
    journal = SqlJournal(tmp_path / "journal.db")
    yield Clients({}, journal)
    journal.close()


def batch(name: str, **settings: Any) -> Batch:
    return Batch(name, settings, "3f2a", "nebula", "https://gateway.example.com", allow_http=False)


async def test_batches_with_the_same_settings_share_a_client(clients: Clients) -> None:
    same, more = {"timeout": 60}, {"timeout": 61}
    async with clients.lend(batch("a", **same)) as one, clients.lend(batch("b", **same)) as other:
        assert one is other
    async with clients.lend(batch("a", **same)) as one, clients.lend(batch("b", **more)) as other:
        assert one is not other
    await clients.close()


async def test_of_a_hundred_batches_the_latest_have_a_client_and_those_that_use_theirs(clients: Clients) -> None:
    seen = {}
    async with clients.lend(batch("held", timeout=1000)) as held:
        for number in range(1, 101):
            async with clients.lend(batch(str(number), timeout=number)) as client:
                seen[number] = client
        async with clients.lend(batch("held", timeout=1000)) as again:
            assert again is held
        async with clients.lend(batch("100", timeout=100)) as client:
            assert client is seen[100]
        async with clients.lend(batch("1", timeout=1)) as client:
            assert client is not seen[1]
    await clients.close()


async def test_settings_that_do_not_fit_this_machine_are_no_fault_of_the_item(clients: Clients) -> None:
    with pytest.raises(SetupError):
        async with clients.lend(batch("a", model="a model of a newer version")):
            pass
