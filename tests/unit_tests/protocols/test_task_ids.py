"""What an answer's task id proves: a paid request that names one was accepted, a look that names another is void."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from langchain_nebula_video import RefusedError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import PROTOCOLS, Reply
from tests.tables import each_row

RECEIVED = datetime(2026, 11, 27, tzinfo=UTC)
EVERY = list(PROTOCOLS)
STATUSES = [200, 201, 202, 302, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504]
NAMING: dict[str, dict[str, Any]] = {
    "task_id": {"task_id": "t-1"},
    "id": {"id": "t-1"},
    "data.task_id": {"data": {"task_id": "t-1"}},
    "output.task_id": {"output": {"task_id": "t-1"}},
    "metadata.output.task_id": {"metadata": {"output": {"task_id": "t-1"}}},
    "data": {"data": "t-1"},
}
ENVELOPES: dict[str, dict[str, Any]] = {
    "no code": {},
    "throttling": {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"},
    "no quota": {"error": {"code": "insufficient_user_quota", "message": "low"}},
    "moderation": {"code": "DataInspectionFailed", "message": "no"},
}


def reply(body: object, status: int = 200) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {}, content, RECEIVED)


@pytest.mark.parametrize("protocol", EVERY)
def test_a_paid_request_whose_answer_names_a_task_was_accepted_whatever_its_status_and_code(protocol: str) -> None:
    parser = PROTOCOLS[protocol]
    for path, body in NAMING.items():
        for envelope in ENVELOPES.values():
            if path == "data" and envelope:
                continue  # beside an error, such a text is the error's own
            for status in STATUSES:
                answer = reply({**envelope, **body}, status)
                assert parser.parse_refusal(answer, paid=True) is None, (path, envelope, status)
                submission = parser.parse_submit(answer)
                assert submission is not None
                assert submission.task_id == "t-1"


@each_row(
    "body",
    [
        b'{"task_id": "t-0"}{"task_id": "t-1"}',
        b'{"code": "fail_to_fetch_task", "message": "busy", "data": null}\n{"task_id": "t-1"}',
        b'{"task_id": "t-1"}{"code": "insert_task_failed", "message": "no row", "data": null}',
        b'{"task_id": "t-1"}{"task_id": "t-',
    ],
)
def test_of_two_objects_in_one_answer_the_last_that_names_a_task_counts(body: bytes) -> None:
    """A gateway that has asked its vendor twice writes both answers, and knows the last task only."""
    for protocol in PROTOCOLS.values():
        for status in (200, 400, 429, 500):
            assert protocol.parse_refusal(reply(body, status), paid=True) is None
            submission = protocol.parse_submit(reply(body, status))
            assert submission is not None
            assert submission.task_id == "t-1"


@each_row(
    "body",
    [
        b'{"task_id": "t-1", "status": "subm',
        b'{"error": {"message": "busy", "task_id": "t-1"}}',
        b'{"error": {"message": "upstream said {\\"output\\": {\\"task_id\\": \\"t-1\\"}}"}}',
        b'{"result": {"taskId": 77}}',
        b'[{"task_id": "t-1"}]',
    ],
)
def test_a_task_id_at_an_unknown_place_leaves_a_paid_request_unconfirmed(body: bytes) -> None:
    for protocol in PROTOCOLS.values():
        for status in (400, 402, 409, 429):
            assert isinstance(protocol.parse_refusal(reply(body, status), paid=True), SubmissionUnconfirmedError)


@each_row(
    "body", [b'{"task_id": null}', b'{"task_id": ""}', b'{"task_id": 0}', b'{"message": "no task_id given"}', b""]
)
def test_a_refusal_that_names_no_task_stays_one(body: bytes) -> None:
    for protocol in PROTOCOLS.values():
        for status in (400, 402, 409, 429):
            assert isinstance(protocol.parse_refusal(reply(body, status), paid=True), RefusedError)


@each_row(("protocol", "named"), [(name, not name.startswith("dashscope")) for name in EVERY])
def test_a_request_id_names_the_task_only_where_nothing_else_stands_beside_it(protocol: str, named: bool) -> None:
    """The submit of xAI answers so. DashScope has a request id in every answer, so there it proves nothing."""
    parser = PROTOCOLS[protocol]
    submission = parser.parse_submit(reply({"request_id": "r-1"}))
    assert (submission is not None and submission.task_id == "r-1") is named
    for status in (400, 429, 500, 502):
        assert parser.parse_submit(reply({"request_id": "r-1"}, status)) is None
    bodies: list[dict[str, Any]] = [{"request_id": "r-1", "message": "ok"}, {"request_id": ""}, {"request_id": {}}, {}]
    for body in bodies:
        assert parser.parse_submit(reply(body)) is None


@each_row(
    ("body", "task_id"),
    [
        ({"data": {"id": "t-1"}}, "t-1"),
        ({"data": {"id": 2347}, "code": 0}, "2347"),
        ({"data": {"taskId": "t-1"}, "code": 200, "msg": "success"}, "t-1"),
        ({"data": [{"task_id": "t-1"}]}, "t-1"),
        ({"data": '{"task_id": "t-1"}'}, "t-1"),
        ({"taskId": 7}, "7"),
        ({"data": {"output": {"task_id": "t-1"}}}, "t-1"),
        ({"data": {"id": 9, "task_id": "t-1"}}, "t-1"),
        ({"data": {"id": 9}, "code": "invalid_request"}, None),
        ({"data": "t-1", "code": 400}, None),
        ({"data": "t-1", "error": {"message": "no"}}, None),
        ({"data": [{"task_id": "t-1"}, {"task_id": "t-2"}]}, None),
        ({"data": {"request_id": "r-1"}, "request_id": "r-2", "status": "ok"}, None),
    ],
)
def test_an_id_in_data_is_one_unless_an_error_stands_beside_it(body: dict[str, Any], task_id: str | None) -> None:
    for protocol in PROTOCOLS.values():
        submission = protocol.parse_submit(reply(body))
        assert (submission and submission.task_id) == task_id


# --- answers about another task ---

OTHER: list[tuple[str, dict[str, Any]]] = [
    *((name, {"task_id": "t-2"}) for name in ("nebula", "uniall")),
    *((name, {"id": "t-2"}) for name in ("nebula", "uniall")),
    *((name, {"data": {"task_id": "t-2", "data": {"output": {"task_id": "u-2"}}}}) for name in ("nebula", "uniall")),
    *((name, {"id": 4711, "task_id": "t-2"}) for name in ("nebula", "uniall")),
    ("nebula", {"task_id": "t-2", "metadata": {"output": {"task_id": "u-2"}}}),
    *((name, {"output": {"task_id": "t-2"}}) for name in ("dashscope", "dashscope-passthrough")),
]
THIS: list[tuple[str, dict[str, Any]]] = [
    *((name, {"status": "in_progress"}) for name in EVERY),
    *((name, {"task_id": "t-1"}) for name in EVERY),
    *((name, {"task_id": " T-1 "}) for name in EVERY),
    *((name, {"id": "u-1", "task_id": "t-1"}) for name in ("nebula", "uniall")),
    *((name, {"id": "t-1", "task_id": "u-1"}) for name in ("nebula", "uniall")),
    *((name, {"data": {"id": 4711, "task_id": "t-1", "data": {"output": {"task_id": "u-1"}}}}) for name in EVERY),
    ("nebula", {"task_id": "t-1", "metadata": {"output": {"task_id": "u-1"}}}),
    *(
        ("nebula", {"task_id": "row-9", "data": inner})
        for inner in (
            {"data": {"task_id": "t-1"}}, {"data": {"id": "t-1"}}, {"data": {"output": {"task_id": "t-1"}}},
            {"output": {"task_id": "t-1"}}, {"metadata": {"output": {"task_id": "t-1"}}}, {"id": "t-1"},
        )
    ),
    # the vendor's own id, and no word of the gateway's
    ("nebula", {"metadata": {"output": {"task_id": "u-1"}}, "status": "succeeded"}),
    ("nebula", {"output": {"task_id": "u-1"}}),
    # the gateway's id outside, the vendor's in its answer
    ("dashscope-passthrough", {"task_id": "t-1", "output": {"task_id": "u-1"}}),
    ("dashscope", {"id": "row-9", "output": {"task_id": "t-1"}}),
    *((name, {"task_id": None, "id": "", "output": {"task_id": {}}}) for name in EVERY),
]  # fmt: skip


@each_row(("protocol", "body"), OTHER)
def test_an_answer_that_names_another_task_is_about_another_one(protocol: str, body: dict[str, Any]) -> None:
    assert PROTOCOLS[protocol].names_other_task(reply(body), "t-1")


@each_row(("protocol", "body"), THIS)
def test_a_second_id_of_the_gateway_or_the_vendor_is_no_contradiction(protocol: str, body: dict[str, Any]) -> None:
    assert not PROTOCOLS[protocol].names_other_task(reply(body), "t-1")
