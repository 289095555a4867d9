"""How long a call is taken to be at work on its entry: also while it sleeps between two polls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from langchain_nebula_video import MemoryJournal
from langchain_nebula_video.journal import Entry
from tests.conftest import FakeClock, Gateway, MakeClient, running, settle, submitted, succeeded

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


async def test_a_lease_outlasts_each_sleep_between_two_polls(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    """A lease that ran out in mid-sleep would let the next identical request take the task for a dead process's."""
    journal = MemoryJournal()
    held: list[timedelta] = []

    class Sleeper(FakeClock):
        def sleep(self, seconds: float) -> None:
            entries: list[Entry] = journal.entries()
            if entries and entries[0].task_id is not None and entries[0].held_until is not None:
                held.append(entries[0].held_until - self.utcnow() - timedelta(seconds=seconds))
            super().sleep(seconds)

    gateway.submits, gateway.fetches = [submitted()], [running(), running(), succeeded()]
    client = make_client(journal=journal, clock=Sleeper(), poll_interval=400, timeout=3000)
    await settle(client.generate(**ASK))
    assert len(held) >= 3
    assert min(held) >= timedelta(seconds=30)
    assert journal.entries()[0].holder is None


async def test_who_waits_for_a_task_holds_it_from_the_first_sleep_on(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    journal = MemoryJournal()
    holders: list[str | None] = []

    class Sleeper(FakeClock):
        def sleep(self, seconds: float) -> None:
            holders.extend(entry.holder for entry in journal.entries() if entry.task_id and seconds > 1)
            super().sleep(seconds)

    gateway.fetches = [running(), succeeded()]
    client = make_client(journal=journal, clock=Sleeper())
    task = await settle(client.submit(**ASK))
    assert journal.entries()[0].holder is None
    await settle(client.wait(task))
    assert holders
    assert all(holders)
