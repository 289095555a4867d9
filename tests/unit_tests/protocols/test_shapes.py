"""Nothing of an answer is lost, whichever documented shape it has and whichever documented envelope it is put into."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import TaskStatus
from langchain_nebula_video.protocols import PROTOCOLS, Reply, TaskSnapshot, is_unknown_task
from tests.tables import each_row

RECEIVED = datetime(2026, 11, 27, tzinfo=UTC)
NEBULA = PROTOCOLS["nebula"]
Body = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What an answer says, apart from its shape."""

    task_id: str = "task_Zq81"
    url: str = "https://results.example.com/video.mp4?Expires=4102444800&Signature=x"
    seconds: int | float | str = 5
    lines: int = 720
    code: str = "InternalError.Timeout"
    reason: str = "The picture was not accepted"

    @property
    def sides(self) -> tuple[int, int]:
        return {480: 832, 720: 1280, 1080: 1920}[self.lines], self.lines


FACTS = st.builds(
    Facts,
    task_id=st.from_regex(r"\A[a-z0-9]{4}[a-zA-Z0-9_+/=-]{0,40}\Z"),
    url=st.from_regex(r"\Ahttps://[a-z]{1,8}\.example\.com/[a-z0-9]{1,12}\.mp4(\?Expires=4102444800)?\Z"),
    seconds=st.integers(1, 30)
    | st.sampled_from([5.04, 5.007, "5", "10.0"])
    | st.integers(100, 3000).map(lambda hundredths: hundredths / 100),
    lines=st.sampled_from([480, 720, 1080]),
    code=st.sampled_from(["InternalError.Timeout", "DataInspectionFailed", "***.DataInspection", "E1", "1301"]),
    reason=st.from_regex(r"\AThe [a-z]{1,12} (was|were) not [a-z ]{1,40}[a-z]\Z"),
)

