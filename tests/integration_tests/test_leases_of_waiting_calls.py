"""A submit that waits for its turn keeps the lease of its row, in real time at sixty times the pace."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    MemoryJournal,
    NebulaVideoClient,
    NotSentError,
)
from langchain_nebula_video.journal import Entry
from tests.conftest import KEY, MOCKED, Gateway, MakeClient, jpeg, settle, submitted

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


class FastClock:
    """The machine's clocks, sixty times as fast."""

    _PACE = 60.0

    def __init__(self) -> None:
        self._began = time.monotonic()

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._PACE

    def utcnow(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._PACE)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._PACE)


class WatchedJournal(MemoryJournal):
    """Sweeps at each look at its rows, as a cron job elsewhere does."""

    def __init__(self, clock: FastClock) -> None:
        super().__init__()
        self._clock = clock
        self.held: list[bool] = []

    def hold(self, entry_id: str, **given: Any) -> Entry | None:
        self.look()
        return super().hold(entry_id, **given)

    def begin(self, entry_id: str, **given: Any) -> bool:
        self.look()
        return super().begin(entry_id, **given)

    def look(self) -> None:
        now = self._clock.utcnow()
        self.held += [not entry.is_orphaned(now) for entry in self.entries()]
        self.sweep(now)


class Limiter:
    """Lets a call pass after so many seconds."""

    def __init__(self, clock: FastClock, seconds: float) -> None:
        self._clock = clock
        self._opens = clock.monotonic() + seconds

    def acquire(self, *, blocking: bool = True) -> bool:
        while blocking and self._clock.monotonic() < self._opens:
            self._clock.sleep(1)
        return self._clock.monotonic() >= self._opens

    async def aacquire(self, *, blocking: bool = True) -> bool:
        while blocking and self._clock.monotonic() < self._opens:
            await self._clock.asleep(1)
        return self._clock.monotonic() >= self._opens


async def test_a_submit_keeps_its_lease_while_it_waits_for_the_rate_limiter(
    make_client: MakeClient, gateway: Gateway
) -> None:
    clock = FastClock()
    journal = WatchedJournal(clock)
    client = make_client(journal=journal, clock=clock, rate_limiter=Limiter(clock, 90))
    await settle(client.submit(**ASK, key="k"))
    assert gateway.posts == 1
    assert len(journal.held) >= 2
    assert all(journal.held)


async def test_a_submit_keeps_its_lease_while_others_have_their_turn(make_client: MakeClient, gateway: Gateway) -> None:
    clock = FastClock()
    journal = WatchedJournal(clock)
    now = clock.utcnow()
    for number in range(4):
        other = Entry(id=f"o{number}", gateway="nebula", model="m", request={}, created_at=now, holder="elsewhere:1:x")
        journal.reserve(other, None)
        until = now + timedelta(seconds=90)
        assert journal.begin(other.id, holder="elsewhere:1:x", now=now, until=until, cap=4)
    journal.held.clear()
    await settle(make_client(journal=journal, clock=clock).submit(**ASK, key="k"))
    assert gateway.posts == 1
    ours = journal.find(key="k")
    assert ours is not None
    assert ours.task_id == "task-1"


async def test_a_submit_keeps_its_lease_while_it_waits_to_be_repeated(
    make_client: MakeClient, gateway: Gateway
) -> None:
    clock = FastClock()
    journal = WatchedJournal(clock)
    gateway.submits = [httpx.Response(429, headers={"Retry-After": "155"}), submitted()]
    await settle(make_client(journal=journal, clock=clock).submit(**ASK, key="k"))
    assert gateway.posts == 2
    assert all(journal.held)


async def test_a_submit_keeps_its_lease_while_its_image_is_uploaded() -> None:
    names = ("policy", "signature", "upload_dir", "oss_access_key_id", "x_oss_object_acl", "x_oss_forbid_overwrite")
    policy = {**dict.fromkeys(names, "x"), "upload_host": "https://oss.example.com"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "oss.example.com":
            return httpx.Response(200)
        if request.method == "GET":
            return httpx.Response(200, json={"data": policy})
        return httpx.Response(
            200, json={"output": {"task_id": request.headers["user-agent"], "task_status": "PENDING"}}
        )

    def slow(request: httpx.Request) -> httpx.Response:
        clock.sleep(90 if request.url.host == "oss.example.com" else 0)
        return answer(request)

    async def aslow(request: httpx.Request) -> httpx.Response:
        await clock.asleep(90 if request.url.host == "oss.example.com" else 0)
        return answer(request)

    clock = FastClock()
    journal = WatchedJournal(clock)
    settings: dict[str, Any] = {
        "gateway": "dashscope",
        "api_key": KEY,
        "journal": journal,
        "clock": clock,
        "download_hosts": MOCKED,
        "http_client": httpx.Client(transport=httpx.MockTransport(slow)),
        "http_async_client": httpx.AsyncClient(transport=httpx.MockTransport(aslow)),
    }
    for kind in (NebulaVideoClient, AsyncNebulaVideoClient):
        journal.held.clear()
        client: Any = kind(**settings)
        await settle(client.submit(prompt="x", image=jpeg(640, 480), key=kind.__name__))
        assert len(journal.held) >= 2
        assert all(journal.held)


async def test_the_wait_for_the_rate_limiter_ends_in_time(make_client: MakeClient, gateway: Gateway) -> None:
    clock = FastClock()
    began = time.monotonic()
    with pytest.raises(NotSentError, match="before it was this submit's turn"):
        await settle(make_client(clock=clock, timeout=60, rate_limiter=Limiter(clock, 3000)).submit(**ASK))
    assert time.monotonic() - began < 5
    assert gateway.requests == []


async def test_the_lease_of_a_post_under_way_is_not_shortened() -> None:
    """The background renewal gives a minute; `begin` gives as long as the answer may take."""
    clock = FastClock()
    journal = MemoryJournal()

    def answer(request: httpx.Request) -> httpx.Response:
        clock.sleep(40)
        entry = journal.entries()[-1]
        assert entry.held_until is not None
        left.append((entry.held_until - clock.utcnow()).total_seconds())
        return httpx.Response(200, json=submitted(f"task-{len(left)}"))

    left: list[float] = []
    settings: dict[str, Any] = {"api_key": KEY, "journal": journal, "clock": clock}
    transport = httpx.MockTransport(answer)
    NebulaVideoClient(**settings, http_client=httpx.Client(transport=transport)).submit(**ASK)
    await AsyncNebulaVideoClient(**settings, http_async_client=httpx.AsyncClient(transport=transport)).submit(**ASK)
    assert min(left) > 60
