"""How long a call is taken to be at work on its entry: also while it sleeps between two polls."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import MemoryJournal, TaskFailedError, TaskStatus, VideoProgress
from langchain_nebula_video.journal import Entry, EntryState
from tests.conftest import FakeClock, Gateway, MakeClient, failed, running, settle, submitted, succeeded

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"


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


@pytest.mark.parametrize("fetches", [[running(), succeeded()], [running(), failed()]], ids=["succeeded", "failed"])
async def test_while_another_call_works_on_an_entry_only_that_one_writes(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, fetches: list[Any]
) -> None:
    """A late write of this call could undo what the other one has recorded: its end, its bill, its file."""
    gateway.fetches = fetches
    client = make_client(journal=(journal := MemoryJournal()))
    task = await settle(client.submit(**ASK))
    (entry,) = journal.entries()
    journal.hold(entry.id, holder="elsewhere:1:x", now=clock.utcnow(), until=clock.utcnow() + timedelta(hours=1))
    before = journal.entries()
    try:
        video = await settle(client.wait(task))
        assert video.task_id == task.task_id
    except TaskFailedError:
        pass
    assert journal.entries() == before


async def test_who_joins_a_call_that_dies_before_it_records_its_video_saves_and_records_it(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, tmp_path: Path
) -> None:
    gateway.fetches = [succeeded(), httpx.Response(200, content=MP4)]
    client = make_client(journal=(journal := MemoryJournal()), save_to=tmp_path, timeout=600)
    task = await settle(client.submit(**ASK))
    (entry,) = journal.entries()
    journal.hold(entry.id, holder="elsewhere:1:x", now=clock.utcnow(), until=clock.utcnow() + timedelta(seconds=90))
    video = await settle(client.wait(task))
    (found,) = journal.entries()
    assert (found.state, found.holder, found.billed_usd) == (EntryState.SUCCEEDED, None, video.cost.usd)
    assert found.video is not None
    assert found.video["path"] == video.path


class _Visited(MemoryJournal):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def reserve(self, *args: Any, **kwargs: Any) -> Entry:
        self.writes.append("reserve")
        return super().reserve(*args, **kwargs)

    def begin(self, *args: Any, **kwargs: Any) -> bool:
        self.writes.append("begin")
        return super().begin(*args, **kwargs)

    def update(self, entry_id: str, **changes: Any) -> Entry:
        self.writes.append(f"update to {changes['state']}" if "state" in changes else "update")
        return super().update(entry_id, **changes)

    def release(self, entry_id: str, holder: str) -> None:
        self.writes.append("release")
        super().release(entry_id, holder)


async def test_the_record_of_a_finished_video_that_nobody_saves_gives_up_its_lease(
    make_client: MakeClient, gateway: Gateway
) -> None:
    journal = _Visited()
    gateway.fetches = [running(), succeeded()]
    await settle(make_client(journal=journal).generate(**ASK))
    assert journal.writes == ["reserve", "begin", "update to submitted", "update to running", "update to succeeded"]
    (entry,) = journal.entries()
    assert (entry.state, entry.holder, entry.held_until) == (EntryState.SUCCEEDED, None, None)


class _Stopped(BaseException):
    """As `KeyboardInterrupt`, which pytest takes for its own."""


async def test_who_is_stopped_after_a_slow_last_look_leaves_no_lease(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    def answer_late(_: httpx.Request) -> httpx.Response:
        clock.now += 100
        return httpx.Response(200, json=succeeded())

    def stop(progress: VideoProgress) -> None:
        if progress.status is TaskStatus.SUCCEEDED:
            raise _Stopped

    journal = MemoryJournal()
    gateway.fetches = [answer_late]
    with pytest.raises(_Stopped):
        await settle(make_client(journal=journal).generate(**ASK, on_progress=stop))
    (entry,) = journal.entries()
    assert (entry.state, entry.holder, entry.held_until) == (EntryState.SUCCEEDED, None, None)


async def test_the_lease_of_a_video_that_will_be_saved_is_kept_until_it_is(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path
) -> None:
    journal = _Visited()
    holders: list[str | None] = []

    def download(_: httpx.Request) -> httpx.Response:
        holders.extend(entry.holder for entry in journal.entries())
        return httpx.Response(200, content=MP4)

    gateway.fetches = [succeeded(), download]
    await settle(make_client(journal=journal, save_to=tmp_path).generate(**ASK))
    assert holders
    assert all(holders)
    assert journal.writes == ["reserve", "begin", "update to submitted", "update to succeeded", "update"]
    assert [entry.holder for entry in journal.entries()] == [None]
