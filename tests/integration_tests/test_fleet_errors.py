"""What becomes of items when something goes wrong: nothing lost, nothing twice, and each fault visible in `status`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, ItemState
from langchain_nebula_video.saving import trial
from tests.fleets import (
    QUICK,
    all_results,
    asks,
    assert_counts_hold,
    batch_status,
    items_of,
    query,
    submits_of,
    until,
    working,
)
from tests.gateways import HurriedClock

PRICE = Decimal("0.1845")
SHORT = replace(
    QUICK,
    delays=(timedelta(seconds=0.1), timedelta(seconds=0.4)),
    pauses=(timedelta(seconds=0.2), timedelta(seconds=0.8)),
)
"""Seconds stand for minutes."""


@pytest.fixture(autouse=True)
def _counts_hold(fleet_url: str) -> Iterator[None]:
    """After each of these tests the counts are those of the items."""
    yield
    assert_counts_hold(fleet_url)


def once_each(emulator: Emulator, count: int) -> bool:
    return submits_of(emulator) == {f"Take {number}": 1 for number in range(1, count + 1)}


# --- about the account ---


async def test_an_hour_of_429_loses_nothing_pays_nothing_twice_and_is_seen(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.faults.add("submit", "status", code=429, times=None)
    await fleet.submit_many(asks(30), batch="a", refusal_timeout=10, **fleet_options)
    worker: dict[str, Any] = {"concurrency": 8, "timing": SHORT, "options": {"clock": HurriedClock()}}
    async with working(fleet_url, **worker), working(fleet_url, **worker):

        async def paused_again_and_again() -> bool:
            (account,) = (await fleet.status()).accounts
            return account.refusals >= 5 and account.paused_until is not None

        await until(paused_again_and_again, "a row of pauses")
        status = await fleet.status()
        (account,), (batch,) = status.accounts, status.batches
        assert "429" in (account.reason or "")
        assert not account.needs_a_person
        assert status.stalled == (batch,)
        assert (batch.spent, batch.ended) == (Decimal(0), 0)
        assert all(item["errors"] == 0 for item in items_of(fleet_url, "a"))
        assert not emulator.tasks

        emulator.faults.clear()
        results = await all_results(fleet, "a")
        assert {result.state for result in results} == {ItemState.DONE}
        assert once_each(emulator, 30)
        assert emulator.bill.usd == 30 * PRICE

        async def well_again() -> bool:
            (account,) = (await fleet.status()).accounts
            return (account.refusals, account.reason, account.paused_until) == (0, None, None)

        await until(well_again, "an account without refusals")


async def test_pauses_grow_and_a_moment_that_the_gateway_names_counts_more(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.faults.add("submit", "status", code=429, retry_after=1800, times=1)
    await fleet.submit_many(asks(1), batch="a", **fleet_options)
    async with working(fleet_url, timing=SHORT):

        async def paused() -> Any:
            (account,) = (await fleet.status()).accounts
            return account.paused_until

        until_when = await until(paused, "a pause")
        seconds = (until_when - (await fleet.status()).at).total_seconds()
        assert 1000 < seconds <= 1800
        (item,) = items_of(fleet_url, "a")
        assert (item["state"], item["errors"], item["reserved"]) == ("waiting", 0, False)
        assert "Nothing was spent." in item["error"]
    assert not emulator.tasks


async def test_a_key_that_is_taken_back_stops_its_account_until_a_person_has_another(
    fleet: Fleet,
    fleet_url: str,
    fleet_options: dict[str, Any],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fleet.submit_many(asks(12), batch="a", **fleet_options)
    emulator.faults.add("submit", "status", code=401, after=4, times=None)
    async with working(fleet_url, concurrency=4, timing=SHORT):

        async def stopped() -> bool:
            (account,) = (await fleet.status()).accounts
            return account.needs_a_person

        await until(stopped, "an account that needs a person")

        async def quiet() -> bool:
            status = await batch_status(fleet, "a")
            return status.counts == {ItemState.DONE: 4, ItemState.WAITING: 8}

        await until(quiet, "eight items that wait")
        status = await fleet.status()
        assert "AuthenticationError" in (status.accounts[0].reason or "")
        assert [batch.name for batch in status.stalled] == ["a"]
        assert not status.errors, "no item has failed for it"
        posts = sum(request.method == "POST" for request in emulator.requests)
        assert posts <= 4 + 4 + 4, "those that were under way, and no more"

    emulator.faults.clear()
    emulator.add_account("sk-another", balance=100)
    monkeypatch.setenv("NEBULA_API_KEY", "sk-another")
    await fleet.replace_key(status.accounts[0].id)
    async with working(fleet_url, timing=SHORT):
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.DONE}
    assert once_each(emulator, 12)


async def test_after_the_balance_is_raised_a_person_resumes_the_account(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.faults.add("submit", "gateway_error", name="quota_not_enough", times=None)
    await fleet.submit_many(asks(5), batch="a", **fleet_options)
    async with working(fleet_url, timing=SHORT):

        async def stopped() -> bool:
            (account,) = (await fleet.status()).accounts
            return account.needs_a_person and "QuotaError" in (account.reason or "")

        await until(stopped, "an account that needs a person")
        emulator.faults.clear()
        (mark,) = query(fleet_url, "SELECT id FROM nebula_fleet_accounts")[0]
        await fleet.change_account(mark, paused=False)
        await all_results(fleet, "a")
    assert once_each(emulator, 5)


async def test_a_gateway_that_is_away_is_waited_for_and_no_item_fails(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_nebula_video.fleet.worker import FleetWorker  # noqa: F401

    with Emulator(speed=20_000) as first:
        port = int(first.url.rpartition(":")[2])
        options = {**fleet_options, "base_url": first.url, "api_key": first.api_key}
        await fleet.submit_many(asks(6), batch="a", refusal_timeout=0.3, **options)
    async with working(fleet_url, timing=SHORT):

        async def paused() -> bool:
            (account,) = (await fleet.status()).accounts
            return account.refusals >= 2 and "NotSentError" in (account.reason or "")

        await until(paused, "pauses of the account")
        assert all(item["state"] != "failed" and item["errors"] == 0 for item in items_of(fleet_url, "a"))
        with Emulator(speed=20_000, port=port) as second:
            await all_results(fleet, "a")
            assert once_each(second, 6)


async def test_a_machine_that_cannot_reach_the_gateway_does_not_stop_the_others(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    await fleet.submit_many(asks(40), batch="a", **fleet_options)
    emulator.speed = 200
    unreachable = "SELECT 1 FROM nebula_fleet_items WHERE error LIKE 'NotSentError%%'"
    nowhere = httpx.AsyncClient(proxy="http://127.0.0.1:9")
    options = {"http_async_client": nowhere, "clock": HurriedClock()}
    async with nowhere, working(fleet_url, timing=SHORT, concurrency=2):
        await until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_workers WHERE per_minute > 0"), "a video")
        async with working(fleet_url, timing=SHORT, concurrency=4, options=options):
            await until(lambda: query(fleet_url, unreachable), "an item that could not be sent")
            emulator.speed = 20_000
            results = await all_results(fleet, "a")
            (account,) = (await fleet.status()).accounts
            assert account.refusals == 0
    assert {result.state for result in results} == {ItemState.DONE}
    assert once_each(emulator, 40)


async def test_a_journal_that_does_not_work_delays_items_and_pays_for_nothing(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    async with working(fleet_url, timing=SHORT):
        query(fleet_url, "ALTER TABLE nebula_entries RENAME COLUMN holder TO who_has_it")
        await fleet.submit_many(asks(4), batch="a", **fleet_options)

        async def delayed() -> bool:
            return all("JournalError" in (item["error"] or "") for item in items_of(fleet_url, "a"))

        await until(delayed, "an error of each item")
        assert all("Nothing was sent" in item["error"] for item in items_of(fleet_url, "a"))
        assert not emulator.tasks
        query(fleet_url, "ALTER TABLE nebula_entries RENAME COLUMN who_has_it TO holder")
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.DONE}
    assert all(item["errors"] == 0 for item in items_of(fleet_url, "a"))
    assert once_each(emulator, 4)


# --- about one item ---


async def test_an_unconfirmed_submit_stays_until_a_person_decides_and_stands_first_in_status(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.faults.add("submit", "reset_after", times=1)
    rows = [*asks(3), {**asks(1)[0], "prompt": "forbidden"}]
    await fleet.submit_many(rows, batch="a", **fleet_options)
    async with working(fleet_url, concurrency=1, timing=SHORT):
        results = await all_results(fleet, "a")
        states = [result.state for result in results]
        assert sorted(states) == ["done", "done", "failed", "unconfirmed"]
        lost = next(result for result in results if result.state is ItemState.UNCONFIRMED)
        assert "Money may have been spent" in (lost.error or "")

        status = await fleet.status("a")
        assert [error.state for error in status.errors] == [ItemState.UNCONFIRMED, ItemState.FAILED]
        assert status.errors[0].key == lost.key
        (batch,) = status.batches
        assert (batch.maybe_spent, batch.spent) == (PRICE, 2 * PRICE)
        assert (lost.usd, sum(result.usd for result in results)) == (PRICE, 3 * PRICE)

        posts = sum(request.method == "POST" for request in emulator.requests)
        assert await fleet.retry("a") == 1, "only what has failed"
        await all_results(fleet, "a")
        assert await fleet.retry("a", [ItemState.UNCONFIRMED]) == 1
        (again,) = [r for r in await all_results(fleet, "a") if r.key == lost.key]
        assert again.state is ItemState.UNCONFIRMED, "its journal knows no more than before"
    assert sum(request.method == "POST" for request in emulator.requests) == posts + 1, "the forbidden one alone"
    assert max(submits_of(emulator).values()) == 1


async def test_a_refused_item_fails_at_once_gives_its_money_back_and_stops_nothing(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    prompts = ["A cat", "forbidden", "[moderated] A cat", "[fail] A cat", "A dog"]
    await fleet.submit_many([{**asks(1)[0], "prompt": each} for each in prompts], batch="a", **fleet_options)
    async with working(fleet_url, timing=SHORT):
        results = await all_results(fleet, "a")
    assert [result.state for result in results] == ["done", "failed", "failed", "failed", "done"]
    kinds = [(result.error or "").partition(":")[0] for result in results]
    assert kinds == ["", "ModerationError", "TaskFailedError", "TaskFailedError", ""]
    assert all("Nothing was spent" in (result.error or "") for result in results[1:4])
    status = await batch_status(fleet, "a")
    assert (status.spent, status.reserved, status.maybe_spent) == (2 * PRICE, Decimal(0), Decimal(0))
    assert emulator.bill.usd == status.spent
    assert [result.usd for result in results] == [PRICE, 0, 0, 0, PRICE]
    assert all(account.paused_until is None for account in (await fleet.status()).accounts)


async def test_what_failed_for_nothing_is_made_anew_and_what_may_be_paid_is_taken_up(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    """The one gets another key of the journal: under its own, the journal has the task that failed."""
    emulator.faults.add("submit", "answer", code=400, times=1, accepted=False, body={"code": "odd", "message": "no"})
    emulator.faults.add("download", "status", code=500, times=None)
    rows = [{**asks(1)[0], "prompt": "[fail] A cat"}, *asks(1)]
    timing = replace(SHORT, delays=(timedelta(0), timedelta(0)))
    with mock.patch.dict("langchain_nebula_video.fleet.states.VERDICTS", _impatient()):
        await fleet.submit_many(rows, batch="a", save_to=str(tmp_path), **fleet_options)
        async with working(fleet_url, timing=timing):
            results = await all_results(fleet, "a")
            assert [result.state for result in results] == ["failed", "failed"]
            assert "DownloadError" in (results[1].error or "")
            assert "Money was spent: the video is paid for." in (results[1].error or "")
            free, paid = items_of(fleet_url, "a")
            assert (free["reserved"], paid["reserved"]) == (False, True)
            assert (await batch_status(fleet, "a")).spent == PRICE, "what is paid for is not forgotten"

            emulator.faults.clear()
            assert await fleet.retry("a") == 2
            results = await all_results(fleet, "a")
    assert [result.state for result in results] == ["failed", "done"]
    assert submits_of(emulator) == {"[fail] A cat": 2, "Take 1": 1}
    assert len(list(tmp_path.iterdir())) == 1
    keys = {key for (key,) in query(fleet_url, "SELECT key FROM nebula_entries")}
    assert len(keys) == 3


def _impatient() -> dict[Any, Any]:
    """The table of verdicts, but for that everything fails at its second error."""
    from langchain_nebula_video.fleet.states import VERDICTS

    return {kind: replace(each, most=2) for kind, each in VERDICTS.items() if each.most}


async def test_an_error_that_passes_delays_its_item_and_counts(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.faults.add("submit", "status", code=418, times=3)
    await fleet.submit_many(asks(1), batch="a", **fleet_options)
    async with working(fleet_url, timing=SHORT):
        await all_results(fleet, "a")
    (item,) = items_of(fleet_url, "a")
    assert (item["state"], item["errors"], item["error"]) == ("done", 3, None)
    assert once_each(emulator, 1)


async def test_a_task_that_takes_longer_than_its_time_is_taken_up_and_paid_once(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    emulator.speed = 30
    await fleet.submit_many(asks(3), batch="a", timeout=1, **fleet_options)
    async with working(fleet_url, timing=SHORT):

        async def timed_out() -> bool:
            return any("TaskTimeoutError" in (item["error"] or "") for item in items_of(fleet_url, "a"))

        await until(timed_out, "a timeout")
        emulator.speed = 20_000
        await all_results(fleet, "a")
    assert once_each(emulator, 3)
    assert emulator.bill.usd == 3 * PRICE


# --- where videos are saved ---


@contextmanager
def full_disk() -> Iterator[None]:
    """A disk with no room, as the operating system tells it."""
    trial._outcomes.clear()
    usage = shutil.disk_usage("/")
    with mock.patch.object(shutil, "disk_usage", return_value=usage._replace(free=1000)):
        yield


async def test_a_full_disk_pays_for_nothing_holds_its_batch_and_is_seen(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    await fleet.submit_many(asks(2), batch="full", save_to=str(tmp_path / "full"), **fleet_options)
    await fleet.submit_many(asks(3, seed=2), batch="elsewhere", **fleet_options)
    with full_disk():
        async with working(fleet_url, timing=SHORT):
            await all_results(fleet, "elsewhere")

            async def held() -> bool:
                return "SetupError" in ((await batch_status(fleet, "full")).reason or "")

            await until(held, "a reason in status")
            status = await batch_status(fleet, "full")
            assert "MB are free" in (status.reason or "")
            assert not status.ended
            assert len(emulator.tasks) == 3
    async with working(fleet_url, timing=SHORT):
        results = await all_results(fleet, "full")
    assert {result.state for result in results} == {ItemState.DONE}
    assert len(list((tmp_path / "full").iterdir())) == 2
    assert (await batch_status(fleet, "full")).reason is None
    assert emulator.bill.usd == 5 * PRICE


async def test_a_video_that_cannot_be_saved_is_paid_once_and_saved_later(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("download", "status", code=500, times=None)
    await fleet.submit_many(asks(2), batch="a", save_to=str(tmp_path), **fleet_options)
    async with working(fleet_url, timing=SHORT):

        async def all_delayed() -> bool:
            items = items_of(fleet_url, "a")
            return all(item["errors"] > 0 for item in items)

        await until(all_delayed, "errors of all three")
        assert all(item["reserved"] and item["state"] != "failed" for item in items_of(fleet_url, "a"))
        emulator.faults.clear()
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.DONE}
    assert len(list(tmp_path.glob("*.mp4"))) == 2
    assert once_each(emulator, 2)


# --- the journal's budget ---


async def test_the_budget_of_the_workers_holds_over_all_batches_and_what_waits_goes_on_when_it_is_raised(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    await fleet.submit_many(asks(4), batch="a", **fleet_options)
    await fleet.submit_many(asks(4, seed=2), batch="b", **fleet_options)
    async with working(fleet_url, timing=SHORT, budget=5 * PRICE):

        async def stands() -> bool:
            reasons = [batch.reason or "" for batch in (await fleet.status()).batches if batch.left]
            return emulator.bill.usd == 5 * PRICE and all("BudgetExceededError" in reason for reason in reasons)

        await until(stands, "a budget that is spent")
        assert all(not item["errors"] for name in "ab" for item in items_of(fleet_url, name))
    async with working(fleet_url, timing=SHORT, budget=100):
        for name in "ab":
            await all_results(fleet, name)
    assert emulator.bill.usd == 8 * PRICE