# Finished tasks: the body, and what of the facts it has beside the address.
ALL, SECONDS, NO_MORE = ("seconds", "resolution"), ("seconds",), ()
SUCCEEDED: dict[str, tuple[Callable[[Facts], Body], tuple[str, ...]]] = {
    "nebula_page": (
        lambda f: {
            "task_id": f.task_id, "status": "succeeded", "url": f.url,
            "metadata": {"usage": {"duration": f.seconds, "resolution": f"{f.lines}p"}, "requested_seconds": 4,
                         "output": {"task_status": "SUCCEEDED", "video_url": f.url}},
        }, ALL),
    "nebula_source": (
        lambda f: {
            "task_id": f.task_id, "status": "succeeded", "url": f.url, "format": "mp4",
            "metadata": {"output": {"task_id": f.task_id, "task_status": "SUCCEEDED"}, "requested_seconds": 4,
                         "usage": {"duration": f.seconds, "SR": f.lines}},
        }, ALL),
    "dashscope": (
        lambda f: {
            "request_id": "r-1",
            "output": {"task_id": f.task_id, "task_status": "SUCCEEDED", "video_url": f.url},
            "usage": {"duration": f.seconds, "SR": f"{f.lines}P"},
        }, ALL),
    "dashscope_from_text": (
        lambda f: {
            "output": {"task_id": f.task_id, "task_status": "SUCCEEDED", "video_url": f.url},
            "usage": json.dumps({"video_duration": f.seconds, "video_ratio": "{}*{}".format(*f.sides)}),
        }, ALL),
    "dashscope_kling": (
        lambda f: {
            "output": {"task_id": f.task_id, "task_status": "SUCCEEDED", "video_url": f.url,
                       "watermark_video_url": "https://x.example.com/marked.mp4"},
            "usage": {"output_video_duration": f.seconds, "size": "{}*{}".format(*f.sides), "audio": True},
        }, ALL),
    "new_api_page": (
        lambda f: {
            "task_id": f.task_id, "status": "succeeded", "url": f.url, "error": None,
            "metadata": {"duration": f.seconds, "width": f.sides[0], "height": f.sides[1], "fps": 30},
        }, ALL),
    "openai": (
        lambda f: {
            "id": f.task_id, "object": "video", "status": "completed", "progress": 100, "seconds": str(f.seconds),
            "size": "{}x{}".format(*f.sides), "metadata": {"url": f.url},
        }, ALL),
    "litellm_and_an_address": (
        lambda f: {
            "id": f.task_id, "object": "video", "status": "completed", "progress": None, "error": None, "url": f.url,
            "usage": {"duration_seconds": f.seconds, "video_resolution": f"{f.lines}p"},
        }, ALL),
    "together": (
        lambda f: {
            "id": f.task_id, "status": "completed", "outputs": {"cost": 0.4, "video_url": f.url},
            "seconds": f.seconds, "size": f"{f.lines}p",
        }, ALL),
    "zenmux": (
        lambda f: {
            "id": f.task_id, "status": "succeeded", "content": {"video_url": f.url}, "duration": f.seconds,
            "resolution": f"{f.lines}p",
        }, ALL),
    "vidu": (
        lambda f: {
            "id": f.task_id, "state": "success", "err_code": "", "duration": f.seconds, "resolution": f"{f.lines}p",
            "creations": [{"id": "c", "cover_url": "https://x.example.com/c.jpg", "url": f.url}],
        }, ALL),
    "kling": (
        lambda f: {
            "task_id": f.task_id, "task_status": "succeed", "task_status_msg": "",
            "task_result": {"videos": [{"id": "v", "url": f.url, "duration": str(f.seconds)}]},
        }, SECONDS),
    "xai": (lambda f: {"status": "done", "video": {"url": f.url, "duration": f.seconds}}, SECONDS),
    "openrouter": (lambda f: {"id": f.task_id, "status": "completed", "unsigned_urls": [f.url]}, NO_MORE),
    "lumenfall": (lambda f: {"id": f.task_id, "status": "completed", "output": {"url": f.url}}, NO_MORE),
    "evolink": (lambda f: {"id": f.task_id, "status": "completed", "results": [f.url]}, NO_MORE),
    "apimart": (
        lambda f: {"id": f.task_id, "status": "completed", "result": {"videos": [{"url": [f.url]}]}}, NO_MORE),
    "uniall": (
        lambda f: {
            "id": f.task_id, "task_id": f.task_id, "object": "video.generation.job", "status": "completed",
            "duration": 63, "result": {"outputs": [f.url], "video_url": f.url}, "video_url": f.url,
            "thumbnail_url": "https://x.example.com/t.jpg",
        }, NO_MORE),
}  # fmt: skip

# Failed tasks: the body, and what it says of the reason.
BOTH, WORDS, CODE = ("code", "reason"), ("reason",), ("code",)
FAILED: dict[str, tuple[Callable[[Facts], Body], tuple[str, ...]]] = {
    "nebula_page": (
        lambda f: {"task_id": f.task_id, "status": "failed", "metadata": {
            "output": {"task_status": "FAILED", "code": f.code, "message": f.reason}}}, BOTH),
    "nebula_source": (
        lambda f: {"task_id": f.task_id, "status": "failed", "error": {"code": 400, "message": "任务执行失败"},
                   "metadata": {"output": {"task_status": "FAILED", "code": f.code, "message": f.reason}}}, BOTH),
    "nebula_source_in_words": (
        lambda f: {"task_id": f.task_id, "status": "failed", "url": "",
                   "error": {"code": 400, "message": f"code={f.code}, message={f.reason}"}}, BOTH),
    "dashscope": (
        lambda f: {"output": {"task_id": f.task_id, "task_status": "FAILED", "code": f.code, "message": f.reason}},
        BOTH),
    "openai": (
        lambda f: {"id": f.task_id, "status": "failed", "error": {"code": f.code, "message": f.reason}}, BOTH),
    "text": (lambda f: {"id": f.task_id, "status": "failed", "error": f.reason}, WORDS),
    "plugins": (lambda f: {"task_id": f.task_id, "status": "FAILURE", "fail_reason": f.reason}, WORDS),
    "error_message": (lambda f: {"task_id": f.task_id, "status": "failed", "error_message": f.reason}, WORDS),
    "packed": (
        lambda f: {"task_id": f.task_id, "status": "FAILURE",
                   "fail_reason": json.dumps({"code": f.code, "message": f.reason})}, BOTH),
    "vidu": (lambda f: {"id": f.task_id, "state": "failed", "err_code": f.code, "creations": []}, CODE),
    "kling": (
        lambda f: {"task_id": f.task_id, "task_status": "failed", "task_status_msg": f.reason, "task_result": {}},
        WORDS),
}  # fmt: skip

