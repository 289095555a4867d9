"""Whatever a gateway answers, the parsers do not fall over, and never take a passing state for an end."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import RefusedError, RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.protocols import PROTOCOLS, Protocol, Reply, TaskSnapshot, is_unknown_task

FREE = GATEWAYS["nebula"].free_refusals
NEBULA = PROTOCOLS["nebula"]
EVERY: list[Protocol] = list(PROTOCOLS.values())
RECEIVED = datetime(2025, 11, 4, 11, 20, tzinfo=UTC)
DOCUMENTED = [
    json.loads(path.read_text("utf-8")).get("body")
    for path in sorted((Path(__file__).parent / "wire").glob("*/*.json"))
]
DOCUMENTED = [body for body in DOCUMENTED if isinstance(body, dict)]
WORDS = {
    "not_start", "submitted", "queued", "pending", "created", "queueing", "", "unknown", "in_progress", "processing",
    "running", "suspended", "success", "succeed", "succeeded", "completed", "failure", "failed", "error", "canceled",
    "cancelled", "in_queue", "initializing", "initialized", "preparing", "generating", "done", "fail",
}  # fmt: skip

# Names and values that the parsers look for, so that arbitrary answers reach beyond the first line.
NAMES = st.sampled_from(
    [
        "task_id", "id", "status", "data", "metadata", "output", "error", "code", "message", "url", "video_url",
        "result_url", "fail_reason", "task_status", "progress", "model_price", "group_ratio", "usage", "duration",
        "resolution", "submit_time", "end_time", "created_at", "result", "outputs", "requested_seconds",
        "billing_pending", "request_id", "completed_at", "state", "video", "content", "SR", "size", "width", "height",
        "quota", "cost", "audio", "seconds", "fail_reason", "err_code", "msg", "detail", "creations", "task_result",
    ]
)  # fmt: skip
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["succeeded", "FAILED", "unknown", "https://x.example/v.mp4?Expires=1", "https://[::1", "data:video/mp4,x", "5",
     "1e999", "1e-999999999", "NaN", "2025-11-04 19:15:11", "9999-12-31T23:59:59-23:59", "{", "{}", "\ud800",
     "InvalidParameter.ImageFormat", "***.DataInspection", "Throttling", "InternalError", "model_not_found", "success"]
)  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 5, 400, 10**12, 10**40, 1762254911, 1762254911819])
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)
STATUSES = st.sampled_from([200, 201, 202, 204, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504]) | st.integers(
    100, 599
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-oneapi-request-id", "content-type"]),
    st.text(max_size=40)
    | st.sampled_from(["0", "5", "99999999", "-1", "1.5", "Tue, 04 Nov 2025 11:20:30 GMT", "Tue, 04 Nov 2025 11:20:30"])
    | st.from_regex(r"\A(Mon|Tue), \d{1,3} (Jan|Nov) \d{1,6} \d\d:\d\d:\d\d [+-]\d{1,25}\Z"),
)


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A documented answer in which some nodes are gone, replaced, or of another type."""
    body = copy.deepcopy(draw(st.sampled_from(DOCUMENTED)))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = body
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and draw(st.booleans()):
                node = node[key]
                continue
            what = draw(st.sampled_from(["delete", "replace", "wrap", "retype"]))
            if what == "delete":
                del node[key]
            elif what == "wrap":
                node[key] = draw(st.sampled_from([[node[key]], {"value": node[key]}, {"url": node[key]}]))
            elif what == "retype":
                node[key] = json.dumps(node[key]) if not isinstance(node[key], str) else len(node[key])
            else:
                node[key] = draw(JSON)
            break
    return body


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


BODIES = (
    JSON.map(encoded)
    | mutations().map(encoded)
    | st.binary(max_size=80)
    | st.tuples(mutations().map(encoded), st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]])
    | st.tuples(mutations(), JSON).map(lambda two: encoded(two[0]) + encoded(two[1]))
)
REPLIES = st.builds(Reply, STATUSES, HEADERS, BODIES, st.just(RECEIVED))


