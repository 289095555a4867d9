"""Free questions about a key, and the log of what it paid for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video.protocols import PROTOCOLS, AccountCalls, KeyFacts, Reply
from tests.tables import each_row

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
UNITS = Decimal(500_000)


def calls(protocol: str = "nebula") -> AccountCalls:
    found = PROTOCOLS[protocol].account_calls
    assert found is not None
    return found


def reply(body: Any) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(200, {}, content, NOW)


def row(task_id: str | None = "task-1", **changes: Any) -> dict[str, Any]:
    """A row of the log as the gateway's code writes it, 2025-12: `other` is JSON as text."""
    other = {
        "task_id": task_id,
        "video_seconds": 5,
        "video_resolution": "480P",
        "group_ratio": 0.8,
        **changes.pop("other", {}),
    }
    common = {"type": 2, "created_at": 1_795_780_800, "model_name": "wan2.5-i2v-preview", "quota": 73_800}
    return {**common, "other": json.dumps(other), **changes}


def log(*rows: dict[str, Any]) -> Any:
    return calls().parse_log(reply({"success": True, "message": "", "data": list(rows)}), UNITS)


@each_row(
    ("protocol", "target"),
    [
        ("nebula", "/v1/models"),
        ("uniall", "/v1/models"),
        ("dashscope", "/api/v1/tasks/?start_time=20261127195900&end_time=20261127200000"),
    ],
)
def test_a_key_is_checked_by_a_call_that_is_free(protocol: str, target: str) -> None:
    wire = calls(protocol).build_key_check(NOW)
    assert (wire.method, wire.paid) == ("GET", False)
    assert wire.target.startswith(target)


def test_a_reseller_that_documents_no_free_call_is_asked_nothing() -> None:
    assert PROTOCOLS["dashscope-passthrough"].account_calls is None


@each_row(
    ("body", "models"),
    [
        ({"data": [{"id": "wan2.5-i2v-preview"}, {"id": "gpt"}, {"name": "odd"}]}, {"wan2.5-i2v-preview", "gpt"}),
        ({"data": []}, set()),
        ({"data": None}, None),
        (b"<html>", None),
    ],
)
def test_the_models_of_a_key_are_read(body: Any, models: set[str] | None) -> None:
    assert calls().parse_models(reply(body)) == models


@each_row(
    ("data", "facts"),
    [
        (
            {"unlimited_quota": True, "total_available": 0, "model_limits": {}, "model_limits_enabled": False},
            KeyFacts(has_model_list=False, unlimited=True, left_usd=Decimal(0)),
        ),
        (
            {"model_limits": {"a": True, "b": True}, "model_limits_enabled": True, "total_available": 750_000_000},
            KeyFacts(has_model_list=True, model_list=frozenset({"a", "b"}), left_usd=Decimal(1500)),
        ),
        ({"expires_at": 0}, KeyFacts(expires=False)),
        ({"expires_at": -1}, KeyFacts(expires=False)),
        ({"expires_at": 1_795_780_800}, KeyFacts(expires=True, expires_at=NOW)),
        ({"expires_at": [1]}, KeyFacts(expires=True)),
        ({}, KeyFacts()),
    ],
)
def test_the_figures_of_a_key_are_read(data: dict[str, Any], facts: KeyFacts) -> None:
    assert calls().parse_key_facts(reply({"code": True, "data": data}), UNITS) == facts


def test_the_log_says_what_was_paid_for_each_task() -> None:
    (charge,) = log(row(), row(None), row(type=5), row(quota=None), row(other={"task_id": ""}))
    assert (charge.task_id, charge.amount_usd, charge.times) == ("task-1", Decimal("0.1476"), 1)
    assert (charge.model, charge.seconds, charge.resolution) == ("wan2.5-i2v-preview", 5, "480p")
    assert (charge.charged_at, charge.group_ratio) == (NOW, Decimal("0.8"))


def test_the_discount_of_the_gateways_site_is_part_of_the_ratio() -> None:
    (charge,) = log(row(other={"oem_user_discount": 0.5}))
    assert charge.group_ratio == Decimal("0.40")


def test_what_was_charged_twice_or_given_back_is_summed_up() -> None:
    twice, back = log(
        row("a", quota=100_000),
        row("b", quota=300_000),
        row("a", quota=100_000, created_at=1_795_780_900),
        row("b", quota=100_000, type=6, created_at=1_795_780_900),
    )
    assert (twice.task_id, twice.amount_usd, twice.times) == ("a", Decimal("0.4"), 2)
    assert (back.task_id, back.amount_usd, back.times) == ("b", Decimal("0.4"), 1)
    assert twice.charged_at == NOW


def test_an_operator_may_count_in_other_units() -> None:
    assert calls().parse_units(reply({"data": {"quota_per_unit": 1000}})) == 1000
    assert calls().parse_units(reply({"data": {}})) == calls().parse_units(None) == UNITS


@each_row(
    ("body", "found"),
    [
        ({"success": True, "data": []}, []),
        ({"success": True, "data": None}, []),
        ({"success": False, "message": "record not found"}, None),
        (b"<html>", None),
    ],
)
def test_an_empty_log_is_not_an_unreadable_one(body: Any, found: list[Any] | None) -> None:
    assert calls().parse_log(reply(body), UNITS) == found


def test_the_key_goes_into_the_address_only_if_that_was_asked_for() -> None:
    header, address = (calls().build_log(key_in_address=where) for where in (False, True))
    assert header is not None
    assert address is not None
    assert (header.target, header.key_parameter) == ("/api/log/token", None)
    assert (address.target, address.key_parameter) == ("/api/log/token", "key")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "success",
                    "id",
                    "type",
                    "quota",
                    "created_at",
                    "other",
                    "task_id",
                    "group_ratio",
                    "expires_at",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_answer_breaks_a_parser(body: Any) -> None:
    odd = reply(body)
    for protocol in ("nebula", "uniall", "dashscope"):
        asked = calls(protocol)
        asked.parse_models(odd)
        asked.parse_key_facts(odd, UNITS)
        asked.parse_group_ratios(odd)
        assert asked.parse_units(odd) > 0
        charges = asked.parse_log(odd, UNITS)
        assert charges is None or all(charge.amount_usd >= 0 for charge in charges)
