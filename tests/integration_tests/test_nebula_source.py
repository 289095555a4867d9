"""The client at Nebula as its published code behaves (2025-12), over real HTTP. The judge is the emulator's ledger.

The code and the vendor's page differ. Each test is one difference that the client has to survive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    AuthenticationError,
    BudgetExceededError,
    DownloadError,
    InvalidInputError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoError,
    NebulaVideoTool,
    QuotaError,
    RefusedError,
    SubmissionUnconfirmedError,
    TaskCanceledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskStatus,
    TaskTimeoutError,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import images
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.testing import EmulatorClock
from tests.conftest import settle
from tests.gateways import Make, standing_clock

CAT = "https://example.com/cat.png"
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": CAT, "resolution": "480p", "seed": 1}
LONG: dict[str, Any] = {"prompt": "The cat blinks", "image": CAT, "resolution": "1080p", "duration": 10}
BEAT = 15.0
MODEL = "wan2.5-i2v-preview"
PICTURE = images.sample("a photograph", (640, 480))
KINDS: dict[str, Any] = {"sync": NebulaVideoClient, "async": AsyncNebulaVideoClient}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Its clock moves when a client sleeps, so each beat of the gateway's loop is seen."""
    known = {CAT: PICTURE}
    with Emulator(clock=standing_clock(), behaviour="source", known_images=known) as running:
        yield running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    return {"base_url": emulator.url, "api_key": emulator.api_key, "clock": EmulatorClock(emulator)}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, options: dict[str, Any]) -> Make:
    settings = {**options, "download_hosts": ["127.0.0.1"]}
    return lambda **more: KINDS[request.param](**{**settings, **more})


def counted(emulator: Emulator, point: str) -> int:
    return sum(request.point == point for request in emulator.requests)


async def failure_of(call: Callable[[], Any]) -> Any:
    """The error that a call ends in."""
    with pytest.raises(NebulaVideoError) as caught:
        await settle(call())
    return caught.value


# --- The plain journey ---


async def test_a_video_is_made_and_the_ledger_has_it_once(make: Make, emulator: Emulator) -> None:
    video = await settle(make().generate(**ASK))
    (task,) = emulator.tasks
    assert (video.task_id, video.duration, video.resolution) == (task.id, 5, "480p")
    assert video.cost.usd == emulator.bill.usd == Decimal("0.1845")
    assert emulator.violations == ()


# --- 1: rewriting and sound cannot be switched off, and a seed of 0 is not kept ---


def test_a_language_model_is_not_promised_what_the_gateway_does_not_keep(options: dict[str, Any]) -> None:
    fields = NebulaVideoTool(**options).args
    texts = {name: fields[name].get("description", "") for name in ("smart_rewrite", "generate_audio")}
    for broken in ("silent", "strictly", "keeps to the prompt"):
        assert broken not in " ".join(texts.values()), texts


async def test_a_prompt_that_was_rewritten_unasked_is_logged_once(
    make: Make, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    client = make()
    with caplog.at_level(logging.INFO, "langchain_nebula_video"):
        for seed in (1, 2):
            video = await settle(client.generate(**ASK | {"seed": seed}))
    assert video.actual_prompt is not None
    assert video.actual_prompt != ASK["prompt"]
    assert sum("rewr" in record.getMessage() for record in caplog.records) == 1


async def test_a_rewritten_prompt_that_was_asked_for_is_not_logged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "langchain_nebula_video"):
        await settle(make().generate(**ASK, smart_rewrite=True))
    assert not any("rewr" in record.getMessage() for record in caplog.records)


