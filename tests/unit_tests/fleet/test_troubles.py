"""What of a fleet needs a person: each trouble is told with its remedy, the worst first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from langchain_nebula_video.fleet import (
    AccountStatus,
    BatchState,
    BatchStatus,
    FleetStatus,
    ItemError,
    ItemState,
    WorkerStatus,
)
from langchain_nebula_video.fleet.troubles import TroubleKind, find_troubles, seconds_left, why_it_waits
from tests.tables import each_row

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
ACCOUNT = AccountStatus(
    id="3f2a",
    gateway="nebula",
    base_url="https://example.com",
    cap=None,
    rate=None,
    paused_until=None,
    needs_a_person=False,
    reason=None,
    refusals=0,
)
WORKER = WorkerStatus(
    id="render-1",
    host="render-1",
    pid=1,
    version=version("langchain-nebula-video"),
    accounts=("3f2a",),
    concurrency=10,
    running=0,
    finished=0,
    per_minute=0.0,
    usd_per_minute=Decimal(0),
    note=None,
    draining=False,
    started_at=NOW,
    silent=1.0,
    died=False,
)
PRICE = Decimal("0.5")
OPEN = (ItemState.WAITING, ItemState.DELAYED, ItemState.QUEUED, ItemState.RUNNING)


def batch(counts: dict[str, int], **more: Any) -> BatchStatus:
    """A batch of so many items in each state, at half a dollar each."""
    found = {ItemState(name): count for name, count in counts.items()}
    begun = sum(found.get(each, 0) for each in (ItemState.QUEUED, ItemState.RUNNING)) * PRICE
    values: dict[str, Any] = {
        "id": 1,
        "name": "cats",
        "state": BatchState.RUNNING,
        "reason": None,
        "account": "3f2a",
        "budget": None,
        "priority": 0,
        "not_before": None,
        "hours": None,
        "created_at": NOW,
        "save_to": None,
        "broken": 0,
        "counts": found,
        "usd": {state: count * PRICE for state, count in found.items()},
        "spent": found.get(ItemState.DONE, 0) * PRICE,
        "maybe_spent": found.get(ItemState.UNCONFIRMED, 0) * PRICE,
        "reserved": begun,
        "estimate": sum(found.get(each, 0) for each in OPEN) * PRICE - begun,
    }
    return BatchStatus(**(values | more))


def fleet(
    *batches: BatchStatus,
    accounts: tuple[AccountStatus, ...] = (ACCOUNT,),
    workers: tuple[WorkerStatus, ...] = (WORKER,),
) -> FleetStatus:
    return FleetStatus(fleet="f", at=NOW, batches=batches, accounts=accounts, workers=workers, errors=())


def told(status: FleetStatus) -> list[tuple[str, str]]:
    return [(trouble.kind.value, trouble.what) for trouble in find_troubles(status)]


def test_a_fleet_that_works_has_no_trouble() -> None:
    assert told(fleet(batch({"waiting": 5, "running": 3, "done": 2, "canceled": 1}))) == []


@each_row(
    ("status", "kind", "what", "remedy"),
    [
        (
            fleet(batch({"unconfirmed": 3})),
            "unconfirmed",
            "3 unconfirmed submits: $1.50 may have been spent",
            "nebula-video fleet retry cats --unconfirmed",
        ),
        (fleet(batch({"failed": 1})), "failed", "1 failed", "nebula-video fleet retry cats"),
        (
            fleet(batch({"waiting": 1}), workers=()),
            "standstill",
            "no worker runs, with 1 video left",
            "nebula-video fleet worker",
        ),
        (
            fleet(batch({"waiting": 9}), workers=(replace(WORKER, draining=True),)),
            "standstill",
            "no worker runs, with 9 videos left",
            "nebula-video fleet worker",
        ),
        (
            fleet(batch({"waiting": 9}), workers=(replace(WORKER, accounts=()),)),
            "standstill",
            "no worker has the key of account 3f2a, with 9 videos left",
            "NEBULA_API_KEY",
        ),
        (
            fleet(batch({"waiting": 9, "done": 4}, budget=Decimal("2.4"))),
            "standstill",
            "its budget of $2.40 is used up, with 9 videos left",
            "nebula-video fleet resume cats --budget",
        ),
        (
            fleet(batch({"waiting": 9}, state=BatchState.PAUSED, reason="SetupError: no room")),
            "standstill",
            "it is paused: SetupError: no room",
            "nebula-video fleet resume cats",
        ),
        (
            fleet(batch({"waiting": 9}, reason="BudgetExceededError: too dear")),
            "standstill",
            "it is held up, and tried again now and then: BudgetExceededError: too dear",
            "Restart the workers with a higher --budget",
        ),
        (
            fleet(
                batch({"waiting": 1}),
                accounts=(replace(ACCOUNT, paused_until=NOW, needs_a_person=True, reason="AuthenticationError: no"),),
            ),
            "standstill",
            "the account at nebula is paused: AuthenticationError: no",
            "With another one: nebula-video fleet account 3f2a --new-key.",
        ),
        (
            fleet(
                batch({"waiting": 1}),
                accounts=(replace(ACCOUNT, paused_until=NOW, needs_a_person=True, reason="QuotaError: empty"),),
            ),
            "standstill",
            "the account at nebula is paused: QuotaError: empty",
            "See to that first. Then: nebula-video fleet account 3f2a --resume",
        ),
        (
            fleet(
                batch({"waiting": 1}),
                accounts=(replace(ACCOUNT, paused_until=NOW, needs_a_person=True, reason="paused by a person"),),
            ),
            "notice",
            "the account at nebula is paused: paused by a person",
            "nebula-video fleet account 3f2a --resume",
        ),
        (
            fleet(batch({"waiting": 9}, reason="render-1: SetupError: there is no room")),
            "standstill",
            "it is held up, and tried again now and then: render-1: SetupError: there is no room",
            "nebula-video fleet resume cats",
        ),
        (
            fleet(batch({"waiting": 9, "done": 4}, budget=Decimal("2.9"), reason="The budget has $0.9000 left, …")),
            "standstill",
            "its budget of $2.90 is used up, with 9 videos left",
            "nebula-video fleet resume cats --budget",
        ),
        (
            fleet(batch({"failed": 1}, name="a b; rm -rf /")),
            "failed",
            "1 failed",
            "nebula-video fleet retry 'a b; rm -rf /'",
        ),
        (
            fleet(
                batch({"waiting": 1}),
                accounts=(replace(ACCOUNT, refusals=5, reason="render-1: NotSentError: nobody answers"),),
            ),
            "standstill",
            "nebula has refused 5 times in a row: render-1: NotSentError: nobody answers",
            "It is tried again by itself.",
        ),
        (
            fleet(batch({"done": 1}, broken=2)),
            "notice",
            "2 rows of its lists cannot become videos",
            "nebula-video fleet status cats --broken",
        ),
        (
            fleet(workers=(replace(WORKER, silent=75.0, running=1),)),
            "notice",
            "it is dead",
            "Others take up its 1 video.",
        ),
        (
            fleet(workers=(replace(WORKER, died=True, running=6),)),
            "notice",
            "it is dead",
            "Others took up its 6 videos.",
        ),
        (fleet(workers=(replace(WORKER, died=True),)), "notice", "it is dead", "It had no video under way."),
        (fleet(workers=(replace(WORKER, died=True, note="the tables are newer"),)), "notice", "the tables are", "It"),
        (
            fleet(workers=(replace(WORKER, note="no key of the fleet's accounts is here"),)),
            "notice",
            "no key of the fleet's accounts is here",
            "It waits",
        ),
        (fleet(workers=(replace(WORKER, version="0.0.1"),)), "notice", "it has version 0.0.1, and here is", "Upgrade"),
    ],
)
def test_each_trouble_is_told_with_its_remedy(status: FleetStatus, kind: str, what: str, remedy: str) -> None:
    (trouble,) = find_troubles(status)
    assert trouble.kind is TroubleKind(kind)
    assert trouble.what.startswith(what)
    assert remedy in trouble.remedy


def test_an_account_that_no_batch_needs_is_no_trouble() -> None:
    """Such as one whose key was replaced: its batches are paid with another one."""
    old = replace(ACCOUNT, id="old", paused_until=NOW, needs_a_person=True, reason="AuthenticationError: no")
    assert told(fleet(batch({"waiting": 5}), batch({"done": 1}, account="old"), accounts=(ACCOUNT, old))) == []


@each_row(
    ("errors", "remedy"),
    [
        (["TaskFailedError"] * 2, "Try again: nebula-video fleet retry cats"),
        (
            ["ModerationError"] * 2,
            "The same request is refused again: change its row, and enqueue the list.",
        ),
        (
            ["InvalidInputError", "TaskFailedError"],
            (
                "The same request is refused again: change its row, and enqueue the list. "
                "Try the others again: nebula-video fleet retry cats"
            ),
        ),
    ],
)
def test_what_is_refused_for_what_it_asks_is_not_to_be_tried_again(errors: list[str], remedy: str) -> None:
    newest = tuple(ItemError(f"k{n}", "cats", ItemState.FAILED, f"{name}: no.", NOW) for n, name in enumerate(errors))
    (trouble,) = find_troubles(replace(fleet(batch({"failed": 2})), errors=newest))
    assert trouble.remedy == remedy


def test_an_unconfirmed_submit_is_taken_before_it_is_tried_again() -> None:
    (trouble,) = find_troubles(fleet(batch({"unconfirmed": 1})))
    assert trouble.remedy.index("--take") < trouble.remedy.index("fleet retry")


def test_a_worker_that_is_silent_makes_nothing_although_nobody_has_found_it_dead() -> None:
    """If all workers are killed at once, none is left that would write it down."""
    status = fleet(batch({"waiting": 2}), workers=(replace(WORKER, silent=60.0, per_minute=9.0),))
    assert ("standstill", "no worker runs, with 2 videos left") in told(status)
    assert status.per_minute == 0
    assert [each.name for each in status.stalled] == ["cats"]


def test_the_videos_of_a_worker_that_has_ended_leave_the_throughput_within_a_minute() -> None:
    gone = replace(WORKER, silent=15.0, per_minute=8.0, usd_per_minute=Decimal(4))
    status = replace(fleet(batch({"done": 8}), workers=()), gone=(gone,))
    assert (status.per_minute, status.usd_per_minute) == (6.0, Decimal(3))
    assert replace(status, gone=(replace(gone, silent=61.0),)).per_minute == 0


@each_row(
    ("more", "seconds"),
    [
        ({}, 30.0),
        ({"hours": "22:00-02:00 UTC"}, None),
        ({"not_before": NOW + timedelta(hours=2)}, None),
        ({"budget": Decimal("0.4")}, None),
        ({"state": BatchState.PAUSED}, None),
        ({"account": "another"}, None),
        ({"reason": "render-1: SetupError: there is no room"}, None),
    ],
)
def test_only_what_can_be_begun_now_has_a_time_that_is_left(more: dict[str, Any], seconds: float | None) -> None:
    status = fleet(batch({"waiting": 5}, **more), workers=(replace(WORKER, per_minute=10.0),))
    assert seconds_left(status) == seconds


def test_what_may_have_cost_money_stands_before_everything_else() -> None:
    status = fleet(batch({"failed": 1, "waiting": 1}, broken=1), batch({"unconfirmed": 1}, name="dogs"), workers=())
    assert [kind for kind, _ in told(status)] == ["unconfirmed", "standstill", "failed", "notice"]


@each_row(
    "more",
    [
        {"state": BatchState.PAUSED, "reason": "paused by a person"},
        {"state": BatchState.PAUSED, "reason": "its price was not accepted yet"},
        {"state": BatchState.CANCELED},
    ],
)
def test_what_a_person_decided_is_no_trouble(more: dict[str, Any]) -> None:
    assert told(fleet(batch({"waiting": 5}, **more), workers=())) == []


def test_a_budget_into_which_the_next_video_fits_is_not_used_up() -> None:
    assert told(fleet(batch({"waiting": 9, "done": 4}, budget=Decimal("2.5")))) == []


def test_a_budget_that_is_reserved_for_what_runs_is_not_used_up_yet() -> None:
    assert told(fleet(batch({"waiting": 9, "running": 4}, budget=Decimal("2.0")))) == []


@each_row(
    ("more", "account", "why"),
    [
        ({}, {}, None),
        ({"not_before": NOW + timedelta(hours=2)}, {}, "not before 2026-11-28 05:00 UTC"),
        ({"not_before": NOW - timedelta(hours=2)}, {}, None),
        ({"hours": "22:00-02:00 UTC"}, {}, "outside of its hours, 22:00-02:00 UTC"),
        ({"hours": "22:00-06:00 UTC"}, {}, None),
        (
            {},
            {"paused_until": NOW + timedelta(minutes=1), "reason": "RateLimitError: slow down"},
            "the account is paused until 03:01:00 UTC: RateLimitError: slow down",
        ),
        (
            {},
            {"paused_until": NOW, "needs_a_person": True, "reason": "AuthenticationError: no"},
            "the account is paused until a person resumes it: AuthenticationError: no",
        ),
        ({"state": BatchState.PAUSED, "hours": "22:00-02:00 UTC"}, {}, None),
    ],
)
def test_a_batch_that_waits_by_itself_says_for_what(
    more: dict[str, Any], account: dict[str, Any], why: str | None
) -> None:
    found = batch({"waiting": 5}, **more)
    assert why_it_waits(found, fleet(found, accounts=(replace(ACCOUNT, **account),))) == why
