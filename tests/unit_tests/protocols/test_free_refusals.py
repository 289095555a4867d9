"""Errors of a gateway's own that prove that it has no task: a fact of its row, and not of its protocol."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from langchain_nebula_video import RefusedError, SubmissionUnconfirmedError
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols import PROTOCOLS, Reply
from langchain_nebula_video.transport.retry import is_retryable
from tests.tables import each_row

RECEIVED = datetime(2026, 11, 27, tzinfo=UTC)
NEBULA = PROTOCOLS["nebula"]
FREE = GATEWAYS["nebula"].free_refusals
TASK = {"status_code": 0, "output": {"task_id": "t-1"}, "task_id": "t-1", "status": "submitted"}
CODES = [
    # code, HTTP status, whether the client repeats it by itself
    ("get_model_price_failed", 500, False),
    ("get_user_quota_failed", 500, True),
    ("build_request_failed", 500, False),
    ("do_request_failed", 500, True),
    ("fail_to_fetch_task", 500, True),
    ("fail_to_fetch_task", 503, True),
    ("fail_to_fetch_task", 504, True),
    ("unknown_response", 500, True),
    ("unmarshal_response_failed", 500, True),
    ("read_response_body_failed", 500, True),
    ("insert_task_failed", 500, True),
    ("insert_task_failed", 200, True),
]


def e1(code: str, message: str = "no such luck", **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, "data": None, **more}


def e2(code: str, kind: str, message: str = "no such luck") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}


def submitted(*bodies: dict[str, Any], status: int = 200, free: frozenset[str] = FREE) -> RequestError | None:
    body = "".join(json.dumps(body) for body in bodies).encode()
    return NEBULA.parse_refusal(Reply(status, {}, body, RECEIVED), paid=True, free_refusals=free)


@each_row(("code", "status", "repeated"), CODES)
def test_an_error_before_or_without_a_row_is_a_refusal_on_nebula(code: str, status: int, repeated: bool) -> None:
    for body in (e1(code), {"error": e1(code)}):
        refusal = submitted(body, status=status)
        assert type(refusal) is RefusedError
        assert refusal.spent is False
        assert refusal.code == code
        assert is_retryable(refusal) is repeated


@each_row(("code", "status", "repeated"), [row for row in CODES if row[1] >= 500])
def test_the_same_error_leaves_a_submit_unconfirmed_elsewhere(code: str, status: int, repeated: bool) -> None:
    refusal = submitted(e1(code), status=status, free=frozenset())
    assert type(refusal) is SubmissionUnconfirmedError
    assert not is_retryable(refusal)


def test_the_checks_before_the_relay_are_refusals_on_nebula_whatever_their_status() -> None:
    refusal = submitted(e2("", "nebula_api_error", "sql: connection refused"), status=500)
    assert type(refusal) is RefusedError
    assert is_retryable(refusal)


@each_row(
    "body",
    [
        e1("InternalError"),
        e1("some_new_code"),
        e2("", "new_api_panic", "Panic detected"),
        e2("", "new_api_error"),
        {"message": "do_request_failed"},
        {"data": {"code": "do_request_failed"}},
    ],
)
def test_any_other_server_error_stays_unconfirmed_on_nebula(body: dict[str, Any]) -> None:
    assert type(submitted(body, status=500)) is SubmissionUnconfirmedError


def test_a_task_whose_row_could_not_be_written_is_lost_and_free_on_nebula() -> None:
    refusal = submitted(TASK, e1("insert_task_failed", "insert task failed"))
    assert type(refusal) is RefusedError
    assert refusal.repeatable
    assert refusal.code == "insert_task_failed"
    assert refusal.spent is False


def test_the_last_task_counts_if_the_gateway_tried_again() -> None:
    second = {**TASK, "task_id": "t-2", "output": {"task_id": "t-2"}}
    for bodies in ((TASK, second), (TASK, e1("insert_task_failed"), second)):
        assert submitted(*bodies) is None
        reply = Reply(200, {}, "".join(map(json.dumps, bodies)).encode(), RECEIVED)
        submission = NEBULA.parse_submit(reply)
        assert submission is not None
        assert submission.task_id == "t-2"


def test_a_first_try_whose_row_was_lost_is_free_too_if_the_second_was_refused() -> None:
    refusal = submitted(TASK, e1("fail_to_fetch_task", "busy"), status=200)
    assert type(refusal) is RefusedError


def test_without_the_row_s_fact_a_look_tells_whether_the_task_exists() -> None:
    assert submitted(TASK, e1("insert_task_failed"), free=frozenset()) is None


def test_an_answer_that_names_a_task_is_a_task_beside_any_code() -> None:
    assert submitted({**e1("do_request_failed"), "task_id": "t-1"}, status=500) is None


def test_a_task_id_of_the_vendor_s_in_the_words_of_such_an_error_is_no_task() -> None:
    """The gateway bills from its own row, and there is none."""
    inner = json.dumps({"output": {"taskId": "t-1"}})
    assert type(submitted(e1("unknown_response", inner), status=500)) is RefusedError


def test_a_refused_look_is_no_free_refusal() -> None:
    reply = Reply(500, {}, json.dumps(e1("do_request_failed")).encode(), RECEIVED)
    refusal = NEBULA.parse_refusal(reply, paid=False, free_refusals=FREE)
    assert type(refusal) is RequestError


@each_row(
    "behind", ['{"task_id": "t-1", "status": "que', "<html>", "".join(['{"code": "x"}'] * 9) + '{"task_id": "t-1"}']
)
def test_a_body_that_goes_on_behind_the_error_proves_nothing(behind: str) -> None:
    body = (json.dumps(e1("do_request_failed")) + behind).encode()
    refusal = NEBULA.parse_refusal(Reply(500, {}, body, RECEIVED), paid=True, free_refusals=FREE)
    assert refusal is None or isinstance(refusal, SubmissionUnconfirmedError)
