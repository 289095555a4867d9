"""What every journal does, and what every journal does that several processes share."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import Budget, BudgetExceededError, JournalError, SqlJournal
from langchain_nebula_video.journal import Entry, EntryState, Journal, Repeats
from langchain_nebula_video.journal.budget import Ceiling

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = MOMENT + timedelta(minutes=2)
LEASE: dict[str, Any] = {"holder": "a", "held_until": MOMENT + timedelta(minutes=1)}
SENT: dict[str, Any] = {**LEASE, "sent_at": MOMENT}


def entry(**fields: Any) -> Entry:
    return Entry(
        **{
            "id": "1", "gateway": "nebula", "model": "m", "request": {}, "created_at": MOMENT,
            "reserved_usd": Decimal("0.369"), **fields,
        }
    )  # fmt: skip


def begin(journal: Journal, entry_id: str, **fields: Any) -> bool:
    until = fields.get("now", MOMENT) + timedelta(minutes=1)
    return journal.begin(entry_id, **{"holder": "a", "now": MOMENT, "until": until, "cap": 4, **fields})


def check_anew(url: str) -> None:
    """Check that a journal begins anew after a person has dropped the tables that hold entries."""
    old = SqlJournal(url)
    old.reserve(entry(), None)
    with old._store.database.transaction(0) as session:
        for name in ("entries", "adopted", "scopes", "schema"):
            session.run_text(f"DROP TABLE nebula_{name}")
    old.close()
    new = SqlJournal(url)
    assert new.spent() == 0
    new.reserve(entry(), None)
    assert new.spent() == Decimal("0.369")
    new.close()


def check_triggers_return(url: str) -> None:
    """Check that sums are right again once a journal is opened whose triggers are lost: a backup came back in part."""
    old = SqlJournal(url)
    assert old.spent() == 0
    with old._store.database.transaction(0) as session:
        on = "" if old._store.database.sqlite else " ON nebula_entries"
        session.run_text(f"DROP TRIGGER nebula_totals_insert{on}")
    old.reserve(entry(), None)
    old.close()
    new = SqlJournal(url)
    new.reserve(entry(id="2"), None)
    assert new.spent() == 2 * Decimal("0.369")
    new.close()


def refused(wanted: Decimal, left: Decimal) -> BudgetExceededError:
    return BudgetExceededError(f"{wanted} of {left}")


class JournalContract:
    """What every journal does; whoever inherits it has a fixture `journal`."""

    # --- keys ---

    def test_reserve_gives_back_the_entry_that_has_the_key(self, journal: Journal) -> None:
        first = journal.reserve(entry(key="a"), None)
        assert journal.reserve(entry(id="2", key="a"), None) == first
        assert len(journal.entries()) == 1

    def test_every_field_of_an_entry_is_kept(self, journal: Journal) -> None:
        whole = entry(
            key="a", request={"prompt": "Blink \N{CAT}", "duration": 5, "images": ["sha256:1"], "seed": None},
            state=EntryState.SUCCEEDED, task_id="t", reserved_usd=Decimal("0.3690"), billed_usd=Decimal("0.36"),
            video={"url": "https://example.com/v.mp4?sig=1", "cost": {"usd": "0.36"}}, reason="because",
            sent_at=LATER, lost_at=LATER + timedelta(microseconds=1), abandoned=True, holder="b", held_until=LATER,
            updated_at=LATER, account="me", host="127.0.0.1:8000", play_money=True, scopes=("run:1", "thread:2"),
        )  # fmt: skip
        journal.reserve(whole, None)
        (found,) = journal.entries()
        assert found == whole
        assert str(found.reserved_usd) == "0.3690"

    def test_a_moment_of_another_zone_is_the_same_moment(self, journal: Journal) -> None:
        there = MOMENT.astimezone(timezone(timedelta(hours=8)))
        journal.reserve(entry(created_at=there), None)
        assert journal.entries()[0].created_at == MOMENT

    @pytest.mark.parametrize("key", ["k" * 10_000, "nul \0", "cl\N{LATIN SMALL LETTER E WITH ACUTE}", "%s?:x"])
    def test_any_text_can_be_a_key(self, journal: Journal, key: str) -> None:
        journal.reserve(entry(key=key), None)
        journal.reserve(entry(id="2", key=f"{key}2"), None)
        assert [found and found.id for found in (journal.find(key=key), journal.find(key=f"{key}2"))] == ["1", "2"]

    def test_what_a_gateway_says_is_kept_whatever_is_in_it(self, journal: Journal) -> None:
        journal.reserve(entry(request={"prompt": "\0 \ud83d"}), None)
        changed = journal.update("1", task_id="t", state=EntryState.FAILED, reason="broken \0 \ud83d")
        assert changed.reason is not None
        assert changed.reason.startswith("broken ")
        assert changed.request == {"prompt": "\0 \ud83d"}

    def test_an_entry_can_be_found_by_key_and_by_task(self, journal: Journal) -> None:
        journal.reserve(entry(key="a"), None)
        changed = journal.update("1", task_id="t", state=EntryState.SUBMITTED)
        assert journal.find(key="a") == journal.find(gateway="nebula", task_id="t") == changed
        assert journal.find(gateway="other", task_id="t") is None
        assert journal.find(key="b") is None

    def test_a_task_id_that_is_given_twice_is_recorded_twice(self, journal: Journal) -> None:
        for name in "12":
            journal.reserve(entry(id=name), None)
            journal.update(name, task_id="t", state=EntryState.SUBMITTED)
        found = journal.find(gateway="nebula", task_id="t")
        assert found is not None
        assert found.id == "2"

    def test_an_update_says_when_it_was(self, journal: Journal) -> None:
        journal.reserve(entry(), None)
        assert journal.entries()[0].updated_at is None
        updated = journal.update("1", state=EntryState.RUNNING).updated_at
        assert updated is not None
        assert abs(datetime.now(UTC) - updated) < timedelta(minutes=1)

    def test_an_entry_that_is_not_there_cannot_be_changed(self, journal: Journal) -> None:
        with pytest.raises(KeyError):
            journal.update("1", state=EntryState.RUNNING)

    def test_a_task_whose_entry_is_gone_is_named(self, journal: Journal) -> None:
        with pytest.raises(JournalError, match=r"task task-9 was forgotten.*wait\('task-9'\)") as caught:
            journal.update("1", task_id="task-9", state=EntryState.SUBMITTED)
        assert caught.value.spent is None

    def test_forgetting_frees_key_and_reservation(self, journal: Journal) -> None:
        journal.reserve(entry(key="a"), None)
        assert journal.forget("1")
        assert journal.forget("1")
        assert journal.find(key="a") is None
        assert journal.spent() == 0
        assert journal.reserve(entry(id="2", key="a"), None).id == "2"

    @pytest.mark.parametrize("state", list(EntryState))
    def test_only_what_can_have_no_task_is_forgotten(self, journal: Journal, state: EntryState) -> None:
        journal.reserve(entry(id="1", key="a", state=state), None)
        journal.reserve(entry(id="2", key="b", state=state, task_id="t"), None)
        before = journal.entries()
        can_go = state in {EntryState.SUBMITTING, EntryState.UNCONFIRMED}
        assert (journal.forget("1"), journal.forget("2")) == (can_go, False)
        assert journal.entries() == before[1 if can_go else 0 :]
        found = journal.find(gateway="nebula", task_id="t")
        assert found == journal.find(key="b") == before[1]

    # --- going on ---

    def test_a_repetition_goes_on_with_what_was_abandoned(self, journal: Journal) -> None:
        journal.reserve(entry(key="a"), None)
        journal.update("1", task_id="t", state=EntryState.SUBMITTED, abandoned=True)
        found = journal.reserve(entry(id="2", key="b"), None, repeats=Repeats())
        assert (found.id, found.key, found.abandoned) == ("1", "a", False)
        assert journal.find(key="b") == journal.find(key="a") == found
        assert journal.reserve(entry(id="3", key="b"), None) == found
        assert journal.reserve(entry(id="4"), None, repeats=Repeats()).id == "4"

    def test_forgetting_frees_every_key_that_an_entry_has_got(self, journal: Journal) -> None:
        journal.reserve(entry(key="a", state=EntryState.UNCONFIRMED, abandoned=True), None)
        assert journal.reserve(entry(id="2", key="b"), None, repeats=Repeats()).id == "1"
        journal.forget("1")
        assert [journal.reserve(entry(id=key, key=key), None).id for key in "ab"] == ["a", "b"]

    def test_a_further_key_of_what_was_forgotten_works_like_a_new_one(self, journal: Journal) -> None:
        """It can be an entry's own, or be given to one that a repetition goes on with."""
        for moment in (MOMENT, LATER):
            journal.reserve(entry(key="a", state=EntryState.UNCONFIRMED, abandoned=True, created_at=moment), None)
            assert journal.reserve(entry(id="2", key="b", created_at=moment), None, repeats=Repeats()).id == "1"
            assert journal.forget("1")
            assert journal.find(key="b") is None
        assert journal.reserve(entry(id="3", key="b", created_at=LATER), None).id == "3"
        assert journal.find(key="b") == journal.entries()[0]

    @pytest.mark.parametrize("swept", [True, False])
    def test_a_further_key_of_what_was_never_sent_works_like_a_new_one(self, journal: Journal, swept: bool) -> None:
        lost = {"request": {"n": 1}, "state": EntryState.UNCONFIRMED, "abandoned": True}
        journal.reserve(entry(id="1", key="a", abandoned=True, **LEASE), None)
        journal.reserve(entry(id="2", **lost), None)
        assert journal.reserve(entry(id="3", key="b"), None, repeats=Repeats()).id == "1"
        if swept:
            journal.sweep(LATER)
        assert journal.reserve(entry(id="4", key="a", created_at=LATER), None).id == "4"
        assert journal.find(key="b") is None
        found = journal.reserve(entry(id="5", key="b", request={"n": 1}, created_at=LATER), None, repeats=Repeats())
        assert found.id == "2"
        assert journal.find(key="b") == found

    def test_what_is_unconfirmed_stays_abandoned(self, journal: Journal) -> None:
        journal.reserve(entry(state=EntryState.UNCONFIRMED, abandoned=True), None)
        for name in "23":
            found = journal.reserve(entry(id=name), None, repeats=Repeats())
            assert (found.id, found.abandoned) == ("1", True)

    def test_what_is_in_mid_submit_stays_abandoned(self, journal: Journal) -> None:
        """Nobody has its video yet: whoever repeats it must find it."""
        journal.reserve(entry(abandoned=True), None)
        for name in "23":
            found = journal.reserve(entry(id=name), None, repeats=Repeats())
            assert (found.id, found.abandoned, found.state) == ("1", True, EntryState.SUBMITTING)

    @pytest.mark.parametrize(
        "other",
        [
            {"request": {"prompt": "x"}}, {"gateway": "other"}, {"created_at": MOMENT + timedelta(days=1)},
            {"account": "other"},
        ],
    )  # fmt: skip
    def test_another_request_does_not_go_on_with_it(self, journal: Journal, other: dict[str, Any]) -> None:
        journal.reserve(entry(state=EntryState.UNCONFIRMED, abandoned=True, account="me"), None)
        assert journal.reserve(entry(id="2", **{"account": "me", **other}), None, repeats=Repeats()).id == "2"

    def test_what_an_older_version_wrote_may_be_anybodys(self, journal: Journal) -> None:
        journal.reserve(entry(state=EntryState.UNCONFIRMED, abandoned=True), None)
        assert journal.reserve(entry(id="2", account="me"), None, repeats=Repeats()).id == "1"

    def test_a_budget_holds_for_all_accounts_together(self, journal: Journal) -> None:
        journal.reserve(entry(account="me"), Budget("0.50"))
        with pytest.raises(BudgetExceededError):
            journal.reserve(entry(id="2", account="other"), Budget("0.50"))

    @pytest.mark.parametrize(("model", "days"), [("m", 1), ("wan2.5-i2v-preview", 1), ("viduq3p-720p-offpeak", 3)])
    def test_a_repetition_goes_on_as_long_as_the_model_may_take(self, journal: Journal, model: str, days: int) -> None:
        journal.reserve(entry(model=model, state=EntryState.SUBMITTED, task_id="t", abandoned=True), None)
        late, later = (MOMENT + timedelta(days=days, seconds=seconds) for seconds in (0, -1))
        assert journal.reserve(entry(id="2", created_at=late), None, repeats=Repeats()).id == "2"
        assert journal.reserve(entry(id="3", created_at=later), None, repeats=Repeats()).id == "1"

    @pytest.mark.parametrize("fields", [{"abandoned": False}, {"abandoned": True, "state": EntryState.FAILED}])
    def test_what_was_delivered_or_is_free_is_not_gone_on_with(self, journal: Journal, fields: dict[str, Any]) -> None:
        journal.reserve(entry(**{"state": EntryState.SUCCEEDED, **fields}), None)
        assert journal.reserve(entry(id="2"), None, repeats=Repeats()).id == "2"

    # --- repetitions without a key ---

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": EntryState.SUBMITTING, **LEASE, "held_until": LATER + timedelta(hours=1)},
            {"state": EntryState.SUBMITTED, "task_id": "t"}, {"state": EntryState.RUNNING, "task_id": "t"},
            {"state": EntryState.SUCCEEDED, "task_id": "t"},
        ],
        ids=["submitting", "submitted", "running", "succeeded"],
    )  # fmt: skip
    def test_within_the_window_an_identical_request_joins_the_first_one(
        self, journal: Journal, fields: dict[str, Any]
    ) -> None:
        first = journal.reserve(entry(account="me", **fields), None)
        for name in "23":
            again = entry(id=name, account="me", created_at=LATER)
            assert journal.reserve(again, Budget(0), repeats=Repeats(since=MOMENT - timedelta(seconds=1))) == first
        assert journal.entries() == [first]
        assert journal.reserve(entry(id="4", account="me", created_at=LATER), None, repeats=Repeats()).id == "4"

    def test_the_window_counts_from_the_first_request(self, journal: Journal) -> None:
        journal.reserve(entry(state=EntryState.SUBMITTED, task_id="t"), None)
        inside, outside = MOMENT - timedelta(microseconds=1), MOMENT
        assert journal.reserve(entry(id="2", created_at=LATER), None, repeats=Repeats(since=inside)).id == "1"
        assert journal.reserve(entry(id="3", created_at=LATER), None, repeats=Repeats(since=outside)).id == "3"

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            ({}, {"request": {"seed": 2}}), ({}, {"gateway": "other"}), ({}, {"account": "other"}),
            ({"key": "a"}, {}), ({}, {"key": "b"}),
            ({"state": EntryState.FAILED}, {}), ({"state": EntryState.CANCELED}, {}),
            ({"state": EntryState.SUCCEEDED, "video": {"expires_at": LATER.isoformat()}}, {}),
        ],
        ids=["request", "gateway", "account", "key", "new key", "failed", "canceled", "expired"],
    )  # fmt: skip
    def test_what_is_not_the_same_or_has_no_video_is_not_joined(
        self, journal: Journal, first: dict[str, Any], again: dict[str, Any]
    ) -> None:
        journal.reserve(entry(**{"account": "me", "state": EntryState.RUNNING, "task_id": "t", **first}), None)
        new = entry(id="2", created_at=LATER, **{"account": "me", **again})
        assert journal.reserve(new, None, repeats=Repeats(since=MOMENT - timedelta(seconds=1))).id == "2"

    def test_a_video_that_was_saved_is_joined_after_its_url_has_expired(self, journal: Journal) -> None:
        video = {"expires_at": MOMENT.isoformat(), "path": "/videos/cat.mp4"}
        journal.reserve(entry(state=EntryState.SUCCEEDED, task_id="t", video=video), None)
        since = MOMENT - timedelta(seconds=1)
        assert journal.reserve(entry(id="2", created_at=LATER), None, repeats=Repeats(since=since)).id == "1"

    @pytest.mark.parametrize("state", [EntryState.SUBMITTED, EntryState.RUNNING, EntryState.SUCCEEDED])
    @pytest.mark.parametrize("known", [True, False], ids=["known to be dead", "lease over"])
    def test_what_a_dead_process_worked_on_is_taken_over_once(
        self, journal: Journal, state: EntryState, known: bool
    ) -> None:
        """The second of two identical calls after a crash takes the second entry."""
        held = {"holder": "gone", "held_until": LATER + timedelta(hours=1) if known else LATER}
        repeats = Repeats(is_dead=lambda holder: known and holder == "gone")
        for name in "12":
            journal.reserve(entry(id=name, state=state, task_id=name, **held), None)
        lease = {"holder": "new", "held_until": LATER + timedelta(minutes=1)}
        taken = [journal.reserve(entry(id=name, created_at=LATER, **lease), None, repeats=repeats) for name in "345"]
        assert [found.id for found in taken] == ["1", "2", "5"]
        assert [(found.holder, found.held_until, found.abandoned) for found in taken] == [(*lease.values(), False)] * 3
        assert journal.find(gateway="nebula", task_id="1") == taken[0]

    @pytest.mark.parametrize("fields", [{}, {"holder": "alive", "held_until": LATER + timedelta(seconds=1)}])
    @pytest.mark.parametrize("key", [None, "a"])
    def test_what_nobody_or_a_living_process_works_on_is_not_taken_over(
        self, journal: Journal, fields: dict[str, Any], key: str | None
    ) -> None:
        journal.reserve(entry(state=EntryState.RUNNING, task_id="t", **fields), None)
        assert journal.reserve(entry(id="2", key=key, created_at=LATER), None, repeats=Repeats()).id == "2"

    def test_a_key_of_a_dead_process_stays_its_own(self, journal: Journal) -> None:
        held = {"holder": "gone", "held_until": LATER}
        journal.reserve(entry(key="a", state=EntryState.RUNNING, task_id="t", **held), None)
        assert journal.reserve(entry(id="2", created_at=LATER), None, repeats=Repeats()).id == "2"

    def test_of_a_crowd_of_identical_requests_one_is_new(self, journal: Journal) -> None:
        def ask(number: int) -> str:
            new = entry(id=str(number), created_at=MOMENT + timedelta(microseconds=number))
            return journal.reserve(new, None, repeats=Repeats(since=MOMENT - timedelta(minutes=10))).id

        with ThreadPoolExecutor(16) as pool:
            assert len({*pool.map(ask, range(16))}) == len(journal.entries()) == 1

    def test_a_lost_submit_takes_its_task_once(self, journal: Journal) -> None:
        for name in "12":
            journal.reserve(entry(id=name, state=EntryState.UNCONFIRMED, abandoned=True, reason="req-1"), None)
        claimed = journal.claim("1", "t")
        assert claimed is not None
        assert (claimed.task_id, claimed.state, claimed.abandoned) == ("t", EntryState.SUBMITTED, False)
        assert claimed.reason is None
        assert journal.claim("2", "t") is None
        running = journal.update("1", state=EntryState.RUNNING)
        assert journal.claim("1", "t") == running
        assert journal.claim("3", "u") is None

    @pytest.mark.parametrize("state", list(EntryState))
    def test_only_a_lost_submit_without_a_task_takes_one(self, journal: Journal, state: EntryState) -> None:
        journal.reserve(entry(id="1", state=state), None)
        journal.reserve(entry(id="2", state=state, task_id="u"), None)
        before = journal.entries()
        claimed = journal.claim("1", "t")
        assert (claimed is not None) is (state is EntryState.UNCONFIRMED)
        assert journal.claim("2", "t") is None
        assert journal.entries() == [claimed or before[0], before[1]]

    # --- money ---

    def test_sums_are_exact(self, journal: Journal) -> None:
        amounts = ["0.1", "0.2", "0.000000000001", "1234567.89", "0.3690"]
        for number, amount in enumerate(amounts):
            journal.reserve(entry(id=str(number), reserved_usd=Decimal(amount)), None)
        assert journal.spent() == sum(map(Decimal, amounts))

    def test_what_is_finer_than_a_trillionth_of_a_dollar_counts_as_one(self, journal: Journal) -> None:
        tiny = Decimal("0.1230000000000000001")
        journal.reserve(entry(reserved_usd=tiny), None)
        assert journal.spent() == Decimal("0.123000000001")
        assert journal.entries()[0].reserved_usd == tiny

    @pytest.mark.parametrize("state", list(EntryState))
    def test_only_what_is_known_to_be_free_counts_as_nothing(self, journal: Journal, state: EntryState) -> None:
        free = {EntryState.FAILED, EntryState.CANCELED}
        journal.reserve(entry(), None)
        changed = journal.update("1", state=state)
        assert (changed.spent_usd == 0) is (state in free)
        assert journal.spent() == changed.spent_usd
        assert journal.update("1", billed_usd=Decimal("0.1")).spent_usd == journal.spent() == Decimal("0.1")

    def test_money_is_counted_by_when_it_was_reserved(self, journal: Journal) -> None:
        journal.reserve(entry(id="1"), None)
        journal.reserve(entry(id="2", created_at=LATER), None)
        assert journal.spent(MOMENT) == journal.spent(LATER - timedelta(microseconds=1)) == Decimal("0.369")
        assert journal.spent(LATER) == 0
        assert journal.spent() == Decimal("0.738")

    def test_entries_are_counted_and_summed_up_by_what_they_match(self, journal: Journal) -> None:
        journal.reserve(entry(id="1", state=EntryState.SUCCEEDED, billed_usd=Decimal("0.30")), None)
        journal.reserve(entry(id="2", created_at=LATER), None)
        journal.reserve(entry(id="3", created_at=LATER, state=EntryState.FAILED), None)
        journal.reserve(entry(id="4", created_at=LATER, gateway="other"), None)
        whole = journal.summarize()
        assert whole.states == {EntryState.SUCCEEDED: 1, EntryState.SUBMITTING: 2, EntryState.FAILED: 1}
        assert (whole.count, whole.billed_usd, whole.spent_usd) == (4, Decimal("0.30"), Decimal("1.038"))
        late = journal.summarize(gateway="nebula", since=MOMENT, states=[EntryState.SUBMITTING, EntryState.SUCCEEDED])
        assert (late.states, late.spent_usd) == ({EntryState.SUBMITTING: 1}, Decimal("0.369"))
        assert journal.summarize(gateway="nobody").count == 0

    def test_entries_can_be_found_by_how_their_keys_begin(self, journal: Journal) -> None:
        for number, key in enumerate(["chat-1:a", "chat-1:b", "Chat-1:a", "chat-10:a", "chat_1:a", None]):
            journal.reserve(entry(id=str(number), key=key, request={"n": number}), None)
        assert [found.key for found in journal.entries(key_prefix="chat-1:")] == ["chat-1:a", "chat-1:b"]
        assert journal.entries(key_prefix="%") == []

    def test_money_and_entries_are_counted_by_scope(self, journal: Journal) -> None:
        for number, scopes in enumerate([("b", "a", "b"), ("a",), ()]):
            moment = MOMENT + timedelta(seconds=number)
            journal.reserve(entry(id=str(number), key=f"k{number}", scopes=scopes, created_at=moment), None)
        assert journal.entries()[0].scopes == ("a", "b")
        assert [found.id for found in journal.entries(scope="a")] == ["0", "1"]
        assert [found.id for found in journal.entries(scope="a", since=MOMENT, limit=5)] == ["1"]
        assert [journal.spent(scope=scope) for scope in "abc"] == [Decimal("0.738"), Decimal("0.369"), Decimal(0)]
        assert journal.spent(MOMENT, scope="a") == Decimal("0.369")
        assert journal.spent() == Decimal("1.107")

    def test_an_entry_keeps_its_scopes_through_every_change(self, journal: Journal) -> None:
        first = journal.reserve(entry(key="a", scopes=("run",), **LEASE), None)
        assert journal.reserve(entry(id="2", key="a", scopes=("other",)), None) == first
        begin(journal, "1")
        held = journal.hold("1", holder="a", now=MOMENT, until=LATER)
        changed = journal.update("1", task_id="t", state=EntryState.FAILED)
        found = journal.find(key="a")
        assert held is not None
        assert held.scopes == changed.scopes == ("run",)
        assert found == changed
        assert journal.spent(scope="run") == journal.spent(scope="other") == 0

    @pytest.mark.parametrize("way", ["forget", "sweep", "reserve"])
    def test_a_forgotten_entry_leaves_no_scope_behind(self, journal: Journal, way: str) -> None:
        journal.reserve(entry(key="a", scopes=("run",), **LEASE), None)
        if way == "forget":
            journal.forget("1")
        elif way == "sweep":
            journal.sweep(LATER)
        again = entry(key="a", created_at=LATER)  # the same id: what was left behind would count for it
        assert journal.reserve(again, None) == again
        assert not journal.entries()[0].scopes
        assert journal.spent(scope="run") == 0

    def test_a_ceiling_is_decided_as_the_entry_is_written(self, journal: Journal) -> None:
        for number, scopes in enumerate([("run",), ("other",)]):
            journal.reserve(entry(id=f"{number}", scopes=scopes), None)
        of_run = Ceiling(Decimal("0.50"), "run", None, refused)
        with pytest.raises(BudgetExceededError, match=r"0\.369 of 0\.131"):
            journal.reserve(entry(id="2", key="a", scopes=("run",), created_at=LATER), None, ceilings=[of_run])
        assert journal.find(key="a") is None
        lately, of_nobody = Ceiling(Decimal("0.50"), None, MOMENT, refused), Ceiling(Decimal(1), "x", None, refused)
        fits = entry(id="3", key="a", created_at=LATER)
        assert journal.reserve(fits, None, ceilings=[of_nobody, lately]) == fits
        with pytest.raises(BudgetExceededError, match=r"0\.369 of 0\.131"):
            journal.reserve(entry(id="4", created_at=LATER), None, ceilings=[of_nobody, lately])

    def test_a_ceiling_refuses_no_entry_that_is_there(self, journal: Journal) -> None:
        nothing = Ceiling(Decimal(0), None, None, refused)
        first = journal.reserve(entry(key="a"), None)
        assert journal.reserve(entry(id="2", key="a"), None, ceilings=[nothing]) == first

    def test_ceilings_are_atomic_across_threads(self, journal: Journal) -> None:
        barrier, ceiling = threading.Barrier(16), Ceiling(Decimal("1.00"), "run", None, refused)

        def reserve(number: int) -> bool:
            barrier.wait()
            try:
                journal.reserve(entry(id=str(number), scopes=("run",)), None, ceilings=[ceiling])
            except BudgetExceededError:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(reserve, range(16))) == 2

    def test_a_budget_is_kept_and_its_window_slides(self, journal: Journal) -> None:
        budget = Budget("0.50", per=timedelta(minutes=2))
        journal.reserve(entry(), budget)
        with pytest.raises(BudgetExceededError, match=r"\$0.131 is left"):
            journal.reserve(entry(id="2", key="a", created_at=LATER - timedelta(seconds=1)), budget)
        assert journal.find(key="a") is None
        assert journal.reserve(entry(id="3", created_at=LATER), budget).id == "3"

    def test_reservations_are_atomic_across_threads(self, journal: Journal) -> None:
        barrier = threading.Barrier(16)

        def reserve(number: int) -> bool:
            barrier.wait()
            try:
                journal.reserve(entry(id=str(number)), Budget(usd="1"))
            except BudgetExceededError:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(reserve, range(16))) == 2

    # --- submits under way ---

    def test_a_submit_that_begins_is_noted_and_held(self, journal: Journal) -> None:
        journal.reserve(entry(**LEASE), None)
        now = MOMENT + timedelta(seconds=7)
        assert begin(journal, "1", now=now)
        (found,) = journal.entries()
        assert (found.sent_at, found.holder, found.held_until) == (now, "a", now + timedelta(minutes=1))

    def test_no_more_submits_are_under_way_than_may_be(self, journal: Journal) -> None:
        for name in "123":
            journal.reserve(entry(id=name), None)
        journal.reserve(entry(id="4", gateway="other"), None)
        assert [begin(journal, name, cap=2) for name in "1234"] == [True, True, False, True]
        waiting = journal.entries()[2]
        assert (waiting.sent_at, waiting.holder, waiting.held_until) == (None, None, None)
        journal.update("1", task_id="t", state=EntryState.SUBMITTED)
        assert begin(journal, "3", cap=2)

    def test_a_submit_begins_again_in_its_own_place(self, journal: Journal) -> None:
        journal.reserve(entry(), None)
        assert begin(journal, "1", cap=1)
        assert begin(journal, "1", cap=1)
        assert begin(journal, "1", cap=1, now=MOMENT + timedelta(seconds=1))

    def test_the_very_same_beginning_again_stays_begun(self, journal: Journal) -> None:
        """Its answer was lost, and meanwhile another one has begun."""
        for name in "12":
            journal.reserve(entry(id=name), None)
        assert begin(journal, "1", cap=1)
        assert begin(journal, "2", cap=2)
        assert begin(journal, "1", cap=1)
        assert not begin(journal, "1", cap=1, now=MOMENT + timedelta(seconds=1))

    def test_a_submit_that_was_taken_back_or_is_not_held_any_more_is_not_under_way(self, journal: Journal) -> None:
        for name in "12":
            journal.reserve(entry(id=name), None)
        assert begin(journal, "1", cap=1)
        journal.update("1", sent_at=None)
        assert begin(journal, "2", cap=1)
        assert not begin(journal, "1", cap=1)
        assert begin(journal, "1", cap=1, now=LATER)

    @pytest.mark.parametrize(
        "fields",
        [
            {"id": "2"}, {"state": EntryState.UNCONFIRMED, "abandoned": True},
            {"holder": "b", "held_until": LATER}, {"state": EntryState.SUBMITTED, "task_id": "t"},
        ],
    )  # fmt: skip
    def test_what_another_process_has_seen_to_is_not_sent(self, journal: Journal, fields: dict[str, Any]) -> None:
        journal.reserve(entry(**fields), None)
        before = journal.entries()
        with pytest.raises(JournalError, match=r"another process has seen to it.*Nothing was sent"):
            begin(journal, "1")
        assert journal.entries() == before

    # --- leases ---

    def test_an_entry_is_held_by_one_at_a_time(self, journal: Journal) -> None:
        journal.reserve(entry(), None)
        until = MOMENT + timedelta(minutes=1)
        held = journal.hold("1", holder="a", now=MOMENT, until=until)
        assert held is not None
        assert (held.holder, held.held_until, held.updated_at) == ("a", until, None)
        assert journal.hold("1", holder="b", now=MOMENT, until=LATER) is None
        assert journal.hold("1", holder="a", now=MOMENT, until=LATER) == journal.entries()[0]
        assert journal.hold("1", holder="b", now=LATER, until=LATER + timedelta(minutes=1)) is not None
        assert journal.hold("1", holder="a", now=LATER, until=LATER + timedelta(minutes=1)) is None
        journal.release("1", "a")
        assert journal.entries()[0].holder == "b"
        journal.release("1", "b")
        assert (journal.entries()[0].holder, journal.entries()[0].held_until) == (None, None)
        assert journal.hold("1", holder="a", now=LATER, until=LATER + timedelta(minutes=1)) is not None
        assert journal.hold("2", holder="a", now=LATER, until=LATER) is None

    @pytest.mark.parametrize("fields", [LEASE, {}, {"sent_at": MOMENT}])
    def test_who_is_in_mid_submit_is_given_back_as_it_is(self, journal: Journal, fields: dict[str, Any]) -> None:
        first = journal.reserve(entry(key="a", **fields), None)
        now = MOMENT + timedelta(seconds=59)
        assert journal.reserve(entry(id="2", key="a", created_at=now), None) == first

    def test_what_died_before_it_was_sent_makes_room(self, journal: Journal) -> None:
        journal.reserve(entry(key="a", **LEASE), None)
        fresh = entry(id="2", key="a", created_at=LATER, holder="b", held_until=LATER + timedelta(minutes=1))
        assert journal.reserve(fresh, Budget("0.50")) == fresh
        assert journal.entries() == [fresh]

    def test_what_died_after_it_was_sent_is_unconfirmed(self, journal: Journal) -> None:
        journal.reserve(entry(key="a", **SENT), None)
        found = journal.reserve(entry(id="2", key="a", created_at=LATER), None)
        assert (found.id, found.state, found.abandoned) == ("1", EntryState.UNCONFIRMED, True)
        assert (found.lost_at, found.updated_at) == (LEASE["held_until"], LATER)
        assert journal.entries() == [found]
        assert journal.spent() == Decimal("0.369")

    @pytest.mark.parametrize(("fields", "owner"), [(LEASE, "2"), (SENT, "1")])
    def test_a_repetition_sees_to_what_died(self, journal: Journal, fields: dict[str, Any], owner: str) -> None:
        journal.reserve(entry(**fields), None)
        found = journal.reserve(entry(id="2", key="a", created_at=LATER), None, repeats=Repeats())
        assert found.id == owner
        assert journal.entries() == [found]
        assert journal.find(key="a") == found

    def test_what_died_unsent_is_gone_even_if_the_budget_does_not_hold_the_new_one(self, journal: Journal) -> None:
        journal.reserve(entry(key="a", **LEASE), None)
        with pytest.raises(BudgetExceededError):
            journal.reserve(entry(id="2", key="a", created_at=LATER), Budget("0.10"))
        assert journal.entries() == []

    def test_a_sweep_sees_to_all_that_died(self, journal: Journal) -> None:
        journal.reserve(entry(id="1", **SENT), None)
        journal.reserve(entry(id="2", **LEASE), None)
        journal.reserve(entry(id="3"), None)
        journal.reserve(entry(id="4", **{**SENT, "held_until": LATER + timedelta(seconds=1)}), None)
        journal.reserve(entry(id="5", **SENT, state=EntryState.SUBMITTED, task_id="t"), None)
        (lost,) = journal.sweep(LATER)
        assert (lost.id, lost.state, lost.abandoned) == ("1", EntryState.UNCONFIRMED, True)
        assert lost.lost_at == LEASE["held_until"]
        assert [found.id for found in journal.entries()] == ["1", "3", "4", "5"]
        assert journal.sweep(LATER + timedelta(microseconds=1)) == []

    def test_who_was_only_slow_still_records_its_task(self, journal: Journal) -> None:
        journal.reserve(entry(**SENT), None)
        journal.sweep(LATER)
        found = journal.update("1", task_id="t", state=EntryState.SUBMITTED, abandoned=False)
        assert journal.find(gateway="nebula", task_id="t") == found

    # --- listing ---

    def test_entries_are_listed_by_what_is_asked_for(self, journal: Journal) -> None:
        rows = [("1", "nebula", "submitted"), ("2", "other", "running"), ("3", "nebula", "running")]
        for name, gateway, state in rows:
            moment = MOMENT + timedelta(seconds=int(name))
            journal.reserve(entry(id=name, gateway=gateway, state=EntryState(state), created_at=moment), None)

        def listed(**filters: Any) -> str:
            return "".join(found.id for found in journal.entries(**filters))

        assert listed() == "123"
        assert listed(newest_first=True) == "321"
        assert listed(states=[EntryState.RUNNING]) == "23"
        assert listed(states={EntryState.RUNNING, EntryState.SUBMITTED}, gateway="nebula") == "13"
        assert not listed(states=[])
        assert listed(since=MOMENT + timedelta(seconds=1)) == "23"
        assert listed(limit=1) == "1"
        assert listed(limit=2, newest_first=True, gateway="nebula") == "31"
        assert not listed(limit=0)

    def test_entries_of_one_moment_are_listed_as_they_came(self, journal: Journal) -> None:
        for name in "213":
            journal.reserve(entry(id=name), None)
        assert "".join(found.id for found in journal.entries()) == "213"
        assert "".join(found.id for found in journal.entries(newest_first=True)) == "312"

    # --- the journal itself ---

    def test_copies_share_the_journal(self, journal: Journal) -> None:
        assert copy.copy(journal) is journal
        assert copy.deepcopy({"journal": journal})["journal"] is journal

    def test_unpickled_in_the_same_process_it_is_the_same_journal(self, journal: Journal) -> None:
        assert pickle.loads(pickle.dumps(journal)) is journal

    def test_it_can_be_used_after_it_was_closed(self, journal: Journal) -> None:
        journal.reserve(entry(), None)
        journal.close()
        journal.close()
        assert len(journal.entries()) == 1

    def test_threads_do_their_work_side_by_side(self, journal: Journal) -> None:
        def generation(number: int) -> None:
            name = str(number)
            journal.reserve(entry(id=name, key=name, request={"n": number}), Budget("1000"), repeats=Repeats())
            assert begin(journal, name, cap=100)
            journal.update(name, task_id=name, state=EntryState.SUBMITTED)
            assert journal.find(key=name) == journal.find(gateway="nebula", task_id=name)
            journal.update(name, state=EntryState.SUCCEEDED, billed_usd=Decimal("0.1"))

        with ThreadPoolExecutor(24) as pool:
            assert [*pool.map(generation, range(48))] == [None] * 48
        assert journal.spent() == Decimal("4.8")


