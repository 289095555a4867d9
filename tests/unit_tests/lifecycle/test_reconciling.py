"""A submit whose answer was lost, at a gateway that lists its tasks: found, proved absent, or left to a person."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    NotSentError,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.journal import Entry, EntryState
from tests.conftest import KEY, FakeClock, settle
from tests.lost_submits import ASK, PROMPT, Account, Listed

Make = Callable[..., Any]


@pytest.fixture
def account(clock: FakeClock) -> Account:
    return Account(clock)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, account: Account, clock: FakeClock) -> Make:
    def client(**options: Any) -> Any:
        settings: dict[str, Any] = {"gateway": "dashscope", "api_key": KEY, "clock": clock, "sole_account": True}
        settings |= options
        transport = httpx.MockTransport(account)
        if request.param == "sync":
            return NebulaVideoClient(http_client=httpx.Client(transport=transport), **settings)
        return AsyncNebulaVideoClient(http_async_client=httpx.AsyncClient(transport=transport), **settings)

    return client


# Where a test walks the rows of a rule, one client is enough: both run the same reconciler.
one_client = pytest.mark.parametrize("make", ["sync"], indirect=True)


async def test_the_one_task_with_the_prompt_is_the_lost_one(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(PROMPT), "t2": Listed("Somebody else's")}
    journal = MemoryJournal()
    video = await settle(make(journal=journal).generate(**ASK, key="k"))
    assert (video.task_id, account.posts) == ("t1", 1)
    (entry,) = journal.entries()
    assert (entry.state, entry.task_id, entry.key) == (EntryState.SUCCEEDED, "t1", "k")


async def test_a_task_that_tells_its_prompt_at_its_end_alone_is_waited_for(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(PROMPT, finishes_after=12)}
    assert (await settle(make().generate(**ASK))).task_id == "t1"
    assert account.posts == 1


async def test_two_tasks_with_the_prompt_are_left_to_a_person(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(PROMPT), "t2": Listed(PROMPT)}
    journal = MemoryJournal()
    with pytest.raises(SubmissionUnconfirmedError, match="t1, t2") as caught:
        await settle(make(journal=journal).generate(**ASK))
    assert "fetch(id)" in caught.value.hint
    assert caught.value.spent is None
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]
    assert account.posts == 1


async def test_a_task_that_a_row_of_the_journal_has_is_never_taken(make: Make, account: Account) -> None:
    """The same image twice: one submit is answered, the other one lost before it was accepted."""
    account.lost = 0
    client = make(journal=MemoryJournal())
    first = await settle(client.submit(**ASK, key="a"))
    account.lost = account.posts + 1
    with pytest.raises(RequestError, match="counts as not accepted"):
        await settle(client.generate(**ASK, key="b"))
    assert first.task_id == "own-1"


@pytest.mark.parametrize(
    "other",
    [
        Listed("Another prompt"),
        Listed(PROMPT, status="FAILED"),
        Listed(PROMPT, status="CANCELED"),
        Listed(PROMPT, model="wan2.2-i2v-flash"),
        Listed(PROMPT, made=1000.0 - 3600),
        Listed(PROMPT, made=1000.0 + 3600),
    ],
    ids=["prompt", "failed", "canceled", "model", "earlier", "later"],
)
@one_client
async def test_a_task_that_cannot_be_it_is_not_taken(make: Make, account: Account, other: Listed) -> None:
    account.tasks = {"t1": other}
    with pytest.raises(RequestError, match="counts as not accepted") as caught:
        await settle(make().generate(**ASK))
    assert not isinstance(caught.value, SubmissionUnconfirmedError)


async def test_where_there_is_none_once_no_server_can_hold_it_any_more_it_is_free_to_repeat(
    make: Make, account: Account, clock: FakeClock
) -> None:
    journal = MemoryJournal()
    client = make(journal=journal)
    begun = clock.now
    with pytest.raises(RequestError, match="counts as not accepted") as caught:
        await settle(client.generate(**ASK, key="k"))
    assert caught.value.spent is False
    assert 330 <= clock.now - begun < 350
    assert account.lists > 3
    assert journal.entries() == []
    video = await settle(client.generate(**ASK, key="k"))
    assert (video.task_id, account.posts) == ("own-2", 2)


async def test_a_task_that_comes_late_into_the_list_is_found(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(PROMPT, appears_after=4)}
    assert (await settle(make().generate(**ASK))).task_id == "t1"


@pytest.mark.parametrize("ahead", [-500.0, -90.0, 90.0, 500.0])
@one_client
async def test_a_wrong_clock_on_either_side_is_reckoned_with(make: Make, account: Account, ahead: float) -> None:
    account.ahead = ahead
    account.tasks = {"t1": Listed(PROMPT)}
    assert (await settle(make().generate(**ASK))).task_id == "t1"


@pytest.mark.parametrize("made", [1000.0 - 30, 1000.0 + 370])
@one_client
async def test_a_task_that_was_made_about_that_moment_is_not_taken_and_proves_nothing(
    make: Make, account: Account, made: float
) -> None:
    """The clock of the process that died in mid-submit may have been wrong, unlike that of the one that looks."""
    account.tasks = {"t1": Listed(PROMPT, made=made), "t2": Listed("Somebody else's", made=made)}
    with pytest.raises(SubmissionUnconfirmedError, match=r": t1\."):
        await settle(make().generate(**ASK))
    assert account.posts == 1


# --- what a caller is told ---


async def test_what_is_known_of_the_lost_submit_itself_is_told_too(make: Make, account: Account) -> None:
    account.answer = httpx.Response(502, headers={"X-Request-Id": "req-9"}, text="<html>bad gateway</html>")
    account.tasks = {"t1": Listed(PROMPT), "t2": Listed(PROMPT)}
    with pytest.raises(SubmissionUnconfirmedError, match=r"HTTP 502.*t1, t2") as caught:
        await settle(make().generate(**ASK))
    error = caught.value
    assert (error.status_code, error.request_id, error.body) == (502, "req-9", "<html>bad gateway</html>")
    assert "fetch(id)" in error.hint


async def test_the_time_that_a_submit_took_is_not_taken_from_the_search(
    make: Make, account: Account, clock: FakeClock
) -> None:
    account.takes = 100
    account.tasks = {"t1": Listed(PROMPT, made=1100.0, finishes_after=8)}
    assert (await settle(make().submit(**ASK))).task_id == "t1"
    assert clock.now - 1000 <= 160


async def test_whose_time_ends_while_another_call_submits_is_told_so(
    make: Make, account: Account, clock: FakeClock
) -> None:
    account.lost = 0
    await settle(make(journal=(first := MemoryJournal())).submit(**ASK, key="k"))
    (row,) = first.entries()
    journal = MemoryJournal()
    until = clock.utcnow() + timedelta(seconds=150)
    fields: dict[str, Any] = {
        "state": EntryState.SUBMITTING,
        "task_id": None,
        "holder": "elsewhere:1:x",
        "held_until": until,
    }
    journal.reserve(replace(row, id="other", **fields), None)
    client = make(journal=journal, timeout=20)
    begun = clock.now
    with pytest.raises(NotSentError, match=r"Another call has been submitting.*This call has sent nothing") as caught:
        await settle(client.generate(**ASK, key="k"))
    assert caught.value.spent is None
    assert "Repeat the same call" in caught.value.hint
    assert clock.now - begun < 25
    assert (account.posts, account.lists, len(journal.entries())) == (1, 0, 1)


async def test_cancelled_while_a_lost_submit_is_written_down_it_says_that_money_may_have_been_spent(
    account: Account, clock: FakeClock
) -> None:
    writing, go_on = threading.Event(), threading.Event()

    class Slow(MemoryJournal):
        blocking = True

        def update(self, entry_id: str, **changes: Any) -> Entry:
            if changes.get("state") is EntryState.UNCONFIRMED:
                writing.set()
                go_on.wait(10)
            return super().update(entry_id, **changes)

    journal = Slow()
    http = httpx.AsyncClient(transport=httpx.MockTransport(account))
    client = AsyncNebulaVideoClient(
        gateway="dashscope", api_key=KEY, clock=clock, journal=journal, http_async_client=http
    )
    call = asyncio.create_task(client.generate(**ASK))
    await asyncio.to_thread(writing.wait, 10)
    call.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await call
    assert "Money may have been spent" in "".join(caught.value.__notes__)
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]


# --- prompts, as a vendor may give them back ---


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("Caf\N{LATIN SMALL LETTER E WITH ACUTE}", "Cafe\N{COMBINING ACUTE ACCENT}"),
        ("A cat\n\nblinks ", " A  cat blinks"),
        ("A cat blinks. " * 100, "A cat blinks. " * 100),
    ],
    ids=["composed", "gaps", "long"],
)
@one_client
async def test_a_prompt_is_the_same_however_it_is_spelt(make: Make, account: Account, asked: str, told: str) -> None:
    account.tasks = {"t1": Listed(told)}
    assert (await settle(make().generate(**{**ASK, "prompt": asked}))).task_id == "t1"


LONG = "The cat on the red sofa opens its eyes, yawns, and looks into the camera while the light changes slowly"


@pytest.mark.parametrize(
    "told",
    [LONG[:60], LONG[:60] + "…", LONG + " in 4k", LONG.replace("red", "***"), LONG.replace(",", "\N{FULLWIDTH COMMA}")],
    ids=["cut", "cut with dots", "longer", "masked", "other commas"],
)
@one_client
async def test_a_prompt_that_the_vendor_may_have_changed_proves_nothing(
    make: Make, account: Account, told: str
) -> None:
    account.tasks = {"t1": Listed(told)}
    journal = MemoryJournal()
    with pytest.raises(SubmissionUnconfirmedError, match="t1"):
        await settle(make(journal=journal).generate(**{**ASK, "prompt": LONG}))
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]


async def test_a_prompt_like_it_does_not_hide_the_very_one(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(LONG[:60]), "t2": Listed(LONG)}
    assert (await settle(make().generate(**{**ASK, "prompt": LONG}))).task_id == "t2"


@pytest.mark.parametrize("figures", [{"duration": 10}, {"lines": 1080}], ids=["duration", "resolution"])
@one_client
async def test_a_task_with_other_figures_is_not_taken_and_proves_nothing(
    make: Make, account: Account, figures: dict[str, int]
) -> None:
    account.tasks = {"t1": Listed(PROMPT, **figures)}  # type: ignore[arg-type]
    with pytest.raises(SubmissionUnconfirmedError, match="t1"):
        await settle(make().generate(**ASK))
    account.tasks["t2"] = Listed(PROMPT)
    assert (await settle(make().generate(**ASK))).task_id == "own-2"


async def test_a_task_that_has_ended_and_tells_no_prompt_is_left_to_a_person_at_once(
    make: Make, account: Account, clock: FakeClock
) -> None:
    account.tasks = {"t1": Listed(None)}
    begun = clock.now
    with pytest.raises(SubmissionUnconfirmedError, match="t1"):
        await settle(make().generate(**ASK))
    assert clock.now - begun < 5


# --- siblings ---


def _sibling(state: EntryState, account: str | None, **fields: Any) -> Entry:
    moment = FakeClock().utcnow()
    request = {"prompt": PROMPT, "duration": 5, "resolution": "720p", "image": "url:https://example.com/dog.jpg"}
    return Entry(
        **{
            "id": "sibling", "gateway": "dashscope", "model": "wan2.5-i2v-preview", "request": request, "key": "s",
            "created_at": moment, "sent_at": moment, "state": state, "account": account, **fields,
        }
    )  # fmt: skip


async def test_two_lost_submits_with_one_prompt_do_not_take_each_others_task(make: Make, account: Account) -> None:
    """One image each, one prompt for both: the list cannot tell whose the one task is."""
    account.lost = 2
    account.list_status = 403
    journal = MemoryJournal()
    client = make(journal=journal)
    for key in ("a", "b"):
        with pytest.raises(SubmissionUnconfirmedError):
            await settle(client.submit(**{**ASK, "image": f"https://example.com/{key}.jpg"}, key=key))
    account.list_status = 200
    account.tasks = {"t1": Listed(PROMPT)}
    for key in ("a", "b"):
        with pytest.raises(SubmissionUnconfirmedError, match="t1"):
            await settle(client.submit(**{**ASK, "image": f"https://example.com/{key}.jpg"}, key=key))
    assert [entry.task_id for entry in journal.entries()] == [None, None]
    assert account.posts == 2


async def test_a_task_is_left_to_the_sibling_that_is_in_mid_submit_until_it_has_its_answer(
    make: Make, account: Account
) -> None:
    client = make(journal=(journal := MemoryJournal()))
    journal.reserve(_sibling(EntryState.SUBMITTING, client._lifecycle._context.account), None)
    account.tasks = {"t1": Listed(PROMPT), "t2": Listed(PROMPT, appears_after=3)}

    def answered() -> None:
        if account.lists == 3:
            journal.update("sibling", task_id="t1", state=EntryState.SUBMITTED)

    account.on_list = answered
    assert (await settle(client.generate(**ASK))).task_id == "t2"


async def test_while_a_sibling_stays_in_mid_submit_its_task_may_be_either(make: Make, account: Account) -> None:
    client = make(journal=(journal := MemoryJournal()), timeout=100)
    journal.reserve(_sibling(EntryState.SUBMITTING, client._lifecycle._context.account), None)
    account.tasks = {"t1": Listed(PROMPT)}
    with pytest.raises(SubmissionUnconfirmedError, match="t1"):
        await settle(client.generate(**ASK))


@pytest.mark.parametrize(
    "other",
    [
        {"request": {"prompt": "Another"}}, {"request": {"prompt": PROMPT, "resolution": "1080p"}},
        {"model": "wan2.2-i2v-plus"}, {"gateway": "dashscope-intl"}, {"account": "another"},
        {"state": EntryState.SUBMITTING, "sent_at": None},
        {"sent_at": FakeClock().utcnow() - timedelta(hours=1), "lost_at": FakeClock().utcnow() - timedelta(minutes=50)},
        {"sent_at": FakeClock().utcnow() + timedelta(hours=1)},
    ],
    ids=["prompt", "resolution", "model", "gateway", "account", "unsent", "earlier", "later"],
)  # fmt: skip
@one_client
async def test_a_submit_that_cannot_have_made_it_is_no_rival(
    make: Make, account: Account, other: dict[str, Any]
) -> None:
    client = make(journal=(journal := MemoryJournal()))
    mine = client._lifecycle._context.account
    journal.reserve(_sibling(**{"state": EntryState.UNCONFIRMED, "account": mine, **other}), None)
    account.tasks = {"t1": Listed(PROMPT)}
    assert (await settle(client.generate(**ASK))).task_id == "t1"


# --- lists that are not whole ---


@pytest.mark.parametrize(
    "page",
    [{"total": 3}, {"total": None}, {"total": 0}, {"data": [], "total": 1}, {"page_no": 7, "total": 101}],
    ids=["fewer rows", "no total", "more rows", "no rows", "always one page"],
)
@one_client
async def test_a_list_that_is_not_whole_proves_nothing(make: Make, account: Account, page: dict[str, Any]) -> None:
    account.tasks = {"t1": Listed("Somebody else's")}
    account.page = page
    journal = MemoryJournal()
    with pytest.raises(SubmissionUnconfirmedError) as caught:
        await settle(make(journal=journal).generate(**ASK))
    assert "list of tasks" in "".join(caught.value.__notes__)
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]


async def test_pages_may_be_of_any_size(make: Make, account: Account) -> None:
    account.size = 2
    account.tasks = {f"t{number}": Listed("Somebody else's") for number in range(6)} | {"t6": Listed(PROMPT)}
    assert (await settle(make().generate(**ASK))).task_id == "t6"


async def test_a_listed_task_of_another_model_is_not_taken(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(PROMPT, listed_as="wan2.2-i2v-flash")}
    with pytest.raises(RequestError, match="counts as not accepted"):
        await settle(make().generate(**ASK))


async def test_a_model_may_be_listed_with_its_date(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(PROMPT, listed_as="wan2.5-i2v-preview-2025-09-24")}
    assert (await settle(make().generate(**ASK))).task_id == "t1"


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 0001 00:00:00 +1200"]
)
@one_client
async def test_a_gateway_in_another_age_proves_nothing(make: Make, account: Account, date: str) -> None:
    account.date = date
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(make().generate(**ASK))


@pytest.mark.parametrize("made", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
@one_client
async def test_a_task_of_another_age_is_no_accident(make: Make, account: Account, made: str) -> None:
    for account.ahead in (-300.0, 300.0):
        account.page = {"data": [{"task_id": "t1", "gmt_create": made}], "total": 1}
        with pytest.raises(RequestError, match="counts as not accepted"):
            await settle(make().generate(**ASK, key=made + str(account.ahead)))
        account.lost += 1


async def test_a_list_that_does_not_answer_leaves_the_submit_unconfirmed(make: Make, account: Account) -> None:
    account.list_status = 403
    journal = MemoryJournal()
    with pytest.raises(SubmissionUnconfirmedError) as caught:
        await settle(make(journal=journal).generate(**ASK))
    assert "403" in "".join(caught.value.__notes__)
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]


async def test_accounts_that_share_a_journal_do_not_look_for_each_others_submits(make: Make, account: Account) -> None:
    account.list_status = 403
    journal = MemoryJournal()
    mine = make(journal=journal)
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(mine.generate(**ASK, key="k"))
    account.list_status = 200
    lists = account.lists
    other = make(journal=journal, api_key="sk-another-0123456789")
    with pytest.raises(InvalidRequestError, match="another account"):
        await settle(other.generate(**ASK, key="k"))
    assert await settle(other.resume()) == []
    assert (account.posts, account.lists) == (1, lists)
    assert (await settle(other.generate(**ASK))).task_id == "own-2"
    account.tasks = {"t1": Listed(PROMPT)}
    assert (await settle(mine.generate(**ASK))).task_id == "t1"


async def test_a_row_names_its_account_and_not_its_key(make: Make, account: Account) -> None:
    account.lost = 0
    journal = MemoryJournal()
    for options in ({}, {"api_key": f"{KEY}2"}, {"base_url": "https://example.com"}):
        await settle(make(journal=journal, **options).submit(**ASK))
    rows = journal.entries()
    assert len({row.account for row in rows}) == 3
    assert all(row.account is not None and len(row.account) == 16 for row in rows)
    assert KEY not in repr(rows)


async def test_what_somebody_else_finds_while_one_looks_is_gone_on_with(make: Make, account: Account) -> None:
    class Busy(MemoryJournal):
        def forget(self, entry_id: str) -> bool:
            self.update(entry_id, task_id="t9", state=EntryState.SUBMITTED)
            return super().forget(entry_id)

    account.tasks = {"t9": Listed(PROMPT, made=1.0)}
    assert (await settle(make(journal=Busy()).generate(**ASK))).task_id == "t9"
    assert account.posts == 1


async def test_a_repetition_under_the_same_key_looks_again(make: Make, account: Account) -> None:
    account.list_status = 403
    client = make()
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK, key="k"))
    account.list_status = 200
    account.tasks = {"t1": Listed(PROMPT)}
    assert (await settle(client.generate(**ASK, key="k"))).task_id == "t1"
    assert account.posts == 1


async def test_a_repetition_without_a_key_looks_again_and_submits_what_was_not_accepted(
    make: Make, account: Account
) -> None:
    account.list_status = 403
    client = make()
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK))
    account.list_status = 200
    video = await settle(client.generate(**ASK))
    assert (video.task_id, account.posts) == ("own-2", 2)


async def test_without_a_prompt_nothing_can_be_told_apart(make: Make, account: Account) -> None:
    account.tasks = {"t1": Listed(None)}
    client = make(model="wanx2.1-i2v-turbo")
    account.tasks["t1"].model = "wanx2.1-i2v-turbo"
    with pytest.raises(SubmissionUnconfirmedError, match="t1"):
        await settle(client.generate(image="https://example.com/cat.jpg", template="flying"))


async def test_a_submit_that_is_to_return_at_once_looks_for_a_minute_at_most(
    make: Make, account: Account, clock: FakeClock
) -> None:
    account.tasks = {"t1": Listed(PROMPT, finishes_after=10_000)}
    begun = clock.now
    with pytest.raises(SubmissionUnconfirmedError, match="t1"):
        await settle(make().submit(**ASK))
    assert clock.now - begun <= 60


async def test_a_gateway_without_a_list_is_asked_for_none(account: Account, make: Make) -> None:
    client = make(gateway="dashscope-passthrough", base_url="https://reseller.example.com")
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK))
    assert (account.posts, account.lists) == (1, 0)


async def test_another_request_under_the_key_of_a_lost_one_is_refused(make: Make, account: Account) -> None:
    account.list_status = 403
    client = make()
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK, key="k"))
    with pytest.raises(InvalidRequestError, match="differs in prompt"):
        await settle(client.generate(**{**ASK, "prompt": "Another"}, key="k"))


async def test_cancelled_while_it_looks_it_says_that_money_may_have_been_spent(
    account: Account, clock: FakeClock
) -> None:
    """Invariant: cancelling leaves the row, and says so."""

    class Hanging(FakeClock):
        async def asleep(self, seconds: float) -> None:
            await asyncio.sleep(3600)

    journal = MemoryJournal()
    transport = httpx.MockTransport(account)
    client = AsyncNebulaVideoClient(
        gateway="dashscope", api_key=KEY, clock=Hanging(), journal=journal,
        http_async_client=httpx.AsyncClient(transport=transport),
    )  # fmt: skip
    running = asyncio.create_task(client.generate(**ASK))
    await asyncio.sleep(0.2)
    assert account.lists == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await running
    assert "money may have been spent" in "".join(caught.value.__notes__)
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]


def test_one_task_is_claimed_by_one_row_alone() -> None:
    journal = MemoryJournal()
    for name in ("a", "b"):
        entry = Entry(id=name, gateway="dashscope", model="m", request={}, created_at=datetime.now(UTC), key=name)
        journal.reserve(entry, None)
        journal.update(name, state=EntryState.UNCONFIRMED, abandoned=True)
    claimed = journal.claim("a", "t1")
    assert claimed is not None
    assert (claimed.state, claimed.task_id, claimed.abandoned) == (EntryState.SUBMITTED, "t1", False)
    assert journal.claim("b", "t1") is None
    assert journal.claim("a", "t1") is not None
    assert journal.claim("gone", "t2") is None