SUBMITTED: dict[str, Callable[[Facts], Body]] = {
    "nebula_page": lambda f: {"task_id": f.task_id, "status": "submitted", "metadata": {"request_id": "r-1"}},
    "nebula_source": lambda f: {"status_code": 0, "code": "", "output": {"task_id": f.task_id}, "task_id": f.task_id},
    "openai": lambda f: {"id": f.task_id, "object": "video", "status": "queued"},
    "dashscope": lambda f: {"output": {"task_status": "PENDING", "task_id": f.task_id}, "request_id": "r-1"},
    "vidu": lambda f: {"task_id": f.task_id, "state": "created", "credits": 30},
    "camel": lambda f: {"taskId": f.task_id},
}


def row(status: str) -> Callable[[Body, Facts], Body]:
    """new-api's row of a task, with the vendor's answer in it."""
    return lambda body, facts: {
        "code": "success",
        "message": "",
        "data": {"id": 7, "task_id": facts.task_id, "status": status, "fail_reason": "", "data": body},
    }


def put_into(envelope: str) -> Callable[[Body, Facts], Body]:
    return lambda body, _: {envelope: body}


WRAPPED: dict[str, Callable[[Body, Facts], Body]] = {
    "bare": lambda body, _: body,
    "data": lambda body, _: {"code": "success", "message": "", "data": body},
    "numbered": lambda body, _: {"code": 200, "msg": "success", "data": body},
    "list": lambda body, _: {"code": 0, "message": "SUCCEED", "data": [body]},
    "text": lambda body, _: {"code": 0, "data": json.dumps(body)},
}
DEEPER: dict[str, Callable[[Body, Facts], Body]] = {
    name: put_into(name)
    for name in ("result", "results", "task_result", "outputs", "videos", "video", "content", "metadata", "output")
}
GATEWAYS_WORD = {"SUCCESS": "succeeded", "FAILURE": "failed"}


def around(status: str) -> dict[str, Callable[[Body, Facts], Body]]:
    """All envelopes, with the gateway's own word where there is one."""
    return (
        WRAPPED
        | DEEPER
        | {
            "row": row(status),
            "row_in_text": lambda body, facts: row(status)(json.dumps(body), facts),  # type: ignore[arg-type]
            "metadata_of_nebula": lambda body, facts: {
                "task_id": facts.task_id, "status": GATEWAYS_WORD[status], "url": "", "metadata": body,
            },
        }
    )  # fmt: skip


def reply(body: Body) -> Reply:
    return Reply(200, {}, json.dumps(body).encode(), RECEIVED)


def fetched(body: Body) -> TaskSnapshot:
    assert NEBULA.parse_refusal(reply(body), paid=False) is None
    answer = NEBULA.parse_fetch(reply(body))
    assert answer is not None
    return answer


def check_success(shape: str, envelope: str, facts: Facts) -> None:
    make, told = SUCCEEDED[shape]
    body = around("SUCCESS")[envelope](make(facts), facts)
    answer = fetched(body)
    assert (answer.status, answer.url) == (TaskStatus.SUCCEEDED, facts.url)
    assert answer.seconds == (Decimal(str(facts.seconds)) if "seconds" in told else None)
    assert answer.resolution == (f"{facts.lines}p" if "resolution" in told else None)
    assert (answer.code, answer.reason) == (None, None)
    assert not NEBULA.names_other_task(reply(body), facts.task_id)