# --- several processes ---


Crowd = Callable[..., list[Any]]
_PROCESSES = 4
_barriers: list[Any] = []


def _at_once(barrier: Any) -> None:
    _barriers[:] = [barrier]


def _in_step(work: Callable[..., Any], *arguments: Any) -> Any:
    _barriers[0].wait(30)
    return work(*arguments)


def opened(url: str) -> SqlJournal:
    return SqlJournal(url, patience=30)


def _hammer_a_ceiling(url: str, process: int) -> int:
    """Reserve ten entries of one run under a ceiling for ten in all; how many of them fitted."""
    journal, made = opened(url), 0
    ceiling = Ceiling(Decimal("1.00"), "run", None, refused)
    for number in range(10):
        wanted = entry(id=f"{process}-{number}", reserved_usd=Decimal("0.10"), scopes=("run",))
        try:
            journal.reserve(wanted, None, ceilings=[ceiling])
        except BudgetExceededError:
            continue
        made += 1
    journal.close()
    return made


def _hammer(url: str, process: int, keys: list[str]) -> list[str]:
    """Reserve every key; the ids of those that were this process's to make."""
    journal = opened(url)
    made = []
    for key in keys:
        name = f"{process}-{key}"
        try:
            owner = journal.reserve(entry(id=name, key=key, reserved_usd=Decimal("0.10")), Budget("3.00"))
        except BudgetExceededError:
            continue
        if owner.id == name:
            made.append(name)
    journal.close()
    return made


