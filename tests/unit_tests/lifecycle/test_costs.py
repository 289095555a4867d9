"""What a task costs by an answer about it: our own table counts, and only the bill is called one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.costs import Pricing
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.protocols import TaskSnapshot
from langchain_nebula_video.schema import Cost, Task, TaskStatus
from tests.conftest import KEY
from tests.tables import each_row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WAN = "wan2.5-i2v-preview"
PRICE = {"480p": Decimal("0.0369"), "720p": Decimal("0.0738"), "1080p": Decimal("0.1233")}
"""Nebula's list, per second."""


def pricing(**options: Any) -> Pricing:
    return Pricing(Options(api_key=KEY, **options))


def entry(**changes: Any) -> Entry:
    fields = {"id": "1", "gateway": "nebula", "model": WAN, "created_at": NOW, **changes}
    return Entry(request={"duration": 5, "resolution": "720p", "prompt": "x"} | fields.pop("request", {}), **fields)


def asked(prices: Pricing, resolution: str = "720p", duration: int = 5, model: str = WAN) -> Task:
    """A task as it is after its submit."""
    request = {"resolution": resolution, "duration": duration}
    cost = prices.cost_of_entry(model, entry(model=model, request=request))
    return Task(
        task_id="t", gateway="nebula", model=model, status=TaskStatus.QUEUED, cost=cost, duration=duration,
        resolution=resolution, submitted_at=NOW,
    )  # fmt: skip


def told(status: TaskStatus = TaskStatus.SUCCEEDED, **figures: Any) -> TaskSnapshot:
    """An answer. Its numbers may be written as text."""
    amounts = {"price_per_second", "group_ratio", "seconds", "billed_seconds", "amount_usd"}
    read: dict[str, Any] = {name: Decimal(str(value)) if name in amounts else value for name, value in figures.items()}
    return TaskSnapshot(status=status, raw={}, **read)


def summary(cost: Cost) -> tuple[str, str]:
    return f"{cost.usd}" if cost.usd is None else f"{cost.usd.normalize():f}", cost.basis


# --- one table, by resolution ---


@each_row(("resolution", "seconds", "usd"), [("480p", 5, "0.1845"), ("720p", 5, "0.369"), ("1080p", 10, "1.233")])
def test_the_price_of_an_answer_is_that_of_720p_and_not_of_what_was_made(
    resolution: str, seconds: int, usd: str
) -> None:
    prices = pricing()
    answer = told(resolution=resolution, seconds=seconds, price_per_second="0.0738", group_ratio=1)
    assert summary(prices.cost_of_answer(asked(prices, resolution, seconds), answer)) == (usd, "estimated")


def test_a_bill_s_price_is_believed_at_720p_and_where_the_table_has_none() -> None:
    prices = pricing()
    dearer = told(resolution="720p", seconds=5, price_per_second="0.08", group_ratio=1, billed=True)
    assert summary(prices.cost_of_answer(asked(prices), dearer)) == ("0.4", "billed")
    unlisted = asked(prices, model="unlisted")
    assert unlisted.cost.usd is None
    assert summary(prices.cost_of_answer(unlisted, dearer)) == ("0.4", "billed")


def test_a_bill_s_price_that_the_table_does_not_explain_makes_an_estimate() -> None:
    """The operator has changed prices: what 1080p costs now is not said."""
    prices = pricing()
    answer = told(resolution="1080p", seconds=5, price_per_second="0.08", group_ratio=1, billed=True)
    assert summary(prices.cost_of_answer(asked(prices, "1080p"), answer)) == ("0.6165", "estimated")
    low = told(resolution="480p", seconds=5, price_per_second="0.08", group_ratio=1, billed=True)
    assert summary(prices.cost_of_answer(asked(prices, "480p"), low)) == ("0.4", "estimated")


def test_a_gateway_that_made_another_resolution_bills_that_one() -> None:
    prices = pricing(group_ratio=1)
    answer = told(resolution="1080p", seconds=5)
    assert summary(prices.cost_of_answer(asked(prices, "480p"), answer)) == ("0.6165", "billed")


def test_billed_seconds_count_and_not_the_length_of_the_video() -> None:
    prices = pricing(group_ratio=1)
    answer = told(resolution="720p", seconds=5, billed_seconds=12)
    assert summary(prices.cost_of_answer(asked(prices), answer)) == ("0.8856", "billed")


# --- what is billed ---


