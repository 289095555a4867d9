"""Images on their way into the storage: one upload for all who want it, and repeated only where that can help."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NebulaVideoError,
    NotSentError,
    RefusedError,
    RequestError,
    Task,
)
from tests.conftest import KEY, MOCKED, FakeClock, jpeg, settle

CAT, DOG = jpeg(640, 480), jpeg(640, 480, "navy")
MODELS = ("wan2.5-i2v-preview", "wan2.2-i2v-flash")
POLICY = {"policy": "eyJ9", "signature": "c2ln", "oss_access_key_id": "LTAI"}


class Beijing:
    """DashScope in Beijing and its storage, which is asked for one thing after the other."""

    def __init__(self) -> None:
        self.policies = 0
        self.uploads = 0
        self.submits = 0
        self.answers: list[httpx.Response | Exception] = []
        """Those of the storage, while there are any; then it takes what it is given."""
        self.before: Callable[[], Awaitable[object]] | None = None
        """What the storage waits for before it answers for the first time."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            self.policies += 1
            where = {"upload_host": "https://storage.example.com", "upload_dir": f"instant/{self.policies}"}
            return httpx.Response(200, json={"data": POLICY | where})
        if request.url.host == "storage.example.com":
            self.uploads += 1
            if self.uploads == 1 and self.before is not None:
                await self.before()
            answer = self.answers.pop(0) if self.answers else httpx.Response(200)
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        self.submits += 1
        return httpx.Response(200, json={"output": {"task_status": "PENDING", "task_id": f"task-{self.submits}"}})


class PeerClock(FakeClock):
    """The machine's clock, on which a pause is short; it knows who has paused."""

    def __init__(self) -> None:
        super().__init__()
        self.paused: set[object] = set()
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.paused.add(threading.get_ident())
        time.sleep(0.001)

    async def asleep(self, seconds: float) -> None:
        self.paused.add(asyncio.current_task())
        await asyncio.sleep(0.001)


class Sync:
    """Blocking clients; calls at once are threads."""

    def __init__(self, beijing: Beijing, clock: FakeClock) -> None:
        def handle(request: httpx.Request) -> httpx.Response:
            """What the asynchronous handler does, to its end: it waits by the thread alone."""
            try:
                beijing(request).send(None)
            except StopIteration as done:
                answer: httpx.Response = done.value
                return answer
            raise AssertionError("it waited")

        self.client: Any = NebulaVideoClient(
            **_settings(clock), http_client=httpx.Client(transport=httpx.MockTransport(handle))
        )

    async def pause(self) -> None:
        time.sleep(0.001)  # noqa: ASYNC251 here it is threads that wait

    async def at_once(self, *calls: dict[str, Any]) -> list[Any]:
        def made(fields: dict[str, Any]) -> Any:
            try:
                return self.client.submit(**fields)
            except NebulaVideoError as error:
                return error

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(made, calls))


class Async:
    """Asynchronous clients; calls at once are tasks."""

    def __init__(self, beijing: Beijing, clock: FakeClock) -> None:
        self.client: Any = AsyncNebulaVideoClient(
            **_settings(clock), http_async_client=httpx.AsyncClient(transport=httpx.MockTransport(beijing))
        )

    async def pause(self) -> None:
        await asyncio.sleep(0.001)

    async def at_once(self, *calls: dict[str, Any]) -> list[Any]:
        return await asyncio.gather(*(self.client.submit(**fields) for fields in calls), return_exceptions=True)


def _settings(clock: FakeClock) -> dict[str, Any]:
    return {"gateway": "dashscope", "api_key": KEY, "clock": clock, "download_hosts": MOCKED}


Desk = Sync | Async


@pytest.fixture
def beijing() -> Beijing:
    return Beijing()


@pytest.fixture
def peers() -> PeerClock:
    return PeerClock()


