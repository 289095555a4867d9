"""The record of paid tasks: keys, budgets, and what is left behind when a submit does not end well."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    Budget,
    BudgetExceededError,
    InvalidRequestError,
    MemoryJournal,
    ModerationError,
    NebulaVideoClient,
    SqlJournal,
    SubmissionUnconfirmedError,
    TaskFailedError,
    TaskTimeoutError,
)
from langchain_nebula_video.journal import EntryState, Journal, Repeats
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, failed, jpeg, running, settle, submitted, succeeded
from tests.journals import LATER, MOMENT, JournalContract, entry
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}

# --- keys ---


async def test_the_same_key_pays_once_and_gives_the_same_video(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client()
    first = await settle(client.generate(**ASK, key="a"))
    again = await settle(client.generate(**ASK, key="a"))
    assert again == first.model_copy(update={"raw": {}})
    assert gateway.posts == 1


async def test_a_key_goes_on_with_a_task_that_is_still_running(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client()
    task = await settle(client.submit(**ASK, key="a"))
    video = await settle(client.generate(**ASK, key="a"))
    assert video.task_id == task.task_id
    assert gateway.posts == 1


async def test_a_url_that_has_expired_is_asked_for_anew(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    client = make_client()
    first = await settle(client.generate(**ASK, key="a"))
    clock.now = (first.expires_at - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds() + 1
    asked = gateway.gets
    await settle(client.generate(**ASK, key="a"))
    assert gateway.gets == asked + 1
    assert gateway.posts == 1


async def test_a_failed_task_fails_the_same_way_under_its_key(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [failed()]
    client = make_client()
    for _ in range(2):
        with pytest.raises(TaskFailedError):
            await settle(client.generate(**ASK, key="a"))
    assert gateway.posts == 1


async def test_a_key_that_was_refused_is_free_again(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [
        httpx.Response(400, json={"code": "DataInspectionFailed", "message": "no", "data": None}),
        submitted(),
    ]
    client = make_client()
    with pytest.raises(ModerationError):
        await settle(client.generate(**ASK, key="a"))
    assert (await settle(client.generate(**ASK, key="a"))).task_id == "task-1"


async def test_a_key_of_an_unconfirmed_submit_never_sends_again(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.ReadTimeout("lost"), submitted()]
    client = make_client()
    for _ in range(2):
        with pytest.raises(SubmissionUnconfirmedError, match="may have been spent"):
            await settle(client.generate(**ASK, key="a"))
    assert gateway.posts == 1


@pytest.mark.parametrize(
    "other", [{"prompt": "The dog blinks"}, {"duration": 10}, {"image": "https://example.com/dog.jpg"}]
)
async def test_a_key_with_another_request_is_refused(
    make_client: MakeClient, gateway: Gateway, other: dict[str, Any]
) -> None:
    client = make_client()
    await settle(client.submit(**ASK, key="a"))
    with pytest.raises(InvalidRequestError, match="belongs to another request"):
        await settle(client.submit(**{**ASK, **other}, key="a"))
    assert gateway.posts == 1


async def test_an_image_signed_anew_is_the_same_image(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client()
    await settle(client.submit(prompt="x", image="https://example.com/cat.jpg?sig=1", key="a"))
    await settle(client.submit(prompt="x", image="https://example.com/cat.jpg?sig=2", key="a"))
    assert gateway.posts == 1


async def test_the_journal_names_an_image_and_does_not_hold_it(make_client: MakeClient) -> None:
    journal = MemoryJournal()
    await settle(make_client(journal=journal).submit(prompt="x", image=jpeg(800, 600)))
    (found,) = journal.entries()
    assert found.request["image"].startswith("sha256:")
    assert len(repr(found)) < 1000


async def test_calls_at_once_with_one_key_pay_once(gateway: Gateway) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(gateway)) as transport:
        client = AsyncNebulaVideoClient(api_key=KEY, http_async_client=transport, poll_interval=0.01)
        videos = await asyncio.gather(*(client.generate(**ASK, key="a") for _ in range(10)))
    assert {video.task_id for video in videos} == {"task-1"}
    assert gateway.posts == 1


def test_threads_with_one_key_pay_once(gateway: Gateway) -> None:
    with httpx.Client(transport=httpx.MockTransport(gateway)) as transport:
        client = NebulaVideoClient(api_key=KEY, http_client=transport, poll_interval=0.01)
        with ThreadPoolExecutor(10) as pool:
            videos = list(pool.map(lambda _: client.generate(**ASK, key="a"), range(10)))
    assert {video.task_id for video in videos} == {"task-1"}
    assert gateway.posts == 1


# --- repetitions without a key ---


async def test_the_same_request_again_is_not_sent_while_the_first_is_unconfirmed(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.submits = [httpx.ReadTimeout("lost"), submitted("task-2")]
    client = make_client()
    for _ in range(3):
        with pytest.raises(SubmissionUnconfirmedError, match="may have been spent"):
            await settle(client.generate(**ASK))
    assert gateway.posts == 1
    assert (await settle(client.submit(**{**ASK, "prompt": "The dog blinks"}))).task_id == "task-2"


async def test_a_key_of_its_own_sends_it_all_the_same(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.ReadTimeout("lost"), submitted("task-2")]
    client = make_client()
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK))
    assert (await settle(client.submit(**ASK, key="I looked: there is no such task"))).task_id == "task-2"


async def test_after_a_day_an_unconfirmed_submit_stands_in_nobodys_way(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.submits = [httpx.ReadTimeout("lost"), submitted("task-2")]
    client = make_client()
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK))
    clock.now += 25 * 3600
    assert (await settle(client.submit(**ASK))).task_id == "task-2"


async def test_the_same_request_again_goes_on_with_a_task_that_took_too_long(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [running()]
    client = make_client(timeout=100)
    with pytest.raises(TaskTimeoutError):
        await settle(client.generate(**ASK))
    gateway.fetches = [succeeded()]
    assert (await settle(client.generate(**ASK))).task_id == "task-1"
    assert gateway.posts == 1


async def test_once_the_video_is_delivered_the_same_request_makes_a_new_one(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [running()]
    client = make_client(timeout=100)
    with pytest.raises(TaskTimeoutError) as caught:
        await settle(client.generate(**ASK))
    gateway.fetches = [succeeded()]
    await settle(client.wait(caught.value.task))
    await settle(client.generate(**ASK))
    await settle(client.generate(**ASK))
    assert gateway.posts == 3


async def test_a_task_that_failed_is_not_gone_on_with(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [failed()]
    client = make_client()
    for _ in range(2):
        with pytest.raises(TaskFailedError):
            await settle(client.generate(**ASK))
    assert gateway.posts == 2


@each_row("key", [42, "", b"a", "half \ud83d"])
async def test_a_key_that_is_none_is_refused_before_anything_is_sent(
    make_client: MakeClient, gateway: Gateway, key: Any
) -> None:
    with pytest.raises(InvalidRequestError, match="A key is a text"):
        await settle(make_client().generate(**ASK, key=key))
    assert gateway.requests == []


# --- budgets ---


async def test_a_budget_is_reserved_before_the_post(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client(budget=Budget(usd="0.50"))
    await settle(client.submit(**ASK))
    with pytest.raises(BudgetExceededError, match=r"\$0.131 is left") as caught:
        await settle(client.submit(**ASK))
    assert caught.value.spent is False
    assert gateway.posts == 1


async def test_a_failed_task_gives_its_reservation_back(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [failed()]
    client = make_client(budget=Budget(usd="0.50"))
    for _ in range(3):
        with pytest.raises(TaskFailedError):
            await settle(client.generate(**ASK))
    assert gateway.posts == 3


async def test_an_unconfirmed_submit_keeps_its_reservation(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.ReadTimeout("lost"), submitted()]
    client = make_client(budget=Budget(usd="0.50"))
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK))
    with pytest.raises(BudgetExceededError):
        await settle(client.generate(**{**ASK, "prompt": "The dog blinks"}))


async def test_the_bill_replaces_the_reservation(make_client: MakeClient, gateway: Gateway) -> None:
    journal = MemoryJournal()
    gateway.fetches[0]["metadata"]["group_ratio"] = 0.5
    await settle(make_client(journal=journal).generate(**ASK))
    assert journal.spent() == Decimal("0.1845")


async def test_a_budget_per_day_slides_along(make_client: MakeClient, clock: FakeClock) -> None:
    client = make_client(budget=Budget(usd="0.50", per=timedelta(days=1)))
    await settle(client.generate(**ASK))
    clock.now += 80_000
    with pytest.raises(BudgetExceededError):
        await settle(client.generate(**ASK))
    clock.now += 10_000
    await settle(client.generate(**ASK))


async def test_twenty_calls_at_once_on_a_budget_for_two_pay_for_two(gateway: Gateway) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(gateway)) as transport:
        client = AsyncNebulaVideoClient(
            api_key=KEY, http_async_client=transport, poll_interval=0.01, budget=Budget(usd="0.80")
        )
        results = await asyncio.gather(*(client.generate(**ASK) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExceededError) for result in results) == 18
    assert gateway.posts == 2


def test_twenty_threads_on_a_budget_for_two_pay_for_two(gateway: Gateway) -> None:
    def attempt(client: NebulaVideoClient) -> bool:
        try:
            client.generate(**ASK)
        except BudgetExceededError:
            return False
        return True

    with httpx.Client(transport=httpx.MockTransport(gateway)) as transport:
        client = NebulaVideoClient(api_key=KEY, http_client=transport, poll_interval=0.01, budget=Budget(usd="0.80"))
        with ThreadPoolExecutor(20) as pool:
            paid = list(pool.map(lambda _: attempt(client), range(20)))
    assert sum(paid) == 2
    assert gateway.posts == 2


def test_two_clients_on_one_journal_share_its_budget_and_keys(gateway: Gateway, clock: FakeClock) -> None:
    journal = MemoryJournal()
    with httpx.Client(transport=httpx.MockTransport(gateway)) as transport:
        settings: dict[str, Any] = {
            "api_key": KEY,
            "http_client": transport,
            "clock": clock,
            "journal": journal,
        }
        first = NebulaVideoClient(**settings, budget=Budget(usd="0.50"))
        second = NebulaVideoClient(**settings, budget=Budget(usd="0.50"))
        first.generate(**ASK, key="a")
        assert second.generate(**ASK, key="a").task_id == "task-1"
        with pytest.raises(BudgetExceededError):
            second.generate(**ASK, key="b")
    assert gateway.posts == 1


# --- cancelling ---


async def test_cancelled_in_mid_submit_the_task_is_on_record_and_named(clock: FakeClock) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await answer.wait()
        return httpx.Response(200, json=submitted("task-7"))

    journal = MemoryJournal()
    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as transport:
        client = AsyncNebulaVideoClient(api_key=KEY, http_async_client=transport, journal=journal)
        call = asyncio.create_task(client.generate(**ASK))
        await arrived.wait()
        call.cancel()
        await asyncio.sleep(0)
        answer.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
    assert [(e.task_id, e.state) for e in journal.entries()] == [("task-7", EntryState.SUBMITTED)]
    assert "wait('task-7')" in caught.value.__notes__[0]


async def test_cancelled_while_polling_the_task_is_on_record_and_named(gateway: Gateway) -> None:
    gateway.fetches = [{"task_id": "task-1", "status": "in_progress"}]
    journal = MemoryJournal()
    async with httpx.AsyncClient(transport=httpx.MockTransport(gateway)) as transport:
        client = AsyncNebulaVideoClient(api_key=KEY, http_async_client=transport, journal=journal, poll_interval=0.01)
        call = asyncio.create_task(client.generate(**ASK))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        assert [task.task_id for task in await client.resume()] == ["task-1"]
    assert "task-1" in caught.value.__notes__[0]


async def test_cancelled_while_it_waits_for_a_place_nothing_stays_reserved(gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(429, headers={"Retry-After": "60"})]
    journal = MemoryJournal()
    async with httpx.AsyncClient(transport=httpx.MockTransport(gateway)) as transport:
        client = AsyncNebulaVideoClient(api_key=KEY, http_async_client=transport, journal=journal)
        call = asyncio.create_task(client.generate(**ASK))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert journal.entries() == []


def test_ctrl_c_in_mid_submit_leaves_an_unconfirmed_entry() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    journal = MemoryJournal()
    with httpx.Client(transport=httpx.MockTransport(handle)) as transport:
        client = NebulaVideoClient(api_key=KEY, http_client=transport, journal=journal)
        with pytest.raises(KeyboardInterrupt):
            client.generate(**ASK)
    assert [e.state for e in journal.entries()] == [EntryState.UNCONFIRMED]


# --- every journal ---


class TestJournal(JournalContract):
    @pytest.fixture(params=["memory", "sqlite"])
    def journal(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
        made = MemoryJournal() if request.param == "memory" else SqlJournal(f"sqlite:///{tmp_path}/journal.db")
        yield made
        made.close()


def test_a_memory_journal_unpickled_elsewhere_begins_with_the_entries_it_had() -> None:
    journal = MemoryJournal()
    journal.reserve(entry(key="a"), None)
    pickled = pickle.dumps(journal)
    del journal
    assert pickle.loads(pickled).find(key="a") == entry(key="a")


# --- a journal in memory does not grow ---


DONE: dict[str, Any] = {
    "state": EntryState.SUCCEEDED,
    "task_id": "t",
    "billed_usd": Decimal("0.369"),
    "scopes": ("run",),
}


@pytest.mark.parametrize("unpickled", [False, True])
def test_what_is_of_no_more_use_goes_from_memory_and_its_cost_stays(unpickled: bool) -> None:
    journal = MemoryJournal()
    journal.reserve(entry(id="1", **DONE), None)
    tomorrow = MOMENT + timedelta(days=1)
    journal.reserve(entry(id="2", created_at=tomorrow, scopes=("run",)), None)
    if unpickled:
        pickled = pickle.dumps(journal)
        del journal
        journal = pickle.loads(pickled)
    assert [found.id for found in journal.entries()] == ["2"]
    assert journal.find(gateway="nebula", task_id="t") is None
    for scope in (None, "run"):
        assert journal.spent(scope=scope) == Decimal("0.738")
        assert journal.spent(MOMENT - timedelta(microseconds=1), scope=scope) == Decimal("0.738")
        assert journal.spent(MOMENT, scope=scope) == Decimal("0.369")
    with pytest.raises(BudgetExceededError):
        journal.reserve(entry(id="3", created_at=tomorrow), Budget("1"))


@each_row(
    "fields",
    [
        {"key": "a"}, {"abandoned": True}, {"holder": "b", "held_until": LATER}, {"state": EntryState.RUNNING},
        {"state": EntryState.UNCONFIRMED}, {"model": "viduq3p-720p-offpeak"},
    ],
)  # fmt: skip
def test_what_may_still_be_of_use_stays_in_memory(fields: dict[str, Any]) -> None:
    journal = MemoryJournal()
    first = journal.reserve(entry(id="1", **{**DONE, **fields}), None)
    journal.reserve(entry(id="2", created_at=MOMENT + timedelta(days=1)), None)
    assert journal.find(gateway="nebula", task_id="t") == first


def test_an_adopted_key_keeps_its_entry_in_memory() -> None:
    journal = MemoryJournal()
    journal.reserve(entry(id="1", **{**DONE, "abandoned": True}), None)
    assert journal.reserve(entry(id="2", key="b"), None, repeats=Repeats()).id == "1"
    journal.reserve(entry(id="3", created_at=MOMENT + timedelta(days=1)), None)
    assert journal.reserve(entry(id="4", key="b", created_at=MOMENT + timedelta(days=9)), None).id == "1"


# --- cancelling many ---


async def test_cancelled_while_others_submit_nothing_is_sent_or_reserved() -> None:
    answer, full = asyncio.Event(), asyncio.Event()
    posts = 0

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal posts
        posts += 1
        if posts == 4:
            full.set()
        await answer.wait()
        return httpx.Response(200, json=submitted(f"task-{posts}"))

    journal = MemoryJournal()
    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as transport:
        client = AsyncNebulaVideoClient(api_key=KEY, http_async_client=transport, journal=journal)
        calls = [asyncio.create_task(client.submit(**ASK)) for _ in range(10)]
        await asyncio.wait_for(full.wait(), 10)
        for call in calls:
            call.cancel()
        await asyncio.sleep(0.05)
        answer.set()
        await asyncio.gather(*calls, return_exceptions=True)
    assert posts == 4
    assert [found.state for found in journal.entries()] == [EntryState.SUBMITTED] * 4


async def test_a_task_of_another_gateway_is_not_asked_for_here(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client()
    task = await settle(client.submit(**ASK))
    asked = len(gateway.requests)
    with pytest.raises(InvalidRequestError, match="Use a client with gateway='other'"):
        await settle(client.wait(task.model_copy(update={"gateway": "other"})))
    assert len(gateway.requests) == asked
