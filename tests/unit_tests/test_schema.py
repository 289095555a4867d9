"""Requests, tasks, videos and their like: plain data that cannot change and can be kept."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from langchain_nebula_video import Cost, Task, TaskStatus, Video, VideoProgress, VideoRequest, quote
from langchain_nebula_video.schema import is_encodable, money
from tests.tables import each_row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = VideoRequest(prompt="A kitten", image="https://example.com/cat.jpg")
TASK = Task(
    task_id="t", gateway="nebula", model="m", status=TaskStatus.RUNNING, cost=quote(), submitted_at=NOW, raw={"a": [1]}
)
VIDEO = Video(
    task_id="t",
    gateway="nebula",
    model="wan2.5-i2v-preview",
    url="https://example.com/v.mp4?a=1&b=2",
    expires_at=NOW + timedelta(hours=24),
    cost=quote(),
    submitted_at=NOW,
    finished_at=NOW,
    raw={"secret": "whole answer"},
)
RECORDS = [REQUEST, TASK, VIDEO, quote(), quote(gateway="dashscope"), quote(gateway="uniall")]
each_record = each_row("record", RECORDS)


@each_row("status", TaskStatus)
def test_every_status_is_finished_or_not(status: TaskStatus) -> None:
    assert status.finished is (status in {"succeeded", "failed", "canceled"})


@each_record
def test_a_record_cannot_be_changed(record: BaseModel) -> None:
    name = next(iter(type(record).model_fields))
    with pytest.raises(ValidationError):
        setattr(record, name, None)


def test_a_request_has_no_fields_but_its_own() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        VideoRequest(**{**dict(REQUEST), "colour": "red"})


@each_row("record", RECORDS[1:])
def test_a_kept_record_may_have_fields_of_a_newer_version(record: BaseModel) -> None:
    assert type(record)(**dict(record), colour="red") == record


@each_record
def test_a_record_survives_json_a_pickle_and_a_copy(record: BaseModel) -> None:
    assert type(record).model_validate_json(record.model_dump_json()) == record
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record


@each_record
def test_a_record_does_not_show_the_raw_answer(record: BaseModel) -> None:
    assert "raw" not in repr(record)


def test_a_problem_with_a_record_does_not_repeat_what_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        VideoRequest(prompt=["sk-secret"])  # type: ignore[arg-type]
    assert "sk-secret" not in str(caught.value) + repr(caught.value)


# --- requests ---


def test_a_request_needs_nothing_at_first() -> None:
    """It is checked against a model's row later."""
    assert VideoRequest().model_dump(exclude_none=True, exclude_defaults=True) == {}


@each_row("field", ["duration", "seed"])
@each_row("value", [True, False])
def test_true_is_no_number(field: str, value: bool) -> None:
    with pytest.raises(ValidationError, match="must be a whole number, not true or false"):
        VideoRequest.model_validate({field: value})


@each_row(
    ("given", "kept"),
    [("720P", "720p"), ("1080p", "1080p"), ("720", "720p"), (720, "720p"), ("", ""), ("4K", "4k"), (None, None)],
)
def test_a_resolution_is_kept_as_the_name_of_a_tier(given: Any, kept: str | None) -> None:
    assert VideoRequest(resolution=given).resolution == kept


def test_an_image_is_kept_as_the_very_object_that_was_given() -> None:
    image = object()
    assert VideoRequest(image=image).image is image
    assert VideoRequest(reference_images=[image]).reference_images == (image,)  # type: ignore[arg-type]


# --- costs ---


@each_row(
    ("usd", "basis", "text"),
    [
        ("0.3690", "billed", "$0.369"),
        ("0.369", "estimated", "$0.369 (estimated)"),
        ("0", "billed", "$0.00"),
        (None, "unknown", "unknown"),
    ],
)
def test_a_cost_says_its_amount_and_whether_it_is_the_bill(usd: str | None, basis: Any, text: str) -> None:
    amount = None if usd is None else Decimal(usd)
    cost = Cost(usd=amount, cny=None, price_per_second=None, seconds=None, group_ratio=Decimal(1), basis=basis)
    assert str(cost) == text


@each_row(
    ("usd", "cny", "basis", "text"),
    [
        ("0.416667", "3.0", "estimated", "¥3.00 (about $0.42, estimated)"),
        ("0.694444", "5", "billed", "¥5.00 (about $0.69)"),
        ("0.0025", "0.018", "estimated", "¥0.018 (about $0.00, estimated)"),
        ("1234.5", "8888.4", "billed", "¥8888.40 (about $1234.50)"),
        ("0", "0", "billed", "¥0.00 (about $0.00)"),
        (None, None, "unknown", "unknown"),
    ],
)
def test_a_cost_in_yuan_says_them_first_and_the_dollars_beside_them(
    usd: str | None, cny: str | None, basis: Any, text: str
) -> None:
    dollars, yuan = (None if amount is None else Decimal(amount) for amount in (usd, cny))
    cost = Cost(usd=dollars, cny=yuan, currency="CNY", price_per_second=None, seconds=None, group_ratio=Decimal(1),
                basis=basis)  # fmt: skip
    assert str(cost) == text


@each_row("field", ["basis", "currency"])
def test_a_cost_has_one_of_three_bases_and_of_two_currencies(field: str) -> None:
    """A word that only a newer version knows is read as the most careful one."""
    with pytest.raises(ValidationError):
        Cost(**{**dict(quote()), field: 7})
    cost = Cost(**{**dict(quote(gateway="dashscope")), field: "guessed"})
    assert getattr(cost, field) == {"basis": "unknown", "currency": "USD"}[field]


@each_row(
    ("amount", "currency", "text"),
    [
        ("5", "CNY", "¥5.00"),
        ("0.018", "CNY", "¥0.018"),
        ("0.3690", "USD", "$0.369"),
        ("1E+2", "CNY", "¥100.00"),
        ("0.5", "USD", "$0.50"),
        ("0", "CNY", "¥0.00"),
    ],
)
def test_money_is_shown_exactly_in_its_currency(amount: str, currency: Any, text: str) -> None:
    assert money(Decimal(amount), currency) == text


# --- videos ---


def test_progress_is_a_value_that_cannot_change() -> None:
    event = VideoProgress(
        task_id="t", status=TaskStatus.QUEUED, elapsed=1.0, expected=90.0, fraction=0.01, polls=1, cost=quote()
    )
    with pytest.raises(AttributeError):
        event.polls = 2  # type: ignore[misc]


@each_row(("text", "sent"), [("", True), ("猫 😀", True), ("\ud83d", False), ("a\udc00b", False)])
def test_half_a_character_cannot_be_sent(text: str, sent: bool) -> None:
    assert is_encodable(text) is sent