@pytest.fixture(params=[Sync, Async])
def desk(request: pytest.FixtureRequest, beijing: Beijing, clock: FakeClock) -> Desk:
    """Either client, on the clock that nobody waits for."""
    made: Desk = request.param(beijing, clock)
    return made


@pytest.fixture(params=[Sync, Async])
def busy(request: pytest.FixtureRequest, beijing: Beijing, peers: PeerClock) -> Desk:
    """Either client, for calls at once: the first upload takes until two others have paused."""
    made: Desk = request.param(beijing, peers)

    beijing.before = lambda: until(lambda: len(peers.paused) >= 2, made.pause)
    return made


async def until(met: Callable[[], bool], pause: Callable[[], Awaitable[object]] | None = None) -> None:
    """Wait until something is so; a loaded machine may take its time."""
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        await (pause() if pause else asyncio.sleep(0.001))


def asked(number: int, image: bytes = CAT, **fields: Any) -> dict[str, Any]:
    return {"prompt": f"Boat {number}", "image": image, **fields}


# --- one upload for all who want it ---


async def test_calls_at_once_with_one_image_upload_it_once(busy: Desk, beijing: Beijing) -> None:
    tasks = await busy.at_once(*map(asked, range(3)))
    assert all(isinstance(task, Task) for task in tasks), tasks
    assert (beijing.policies, beijing.uploads, beijing.submits) == (1, 1, 3)


async def test_when_the_upload_of_one_fails_the_next_one_uploads(busy: Desk, beijing: Beijing) -> None:
    beijing.answers = [httpx.Response(400)]
    tasks = await busy.at_once(*map(asked, range(3)))
    assert sorted(type(task).__name__ for task in tasks) == ["RefusedError", "Task", "Task"]
    assert (beijing.uploads, beijing.submits) == (2, 2)


async def test_when_the_first_is_cancelled_the_next_one_uploads(beijing: Beijing, peers: PeerClock) -> None:
    desk = Async(beijing, peers)
    stuck = asyncio.Event()
    beijing.before = stuck.wait
    first = asyncio.create_task(desk.client.submit(**asked(0)))
    await until(lambda: beijing.uploads == 1)
    others = [asyncio.create_task(desk.client.submit(**asked(number))) for number in (1, 2)]
    await until(lambda: len(peers.paused) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert all(isinstance(task, Task) for task in await asyncio.gather(*others))
    assert (beijing.uploads, beijing.submits) == (2, 2)


async def test_one_who_is_cancelled_while_waiting_hinders_nobody(beijing: Beijing, peers: PeerClock) -> None:
    desk = Async(beijing, peers)
    begun, waited = asyncio.Event(), asyncio.Event()

    async def before() -> bool:
        begun.set()
        return await waited.wait()

    beijing.before = before
    first = asyncio.create_task(desk.client.submit(**asked(0)))
    await begun.wait()  # images are read in threads: whoever is created first need not come first
    second, third = (asyncio.create_task(desk.client.submit(**asked(number))) for number in (1, 2))
    await until(lambda: len(peers.paused) == 2)
    second.cancel()
    waited.set()
    assert isinstance(await first, Task)
    assert isinstance(await third, Task)
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (beijing.uploads, beijing.submits) == (1, 2)


async def test_who_waits_for_another_s_upload_waits_no_longer_than_its_own_time(
    beijing: Beijing, peers: PeerClock
) -> None:
    desk = Async(beijing, peers)
    stuck = asyncio.Event()
    beijing.before = stuck.wait
    first, second = (asyncio.create_task(desk.client.submit(**asked(number))) for number in range(2))
    await until(lambda: len(peers.paused) == 1)
    peers.ahead = 900.0
    with pytest.raises(NotSentError, match="The time was over"):
        await second
    stuck.set()
    with pytest.raises(NotSentError, match="The time was over"):
        await first
    assert beijing.submits == 0


async def test_different_images_and_models_do_not_wait_for_each_other(desk: Desk, beijing: Beijing) -> None:
    given = [asked(0), asked(1, DOG), asked(2, model=MODELS[1]), asked(3), asked(4, DOG), asked(5, model=MODELS[1])]
    for fields in given:
        await settle(desk.client.submit(**fields))
    assert (beijing.uploads, beijing.submits) == (3, 6)


# --- how long it lies ---


@pytest.mark.parametrize(("hours", "uploads"), [(46.9, 1), (47.1, 2)])
async def test_it_is_uploaded_anew_after_47_hours_of_the_calendar(
    desk: Desk, beijing: Beijing, clock: FakeClock, hours: float, uploads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other clock may stand still while the machine sleeps."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(clock, "utcnow", lambda: moment)
    await settle(desk.client.submit(**asked(1)))
    moment += timedelta(hours=hours)
    await settle(desk.client.submit(**asked(2)))
    assert beijing.uploads == uploads


# --- what is repeated ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 411, 413, 415, 418])
async def test_what_the_storage_refuses_for_good_is_not_repeated(
    desk: Desk, beijing: Beijing, clock: FakeClock, status: int
) -> None:
    elsewhere = {"location": "https://elsewhere.example.com"}
    beijing.answers = [httpx.Response(status, headers=elsewhere, text="<Error><Code>NotThis</Code></Error>")]
    with pytest.raises(RefusedError) as caught:
        await settle(desk.client.submit(**asked(1)))
    assert str(caught.value) == (
        f"The gateway's storage answered HTTP {status} NotThis to the image's upload. Nothing was spent. "
        "The storage will say no again: give the image's https URL instead."
    )
    assert (caught.value.status_code, caught.value.code) == (status, "NotThis")
    assert (beijing.policies, beijing.uploads, beijing.submits, clock.sleeps) == (1, 1, 0, [])


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(status) for status in (408, 429, 500, 502, 503, 504, 599)]
    + [httpx.ReadError("gone"), httpx.ConnectError("no"), httpx.ReadTimeout("late")],
    ids=str,
)
async def test_what_may_pass_is_repeated_with_a_leave_of_its_own(
    desk: Desk, beijing: Beijing, answer: httpx.Response | Exception
) -> None:
    beijing.answers = [answer, answer]
    await settle(desk.client.submit(**asked(1)))
    assert (beijing.policies, beijing.uploads, beijing.submits) == (3, 3, 1)