def check_failure(shape: str, envelope: str, facts: Facts) -> None:
    make, told = FAILED[shape]
    body = around("FAILURE")[envelope](make(facts), facts)
    answer = fetched(body)
    assert answer.status is TaskStatus.FAILED
    assert answer.code == (facts.code if "code" in told else None)
    assert answer.reason == (facts.reason if "reason" in told else None)
    assert (answer.url, answer.amount_usd, answer.billed) == (None, None, False)


@each_row("envelope", around("SUCCESS"))
@each_row("shape", SUCCEEDED)
def test_a_finished_task_loses_nothing_in_any_envelope(shape: str, envelope: str) -> None:
    check_success(shape, envelope, Facts())


@given(st.sampled_from(sorted(SUCCEEDED)), st.sampled_from(sorted(around("SUCCESS"))), FACTS)
def test_a_finished_task_loses_nothing_whatever_it_says(shape: str, envelope: str, facts: Facts) -> None:
    check_success(shape, envelope, facts)


@each_row("envelope", around("FAILURE"))
@each_row("shape", FAILED)
def test_a_failed_task_keeps_its_reason_in_any_envelope(shape: str, envelope: str) -> None:
    check_failure(shape, envelope, Facts())


@given(st.sampled_from(sorted(FAILED)), st.sampled_from(sorted(around("FAILURE"))), FACTS)
def test_a_failed_task_keeps_its_reason_whatever_it_says(shape: str, envelope: str, facts: Facts) -> None:
    check_failure(shape, envelope, facts)


@given(st.sampled_from(sorted(SUBMITTED)), st.sampled_from(sorted(WRAPPED)), FACTS)
def test_a_submitted_task_is_named_in_any_envelope(shape: str, envelope: str, facts: Facts) -> None:
    body = WRAPPED[envelope](SUBMITTED[shape](facts), facts)
    assert NEBULA.parse_refusal(reply(body), paid=True) is None
    submission = NEBULA.parse_submit(reply(body))
    assert submission is not None
    assert submission.task_id == facts.task_id
    assert not submission.snapshot.status.finished


@each_row("envelope", around("SUCCESS"))
def test_what_only_looks_like_a_length_is_none(envelope: str) -> None:
    """Nebula's code always says 4 in `requested_seconds`, and UniAll's `duration` is how long the task took."""
    for more in ({"requested_seconds": 4}, {"metadata": {"requested_seconds": 4, "durationSeconds": 4}},
                 {"duration": 63, "thumbnail_url": "https://x.example.com/t.jpg"}, {"duration": 63_000},
                 {"duration": 63, "object": "video.generation.job"}):  # fmt: skip
        body: Body = {"status": "succeeded", "url": Facts().url, **more}
        answer = fetched(around("SUCCESS")[envelope](body, Facts()))
        assert (answer.url, answer.seconds) == (Facts().url, None)


@each_row("told", ["16:9", "standard", "std", "", "1280", 5_000_000, True, {}, ["720p"], "7200p", "0*0"])
def test_what_is_no_resolution_is_none(told: object) -> None:
    assert fetched({"status": "succeeded", "size": told}).resolution in {None, "1280p"}


