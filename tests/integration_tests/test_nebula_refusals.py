"""Each error of Nebula's published code against the client: what it is called, how often it is sent, what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_nebula_video import (
    AuthenticationError,
    InvalidInputError,
    ModerationError,
    QuotaError,
    RateLimitError,
    RefusedError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.dialects.nebula_refusals import GATEWAY_ERRORS
from langchain_nebula_video.errors import RequestError
from tests.conftest import settle
from tests.gateways import ASK, SPEED, Make
from tests.tables import each_row

UNTIL_THE_DEADLINE = 99
ERRORS: dict[str, tuple[type[RequestError], int]] = {
    # how the client calls it, and how often it sends the submit
    **dict.fromkeys(["no_key", "wrong_key", "key_expired", "key_disabled", "key_of_other_addresses", "user_banned",
                     "group_disabled", "group_dropped", "key_with_channel", "model_not_allowed"],
                    (AuthenticationError, 1)),
    **dict.fromkeys(["key_used_up", "quota_not_enough"], (QuotaError, 1)),
    **dict.fromkeys(["not_json", "no_model", "no_channel", "invalid_api_platform", "get_model_price_failed",
                     "build_request_failed", "address_hidden", "task_submit_failed", "task_not_exist"],
                    (RefusedError, 1)),
    **dict.fromkeys(["invalid_request", "invalid_multipart_form", "vendor_refused"], (InvalidInputError, 1)),
    **dict.fromkeys(["user_unreadable", "get_user_quota_failed", "do_request_failed", "unknown_response",
                     "unmarshal_response_failed", "read_response_body_failed", "insert_task_failed"],
                    (RefusedError, 4)),
    "saturated": (RateLimitError, UNTIL_THE_DEADLINE),
    **dict.fromkeys(["get_task_failed", "panic"], (SubmissionUnconfirmedError, 1)),
}  # fmt: skip
BEFORE_THE_VENDOR = {"saturated", "user_unreadable", "get_user_quota_failed"}
DETAILS = {"vendor_refused": json.dumps({"code": "InvalidParameter", "message": "The size is wrong"})}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(speed=SPEED, behaviour="source") as running:
        yield running


def posts(emulator: Emulator) -> int:
    return sum(request.method == "POST" for request in emulator.requests)


def test_every_error_of_the_code_is_in_the_table() -> None:
    assert {*ERRORS} == {*GATEWAY_ERRORS}


async def test_every_error_has_its_name_its_number_of_submits_and_no_bill(make: Make, emulator: Emulator) -> None:
    for name, (error, submits) in ERRORS.items():
        emulator.faults.clear()
        emulator.faults.add("submit", "gateway_error", name=name, detail=DETAILS.get(name, ""), times=None)
        before = posts(emulator)
        with pytest.raises(RequestError) as caught:
            await settle(make(timeout=60, budget="0.1845").generate(**ASK))
        assert type(caught.value) is error, name
        assert caught.value.spent is (None if error is SubmissionUnconfirmedError else False), name
        sent = posts(emulator) - before
        assert sent == submits or (submits == UNTIL_THE_DEADLINE and sent > 4), name
        assert str(caught.value).count("request id") == 1, name
    assert emulator.bill.usd == 0


@each_row("name", [name for name, (_, submits) in ERRORS.items() if submits > 1])
async def test_a_passing_error_ends_in_one_video_and_one_bill(make: Make, emulator: Emulator, name: str) -> None:
    """Also if the vendor has made a task that the gateway does not know."""
    charged = emulator.bill.usd
    emulator.faults.add(
        "submit",
        "gateway_error",
        name=name,
        times=2,
        accepted=name not in BEFORE_THE_VENDOR,
    )
    video = await settle(make(budget="0.1845").generate(**ASK))
    assert video.url
    assert emulator.bill.usd - charged == pytest.approx(video.cost.usd)


async def test_a_task_that_the_gateway_has_lost_is_made_again_and_billed_once(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "unwritten")
    video = await settle(make(budget="0.1845").generate(**ASK))
    assert posts(emulator) == 2
    assert len(emulator.tasks) == 2
    assert video.task_id == emulator.tasks[1].id
    assert len(emulator.bill.lines) == 1


async def test_a_gateway_that_loses_each_task_ends_in_a_refusal_and_no_bill(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "unwritten", times=None)
    client = make(budget="0.1845")
    with pytest.raises(RefusedError, match="has lost the task") as caught:
        await settle(client.generate(**ASK))
    assert caught.value.spent is False
    assert emulator.bill.usd == 0
    emulator.faults.clear()
    assert (await settle(client.generate(**ASK))).url


async def test_of_two_tasks_in_one_answer_the_last_gives_the_video(make: Make, emulator: Emulator) -> None:
    emulator.faults.add("submit", "tried_twice")
    video = await settle(make().generate(**ASK))
    assert posts(emulator) == 1
    assert video.task_id == emulator.tasks[1].id
    assert len(emulator.bill.lines) == 1


async def test_forbidden_content_is_told_from_a_bad_file(make: Make) -> None:
    asked: dict[str, Any] = {**ASK, "prompt": "Something forbidden"}
    with pytest.raises(ModerationError) as caught:
        await settle(make().generate(**asked))
    assert caught.value.spent is False