async def test_a_storage_that_asks_for_patience_is_given_it(desk: Desk, beijing: Beijing, clock: FakeClock) -> None:
    beijing.answers = [httpx.Response(429, headers={"retry-after": "7"})] * 9
    await settle(desk.client.submit(**asked(1)))
    assert (beijing.uploads, min(clock.sleeps) >= 7) == (10, True)


async def test_what_does_not_pass_is_told_in_the_end(desk: Desk, beijing: Beijing) -> None:
    beijing.answers = [httpx.Response(503)] * 9
    with pytest.raises(RequestError, match=r"HTTP 503 to the image's upload\. Nothing was spent\. Try again"):
        await settle(desk.client.submit(**asked(1)))
    assert (beijing.uploads, beijing.submits) == (4, 0)


EXPIRED = "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>"


async def test_a_leave_that_has_expired_is_asked_for_once_more(desk: Desk, beijing: Beijing) -> None:
    beijing.answers = [httpx.Response(403, text=EXPIRED)]
    await settle(desk.client.submit(**asked(1)))
    assert (beijing.policies, beijing.uploads, beijing.submits) == (2, 2, 1)


async def test_a_leave_that_expires_again_is_a_refusal(desk: Desk, beijing: Beijing, clock: FakeClock) -> None:
    """As where the gateway's clock is wrong: asking on would never end."""
    beijing.answers = [httpx.Response(403, text=EXPIRED)] * 9
    with pytest.raises(RefusedError, match="HTTP 403 AccessDenied"):
        await settle(desk.client.submit(**asked(1)))
    assert (beijing.policies, beijing.uploads, beijing.submits, clock.sleeps) == (2, 2, 0, [])