def _ask_for_all(url: str, process: int, requests: int) -> list[str]:
    """Ask for each request, without a key and within a window; the ids of the entries that it got."""
    journal = opened(url)
    repeats = Repeats(since=MOMENT - timedelta(minutes=10))
    got = [
        journal.reserve(entry(id=f"{process}-{number}", request={"n": number}), None, repeats=repeats).id
        for number in range(requests)
    ]
    journal.close()
    return got


def _submits(url: str, process: int, rounds: int, cap: int) -> int:
    """Begin and end submits; the most that were seen under way."""
    journal = opened(url)
    most = begun = 0
    while begun < rounds:
        name = f"{process}-{begun}"
        journal.reserve(entry(id=name), None)
        until = MOMENT + timedelta(minutes=1)
        while not journal.begin(name, holder=str(process), now=MOMENT, until=until, cap=cap):
            time.sleep(0.002)
        begun += 1
        under_way = [found for found in journal.entries(states=[EntryState.SUBMITTING]) if found.sent_at]
        most = max(most, len(under_way))
        journal.update(name, task_id=name, state=EntryState.SUBMITTED)
    journal.close()
    return most


def _open_at_once(url: str, process: int) -> int:
    journal = opened(url)
    journal.reserve(entry(id=str(process)), None)
    journal.close()
    return process