@each_row(
    ("options", "figures", "basis"),
    [
        ({}, {}, "estimated"),
        ({"group_ratio": 1}, {}, "billed"),
        ({"group_ratio": "0.8"}, {}, "billed"),
        ({"group_ratio": None}, {}, "estimated"),
        ({"group_ratio": 1}, {"seconds": None}, "estimated"),
        ({"group_ratio": 1}, {"resolution": None}, "estimated"),
        ({"group_ratio": 1}, {"status": TaskStatus.RUNNING}, "estimated"),
        ({"group_ratio": 1}, {"price_per_second": Decimal("0.0738")}, "estimated"),
        ({"group_ratio": 1}, {"group_ratio": Decimal(1)}, "estimated"),
        ({"group_ratio": 1, "gateway": "dashscope-intl"}, {}, "estimated"),
        ({"group_ratio": 1, "prices": {WAN: "0.05"}}, {}, "billed"),
    ],
)
def test_figures_are_a_bill_where_the_gateway_charges_so_and_the_ratio_is_known(
    options: dict[str, Any], figures: dict[str, Any], basis: str
) -> None:
    prices = pricing(**options)
    answer = TaskSnapshot(raw={}, **{
        "status": TaskStatus.SUCCEEDED, "resolution": "720p", "seconds": Decimal(5), **figures
    })  # fmt: skip
    assert prices.cost_of_answer(asked(prices), answer).basis == basis


@each_row(
    ("passed", "reported", "known"),
    [
        (None, None, None),
        (2, None, 2),
        (None, 1, None),
        (None, 2, None),
        (2, 2, 2),
        (2, 3, None),
        (None, "0.5", None),
        (2, 1, None),
        (None, 100, None),
    ],
)
def test_a_ratio_is_known_if_it_was_passed_and_no_answer_contradicts_it(passed: Any, reported: Any, known: Any) -> None:
    options = Options(api_key=KEY, group_ratio=passed)
    if reported is not None:
        options.record_group_ratio(Decimal(reported))
    assert options.known_group_ratio() == known


def test_the_bill_of_figures_is_cut_to_whole_units_of_the_gateway() -> None:
    """Nebula counts in 500,000 to the dollar and drops the rest: 61,438.5 become 61,438."""
    prices = pricing(group_ratio="0.333")
    cost = prices.cost_of_answer(asked(prices), told(resolution="720p", seconds=5))
    assert summary(cost) == ("0.122876", "billed")
    assert (cost.price_per_second, cost.group_ratio, cost.seconds) == (PRICE["720p"], Decimal("0.333"), 5)


def test_the_amount_of_the_bill_wins_over_every_figure() -> None:
    prices = pricing(group_ratio=2)
    answer = told(resolution="1080p", seconds=5, amount_usd="0.738", billed=True, price_per_second="0.0738")
    cost = prices.cost_of_answer(asked(prices), answer)
    assert (*summary(cost), cost.price_per_second) == ("0.738", "billed", None)
    agreed = prices.cost_of_answer(asked(prices), told(resolution="720p", seconds=5, amount_usd="0.738", billed=True))
    assert (*summary(agreed), agreed.price_per_second) == ("0.738", "billed", PRICE["720p"])


def test_an_amount_in_dollars_has_its_yuan_beside_it() -> None:
    prices = pricing(gateway="dashscope")
    cost = prices.cost_of_answer(asked(prices), told(seconds=5, resolution="720p", amount_usd="0.5", billed=True))
    assert (cost.usd, cost.cny, cost.currency) == (Decimal("0.5"), Decimal("3.60"), "CNY")


@each_row("figures", [{"amount_usd": 0}, {"group_ratio": 0, "price_per_second": "0.0738"}])
def test_a_bill_of_nothing_for_a_video_is_none(figures: dict[str, Any]) -> None:
    prices = pricing()
    cost = prices.cost_of_answer(asked(prices), told(resolution="720p", seconds=5, billed=True, **figures))
    assert summary(cost) == ("0.369", "estimated")


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELED])
def test_a_task_without_a_video_costs_nothing(status: TaskStatus) -> None:
    prices = pricing()
    answer = told(status, resolution="720p", seconds=5, amount_usd="0.4")
    assert summary(prices.cost_of_answer(asked(prices), answer)) == ("0", "billed")


def test_a_later_answer_without_the_bill_does_not_undo_it() -> None:
    prices = pricing()
    task = asked(prices)
    bill = prices.cost_of_answer(task, told(resolution="720p", seconds=5, amount_usd="0.3", billed=True))
    task = task.model_copy(update={"cost": bill})
    assert prices.cost_of_answer(task, told(resolution="720p", seconds=5)) == bill
    corrected = prices.cost_of_answer(task, told(resolution="720p", seconds=5, amount_usd="0.31", billed=True))
    assert summary(corrected) == ("0.31", "billed")