def check_answer(answer: TaskSnapshot) -> None:
    """What holds for whatever was understood of an answer."""
    if answer.url is not None:
        assert answer.url[:11].lower() == "data:video/" or answer.url.lower().startswith(("https://", "http://", "/"))
        assert answer.url[:2] != "//"
        answer.url.encode()
        assert answer.status.value == "succeeded"
    assert (answer.url is None) is (answer.expires_at is None)
    for amount in (answer.price_per_second, answer.group_ratio):
        assert amount is None or (amount.is_finite() and amount >= 0)
        assert amount is None or len(f"{amount:f}") < 10_000
    for moment in (answer.expires_at, answer.submitted_at, answer.finished_at):
        assert moment is None or moment.utcoffset() is not None
    assert answer.progress is None or 0 <= answer.progress <= 1
    assert answer.seconds is None or answer.seconds > 0
    assert answer.billed_seconds is None or answer.billed_seconds > 0
    assert answer.amount_usd is None or answer.amount_usd > 0
    assert not (answer.billed and answer.status.value != "succeeded")
    for text in (answer.code, answer.reason, answer.resolution, answer.actual_prompt, answer.request_id):
        assert text is None or isinstance(text, str)
    assert isinstance(answer.raw, dict)


@given(REPLIES)
def test_a_submit_s_answer_is_a_task_or_none_and_never_an_accident(reply: Reply) -> None:
    for protocol in EVERY:
        submission = protocol.parse_submit(reply)
        if submission is not None:
            assert submission.task_id.strip() == submission.task_id != ""
            for way in protocol.build_fetch(submission.task_id):
                way.target.encode("ascii")
            check_answer(submission.snapshot)


@given(REPLIES)
def test_a_look_s_answer_is_understood_or_none_and_never_an_accident(reply: Reply) -> None:
    for protocol in EVERY:
        answer = protocol.parse_fetch(reply)
        if answer is not None:
            check_answer(answer)


@given(REPLIES)
def test_a_refusal_is_none_or_an_error_that_can_be_shown(reply: Reply) -> None:
    for protocol, paid, free in itertools.product(EVERY, (True, False), (frozenset(), FREE)):
        refusal = protocol.parse_refusal(reply, paid=paid, free_refusals=free)
        assert refusal is None or isinstance(refusal, RequestError)
        if not 200 <= reply.status < 300:
            assert refusal is not None or (paid and protocol.parse_submit(reply) is not None)
        if refusal is not None:
            assert str(refusal).startswith("The gateway answered")
            assert refusal.status_code == reply.status
            assert refusal.retry_after is None or refusal.retry_after >= 0
            assert is_unknown_task(refusal) in {True, False}


# The codes that prove a refusal even beside a 5xx, as the gateways document them, less what may be masked.
PROOFS = (
    "datainspection", "datainspectionfailed", "ipinfringementsuspect", "imageformat", "imagesize", "invalidapikey",
    "insufficientquota", "throttling", "model_not_found", "modelnotfound", "model_price_error", "task_not_exist",
    "quota_not_enough", "insufficient_user_quota", "pre_consume_token_quota_failed", "arrearage", "invalid_request",
    "missing_model", "read_request_body_failed", "accessdenied", "invalidurl", "invalidimage", "invalidfile",
    "invalidparameter", "connectionrefused", "unsupportedoperation", "billoverdue", "commoditynotpurchased",
    "allocationquota", "freetieronly", "ratequota", "burstrate", "rate_limit_exceeded", "insufficient_quota",
    "invalid_api_key", "access_token_invalid", "invalid_parameter", "badrequest", "bad_request_body", "downloadfailed",
    "download_failed", "content_policy_violation", "task_not_found",
    "invalid_seconds", "plugin_request_invalid", "plugin_usage_invalid", "invalid_multipart_form",
    "rate_limit_exceeded", "upstream_load_saturated", "content_policy_violation", "moderation_blocked",
)  # fmt: skip


