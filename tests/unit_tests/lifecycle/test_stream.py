"""`stream` and `watch`: the progress as an iterator that ends with the video. The same of both clients."""

from __future__ import annotations

import asyncio
import inspect
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    TaskFailedError,
    Video,
    VideoProgress,
)
from tests.conftest import FakeClock, Gateway, MakeClient, failed, running, settle, succeeded
from tests.storage import MOVIE

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


async def step(items: Any) -> Any:
    return await anext(items) if inspect.isasyncgen(items) else next(items)


async def close(items: Any) -> None:
    await items.aclose() if inspect.isasyncgen(items) else items.close()


async def every(items: Any) -> list[Any]:
    return [item async for item in items] if inspect.isasyncgen(items) else list(items)


async def test_a_stream_is_the_progress_and_then_the_video(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [running("PENDING"), running(), succeeded()]
    heard: list[VideoProgress] = []
    video = await settle(make_client(poll_interval=10).generate(**ASK, on_progress=heard.append))
    gateway.fetches = [running("PENDING"), running(), succeeded()]
    *told, last = await every(make_client(poll_interval=10).stream(**ASK))
    assert [(event.status, event.polls, event.estimated) for event in told] == [
        (event.status, event.polls, event.estimated) for event in heard
    ]
    assert isinstance(last, Video)
    assert (last.task_id, last.url, last.cost) == (video.task_id, video.url, video.cost)


async def test_nothing_is_sent_before_the_first_item(make_client: MakeClient, gateway: Gateway) -> None:
    items = make_client().stream(**ASK)
    assert gateway.requests == []
    assert (await step(items)).status == "queued"
    assert (gateway.posts, gateway.gets) == (1, 0)
    await close(items)


async def test_a_request_that_cannot_work_is_refused_at_once(make_client: MakeClient) -> None:
    with pytest.raises(InvalidRequestError):
        make_client().stream(prompt=ASK["prompt"], imagine="x")


async def test_a_stream_that_is_closed_leaves_its_task_in_the_journal_and_names_it(
    make_client: MakeClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.fetches = [running(), succeeded()]
    client = make_client(journal=(journal := MemoryJournal()))
    items = client.stream(**ASK)
    seen = await step(items)
    await close(items)
    (entry,) = journal.entries()
    assert (entry.task_id, entry.abandoned, entry.held_until) == (seen.task_id, True, None)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "Go on with wait('task-1')." in warning.getMessage()
    assert await every(items) == []
    *_, video = await every(client.stream(**ASK))
    assert (video.task_id, video.reused, gateway.posts) == ("task-1", True, 1)


async def test_watch_goes_on_with_a_task_and_pays_nothing(
    make_client: MakeClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gateway.fetches = [running(), succeeded()]
    client = make_client()
    task = await settle(client.submit(**ASK))
    left = client.watch(task)
    await step(left)
    await close(left)
    *told, video = await every(client.watch(task.task_id))
    assert {event.task_id for event in told} == {task.task_id}
    assert (video.task_id, gateway.posts) == (task.task_id, 1)
    assert [record.levelname for record in caplog.records if "closed before its end" in record.message] == ["INFO"]


async def test_a_task_that_fails_raises_at_the_end_of_its_stream(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [running(), failed()]
    items = make_client().stream(**ASK)
    while not (await step(items)).status.finished:
        pass
    with pytest.raises(TaskFailedError):
        await step(items)


async def test_a_stream_that_is_closed_while_it_saves_leaves_no_piece_behind(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.fetches = [succeeded(), httpx.Response(200, content=MOVIE)]
    items = make_client(save_to=tmp_path, journal=(journal := MemoryJournal())).stream(**ASK)
    while (await step(items)).phase != "saving":
        pass
    await close(items)
    assert list(tmp_path.iterdir()) == []
    (entry,) = journal.entries()
    assert (entry.state, entry.abandoned) == ("succeeded", True)


async def test_a_consumer_that_takes_its_time_only_delays_the_polls(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.fetches = [running(), running(), succeeded()]
    items = make_client(poll_interval=10).stream(**ASK)
    while isinstance(item := await step(items), VideoProgress):
        clock.sleep(40)
    assert (item.task_id, gateway.posts, gateway.gets) == ("task-1", 1, 3)


async def test_a_consumer_that_is_cancelled_leaves_its_task_in_the_journal(gateway: Gateway) -> None:
    class Standing(FakeClock):
        async def asleep(self, seconds: float) -> None:
            waiting.set()
            await asyncio.sleep(3600)

    journal, waiting = MemoryJournal(), asyncio.Event()
    transport = httpx.MockTransport(gateway)
    client = AsyncNebulaVideoClient(
        api_key="sk-x",
        clock=Standing(),
        journal=journal,
        http_async_client=httpx.AsyncClient(transport=transport),
    )

    async def consume() -> None:
        async for _ in client.stream(**ASK):
            pass

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert "Go on with wait('task-1')." in caught.value.__notes__[0]
    (entry,) = journal.entries()
    assert (entry.task_id, entry.abandoned) == ("task-1", True)