async def test_a_seed_of_zero_is_not_taken_for_kept(
    make: Make, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused or warned of: the gateway leaves it out, and the vendor takes a random one."""
    told = ""
    with caplog.at_level(logging.WARNING, "langchain_nebula_video"):
        try:
            await settle(make().generate(**ASK | {"seed": 0}))
        except NebulaVideoError as error:
            told = str(error)
    assert "seed" in told + " ".join(record.getMessage() for record in caplog.records)


# --- 2: bytes ---


async def test_a_refused_local_image_is_told_to_become_an_address(make: Make, emulator: Emulator) -> None:
    error = await failure_of(lambda: make().generate(prompt="x", image=PICTURE))
    assert isinstance(error, InvalidInputError)
    assert error.spent is False
    assert "https address" in error.hint
    assert "or the image's bytes" not in error.hint
    assert emulator.tasks == ()


# --- 3: two objects in one answer ---


async def test_a_task_whose_row_was_not_written_is_refused_and_asked_for_again(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "unwritten")
    video = await settle(make().generate(**ASK))
    lost, made = emulator.tasks
    assert video.task_id == made.id != lost.id
    assert [line.task_id for line in emulator.bill.lines] == [made.id]


async def test_a_gateway_that_writes_no_rows_at_all_has_billed_nothing(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "unwritten", times=None)
    journal = MemoryJournal()
    error = await failure_of(lambda: make(journal=journal).generate(**ASK))
    assert isinstance(error, RefusedError)
    assert (error.spent, error.code) == (False, "insert_task_failed")
    assert (journal.entries(), emulator.bill.lines) == ([], ())


async def test_of_two_tasks_in_one_answer_the_last_is_the_gateways(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "tried_twice")
    video = await settle(make().generate(**ASK))
    assert video.task_id == emulator.tasks[1].id
    assert counted(emulator, "submit") == 1
    assert [line.task_id for line in emulator.bill.lines] == [video.task_id]


# --- 4: a key with a list of models ---


async def test_a_key_that_may_not_look_leaves_the_task_to_another_key(make: Make, emulator: Emulator) -> None:
    emulator.add_key("sk-limited", models=[MODEL])
    journal = MemoryJournal()
    error = await failure_of(lambda: make(api_key="sk-limited", journal=journal).generate(**ASK))
    assert "another key" in error.hint.lower()
    assert "top up" not in str(error).lower()
    assert error.spent is None
    (task,) = emulator.tasks
    assert error.task_id == task.id
    video = await settle(make().wait(task.id))
    assert video.cost.usd == emulator.bill.usd


# --- 5: the seconds that every row notes ---


async def test_a_running_task_keeps_the_estimate_of_what_was_asked(make: Make, emulator: Emulator) -> None:
    client = make()
    task = await settle(client.submit(**LONG))
    for wait in (0, BEAT, BEAT):
        emulator.clock.advance(wait)
        seen = await settle(client.fetch(task))
        assert not seen.status.finished
        assert (seen.cost.usd, seen.duration) == (Decimal("1.233"), 10)


# --- 6: the base price ---


@pytest.mark.parametrize(("asked", "usd"), [(LONG, "1.233"), (ASK, "0.1845")], ids=["1080p for 10 s", "480p for 5 s"])
async def test_a_price_that_is_always_that_of_720p_is_not_the_bills(
    make: Make, emulator: Emulator, asked: dict[str, Any], usd: str
) -> None:
    """An older revision of the code told it in every answer."""
    emulator.faults.add("query", "patch", times=None, fields={"metadata": {"model_price": 0.0738, "group_ratio": 1}})
    video = await settle(make().generate(**asked))
    assert video.cost.usd == emulator.bill.usd == Decimal(usd)


# --- 7: the bill ---


async def test_the_bill_of_a_known_ratio_is_known_and_is_not_asked_for_again(make: Make) -> None:
    known = {CAT: PICTURE}
    settings: dict[str, Any] = {"behaviour": "source", "known_images": known}
    with Emulator(clock=standing_clock(), group_ratio="0.777", **settings) as emulator:
        where = {"base_url": emulator.url, "clock": EmulatorClock(emulator)}
        journal = MemoryJournal()
        client = make(**where, group_ratio="0.777", journal=journal)
        video = await settle(client.generate(**LONG, key="k"))
        looks = counted(emulator, "query")
        again = await settle(client.generate(**LONG, key="k"))
        assert counted(emulator, "query") == looks
    assert (video.cost.basis, again.cost.basis) == ("billed", "billed")
    assert video.cost.usd == again.cost.usd == emulator.bill.usd
    (entry,) = journal.entries()
    assert entry.billed_usd == emulator.bill.usd


# --- 8: faults of the gateway that prove that there is no task ---


@pytest.mark.parametrize(
    "name",
    [
        "get_user_quota_failed",
        "do_request_failed",
        "unknown_response",
        "unmarshal_response_failed",
        "read_response_body_failed",
        "user_unreadable",
    ],
)
async def test_a_fault_that_proves_that_there_is_no_task_is_waited_out(
    make: Make, emulator: Emulator, name: str
) -> None:
    emulator.faults.add("submit", "gateway_error", name=name, times=2)
    video = await settle(make().generate(**ASK))
    assert (counted(emulator, "submit"), len(emulator.tasks)) == (3, 1)
    assert video.cost.usd == emulator.bill.usd


async def test_a_fault_of_the_vendor_in_the_gateways_words_is_waited_out(make: Make, emulator: Emulator) -> None:
    words = '{"request_id":"r","code":"InternalError","message":"An internal error has occured"}'
    emulator.faults.add("submit", "gateway_error", name="vendor_refused", detail=words, code=500, times=2)
    await settle(make().generate(**ASK))
    assert (counted(emulator, "submit"), len(emulator.tasks)) == (3, 1)


async def test_a_saturated_channel_is_waited_out(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "gateway_error", name="saturated", times=3)
    await settle(make().generate(**ASK))
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("gateway_error", {"name": "panic"}),
        ("status", {"code": 502, "body": "html", "accepted": True}),
        ("status", {"code": 504, "body": "html", "accepted": True}),
        ("reset_after", {}),
    ],
    ids=["panic", "502", "504", "reset"],
)
async def test_an_answer_that_proves_nothing_stays_unconfirmed(
    make: Make, emulator: Emulator, fault: str, params: dict[str, Any]
) -> None:
    emulator.faults.add("submit", fault, **params)
    error = await failure_of(lambda: make().generate(**ASK))
    assert isinstance(error, SubmissionUnconfirmedError)
    assert counted(emulator, "submit") == 1


async def test_a_body_that_the_proxy_refuses_made_no_task(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "status", code=413, body="html")
    error = await failure_of(lambda: make().generate(**ASK))
    assert isinstance(error, InvalidInputError)
    assert error.spent is False


# --- 9: keys, users and groups ---


@pytest.mark.parametrize(
    ("name", "kind", "hinted"),
    [
        ("no_key", AuthenticationError, "key"),
        ("wrong_key", AuthenticationError, "key"),
        ("key_expired", AuthenticationError, "key"),
        ("key_disabled", AuthenticationError, "key"),
        ("key_used_up", QuotaError, "key"),
        ("key_of_other_addresses", RefusedError, "address"),
        ("user_banned", RefusedError, "account"),
        ("group_disabled", RefusedError, "group"),
        ("group_dropped", RefusedError, "group"),
        ("model_not_allowed", RefusedError, "key"),
    ],
)
async def test_each_refusal_of_a_key_says_what_to_mend(
    make: Make, emulator: Emulator, name: str, kind: type[NebulaVideoError], hinted: str
) -> None:
    emulator.faults.add("submit", "gateway_error", name=name, detail=MODEL, times=None)
    error = await failure_of(lambda: make().generate(**ASK))
    assert isinstance(error, kind)
    assert hinted in error.hint.lower()
    assert "top up the account" not in error.hint.lower()
    assert error.spent is False


async def test_a_balance_below_the_flat_check_is_told_to_top_up(make: Make) -> None:
    with Emulator(clock=standing_clock(), behaviour="source", balance="0.2951", known_images={CAT: PICTURE}) as poor:
        where = {"base_url": poor.url, "clock": EmulatorClock(poor)}
        error = await failure_of(lambda: make(**where).generate(**ASK))
    assert isinstance(error, QuotaError)
    assert (error.code, error.spent) == ("quota_not_enough", False)
    assert "top up" in error.hint.lower()


# --- 10: words with an address in them ---


async def test_hidden_words_are_told_as_most_often_about_an_address(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "gateway_error", name="address_hidden")
    error = await failure_of(lambda: make().generate(**ASK))
    assert "Correct what the message names" not in error.hint
    assert "image" in error.hint
    assert "https address" in error.hint
    assert error.spent is False


# --- 11: a file that cannot be read is no moderation ---


async def test_bytes_that_the_vendor_cannot_read_are_not_called_immoral(make: Make, emulator: Emulator) -> None:
    words = '{"request_id":"r","code":"InvalidParameter.DataInspection","message":"Data inspection failed"}'
    emulator.faults.add("submit", "gateway_error", name="vendor_refused", detail=words)
    error = await failure_of(lambda: make().generate(prompt="x", image=PICTURE))
    assert isinstance(error, InvalidInputError)


# --- 12: failures ---


async def test_a_failed_task_has_the_vendors_reason_and_no_number_for_a_code(make: Make) -> None:
    error = await failure_of(lambda: make().generate(**ASK | {"prompt": "[fail]"}))
    assert isinstance(error, TaskFailedError)
    assert error.task is not None
    assert error.task.code == "InternalError"
    assert "400" not in error.what
    assert error.spent is False


async def test_a_failure_without_the_vendors_words_has_no_reason(make: Make, emulator: Emulator) -> None:
    bare = {"metadata": {"output": {"code": None, "message": None}}}
    emulator.faults.add("query", "patch", times=None, fields=bare)
    error = await failure_of(lambda: make().generate(**ASK | {"prompt": "[fail]"}))
    assert isinstance(error, TaskFailedError)
    assert error.task is not None
    assert (error.task.code, error.task.reason) == (None, None)


async def test_a_task_that_the_vendor_canceled_is_canceled(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "vendor_end", word="CANCELED")
    error = await failure_of(lambda: make().generate(**ASK))
    assert isinstance(error, TaskCanceledError)
    assert emulator.bill.lines == ()


async def test_a_task_that_the_vendor_forgot_is_gone(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "vendor_end", word="UNKNOWN")
    error = await failure_of(lambda: make().generate(**ASK))
    assert isinstance(error, TaskFailedError | TaskNotFoundError)
    assert "24 hours" in error.hint
    assert "submit it again" in error.hint
    assert emulator.bill.lines == ()


async def test_a_channel_that_went_away_is_the_gateways_fault(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("query", "channel_gone")
    error = await failure_of(lambda: make(poll_interval=5).generate(**ASK))
    assert isinstance(error, TaskFailedError)
    assert "gateway" in error.hint
    assert "Change the image or the prompt" not in error.hint
    assert emulator.bill.lines == ()


# --- 13: an error with HTTP 200 ---


@pytest.mark.parametrize("name", ["task_submit_failed", "unknown_response", "invalid_api_platform"])
async def test_an_error_with_200_and_no_task_is_a_refusal(make: Make, emulator: Emulator, name: str) -> None:
    emulator.faults.add("submit", "gateway_error", name=name, code=200, times=None)
    journal = MemoryJournal()
    error = await failure_of(lambda: make(journal=journal).generate(**ASK))
    assert isinstance(error, RefusedError)
    assert error.spent is False
    assert journal.entries() == []


# --- 14: a submit whose answer is lost ---


async def test_a_lost_submit_is_found_in_the_keys_log_once_it_has_succeeded(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "reset_after")
    journal = MemoryJournal()
    client = make(journal=journal, sole_account=True)
    error = await failure_of(lambda: client.generate(**ASK, key="k"))
    assert isinstance(error, SubmissionUnconfirmedError)
    early = await settle(client.reconcile(key_in_address=True))
    assert early.found == ()
    emulator.clock.advance(200)
    settled = await settle(client.reconcile(key_in_address=True))
    (task,) = emulator.tasks
    assert [found.task_id for found in settled.found] == [task.id]
    video = await settle(client.generate(**ASK, key="k"))
    assert (video.task_id, counted(emulator, "submit")) == (task.id, 1)
    assert video.cost.usd == emulator.bill.usd


async def test_the_keys_log_tells_the_true_bill_of_a_hidden_ratio_and_discount(make: Make) -> None:
    settings: dict[str, Any] = {"behaviour": "source", "known_images": {CAT: PICTURE}}
    with Emulator(clock=standing_clock(), group_ratio="0.8", site_discount="0.9", **settings) as emulator:
        journal = MemoryJournal()
        client = make(base_url=emulator.url, clock=EmulatorClock(emulator), journal=journal)
        estimated = await settle(client.generate(**ASK, key="k"))
        assert (estimated.cost.basis, estimated.cost.usd) == ("estimated", Decimal("0.1845"))
        await settle(client.reconcile(key_in_address=True))
        (entry,) = journal.entries()
        assert entry.billed_usd == emulator.bill.usd == Decimal("0.13284")


# --- 15: when to look ---


async def test_looks_are_few_and_none_comes_long_after_the_row_has_moved(make: Make, emulator: Emulator) -> None:
    """The rows move every 15 seconds at best. Of the first task, only the usual times are known."""
    await settle(make().generate(**ASK))
    looks = [request.at - emulator.tasks[0].accepted_at for request in emulator.requests if request.point == "query"]
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert looks[0] >= BEAT
    assert len(looks) <= 20
    assert 3 <= round(min(gaps), 6) <= max(gaps) <= 2 * BEAT + 0.1


# --- 16: an address that has died ---


async def test_a_dead_address_is_told_as_dead_and_is_not_asked_for_again(
    make: Make, emulator: Emulator, tmp_path: Path
) -> None:
    client = make()
    video = await settle(client.generate(**ASK))
    emulator.clock.advance(timedelta(hours=25).total_seconds())
    before = len(emulator.requests)
    error = await failure_of(lambda: client.download(video, tmp_path / "cat.mp4"))
    assert isinstance(error, DownloadError)
    assert "expired" in str(error)
    assert "24 hours is gone" not in str(error)
    assert len(emulator.requests) - before <= 2


async def test_an_old_task_is_still_there(make: Make, emulator: Emulator) -> None:
    client = make()
    task = await settle(client.submit(**ASK))
    emulator.clock.advance(timedelta(days=3).total_seconds())
    assert (await settle(client.fetch(task))).status is TaskStatus.SUCCEEDED


# --- 17: the sibling of 2026 ---

URL = "https://example.com/video.mp4?Expires=4102444800&Signature=x"
BEGUN = {"id": "task_1", "object": "video", "model": MODEL, "status": "queued", "created_at": 1767225600}


@pytest.mark.parametrize(
    "where",
    [{"url": URL}, {"video_url": URL}, {"metadata": {"url": URL}}],
    ids=["url", "video_url", "metadata.url"],
)
async def test_the_siblings_success_is_read_in_its_envelope(make: Make, emulator: Emulator, where: Any) -> None:
    done = {"id": "task_1", "status": "completed", "progress": 100, **where}
    emulator.faults.add("submit", "answer", body=BEGUN | {"metadata": {}}, accepted=False)
    emulator.faults.add("query", "answer", body={"code": "success", "message": "", "data": done})
    video = await settle(make().generate(**ASK))
    assert (video.task_id, video.url) == ("task_1", URL)


async def test_the_siblings_failure_has_its_reason(make: Make, emulator: Emulator) -> None:
    failed = {"id": "task_1", "status": "failed", "error": {"code": "task_failed", "message": "The picture is blank"}}
    emulator.faults.add("submit", "answer", body=BEGUN, accepted=False)
    emulator.faults.add("query", "answer", body={"code": "success", "message": "", "data": failed})
    error = await failure_of(lambda: make().generate(**ASK))
    assert isinstance(error, TaskFailedError)
    assert "The picture is blank" in error.what


async def test_the_siblings_lost_row_comes_alone(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "gateway_error", name="insert_task_failed")
    await settle(make().generate(**ASK))
    assert (counted(emulator, "submit"), len(emulator.tasks)) == (2, 1)


# --- 18: the account's ratio ---


async def test_the_ratio_that_was_passed_is_used_and_no_answer_changes_it(make: Make) -> None:
    settings: dict[str, Any] = {"behaviour": "source", "known_images": {CAT: PICTURE}}
    with Emulator(clock=standing_clock(), group_ratio="0.8", **settings) as emulator:
        client = make(base_url=emulator.url, clock=EmulatorClock(emulator), group_ratio="0.8")
        assert client.quote(**ASK).usd == Decimal("0.1476")
        await settle(client.generate(**ASK))
        assert client.quote(**ASK).usd == emulator.bill.usd == Decimal("0.1476")


# --- 19: money ---


async def test_the_clients_budget_protects_where_the_gateways_check_does_not(make: Make) -> None:
    settings: dict[str, Any] = {"behaviour": "source", "known_images": {CAT: PICTURE}}
    with Emulator(clock=standing_clock(), balance="0.30", **settings) as emulator:
        client = make(base_url=emulator.url, clock=EmulatorClock(emulator), budget="2")
        await settle(client.submit(**LONG, key="a"))
        error = await failure_of(lambda: client.submit(**LONG, key="b"))
        assert isinstance(error, BudgetExceededError)
        unguarded = make(base_url=emulator.url, clock=EmulatorClock(emulator))
        await settle(unguarded.submit(**LONG, key="c"))
        emulator.clock.advance(200)
        assert emulator.balance == Decimal("0.30") - 2 * Decimal("1.233")


# --- The other fates of a row ---


async def test_a_row_that_is_stuck_ends_the_wait_at_the_deadline_unbilled(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "stuck")
    error = await failure_of(lambda: make(timeout=300).generate(**ASK))
    assert isinstance(error, TaskTimeoutError)
    assert error.spent is None
    assert emulator.bill.lines == ()


async def test_a_journal_is_settled_with_what_became_of_the_row(make: Make, emulator: Emulator) -> None:
    journal = MemoryJournal()
    await settle(make(journal=journal).generate(**ASK))
    assert [(entry.state, entry.billed_usd) for entry in journal.entries()] == [
        (EntryState.SUCCEEDED, emulator.bill.usd)
    ]
