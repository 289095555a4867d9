"""Between `begin` and the first byte of a paid request nothing may wait; what waits before it keeps its lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NotSentError,
)
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, settle, submitted

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


class SleepyJournal(MemoryJournal):
    """The machine sleeps right after a submit was begun, once."""

    def __init__(self, sleep: Callable[[], None]) -> None:
        super().__init__()
        self._sleep: Callable[[], None] | None = sleep
        self.begun = 0

    def begin(self, entry_id: str, **given: Any) -> bool:
        begun = super().begin(entry_id, **given)
        self.begun += begun
        if self._sleep is not None:
            sleep, self._sleep = self._sleep, None
            sleep()
        return begun


class WallClock(FakeClock):
    """A wall clock that goes on while the monotonic one stands still, as Linux has it."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = timedelta(0)

    def utcnow(self) -> datetime:
        return super().utcnow() + self.slept


async def test_a_post_whose_lease_is_over_before_it_leaves_is_not_sent(
    make_client: MakeClient, gateway: Gateway
) -> None:
    """A machine that was asleep: the request is begun anew, under a new lease."""
    clock = WallClock()

    def sleep() -> None:
        clock.slept += timedelta(minutes=10)

    journal = SleepyJournal(sleep)
    await settle(make_client(journal=journal, clock=clock).submit(**ASK, key="k"))
    assert (gateway.posts, journal.begun) == (1, 2)
    assert [entry.task_id for entry in journal.entries()] == ["task-1"]


async def test_a_post_whose_deadline_is_over_before_it_leaves_is_not_sent(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    journal = SleepyJournal(lambda: clock.sleep(61))
    with pytest.raises(NotSentError, match=r"broken off.*Nothing was sent and nothing was spent"):
        await settle(make_client(journal=journal, timeout=60).submit(**ASK, key="k"))
    assert gateway.requests == []
    assert journal.entries() == []


async def test_a_post_that_was_broken_off_finds_its_row_settled_by_another_process(
    make_client: MakeClient, gateway: Gateway
) -> None:
    """It is told so, and has sent nothing."""
    clock = WallClock()

    def sleep() -> None:
        clock.slept += timedelta(minutes=10)
        (lost,) = journal.sweep(clock.utcnow())
        assert journal.forget(lost.id)

    journal = SleepyJournal(sleep)
    with pytest.raises(Exception, match="Nothing was sent and nothing was spent") as caught:
        await settle(make_client(journal=journal, clock=clock).submit(**ASK))
    assert not isinstance(caught.value, KeyError | InvalidRequestError)
    assert gateway.requests == []


# --- cancelled again and again ---


async def test_a_cancel_scope_that_cancels_in_each_turn_does_not_burn_a_core() -> None:
    """Anyio's do, and so Starlette's on a disconnect. The POST under way is awaited, and its task recorded."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.6)
        return httpx.Response(200, json=submitted())

    journal = MemoryJournal()
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = AsyncNebulaVideoClient(api_key=KEY, journal=journal, http_async_client=http)
    began = time.process_time()
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_later(0.1, scope.cancel)
        await client.submit(**ASK)
    assert scope.cancelled_caught
    assert time.process_time() - began < 0.4
    assert [entry.task_id for entry in journal.entries()] == ["task-1"]