def test_the_journal_s_bill_is_what_the_task_costs() -> None:
    prices = pricing()
    bill = prices.cost_of_answer(asked(prices), told(resolution="720p", seconds=5, amount_usd="0.3", billed=True))
    video = {"cost": bill.model_dump(mode="json")}
    assert prices.cost_of_entry(WAN, entry(reserved_usd=Decimal("0.369"), video=video)) == bill
    unreadable = entry(video={"cost": {"usd": "plenty"}})
    assert summary(prices.cost_of_entry(WAN, unreadable)) == ("0.369", "estimated")


# --- before the bill ---

AMOUNTS = st.none() | st.decimals(0, 10**6, places=4)
ANSWERS = st.builds(
    TaskSnapshot,
    status=st.sampled_from([TaskStatus.QUEUED, TaskStatus.RUNNING, TaskStatus.SUCCEEDED]),
    price_per_second=AMOUNTS,
    group_ratio=AMOUNTS,
    amount_usd=AMOUNTS,
    seconds=st.none() | st.decimals("0.1", 600, places=2),
    resolution=st.sampled_from([None, *PRICE]),
    billed=st.booleans(),
    raw=st.just({}),
)


@settings(deadline=None)
@given(ANSWERS, st.sampled_from(sorted(PRICE)), st.sampled_from([None, "0.5", 1, 3]))
def test_whatever_an_answer_says_an_estimate_is_never_below_our_own_nor_a_bill_without_a_ground(
    answer: TaskSnapshot, resolution: str, ratio: Any
) -> None:
    prices = pricing(group_ratio=ratio)
    cost = prices.cost_of_answer(asked(prices, resolution), answer)
    assert cost.usd is not None
    seconds = answer.seconds if answer.seconds and answer.seconds < 500 else 5
    own = PRICE[answer.resolution or resolution] * seconds * Decimal(ratio or 1)
    if cost.basis == "estimated":
        assert cost.usd >= own
        highest = max(100 * 100 * own, PRICE[resolution] * 5)
        assert cost.usd < highest
    else:
        assert answer.status is TaskStatus.SUCCEEDED
        passed = ratio is not None and answer.price_per_second is None and answer.group_ratio is None
        assert answer.billed or (passed and abs(cost.usd - own) < Decimal("0.000002"))


def test_the_amount_of_a_submit_is_the_estimate_and_no_later_answer_loses_it() -> None:
    prices = pricing(gateway="uniall", base_url="https://gateway.example.com")
    unknown = prices.cost_of_entry("viduq3p-720p", None)
    cost = prices.cost_of_submit(unknown, Decimal("0.7167650000000001"))
    assert summary(cost) == ("0.716765", "estimated")
    task = asked(prices, model="viduq3p-720p").model_copy(update={"cost": cost})
    for answer in (told(TaskStatus.RUNNING), told(resolution="720p", seconds="5.04")):
        assert summary(prices.cost_of_answer(task, answer)) == ("0.716765", "estimated")


def test_the_journal_keeps_it_across_a_restart() -> None:
    kept = entry(model="viduq3p-720p", gateway="uniall", reserved_usd=Decimal("0.716765"))
    assert summary(
        pricing(gateway="uniall", base_url="https://gateway.example.com").cost_of_entry("viduq3p-720p", kept)
    ) == ("0.716765", "estimated")


@each_row(
    ("amount", "usd"), [("0.1", "0.369"), ("0.369", "0.369"), ("0.5", "0.5"), ("36.8", "36.8"), ("36.9", "0.369")]
)
def test_an_amount_may_raise_the_estimate_and_never_lowers_it(amount: str, usd: str) -> None:
    prices = pricing()
    task = asked(prices)
    assert summary(prices.cost_of_submit(task.cost, Decimal(amount))) == (usd, "estimated")
    assert summary(prices.cost_of_answer(task, told(TaskStatus.RUNNING, amount_usd=amount))) == (usd, "estimated")


def test_an_amount_that_is_not_believed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    prices = pricing()
    prices.cost_of_submit(asked(prices).cost, Decimal(5000))
    assert "5000 dollars, which is not believed: the estimate is $0.369" in caplog.text


def test_a_ratio_that_was_told_stays_for_later_answers() -> None:
    prices = pricing()
    task = asked(prices)
    raised = prices.cost_of_answer(task, told(TaskStatus.RUNNING, group_ratio=3))
    assert summary(raised) == ("1.107", "estimated")
    later = prices.cost_of_answer(task.model_copy(update={"cost": raised}), told(resolution="720p", seconds=5))
    assert summary(later) == ("1.107", "estimated")
