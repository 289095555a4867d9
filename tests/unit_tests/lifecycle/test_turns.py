"""Submits wait for their turn as long as the line moves: their time begins with it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import AsyncNebulaVideoClient, MemoryJournal, NotSentError, RateLimitError, VideoProgress
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.transport.exchange import MAX_CALLS
from tests.conftest import KEY, png, submitted, succeeded

IMAGE = "https://example.com/a.jpg"


class _Selector(selectors.SelectSelector):
    """Does not wait: it lets the loop's time pass, unless a thread works for the loop: that one takes real time."""

    now = 0.0
    threads = 0

    def select(self, timeout: float | None = None) -> Any:
        if _Selector.threads:
            return super().select(None if timeout is None else min(timeout, 0.01))
        found = super().select(0)
        if not found and timeout:
            _Selector.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it waits."""

    def __init__(self) -> None:
        _Selector.now, _Selector.threads = 0.0, 0
        super().__init__(_Selector())

    def time(self) -> float:
        return _Selector.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        _Selector.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(_end_of_thread)
        return future


def _end_of_thread(_: object) -> None:
    _Selector.threads -= 1


class VirtualClock:
    """The clock of the running virtual loop."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def utcnow(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(flow: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(flow)


class Gateway:
    """Answers each submit after some seconds, and counts."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.posts = self.under_way = self.peak = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={**succeeded(), "task_id": request.url.path.rpartition("/")[2]})
        self.posts, self.under_way = self.posts + 1, self.under_way + 1
        number, self.peak = self.posts, max(self.peak, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        return httpx.Response(200, json=submitted(f"task-{number}"))

    def client(self, timeout: float, **options: Any) -> AsyncNebulaVideoClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        journal = MemoryJournal()
        settings = {"clock": VirtualClock(), "journal": journal, "http_async_client": http, "timeout": timeout}
        return AsyncNebulaVideoClient(api_key=KEY, **{**settings, **options})


def test_two_hundred_submits_of_half_a_second_through_four_places_all_arrive() -> None:
    """They take 25 seconds together, which is more than any of them may take."""

    async def submit_all() -> None:
        gateway = Gateway(0.5)
        client = gateway.client(timeout=10)
        tasks = await asyncio.gather(*(client.submit(prompt=f"p{number}", image=IMAGE) for number in range(200)))
        assert len({task.task_id for task in tasks}) == 200
        assert (gateway.posts, gateway.peak) == (200, 4)
        assert 25 <= asyncio.get_running_loop().time() < 26

    run(submit_all())


def test_of_hundreds_of_calls_few_have_read_their_image_and_reserved_before_their_turn(tmp_path: Path) -> None:
    image = tmp_path / "cat.png"
    image.write_bytes(png(512, 512))

    async def submit_all() -> None:
        gateway, journal = Gateway(0.5), MemoryJournal()
        client = gateway.client(timeout=1000, journal=journal)
        calls = [asyncio.create_task(client.submit(prompt=f"p{number}", image=image)) for number in range(200)]
        reserved = list[int]()
        while not all(call.done() for call in calls):
            reserved.append(len(journal.entries(states=[EntryState.SUBMITTING])))
            await asyncio.sleep(0.1)
        assert max(reserved) == MAX_CALLS
        assert gateway.posts == len({call.result().task_id for call in calls}) == 200

    run(submit_all())


def test_calls_that_wait_for_the_submit_of_another_one_let_others_go_first() -> None:
    async def submit_all() -> None:
        gateway = Gateway(60.0)
        client = gateway.client(timeout=1000)
        same = [asyncio.create_task(client.submit(prompt="p", image=IMAGE, key="k")) for _ in range(2 * MAX_CALLS)]
        await asyncio.sleep(1)
        gateway.seconds = 1.0
        await client.submit(prompt="other", image=IMAGE)
        assert asyncio.get_running_loop().time() < 10
        assert len({task.task_id for task in await asyncio.gather(*same)}) == 1
        assert gateway.posts == 2

    run(submit_all())


def test_progress_says_that_a_submit_waits_for_a_place() -> None:
    async def generate_all() -> None:
        gateway, heard = Gateway(10.0), list[VideoProgress]()
        client = gateway.client(timeout=60, poll_interval=1)
        first = [asyncio.create_task(client.submit(prompt=f"p{number}", image=IMAGE)) for number in range(4)]
        await asyncio.sleep(0)
        video = await client.generate(prompt="last", image=IMAGE, on_progress=heard.append)
        await asyncio.gather(*first)
        waiting = [event for event in heard if event.phase == "waiting"]
        assert [round(event.elapsed) for event in waiting] == [3, 6, 9]
        assert {(event.task_id, event.fraction, event.cost.usd) for event in waiting} == {("", 0.0, video.cost.usd)}
        assert heard[3].phase == "generating"
        assert heard[-1].task_id == "task-5"

    run(generate_all())


def test_a_line_that_stands_still_is_left_in_time() -> None:
    async def submit_all() -> None:
        gateway = Gateway(60.0)
        client = gateway.client(timeout=100)
        first = [asyncio.create_task(client.submit(prompt=f"p{n}", image=IMAGE)) for n in range(4)]
        await asyncio.sleep(1)
        hurried = gateway.client(timeout=20, http_async_client=client._options.http_async_client)
        hurried._lifecycle.runtime = client._lifecycle.runtime
        hurried._lifecycle._context.runtime = client._lifecycle.runtime
        with pytest.raises(NotSentError, match="before it was this submit's turn"):
            await hurried.submit(prompt="hurried", image=IMAGE)
        assert asyncio.get_running_loop().time() == pytest.approx(11, abs=0.5)
        await asyncio.gather(*first)
        assert gateway.posts == 4

    run(submit_all())


def test_an_account_that_is_to_wait_for_a_day_keeps_no_call_longer_than_its_own_time() -> None:
    async def submit_two() -> None:
        answers = [httpx.Response(429, headers={"Retry-After": "86400"}, json={"message": "slow"})]
        http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answers.pop()))
        client = Gateway(0).client(timeout=60, http_async_client=http)
        with pytest.raises(RateLimitError):
            await client.submit(prompt="first", image=IMAGE)
        with pytest.raises(NotSentError, match="before it was this submit's turn"):
            await client.submit(prompt="second", image=IMAGE)
        assert asyncio.get_running_loop().time() < 60

    run(submit_two())


def test_submits_leave_at_the_documented_pace_and_a_429_slows_all_of_the_account() -> None:
    async def submit_all() -> None:
        times: list[float] = []

        async def answer(request: httpx.Request) -> httpx.Response:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 10:
                return httpx.Response(429, headers={"Retry-After": "5"}, json={"code": "Throttling", "message": "slow"})
            task = {"task_id": f"task-{len(times)}", "task_status": "PENDING"}
            return httpx.Response(200, json={"output": task, "request_id": "r"})

        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        client = Gateway(0).client(timeout=60, gateway="dashscope", http_async_client=http)
        await asyncio.gather(*(client.submit(prompt=f"p{number}", image=IMAGE) for number in range(30)))
        assert len(times) == 31
        assert 1.6 <= times[9] - times[0] <= 2.0  # five a second
        assert times[10] - times[9] >= 4.9  # nobody leaves before the gateway said so
        assert times[15] - times[10] >= 1.2  # then slower than before

    run(submit_all())