def _work_until_killed(url: str, moment: str, told: int) -> None:
    """Leave one entry that was sent and one that was not, then wait for the end: between two calls or within one."""
    journal = opened(url)
    for name in ("unsent", "sent"):
        journal.reserve(entry(id=name, key=name, holder="dead", held_until=MOMENT + timedelta(minutes=1)), None)
    assert begin(journal, "sent", holder="dead")
    if moment == "between":
        os.write(told, b"!")
        signal.pause()
    with journal._store.database.transaction(1) as session:
        session.run_text("UPDATE nebula_entries SET state = 'failed'")
        os.write(told, b"!")
        signal.pause()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
class SharedJournalContract:
    """What several processes rely on; whoever inherits it has a fixture `url`."""

    @pytest.fixture(scope="class")
    @classmethod
    def crowd(cls) -> Iterator[Crowd]:
        """Four processes that do the same piece of work at once."""
        context = multiprocessing.get_context("fork")  # quick, and each opens a journal of its own
        with context.Pool(_PROCESSES, _at_once, (context.Barrier(_PROCESSES),)) as pool:

            def together(work: Callable[..., Any], url: str, *arguments: Any) -> list[Any]:
                waiting = [pool.apply_async(_in_step, (work, url, number, *arguments)) for number in range(_PROCESSES)]
                return [each.get(timeout=60) for each in waiting]

            yield together

    def test_processes_that_open_it_at_once_make_its_tables_once(self, crowd: Crowd, url: str) -> None:
        assert crowd(_open_at_once, url) == [*range(_PROCESSES)]
        journal = opened(url)
        assert len(journal.entries()) == _PROCESSES
        journal.close()

    def test_a_journal_of_the_first_schema_is_brought_up_to_date(self, url: str) -> None:
        journal = opened(url)
        first = journal.reserve(entry(key="a"), None)
        with journal._store.database.transaction(0) as session:
            for event in ("insert", "update", "delete"):
                table = "" if journal._store.database.sqlite else " ON nebula_entries"
                session.run_text(f"DROP TRIGGER nebula_totals_{event}{table}")
            if not journal._store.database.sqlite:
                session.run_text("DROP FUNCTION nebula_add_to_totals")
            session.run_text("DROP TABLE nebula_totals")
            session.run_text("DROP INDEX nebula_entries_request")
            session.run_text("DROP INDEX nebula_entries_states")
            session.run_text("CREATE INDEX ix_nebula_entries_digest ON nebula_entries (digest)")
            session.run_text("CREATE INDEX nebula_entries_state ON nebula_entries (state, created_at)")
            for column in ("account", "host", "play_money"):
                session.run_text(f"ALTER TABLE nebula_entries DROP COLUMN {column}")
            session.run_text("DROP TABLE nebula_scopes")
            session.run_text("ALTER TABLE nebula_schema DROP COLUMN oldest")
            session.run_text("UPDATE nebula_schema SET version = 1")
        journal.close()
        second = entry(id="2", account="me", created_at=LATER, scopes=("run",))
        assert journal.reserve(second, None) == second
        assert journal.entries() == [first, second]
        assert journal.spent(scope="run") == Decimal("0.369")
        journal.close()

    def test_processes_never_share_a_key_nor_overdraw_the_budget(self, crowd: Crowd, url: str) -> None:
        keys = [f"k{number}" for number in range(40)]
        made = [name for names in crowd(_hammer, url, keys) for name in names]
        journal = opened(url)
        rows = journal.entries()
        assert sorted(made) == sorted(found.id for found in rows)
        assert len({found.key for found in rows}) == len(rows) == 30
        assert journal.spent() == Decimal("3.00")
        journal.close()

    def test_processes_at_once_fill_a_ceiling_to_the_last_cent(self, crowd: Crowd, url: str) -> None:
        """None is refused because of another one that does not fit either."""
        assert sum(crowd(_hammer_a_ceiling, url)) == 10
        journal = opened(url)
        assert journal.spent(scope="run") == Decimal("1.00")
        journal.close()

    def test_processes_that_ask_for_the_same_at_once_join_one_entry(self, crowd: Crowd, url: str) -> None:
        answers = crowd(_ask_for_all, url, 20)
        assert all(answer == answers[0] for answer in answers)
        journal = opened(url)
        assert sorted(found.id for found in journal.entries()) == sorted(answers[0])
        journal.close()

    def test_processes_never_have_more_submits_under_way_than_may_be(self, crowd: Crowd, url: str) -> None:
        assert max(crowd(_submits, url, 12, 2)) <= 2
        journal = opened(url)
        assert len(journal.entries(states=[EntryState.SUBMITTED])) == 12 * _PROCESSES
        journal.close()

    @pytest.mark.parametrize("moment", ["between", "within"])
    def test_what_a_killed_process_leaves_is_seen_to(self, url: str, moment: str) -> None:
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _work_until_killed(url, moment, told)
            finally:
                os._exit(1)
        os.close(told)
        assert os.read(heard, 1) == b"!"
        os.close(heard)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        journal = opened(url)
        assert journal.reserve(entry(id="2", key="unsent", created_at=LATER), None).id == "2"
        (lost,) = journal.sweep(LATER)
        assert (lost.id, lost.state) == ("sent", EntryState.UNCONFIRMED)
        assert journal.reserve(entry(id="3", key="sent", created_at=LATER), None) == lost
        journal.close()

    def test_a_fork_has_connections_of_its_own(self, url: str) -> None:
        journal = opened(url)
        journal.reserve(entry(id="parent"), None)
        child = os.fork()
        if child == 0:
            try:
                journal.reserve(entry(id="child"), None)
                for _ in range(20):
                    journal.update("child", state=EntryState.RUNNING)
            finally:
                os._exit(0)
        for _ in range(20):
            journal.update("parent", state=EntryState.RUNNING)
        journal.close()
        os.waitpid(child, 0)
        assert {found.id: str(found.state) for found in journal.entries()} == {"parent": "running", "child": "running"}
        journal.close()

    def test_another_process_unpickles_the_same_database_and_ends_without_noise(self, url: str) -> None:
        """Nobody closes the journal there."""
        journal = opened(url)
        journal.reserve(entry(), None)
        program = """
            import pickle, sys
            journal = pickle.load(sys.stdin.buffer)
            print(journal.update("1", reason="read and written elsewhere").id)
        """
        command = [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(program)]
        done = subprocess.run(command, input=pickle.dumps(journal), capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"1\n", b"")
        assert journal.entries()[0].reason == "read and written elsewhere"
        journal.close()