@each_row(
    ("body", "seconds", "billed_seconds", "resolution"),
    [
        ({"usage": {"duration": 5, "SR": 720}, "seconds": 4, "size": "480p"}, 5, None, "720p"),
        ({"usage": {"SR": 720, "size": "1920*1080"}}, None, None, "720p"),
        ({"usage": {"resolution": "720P", "video_ratio": "832*480"}}, None, None, "720p"),
        ({"usage": {"video_resolution": "720p"}, "size": "832x480"}, None, None, "720p"),
        ({"usage": {"size": "1280*720"}, "resolution": "480p"}, None, None, "720p"),
        ({"usage": {"video_size": "1280*720"}, "resolution": "480p"}, None, None, "720p"),
        ({"resolution": "adaptive", "width": 1280, "height": 720}, None, None, "720p"),
        ({"usage": {"duration": 12, "output_video_duration": 5, "input_video_duration": 7}}, 5, 12, None),
        ({"usage": {"duration": 12, "input_video_duration": 7}}, 5, 12, None),
        ({"usage": {"duration": 5, "input_video_duration": 0}}, 5, None, None),
        ({"usage": {"duration": 5, "input_video_duration": 7}}, 5, None, None),
        ({"usage": {"duration": "5.04", "output_video_duration": 5.04}}, 5.04, None, None),
        ({"metadata": {"usage": {"video_duration": 5}, "actual_seconds": 7}}, 5, 7, None),
        ({"duration": 63_000, "seconds": "5"}, 5, None, None),
        ({"duration": 63_000, "metadata": {"duration": 5}}, 5, None, None),
    ],
)
def test_what_was_made_beats_what_was_asked_for_and_the_bill_may_count_a_clip_too(
    body: Body, seconds: float | None, billed_seconds: float | None, resolution: str | None
) -> None:
    answer = fetched({"status": "succeeded", **body})
    told = [None if value is None else float(value) for value in (answer.seconds, answer.billed_seconds)]
    assert (*told, answer.resolution) == (seconds, billed_seconds, resolution)


@each_row(
    ("size", "resolution"),
    [
        ("1280*720", "720p"), ("720x1280", "720p"), ("1280 \u00d7 720", "720p"), ("832*480", "480p"),
        ("1920*1080", "1080p"), ("960*960", "720p"), ("624*624", "480p"), ("1440*1440", "1080p"),
        ("1088*832", "720p"), ("1632*1248", "1080p"), ("1108x830", "720p"), ("720x720", "720p"), ("960*540", "540p"),
        ("3840x2160", "2160p"), ("640*360", "360p"),
    ],
)  # fmt: skip
def test_width_and_height_are_the_nearest_tier(size: str, resolution: str) -> None:
    """Alibaba's tiers are pixels: a square of 720P is 960*960."""
    assert fetched({"status": "succeeded", "usage": {"size": size}}).resolution == resolution


@each_row(
    ("body", "amount"),
    [
        ({"data": {"status": "SUCCESS", "quota": 369000}}, "0.738"),
        ({"status": "SUCCESS", "quota": "92250"}, "0.1845"),
        ({"status": "SUCCESS", "actual_quota": 92250}, "0.1845"),
        ({"status": "succeeded", "metadata": {"actual_quota": 5_000_000}}, "10"),
        ({"status": "completed", "usage": {"cost": 0.32}}, "0.32"),
        ({"status": "completed", "outputs": {"cost": 0.45}}, "0.45"),
        ({"status": "completed", "quota": 0}, None),
        ({"status": "completed", "quota": -5}, None),
        ({"status": "completed", "quota": True}, None),
        ({"status": "completed", "quota": 10**15}, None),
        ({"status": "completed", "usage": {"cost": None}}, None),
        ({"status": "in_progress", "quota": 369000}, None),
        ({"status": "failed", "quota": 369000}, None),
        ({"status": "canceled", "usage": {"cost": 0.32}}, None),
    ],
)
def test_only_a_finished_task_has_a_bill_and_its_figure_is_one_of_dollars(body: Body, amount: str | None) -> None:
    answer = fetched(body)
    assert (answer.amount_usd, answer.billed) == (None if amount is None else Decimal(amount), amount is not None)