@given(st.integers(500, 599), HEADERS, BODIES)
def test_a_paid_request_that_broke_off_is_unconfirmed_unless_a_documented_code_proves_the_contrary(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    for protocol in EVERY:
        reply = Reply(status, headers, body, RECEIVED)
        refusal = protocol.parse_refusal(reply, paid=True)
        if refusal is None:
            assert protocol.parse_submit(reply) is not None, "only a task is as good as an acceptance"
        elif isinstance(refusal, RefusedError):
            assert any(proof in (refusal.code or "").lower() for proof in PROOFS)
        else:
            assert type(refusal) is SubmissionUnconfirmedError
            assert refusal.spent is None


@given(BODIES, st.sampled_from(sorted(FREE)), st.sampled_from(["e1", "e2"]), st.sampled_from([200, 400, 408, 500, 504]))
def test_a_code_of_the_gateways_own_proves_a_refusal_only_as_the_last_word_and_only_where_the_row_says_so(
    body: bytes, code: str, form: str, status: int
) -> None:
    error = {"code": code, "message": "no", "data": None}
    last = json.dumps(error if form == "e1" else {"error": error}).encode()
    for protocol in EVERY:
        reply = Reply(status, {}, last, RECEIVED)
        refusal = protocol.parse_refusal(reply, paid=True, free_refusals=FREE)
        assert isinstance(refusal, RefusedError)
        assert refusal.spent is False
        if status >= 500 and code not in PROOFS:
            assert type(protocol.parse_refusal(reply, paid=True)) is SubmissionUnconfirmedError
        task = Reply(status, {}, last + b'{"task_id": "t-1"}', RECEIVED)
        assert protocol.parse_refusal(task, paid=True, free_refusals=FREE) is None
        lost = Reply(status, {}, b'{"task_id": "t-1"}' + last, RECEIVED)
        assert isinstance(protocol.parse_refusal(lost, paid=True, free_refusals=FREE), RefusedError)
        assert protocol.parse_refusal(lost, paid=True) is None
        any_answer = protocol.parse_refusal(Reply(status, {}, body, RECEIVED), paid=True, free_refusals=FREE)
        if any_answer is not None and any_answer.repeatable:
            assert any(code.encode() in body for code in FREE)


@given(BODIES, st.sampled_from([408, *range(500, 505)]))
def test_a_look_that_broke_off_says_nothing_of_money(body: bytes, status: int) -> None:
    for protocol in EVERY:
        refusal = protocol.parse_refusal(Reply(status, {}, body, RECEIVED), paid=False)
        assert refusal is not None
        assert not isinstance(refusal, SubmissionUnconfirmedError)


@given(st.text(max_size=30).filter(lambda word: word.strip().lower() not in WORDS), mutations())
def test_an_undocumented_word_is_never_an_end(word: str, body: dict[str, Any]) -> None:
    body["status"] = word
    body.pop("data", None)
    answer = NEBULA.parse_fetch(Reply(200, {}, encoded(body), RECEIVED))
    assert answer is not None
    assert not answer.status.finished
    assert answer.url is None


@given(st.text(max_size=60))
def test_any_task_id_can_be_asked_after(task_id: str) -> None:
    for wire, slashes in zip(NEBULA.build_fetch(task_id), (4, 3), strict=True):
        assert wire.target.isascii()
        assert wire.target.count("/") == slashes
        assert not {"?", "#", " ", "\n"} & set(wire.target)


@given(st.sampled_from(DOCUMENTED), STATUSES)
def test_a_documented_answer_is_read_the_same_a_second_time(body: dict[str, Any], status: int) -> None:
    """The protocol holds no state."""
    reply = Reply(status, {}, encoded(body), RECEIVED)
    assert NEBULA.parse_fetch(reply) == NEBULA.parse_fetch(reply)
    first, second = NEBULA.parse_refusal(reply, paid=True), NEBULA.parse_refusal(reply, paid=True)
    assert (type(first), str(first)) == (type(second), str(second))


@given(REPLIES)
def test_a_list_and_a_leave_are_understood_or_none_and_never_an_accident(reply: Reply) -> None:
    extensions = PROTOCOLS["dashscope"].extensions
    assert extensions is not None
    listed = extensions.parse_list(reply)
    assert listed is None or all(row.created_at.utcoffset() is not None for row in listed[0])
    policy = extensions.parse_upload_policy(reply)
    assert policy is None or policy.host.startswith("http")
