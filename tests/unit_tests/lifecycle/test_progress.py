"""What `on_progress` hears: each poll, estimates in the waits between, and the bytes of a video that is saved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import MemoryJournal, VideoProgress
from tests.conftest import FakeClock, Gateway, MakeClient, running, settle, succeeded
from tests.storage import MOVIE
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


def longest_silence(seen: list[VideoProgress]) -> float:
    """The most seconds between two events."""
    return round(max(later.elapsed - earlier.elapsed for earlier, later in pairwise(seen)), 6)


async def test_progress_goes_from_queued_to_running_to_succeeded(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [running("PENDING"), running(), {**running(), "progress": "70%"}, succeeded()]
    seen: list[VideoProgress] = []
    await settle(make_client(poll_interval=10).generate(**ASK, on_progress=seen.append))
    polled = [event for event in seen if not event.estimated]
    assert [event.status for event in polled] == ["queued", "queued", "running", "running", "succeeded"]
    assert [event.polls for event in polled] == [0, 1, 2, 3, 4]
    assert polled[3].fraction == 0.7
    assert polled[-1].fraction == 1.0
    assert polled[1].elapsed == 10
    assert polled[0].expected == 120


async def test_a_progress_callback_that_fails_does_not_lose_the_video(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: VideoProgress) -> None:
        raise ZeroDivisionError

    assert (await settle(make_client().generate(**ASK, on_progress=broken))).task_id == "task-1"
    assert "on_progress failed" in caplog.text


@each_row("interval", [None, 1.0, 10.0, 60.0])
async def test_estimates_come_between_the_polls_and_ask_nobody(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, interval: float | None
) -> None:
    gateway.fetches = [running("PENDING"), running(), running(), succeeded()]
    before, seen = gateway.gets, list[VideoProgress]()
    await settle(make_client(poll_interval=interval).generate(**ASK, on_progress=seen.append))
    assert longest_silence(seen) <= 3
    assert gateway.gets - before == 4
    assert {event.polls for event in seen if event.estimated} <= {0, 1, 2, 3}
    fractions = [event.fraction for event in seen]
    assert fractions == sorted(fractions)
    assert seen[-1].estimated is False


async def test_a_slow_listener_does_not_move_the_polls(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.fetches = [running(), running(), succeeded()]
    polled: list[float] = []

    def slow(event: VideoProgress) -> None:
        if not event.estimated:
            polled.append(event.elapsed)
        clock.sleep(0.5)

    await settle(make_client(poll_interval=10).generate(**ASK, on_progress=slow))
    assert polled == [0.0, 10.0, 20.0, 30.0]


async def test_looks_that_fail_are_no_silence(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [running(), *[httpx.Response(502)] * 9, succeeded()]
    seen: list[VideoProgress] = []
    await settle(make_client(poll_interval=2).generate(**ASK, on_progress=seen.append))
    assert longest_silence(seen) <= 3
    assert [event.status for event in seen if event.polls == 1 and event.estimated] != []


async def test_nothing_is_told_of_a_task_before_anything_is_known_of_it(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [httpx.Response(502), httpx.Response(502), running(), succeeded()]
    seen: list[VideoProgress] = []
    await settle(make_client(poll_interval=10).wait("task-1", on_progress=seen.append))
    assert (seen[0].status, seen[0].polls, seen[0].estimated) == ("running", 1, False)


async def test_nobody_who_listens_makes_one_sleep_a_poll(make_client: MakeClient, clock: FakeClock) -> None:
    await settle(make_client(poll_interval=60).generate(**ASK))
    assert clock.sleeps == [60]


# --- saving ---


class SlowBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of ten pieces, two seconds apart."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        size = len(MOVIE) // 10 + 1
        for start in range(0, len(MOVIE), size):
            self._clock.sleep(2)
            yield MOVIE[start : start + size]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in iter(self):
            yield piece


@each_row("headers", [{"Content-Length": str(len(MOVIE))}, {}])
async def test_a_video_that_is_saved_is_told_in_bytes(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, tmp_path: Path, headers: dict[str, str]
) -> None:
    gateway.fetches = [succeeded(), lambda _: httpx.Response(200, headers=headers, stream=SlowBody(clock))]
    seen: list[VideoProgress] = []
    await settle(make_client(save_to=tmp_path).generate(**ASK, on_progress=seen.append))
    saving = [event for event in seen if event.phase == "saving"]
    told = [event.bytes_received or 0 for event in saving]
    assert (told[0], told[-1], saving[-1].bytes_total) == (0, len(MOVIE), len(MOVIE))
    assert told == sorted(told)
    assert len(told) == 7
    assert {event.bytes_total for event in saving[1:-1]} == {len(MOVIE) if headers else None}
    assert {(event.status, event.fraction) for event in saving} == {("succeeded", 1.0)}
    assert longest_silence(seen) <= 5
    assert seen == [event for event in seen if event.phase == "generating"] + saving


async def test_a_download_tells_its_bytes_too(make_client: MakeClient, gateway: Gateway, tmp_path: Path) -> None:
    gateway.fetches = [succeeded(), httpx.Response(200, content=MOVIE)]
    client, seen = make_client(), list[VideoProgress]()
    video = await settle(client.generate(**ASK))
    await settle(client.download(video, tmp_path, on_progress=seen.append))
    assert [(event.task_id, event.bytes_received) for event in seen] == [("task-1", 0), ("task-1", len(MOVIE))]
    assert seen[-1].as_dict()["phase"] == "saving"


async def test_who_waits_until_another_has_saved_the_video_hears_of_it(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, tmp_path: Path
) -> None:
    gateway.fetches = [succeeded(), httpx.Response(200, content=MOVIE)]
    client = make_client(journal=(journal := MemoryJournal()), save_to=tmp_path, timeout=600)
    task = await settle(client.submit(**ASK))
    (entry,) = journal.entries()
    journal.hold(entry.id, holder="elsewhere:1:x", now=clock.utcnow(), until=clock.utcnow() + timedelta(seconds=90))
    seen: list[VideoProgress] = []
    await settle(client.wait(task, on_progress=seen.append))
    assert longest_silence(seen) <= 5