@each_row(
    ("metadata", "billed"),
    [
        ({"billing_pending": False, "model_price": 0.0738, "usage": {"duration": 5, "resolution": "720p"}}, True),
        ({"billing_pending": False, "usage": {"duration": 5, "resolution": "720p"}}, False),
        ({"billing_pending": False, "model_price": 0.0738, "usage": {"duration": 5}}, False),
        ({"billing_pending": False, "model_price": 0.0738, "requested_seconds": 4}, False),
        ({"billing_pending": True, "model_price": 0.0738, "usage": {"duration": 5, "resolution": "720p"}}, False),
    ],
)
def test_a_page_s_bill_is_one_only_with_all_of_its_figures(metadata: Body, billed: bool) -> None:
    assert fetched({"status": "succeeded", "metadata": metadata}).billed is billed


@each_row("body", [{"url": "data:video/mp4;base64,"}, {"url": "data:video/mp4;base64,AAAA"},
                   {"url": "data:video/mp4,x"},
                   {"url": "data:video/mp4;base64,!!!!"}, {"url": "data:video/mp4;base64,iVBORw0KGgoAAAANSUhEUg"},
                   *({"url": f"https://x.example.com/cover.{name}?x=1"}
                     for name in ("PNG", "jpg", "jpeg", "webp", "gif", "bmp")),
                   {"url": ""}, {"url": [None, 7]}, {}])  # fmt: skip
def test_what_is_no_video_is_passed_over_for_the_video(body: Body) -> None:
    assert fetched({"status": "succeeded", **body}).url is None
    better = {"status": "succeeded", **body, "metadata": {"output": {"video_url": Facts().url}}}
    assert fetched(better).url == Facts().url
    path = {"status": "succeeded", **body, "video_url": "/v1/videos/t/content"}
    assert fetched(path).url == "/v1/videos/t/content"
    assert fetched({**path, "result": {"video_url": Facts().url}}).url == Facts().url


@each_row(
    "head",
    ["AAAAGGZ0eXBpc29t", "AAAAIGZ0eXBtcDQyAAA", "AAAACHdpZGUAAAAA", "GkXfo59ChoEBQveBAULygQ", "AAAA%47GZ0eXBpc29t"],
)
def test_an_inline_video_is_one_by_its_first_bytes(head: str) -> None:
    uri = f"data:video/mp4;base64,{head}"
    assert fetched({"status": "succeeded", "url": uri}).url == uri


@each_row("word", ["expired", " EXPIRED", "not_found"])
@each_row("envelope", WRAPPED)
def test_a_task_that_is_no_longer_kept_is_an_error_and_no_state(word: str, envelope: str) -> None:
    answer = reply(WRAPPED[envelope]({"id": "t-1", "status": word}, Facts()))
    for protocol in PROTOCOLS.values():
        refusal = protocol.parse_refusal(answer, paid=False)
        assert refusal is not None
        assert is_unknown_task(refusal)
        assert word.strip() in refusal.what


@each_row("envelope", WRAPPED)
def test_unknown_is_an_end_behind_a_failure_and_passes_elsewhere(envelope: str) -> None:
    vendor = {"output": {"task_id": "t-1", "task_status": "UNKNOWN"}}
    behind = WRAPPED[envelope]({"task_id": "t-1", "status": "failed", "metadata": vendor}, Facts())
    refusal = NEBULA.parse_refusal(reply(behind), paid=False)
    assert refusal is not None
    assert is_unknown_task(refusal)
    for body in ({"task_id": "t-1", "status": "unknown", "metadata": vendor}, {"id": "t-1", "status": "UNKNOWN"}):
        assert fetched(WRAPPED[envelope](body, Facts())).status is TaskStatus.QUEUED
    told = {"task_id": "t-1", "status": "failed", "metadata": {"output": {**vendor["output"], "code": "InternalError"}}}
    assert fetched(WRAPPED[envelope](told, Facts())).status is TaskStatus.FAILED


