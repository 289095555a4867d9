"""Comparing the journal with the key's log: whose a task is, and what it has really cost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.schema import Reconciliation
from tests.conftest import KEY, MOCKED, FakeClock, settle
from tests.key_logs import ASK, PROMPT, Account, Logged

Make = Callable[..., Any]
OTHER = {**ASK, "prompt": "The dog runs"}


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def account(clock: FakeClock) -> Account:
    return Account(clock)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, account: Account, clock: FakeClock, journal: MemoryJournal) -> Make:
    def make(**options: Any) -> Any:
        settings: dict[str, Any] = {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "journal": journal,
            **options,
        }
        transport = httpx.MockTransport(account)
        if request.param == "sync":
            return NebulaVideoClient(http_client=httpx.Client(transport=transport), **settings)
        return AsyncNebulaVideoClient(http_async_client=httpx.AsyncClient(transport=transport), **settings)

    return make


async def lose(client: Any, ask: dict[str, Any] | None = None, **options: Any) -> None:
    """Submit, and get no answer."""
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.submit(ask or ASK, **options))


async def reconcile(client: Any, **options: Any) -> Reconciliation:
    settled: Reconciliation = await settle(client.reconcile(**{"key_in_address": True, **options}))
    return settled


def states(journal: MemoryJournal) -> list[EntryState]:
    return [entry.state for entry in journal.entries()]


# --- whose a task is ---


async def test_the_only_task_with_the_prompt_is_the_lost_one_if_nobody_else_submits_here(
    make: Make, account: Account, journal: MemoryJournal
) -> None:
    client = make(sole_account=True)
    await lose(client, key="order-17")
    account.tasks = {"theirs": Logged("The dog runs"), "mine": Logged(PROMPT)}
    settled = await reconcile(client)
    (task,) = settled.found
    assert (task.task_id, task.key, task.status.value) == ("mine", "order-17", "succeeded")
    assert (settled.open, states(journal)) == ((), [EntryState.SUCCEEDED])
    video = await settle(client.generate(ASK, key="order-17"))
    assert (video.task_id, account.posts) == ("mine", 1)


async def test_the_video_of_a_call_that_ended_days_ago_is_not_taken_for_the_one_that_was_lost_beside_it(
    make: Make, account: Account, clock: FakeClock
) -> None:
    client, account.lost = make(sole_account=True), 0
    task = await settle(client.submit(ASK))
    account.lost = 2
    await lose(client, key="never-accepted")
    await settle(client.wait(task))
    clock.now += 3 * 86_400
    await settle(client.generate(OTHER))
    settled = await reconcile(client)
    assert ([task.task_id for task in settled.found], len(settled.open)) == ([], 1)


async def test_without_that_declaration_a_person_decides(make: Make, account: Account, journal: MemoryJournal) -> None:
    client = make()
    await lose(client)
    account.tasks = {"theirs": Logged("The dog runs"), "mine": Logged(PROMPT)}
    settled = await reconcile(client)
    (lost,) = settled.open
    assert (settled.found, lost.candidates, lost.reserved_usd) == ((), ("mine",), Decimal("0.1845"))
    assert states(journal) == [EntryState.UNCONFIRMED]
    taken = await reconcile(client, take=["mine"])
    assert [task.task_id for task in taken.found] == ["mine"]
    assert (taken.open, states(journal)) == ((), [EntryState.SUCCEEDED])


@pytest.mark.parametrize(
    ("tasks", "found"),
    [
        ({"a": Logged(None)}, "a"),
        ({"a": Logged(None), "owned": Logged(None, made=900.0)}, "a"),
        ({"a": Logged(None, model="wan2.5-i2v-preview-2026")}, "a"),
        ({"a": Logged(None), "b": Logged(None)}, None),
        ({"a": Logged(None), "b": Logged(f"{PROMPT}!")}, None),
        ({"a": Logged(None, seconds=10)}, None),
        ({"a": Logged(None, lines=720)}, None),
        ({"a": Logged(None, model="wan2.2-i2v-flash")}, None),
        ({"a": Logged(None, made=500.0)}, None),
        ({"a": Logged(None, made=3000.0)}, None),
        ({"a": Logged(None, took=30 * 3600.0)}, None),
        ({"a": Logged(None, took=3000.0, dated=False)}, None),
        ({"a": Logged(None, took=100.0, dated=False)}, "a"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
async def test_a_task_that_tells_no_prompt_is_taken_only_if_all_its_figures_fit_and_no_other_does(
    make: Make, account: Account, journal: MemoryJournal, tasks: dict[str, Logged], found: str | None
) -> None:
    client = make(sole_account=True)
    await lose(client)
    account.tasks = tasks
    settled = await reconcile(client)
    assert [task.task_id for task in settled.found] == ([] if found is None else [found])
    assert states(journal) == [EntryState.UNCONFIRMED if found is None else EntryState.SUCCEEDED]


async def test_two_lost_submits_of_one_moment_with_the_same_figures_stay_open(
    make: Make, account: Account, journal: MemoryJournal
) -> None:
    account.lost = 2
    client = make(sole_account=True)
    await lose(client)
    await lose(client, OTHER)
    account.tasks = {"one": Logged(None)}
    settled = await reconcile(client)
    assert (settled.found, [lost.candidates for lost in settled.open]) == ((), [("one",), ("one",)])
    account.tasks = {"one": Logged(PROMPT), "two": Logged("The dog runs")}  # as the gateway's code has it
    settled = await reconcile(make(sole_account=True))
    assert sorted(task.task_id for task in settled.found) == ["one", "two"]
    assert {entry.request["prompt"]: entry.task_id for entry in journal.entries()} == {
        PROMPT: "one",
        "The dog runs": "two",
    }


async def test_a_task_that_the_journal_has_is_nobody_elses(make: Make, account: Account) -> None:
    client = make(sole_account=True)
    await lose(client)
    video = await settle(client.generate(ASK, key="another"))
    assert video.task_id == "own-2"
    settled = await reconcile(client)
    assert (settled.found, settled.open[0].candidates) == ((), ())


async def test_a_submit_that_is_not_in_the_log_stays_open_for_ever(
    make: Make, account: Account, journal: MemoryJournal, clock: FakeClock
) -> None:
    """It may be under way, and a failed task is not in the log either."""
    client = make(sole_account=True)
    await lose(client)
    account.tasks = {"theirs": Logged("The dog runs", made=1.0)}
    for wait in (0.0, 3600.0, 30 * 86400.0):
        clock.sleep(wait)
        account.tasks["theirs"].made = clock.now
        (lost,) = (await reconcile(client)).open
        assert (lost.candidates, lost.reason) == (
            (),
            "The key's log has no video of that moment: nothing was charged for it so far.",
        )
    assert states(journal) == [EntryState.UNCONFIRMED]


async def test_the_submit_of_another_key_is_not_looked_for_in_this_ones_log(make: Make, account: Account) -> None:
    await lose(make(api_key="sk-another-0123456789abcdef"))
    account.tasks = {"mine": Logged(PROMPT)}
    settled = await reconcile(make(sole_account=True))
    (lost,) = settled.open
    assert (settled.found, lost.candidates) == ((), ())
    assert "another key or address" in lost.reason


async def test_a_submit_that_a_living_call_works_on_is_left_alone(
    make: Make, account: Account, journal: MemoryJournal, clock: FakeClock
) -> None:
    client = make(sole_account=True)
    await lose(client)
    account.tasks = {"mine": Logged(PROMPT)}
    (entry,) = journal.entries()
    now = clock.utcnow()
    journal.hold(entry.id, holder="somebody", now=now, until=now + timedelta(seconds=60))
    assert await reconcile(client) == Reconciliation(found=(), billed=(), open=(), group_ratio=Decimal(1))
    clock.sleep(61)
    assert [task.task_id for task in (await reconcile(client)).found] == ["mine"]


# --- what a person takes ---


async def test_a_task_that_fits_no_lost_submit_cannot_be_taken(make: Make, account: Account) -> None:
    client = make()
    await lose(client)
    account.tasks = {"theirs": Logged("A coast at dawn, seen from above")}
    with pytest.raises(InvalidRequestError, match="No lost submit of this journal can have made task theirs"):
        await reconcile(client, take=["theirs"])


async def test_a_task_that_the_journal_has_cannot_be_taken(make: Make, account: Account) -> None:
    account.lost = 0
    client = make()
    task = await settle(client.submit(ASK))
    with pytest.raises(InvalidRequestError, match="The journal has task own-1 already"):
        await reconcile(client, take=[task.task_id])


async def test_a_task_that_fits_two_different_lost_submits_cannot_be_taken(make: Make, account: Account) -> None:
    account.lost = 2
    client = make()
    await lose(client)
    await lose(client, OTHER)
    account.tasks = {"one": Logged(None)}
    with pytest.raises(InvalidRequestError, match="Task one fits several lost submits"):
        await reconcile(client, take=["one"])


async def test_of_two_equal_lost_submits_the_older_one_takes_it(
    make: Make, account: Account, journal: MemoryJournal
) -> None:
    account.lost = 2
    client = make()
    await lose(client, key="first")
    await lose(client, key="second")
    account.tasks = {"one": Logged(PROMPT)}
    (task,) = (await reconcile(client, take=["one"])).found
    assert task.key == "first"
    assert states(journal) == [EntryState.SUCCEEDED, EntryState.UNCONFIRMED]


# --- bills ---


async def test_the_true_bill_replaces_the_estimate_and_tells_the_group_ratio(
    make: Make, account: Account, journal: MemoryJournal
) -> None:
    account.lost = 0
    client = make()
    video = await settle(client.generate(ASK))
    assert (video.cost.usd, video.cost.basis) == (Decimal("0.1845"), "estimated")
    account.tasks["own-1"] = replace(account.tasks["own-1"], quota=73_800, ratio=0.8)
    settled = await reconcile(client)
    (task,) = settled.billed
    assert (task.task_id, task.cost.usd, task.cost.basis) == ("own-1", Decimal("0.1476"), "billed")
    assert (task.cost.price_per_second, task.cost.group_ratio) == (Decimal("0.0369"), Decimal("0.8"))
    assert settled.group_ratio == Decimal("0.8")
    assert journal.spent() == Decimal("0.1476")
    assert (await reconcile(client)).billed == ()


@pytest.mark.parametrize("ratio", [None, "1", "0.8"])
async def test_a_bill_from_the_log_is_not_replaced_by_a_product(
    make: Make, account: Account, journal: MemoryJournal, ratio: str | None
) -> None:
    account.lost = 0
    client = make(group_ratio=ratio)
    await settle(client.generate(ASK))
    account.tasks["own-1"] = replace(account.tasks["own-1"], quota=61_500, ratio=0.66)
    await reconcile(client)
    assert journal.spent() == Decimal("0.123")
    video = await settle(client.wait("own-1"))
    task = await settle(client.fetch("own-1"))
    assert (video.cost.usd, task.cost.usd, task.cost.basis) == (Decimal("0.123"), Decimal("0.123"), "billed")
    assert journal.spent() == Decimal("0.123")


async def test_a_task_that_nobody_waited_for_is_looked_at_and_billed(
    make: Make, account: Account, journal: MemoryJournal
) -> None:
    account.lost = 0
    client = make()
    await settle(client.submit(ASK))
    (task,) = (await reconcile(client)).billed
    assert (task.status.value, task.cost.basis) == ("succeeded", "billed")
    (entry,) = journal.entries()
    assert (entry.state, entry.billed_usd) == (EntryState.SUCCEEDED, Decimal("0.1845"))


async def test_a_bill_that_comes_before_its_video_is_reserved_and_not_lost(
    make: Make, account: Account, journal: MemoryJournal
) -> None:
    """The look at the task fails, so the journal has no video that the bill could stand in."""
    account.lost = 0
    client = make()
    await settle(client.submit(ASK))
    account.tasks["own-1"] = replace(account.tasks["own-1"], quota=184_500, ratio=2)
    account.hidden = True
    assert (await reconcile(client)).billed == ()
    assert journal.spent() == Decimal("0.369")
    account.hidden = False
    (task,) = (await reconcile(client)).billed
    assert (task.cost.usd, task.cost.basis, journal.spent()) == (Decimal("0.369"), "billed", Decimal("0.369"))


async def test_a_task_that_was_charged_twice_costs_twice_and_is_logged(
    make: Make, account: Account, journal: MemoryJournal, caplog: pytest.LogCaptureFixture
) -> None:
    account.lost = 0
    client = make()
    await settle(client.generate(ASK))
    account.tasks["own-1"] = replace(account.tasks["own-1"], charges=2)
    await reconcile(client)
    assert journal.spent() == Decimal("0.369")
    assert "task own-1 was charged 2 times" in caplog.text


# --- the key ---


async def test_the_key_goes_into_an_address_only_if_allowed_and_never_into_a_log(
    make: Make, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    client = make()
    with pytest.raises(InvalidRequestError, match="the gateway has not read the key") as caught:
        await reconcile(client, key_in_address=False)
    assert "Nothing was spent." in str(caught.value)
    assert not any("key" in request.url.params for request in account.requests)
    with caplog.at_level(logging.DEBUG):
        await reconcile(client)
    (asked,) = [request for request in account.requests if "key" in request.url.params]
    assert (asked.url.params["key"], "authorization" in asked.headers) == (KEY, False)
    assert KEY not in caplog.text
    assert "/api/log/token?[redacted]" in caplog.text


async def test_a_gateway_that_reads_the_header_gets_no_key_in_an_address(make: Make, account: Account) -> None:
    account.reads_header = True
    account.tasks = {"theirs": Logged()}
    assert (await reconcile(make())).group_ratio == 1
    assert not any("key" in request.url.params for request in account.requests)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"success": False, "message": "record not found"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(401, json={"error": {"message": "无效的令牌"}}),
    ],
    ids=["refused", "a page", "no key"],
)
async def test_a_log_that_cannot_be_read_changes_nothing(
    make: Make, account: Account, journal: MemoryJournal, answer: httpx.Response
) -> None:
    client = make()
    await lose(client)
    account.log = answer
    with pytest.raises(RequestError):
        await reconcile(client)
    assert states(journal) == [EntryState.UNCONFIRMED]


async def test_a_gateway_without_such_a_log_says_so(make: Make) -> None:
    client = make(gateway="dashscope", api_key=KEY)
    with pytest.raises(InvalidRequestError, match="'dashscope' documents no log of a key") as caught:
        await reconcile(client)
    assert "resume() settles what the gateway lists" in caught.value.hint