@each_row(
    ("body", "code", "reason"),
    [
        ({"code": "success", "message": "success"}, None, None),
        ({"code": 0, "message": "the query has succeeded"}, None, None),
        ({"code": "OK", "msg": "fine"}, None, None),
        ({"code": "succeeded", "message": "x"}, None, None),
        ({"code": "SUCCEED", "message": "x"}, None, None),
        ({"code": 200, "message": "x", "fail_reason": "too dark"}, None, "too dark"),
        ({"code": 200, "message": "x", "error_message": "too dark"}, None, "too dark"),
        ({"code": 0, "message": "x", "task_status_msg": "too dark"}, None, "too dark"),
        ({"message": "success"}, None, None),
        ({"message": "OK"}, None, None),
        ({"data": {"fail_code": "E7", "fail_reason": "too dark"}}, "E7", "too dark"),
        ({"result_url": "too dark"}, None, "too dark"),
        ({"data": {"result_url": "https://x.example.com/v.mp4"}}, None, None),
        (
            {"error": {"code": "task_failed", "message": "DataInspectionFailed: too dark"}},
            "DataInspectionFailed",
            "too dark",
        ),
        ({"error": {"code": "fail_to_fetch_task", "message": "too dark"}}, None, "too dark"),
        ({"error": {"code": "ali_api_error", "message": "Throttling: too many"}}, "Throttling", "too many"),
        ({"error": {"code": "E7", "message": "InvalidURL: too dark"}}, "E7", "InvalidURL: too dark"),
        ({"error": {"message": "***.DataInspection: too dark"}}, "***.DataInspection", "too dark"),
        ({"error": {"message": "upstream_error: too dark"}}, "upstream_error", "too dark"),
        ({"error": {"message": "Failed: too dark"}}, None, "Failed: too dark"),
        (
            {"error": {"message": "https://x.example.com/cat.jpg: too dark"}},
            None,
            "https://x.example.com/cat.jpg: too dark",
        ),
        ({"error": {"message": "任务已取消。"}}, None, "任务已取消。"),
        ({"error": {"code": "502", "message": "bad gateway"}}, None, "bad gateway"),
        ({"error": {"code": 1301, "message": "too dark"}}, "1301", "too dark"),
        ({"error": ["too dark"]}, None, None),
        ({"error": {"code": "E7"}, "fail_reason": "too dark"}, "E7", "too dark"),
    ],
)
def test_a_reason_is_the_vendor_s_and_never_a_word_of_the_envelope(
    body: Body, code: str | None, reason: str | None
) -> None:
    answer = fetched({"task_id": "t-1", "status": "failed", **body})
    assert (answer.status, answer.code, answer.reason) == (TaskStatus.FAILED, code, reason)


def test_a_video_with_the_vendor_s_mark_is_better_than_none() -> None:
    marked = "https://x.example.com/marked.mp4"
    assert fetched({"output": {"task_status": "SUCCEEDED", "watermark_video_url": marked}}).url == marked
    both = {"output": {"task_status": "SUCCEEDED", "watermark_video_url": marked}, "data": {"video_url": Facts().url}}
    assert fetched(both).url == Facts().url


def test_a_failed_task_is_no_refusal_of_the_look_also_in_vidu_s_words() -> None:
    answer = fetched({"id": "t-1", "state": "failed", "err_code": "DataInspectionFailed", "creations": []})
    assert (answer.status, answer.code) == (TaskStatus.FAILED, "DataInspectionFailed")


@each_row(
    ("body", "prompt"),
    [
        ({"prompt": "a cat"}, "a cat"),
        ({"data": {"prompt": "a cat"}}, "a cat"),
        ({"metadata": {"output": {"orig_prompt": "a cat", "actual_prompt": "A small cat"}}, "prompt": "b"}, "a cat"),
        ({"data": {"data": {"output": {"orig_prompt": "a cat"}}}}, "a cat"),
        ({"metadata": {"prompt": "not the gateway's own word"}}, None),
    ],
)
def test_the_prompt_is_the_one_that_was_submitted(body: Body, prompt: str | None) -> None:
    assert fetched({"status": "in_progress", **body}).prompt == prompt
