"""Every payload in `wire/` against the protocol that has to read it, and the requests that are built."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from langchain_nebula_video import RefusedError, TaskStatus, VideoRequest, errors
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import find_offer
from langchain_nebula_video.protocols import (
    PROTOCOLS,
    Extensions,
    Protocol,
    Reply,
    Submission,
    TaskSnapshot,
    WireRequest,
    is_unknown_task,
)
from tests.conftest import jpeg
from tests.tables import each_row

WIRE = Path(__file__).parent / "wire"
PAYLOADS = sorted(WIRE.glob("*/*.json"))
RECEIVED = datetime(2025, 11, 4, 11, 20, tzinfo=UTC)
NEBULA = PROTOCOLS["nebula"]


def reply(
    body: object = None, *, status: int = 200, text: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    content = json.dumps(body) if text is None else text
    return Reply(status, lower, content.encode(), RECEIVED)


def fetched(body: object) -> TaskSnapshot:
    answer = NEBULA.parse_fetch(reply(body))
    assert answer is not None
    return answer


def plain(value: object) -> object:
    """A value as the payload files spell it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="auto").replace("+00:00", "Z")
    return str(value) if isinstance(value, Decimal | TaskStatus) else value


def spelled(expected: object) -> object:
    """A moment in a payload file has milliseconds, as the page writes them."""
    if isinstance(expected, str) and expected.endswith("Z") and expected[4:5] == "-":
        return plain(datetime.fromisoformat(expected))
    return expected


# --- the contract: one test, every payload ---


@each_row("path", PAYLOADS, ids=[f"{path.parent.name}-{path.stem}" for path in PAYLOADS])
def test_a_payload_is_read_as_its_file_says(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    protocol, expect, paid = PROTOCOLS[path.parent.name], case["expect"], case["request"] == "submit"
    answer = reply(case.get("body"), status=case["status"], text=case.get("text"), headers=case.get("headers"))
    refusal = protocol.parse_refusal(answer, paid=paid)
    if "error" in expect:
        assert refusal is not None
        check_refusal(refusal, case)
        return
    assert refusal is None
    if paid:
        submission = protocol.parse_submit(answer)
        found = submission.snapshot if submission else None
    else:
        submission, found = None, protocol.parse_fetch(answer)
    if "nothing" in expect:
        assert found is None
        return
    assert found is not None
    seen = {name: plain(getattr(found, name)) for name in expect if name != "task_id"}
    seen |= {name: float(str(seen[name])) for name in ("seconds", "billed_seconds") if seen.get(name)}
    if submission is not None:
        seen["task_id"] = submission.task_id
    assert seen == {name: spelled(value) for name, value in expect.items()}
    assert found.raw == case.get("body", found.raw)


def check_refusal(refusal: errors.RequestError, case: dict[str, Any]) -> None:
    expect = case["expect"]
    assert type(refusal).__name__ == expect["error"]
    assert refusal.status_code == case["status"]
    for name in ("code", "spent", "retry_after", "request_id"):
        if name in expect:
            assert getattr(refusal, name) == expect[name], name
    assert expect.get("says", "") in refusal.what
    assert expect.get("hint", "") in refusal.hint
    assert is_unknown_task(refusal) is (expect.get("unknown_task", False) or case["status"] == 404)


@each_row("path", PAYLOADS, ids=[f"{path.parent.name}-{path.stem}" for path in PAYLOADS])
def test_a_payload_names_its_page_its_date_and_all_that_the_contract_reads(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    assert {*case} - {"headers", "body", "text"} == {"page", "date", "request", "status", "expect"}
    assert ("body" in case) != ("text" in case)
    assert case["request"] in {"submit", "fetch"}
    assert len(case["page"]) > 5
    assert ".txt" not in case["page"]
    assert re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", case["date"])
    error = {"error", "code", "spent", "retry_after", "request_id", "says", "hint", "unknown_task"}
    assert {*case["expect"]} <= ({*TaskSnapshot.__dataclass_fields__} | {"task_id", "nothing"} | error)


@each_row("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_every_protocol_reads_every_payload_of_every_other(protocol: Protocol) -> None:
    """Gateways change their shapes, and a caller may name the wrong one: nothing but typed answers comes out."""
    for path in PAYLOADS:
        case = json.loads(path.read_text("utf-8"))
        answer = reply(case.get("body"), status=case["status"], text=case.get("text"), headers=case.get("headers"))
        paid = case["request"] == "submit"
        refusal = protocol.parse_refusal(answer, paid=paid)
        assert refusal is None or isinstance(refusal, errors.RequestError), path.name
        found = protocol.parse_submit(answer) if paid else protocol.parse_fetch(answer)
        if "task_id" in case["expect"]:
            assert isinstance(found, Submission), path.name
            assert found.task_id == case["expect"]["task_id"], path.name
        elif isinstance(found, TaskSnapshot) and "status" in case["expect"]:
            assert found.status == case["expect"]["status"], path.name
            assert found.url == case["expect"].get("url", found.url), path.name


@each_row("protocol", sorted(PROTOCOLS))
def test_every_protocol_has_payloads(protocol: str) -> None:
    assert any(path.parent.name == protocol for path in PAYLOADS)


@each_row("status", TaskStatus)
def test_every_status_is_met_in_the_payloads(status: TaskStatus) -> None:
    assert any(json.loads(path.read_text("utf-8"))["expect"].get("status") == status for path in PAYLOADS)


def test_every_refusal_is_met_in_the_payloads() -> None:
    met = {json.loads(path.read_text("utf-8"))["expect"].get("error") for path in PAYLOADS}
    kinds: list[type[RefusedError]] = [RefusedError, *RefusedError.__subclasses__()]
    assert met >= {error.__name__ for error in kinds}


# --- status words ---

WORDS = {
    TaskStatus.QUEUED: [
        "not_start", "submitted", "queued", "pending", "created", "queueing", "in_queue", "", "unknown",
    ],
    TaskStatus.RUNNING: [
        "in_progress", "processing", "running", "suspended", "initializing", "initialized", "preparing", "generating",
    ],
    TaskStatus.SUCCEEDED: ["success", "succeed", "succeeded", "completed", "done"],
    TaskStatus.FAILED: ["failure", "failed", "fail", "error"],
    TaskStatus.CANCELED: ["canceled", "cancelled"],
}  # fmt: skip
DOCUMENTED = [(word, status) for status, words in WORDS.items() for word in words]


@each_row("spell", [str, str.upper, str.title, " {} ".format])
@each_row(("word", "status"), DOCUMENTED)
def test_a_documented_word_means_its_status_however_it_is_spelled(word: str, status: TaskStatus, spell: Any) -> None:
    for body in ({"task_id": "t", "status": spell(word)}, {"code": "success", "data": {"status": spell(word)}}):
        answer = fetched(body)
        assert (answer.status, answer.unknown_status) == (status, None)


@each_row("word", ["under_review", "finalising", "finished", "rejected", "timeout"])
def test_an_unknown_status_word_means_the_task_goes_on(word: str) -> None:
    answer = fetched({"task_id": "t", "status": word, "url": "https://example.com/v.mp4"})
    assert (answer.status, answer.unknown_status, answer.url) == (TaskStatus.RUNNING, word, None)


@each_row("beneath", ["SUCCEEDED", "FAILED", "CANCELED"])
def test_the_word_beneath_an_unknown_one_does_not_end_the_task(beneath: str) -> None:
    answer = fetched({"task_id": "t", "status": "reviewing", "metadata": {"output": {"task_status": beneath}}})
    assert answer.status is TaskStatus.RUNNING


@each_row("status", [None, 3, True, [], {}, ["succeeded"], {"status": "failed"}])
def test_a_status_that_is_no_word_means_the_task_goes_on(status: object) -> None:
    assert fetched({"task_id": "t", "status": status}).status is TaskStatus.RUNNING


def test_the_word_beneath_tells_a_queued_task_from_a_running_one() -> None:
    waiting = {"status": "in_progress", "metadata": {"output": {"task_status": "PENDING"}}}
    working = {"status": "in_progress", "metadata": {"output": {"task_status": "RUNNING"}}}
    assert (fetched(waiting).status, fetched(working).status) == (TaskStatus.QUEUED, TaskStatus.RUNNING)


# --- where things stand ---

VIDEO = "https://results.example.com/video.mp4"


@each_row(
    "body",
    [
        {"url": VIDEO},
        {"url": [VIDEO]},
        {"url": ["", VIDEO]},
        {"url": f" {VIDEO}\n"},
        {"video_url": VIDEO},
        {"result_url": VIDEO},
        {"result": {"video_url": VIDEO}},
        {"result": {"outputs": [VIDEO]}},
        {"metadata": {"url": VIDEO}},
        {"metadata": {"output": {"video_url": VIDEO}}},
        {"output": {"video_url": VIDEO}},
        {"data": {"result_url": VIDEO}},
        {"data": {"fail_reason": VIDEO}},
        {"data": {"data": {"output": {"video_url": VIDEO}}}},
        {"url": "pending", "video_url": VIDEO},
        {"url": "ftp://example.com/v.mp4", "video_url": VIDEO},
        {"url": {"url": VIDEO}},
    ],
)
def test_the_url_is_found_wherever_it_stands(body: dict[str, Any]) -> None:
    assert fetched({"status": "succeeded", **body}).url == VIDEO


@each_row(
    "url",
    ["", "video.mp4", "//example.com/v.mp4", "/\\\\example.com/v.mp4", "/a b", "ftp://example.com/v.mp4",
     "javascript:alert(1)",
     "file:///etc/passwd", "data:text/html,x", "https://", "https://a b/", "https://[::1/",
     "https://x/\ud800", 7, True, {}, []],
)  # fmt: skip
def test_what_is_no_web_address_is_no_url(url: object) -> None:
    assert fetched({"status": "succeeded", "url": url}).url is None


@each_row("status", [status for status in TaskStatus if status is not TaskStatus.SUCCEEDED])
def test_only_a_succeeded_task_has_a_url(status: TaskStatus) -> None:
    assert fetched({"status": status.value, "url": VIDEO}).url is None


@each_row("status", [status for status in TaskStatus if status is not TaskStatus.FAILED])
def test_only_a_failed_task_has_a_reason(status: TaskStatus) -> None:
    answer = fetched({"status": status.value, "error": {"code": "x", "message": "y"}})
    assert (answer.code, answer.reason) == (None, None)


@each_row(
    ("query", "expires"),
    [
        ("?Expires=1762340400", datetime(2025, 11, 5, 11, tzinfo=UTC)),
        ("?a=b&expires=1762340400&Signature=x", datetime(2025, 11, 5, 11, tzinfo=UTC)),
        ("?Expires=", RECEIVED + timedelta(hours=24)),
        ("?Expires=soon", RECEIVED + timedelta(hours=24)),
        ("?Expires=3600", RECEIVED + timedelta(hours=24)),
        ("?Expires=99999999999999999999", RECEIVED + timedelta(hours=24)),
        ("", RECEIVED + timedelta(hours=24)),
    ],
)
def test_a_url_expires_when_it_says_so_else_a_day_after(query: str, expires: datetime) -> None:
    assert fetched({"status": "succeeded", "url": VIDEO + query}).expires_at == expires


def test_a_url_lives_a_day_from_the_finish_that_the_gateway_tells() -> None:
    answer = fetched({"status": "succeeded", "url": VIDEO, "completed_at": 1762254911})
    assert answer.expires_at == datetime(2025, 11, 5, 11, 15, 11, tzinfo=UTC)


def test_a_finish_in_the_future_does_not_prolong_a_url() -> None:
    """If the gateway's wall clock is not Beijing's after all, the answer's own moment counts."""
    answer = fetched({"status": "succeeded", "url": VIDEO, "metadata": {"output": {"end_time": "2025-11-05 11:00:00"}}})
    assert answer.expires_at == RECEIVED + timedelta(hours=24)


@each_row(
    ("told", "moment"),
    [
        ("2025-11-04 19:15:11.819", datetime(2025, 11, 4, 11, 15, 11, 819000, tzinfo=UTC)),
        ("2025-11-04T11:15:11Z", datetime(2025, 11, 4, 11, 15, 11, tzinfo=UTC)),
        (1762254911, datetime(2025, 11, 4, 11, 15, 11, tzinfo=UTC)),
        (1762254911819, datetime(2025, 11, 4, 11, 15, 11, 819000, tzinfo=UTC)),
        (0, None), (-1, None), (True, None), ("", None), ("yesterday", None), (10**18, None), ({}, None),
        ("0001-01-01 00:00:00", None),
    ],
)  # fmt: skip
def test_times_are_epochs_or_beijing_wall_time(told: object, moment: datetime | None) -> None:
    answer = fetched({"status": "in_progress", "metadata": {"output": {"submit_time": told}}})
    assert answer.submitted_at == moment


@each_row(
    ("told", "progress"),
    [(0, 0.0), (30, 0.3), ("30%", 0.3), (" 30 ", 0.3), (99.5, 0.995), (250, 1.0), ("", None), ("half", None),
     (-5, None), (True, None), (None, None), ("NaN", None), ([], None)],
)  # fmt: skip
def test_progress_is_a_share_of_one(told: object, progress: float | None) -> None:
    assert fetched({"status": "in_progress", "progress": told}).progress == progress


@each_row(
    ("told", "price"),
    [(0.0738, "0.0738"), ("0.0738", "0.0738"), (0, "0"), (1, "1"), (-1, None), (True, None), ("free", None),
     ("NaN", None), ("Infinity", None), (1e300, None), ("1e-99999999", None), (None, None), ([0.1], None)],
)  # fmt: skip
def test_a_price_is_a_sensible_amount_or_none(told: object, price: str | None) -> None:
    found = fetched({"status": "in_progress", "metadata": {"model_price": told}}).price_per_second
    assert found == (None if price is None else Decimal(price))


@each_row(
    ("told", "seconds"),
    [
        (5, 5),
        ("5", 5),
        (5.0, 5),
        ("10", 10),
        (0, None),
        (-5, None),
        (5.04, Decimal("5.04")),
        ("five", None),
        (True, None),
    ],
)
def test_seconds_are_a_number_above_0_or_unknown(told: object, seconds: int | None) -> None:
    assert fetched({"status": "succeeded", "metadata": {"usage": {"duration": told}}}).seconds == seconds


# --- refusals ---


@each_row("status", [500, 502, 503, 504, 520, 599, 408, 499])
@each_row("text", ["", "<html>", '{"error":{"message":"try later"}}', '{"code":"InternalError"}'])
def test_a_submit_that_the_server_broke_off_is_unconfirmed(status: int, text: str) -> None:
    refusal = NEBULA.parse_refusal(reply(status=status, text=text), paid=True)
    assert type(refusal) is errors.SubmissionUnconfirmedError
    assert refusal.spent is None


def test_a_code_that_proves_the_refusal_beats_the_status() -> None:
    refusal = NEBULA.parse_refusal(
        reply({"error": {"code": "model_not_found", "message": "no channel"}}, status=503), paid=True
    )
    assert type(refusal) is RefusedError
    assert refusal.spent is False


REASON = {"code": "InvalidParameter.DataInspection", "message": "no"}


@each_row(
    "body",
    [
        {"task_id": "t", "error": REASON},
        {"status": "failed", "error": REASON},
        {"output": {"task_id": "t", **REASON}},
        {"output": {"task_status": "FAILED", **REASON}},
        {"metadata": {"output": {"task_id": "t", **REASON}}},
        {"metadata": {"output": {"task_status": "FAILED", **REASON}}},
        {"data": {"task_id": "t", "fail_reason": json.dumps(REASON)}},
        {"data": {"status": "FAILURE", "fail_reason": json.dumps(REASON)}},
    ],
)
def test_a_failed_task_is_an_answer_and_no_refusal_of_the_look(body: dict[str, Any]) -> None:
    assert NEBULA.parse_refusal(reply(body), paid=False) is None


def test_a_long_answer_is_kept_bounded() -> None:
    refusal = NEBULA.parse_refusal(reply({"code": "x", "message": "y" * 100_000}, status=400), paid=True)
    assert refusal is not None
    assert len(refusal.body or "") <= 4000
    assert len(str(refusal)) < 1000


# --- what is sent ---


def build(gateway: str = "nebula", model: str = "wan2.5-i2v-preview", **fields: Any) -> WireRequest:
    asked = {"prompt": "A kitten", "image": "https://example.com/cat.jpg", **fields}
    offer = find_offer(model, GATEWAYS[gateway])
    request = offer.complete(VideoRequest(**asked))
    images = {name: getattr(request, name) for name in ("image", "last_image") if getattr(request, name)}
    if request.reference_images:
        images["reference_images"] = list(request.reference_images)
    protocol, frames = PROTOCOLS[offer.gateway.protocol], offer.model.frames
    return protocol.build_submit(offer.wire_name, offer.wire_fields(request), images, frames=frames)


def test_the_smallest_submit_says_every_default_and_leaves_out_what_is_optional() -> None:
    wire = build()
    assert (wire.method, wire.target, wire.paid) == ("POST", "/v1/video/generations", True)
    assert wire.json == {
        "model": "wan2.5-i2v-preview",
        "prompt": "A kitten",
        "image": "https://example.com/cat.jpg",
        "duration": 5,
        "resolution": "720p",
        "smart_rewrite": False,
        "generate_audio": False,
    }


def test_the_largest_submit_has_each_documented_parameter_and_no_other() -> None:
    wire = build(
        duration=10,
        resolution="1080P",
        smart_rewrite=True,
        audio_url="https://example.com/audio.mp3",
        seed=12345,
    )
    assert wire.json == {
        "model": "wan2.5-i2v-preview",
        "prompt": "A kitten",
        "image": "https://example.com/cat.jpg",
        "duration": 10,
        "resolution": "1080p",
        "smart_rewrite": True,
        "generate_audio": False,
        "audio_url": "https://example.com/audio.mp3",
        "seed": 12345,
    }


@each_row("gateway", ["dashscope", "dashscope-intl", "dashscope-passthrough"])
def test_dashscope_is_told_every_default_because_its_own_are_others(gateway: str) -> None:
    wire = build(gateway)
    assert (wire.method, wire.target, wire.paid) == (
        "POST",
        "/api/v1/services/aigc/video-generation/video-synthesis",
        True,
    )
    assert wire.headers == {"X-DashScope-Async": "enable"}
    assert wire.json == {
        "model": "wan2.5-i2v-preview",
        "input": {"prompt": "A kitten", "img_url": "https://example.com/cat.jpg"},
        "parameters": {
            "resolution": "720P",
            "duration": 5,
            "prompt_extend": False,
            "audio": False,
            "watermark": False,
        },
    }


def test_the_largest_dashscope_submit_has_each_documented_parameter_and_no_other() -> None:
    wire = build(
        "dashscope",
        duration=10,
        resolution="480p",
        smart_rewrite=True,
        audio_url="https://example.com/audio.mp3",
        negative_prompt="flowers",
        watermark=True,
        seed=0,
    )
    assert wire.json == {
        "model": "wan2.5-i2v-preview",
        "input": {
            "prompt": "A kitten",
            "negative_prompt": "flowers",
            "audio_url": "https://example.com/audio.mp3",
            "img_url": "https://example.com/cat.jpg",
        },
        "parameters": {
            "resolution": "480P",
            "duration": 10,
            "prompt_extend": True,
            "audio": False,
            "watermark": True,
            "seed": 0,
        },
    }


def test_a_template_goes_without_a_prompt_and_singapore_has_its_own_name_for_the_model() -> None:
    wire = build("dashscope-intl", "wanx2.1-i2v-turbo", prompt="", template="flying", duration=3)
    assert wire.json == {
        "model": "wan2.1-i2v-turbo",
        "input": {"template": "flying", "img_url": "https://example.com/cat.jpg"},
        "parameters": {"resolution": "720P", "duration": 3, "prompt_extend": False, "watermark": False},
    }


def test_a_silent_model_is_told_nothing_of_sound() -> None:
    assert "audio" not in (build("dashscope", "wan2.2-i2v-flash").json or {})["parameters"]


def test_first_and_last_frame_have_a_path_of_their_own() -> None:
    wire = build("dashscope", "wan2.2-kf2v-flash", last_image="https://example.com/end.jpg")
    assert wire.target == "/api/v1/services/aigc/image2video/video-synthesis"
    assert (wire.json or {})["input"] == {
        "prompt": "A kitten",
        "first_frame_url": "https://example.com/cat.jpg",
        "last_frame_url": "https://example.com/end.jpg",
    }


def test_an_image_in_temporary_storage_goes_with_the_header_that_has_it_looked_up() -> None:
    assert build("dashscope", image="oss://dashscope-instant/a/cat.jpg").headers == {
        "X-DashScope-Async": "enable",
        "X-DashScope-OssResourceResolve": "enable",
    }


def test_the_smallest_uniall_submit_is_the_page_s() -> None:
    wire = build("uniall", "viduq3p-720p", image=None, aspect_ratio="16:9", seed=42)
    assert (wire.method, wire.target, wire.paid) == ("POST", "/v1/video/generations", True)
    assert wire.json == {
        "model": "viduq3p-720p",
        "prompt": "A kitten",
        "aspect_ratio": "16:9",
        "duration": 5,
        "extra_body": {"audio": False, "bgm": False, "seed": 42},
    }


def test_uniall_takes_a_first_and_a_last_frame() -> None:
    wire = build("uniall", "viduq3p-1080p-offpeak", last_image="https://example.com/tail.png", duration=6)
    assert wire.json == {
        "model": "viduq3p-1080p-offpeak",
        "prompt": "A kitten",
        "image": "https://example.com/cat.jpg",
        "last_image": "https://example.com/tail.png",
        "duration": 6,
        "extra_body": {"audio": False, "bgm": False},
    }


def test_uniall_takes_references_with_a_mix_model() -> None:
    references = ("https://example.com/ref-1.png", "https://example.com/ref-2.png")
    wire = build(
        "uniall", "viduq3p-mix-720p", prompt="@Image1 as @Image2", image=None, reference_images=references,
        generate_audio=True,
    )  # fmt: skip
    assert wire.json == {
        "model": "viduq3p-mix-720p",
        "prompt": "@Image1 as @Image2",
        "reference_image_urls": list(references),
        "duration": 5,
        "extra_body": {"audio": True, "bgm": False},
    }


def test_seed_nought_is_a_seed() -> None:
    assert (build("dashscope", seed=0).json or {})["parameters"]["seed"] == 0


@each_row("gateway", sorted(GATEWAYS))
def test_a_submit_shows_neither_prompt_nor_image(gateway: str) -> None:
    image = f"data:image/jpeg;base64,{base64.b64encode(jpeg()).decode()}"
    shown = repr(build(gateway, GATEWAYS[gateway].default_model, image=image))
    assert "A kitten" not in shown
    assert image[-20:] not in shown
    assert repr(jpeg())[2:20] not in shown


# --- what is asked ---

PATHS = {
    "nebula": ("/v1/video/generations/", "/v1/videos/"),
    "dashscope": ("/api/v1/tasks/",),
    "dashscope-passthrough": ("/api/v1/tasks/",),
    "uniall": ("/v1/video/generations/", "/v1/videos/"),
    "newapi": ("/v1/video/generations/", "/v1/videos/"),
    **{f"videos-{kind}": ("/v1/videos/",) for kind in ("litellm", "newapi", "sglang", "vllm-omni")},
}


@each_row("protocol", sorted(PROTOCOLS))
@each_row(
    ("task_id", "target"),
    [
        ("ae8eb420-8aa6", "ae8eb420-8aa6"),
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("任务", "%E4%BB%BB%E5%8A%A1"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("x\r\nHost: y", "x%0D%0AHost%3A%20y"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("a..b", "a..b"),
        ("\ud800", "%3F"),
    ],
)
def test_a_task_id_is_one_segment_of_the_path_whatever_it_holds(protocol: str, task_id: str, target: str) -> None:
    ways = PROTOCOLS[protocol].build_fetch(task_id)
    assert ways == tuple(WireRequest("GET", path + target) for path in PATHS[protocol])
    assert not any(way.paid for way in ways)
    extensions = PROTOCOLS[protocol].extensions
    if extensions is not None:
        assert extensions.build_cancel(task_id) == WireRequest("POST", f"/api/v1/tasks/{target}/cancel")


# --- what DashScope can besides ---

EXTENSIONS = cast("Extensions", PROTOCOLS["dashscope"].extensions)


def test_only_dashscope_itself_lists_cancels_and_keeps_images() -> None:
    assert [name for name, protocol in PROTOCOLS.items() if protocol.extensions is not None] == ["dashscope"]


@each_row("scheme", ["oss", "OSS", "Oss"])
@each_row(
    ("model", "fields", "sent"),
    [
        ("wan2.5-i2v-preview", {"image": "{}://dashscope-instant/A/x.jpg"}, "img_url"),
        ("wan2.2-kf2v-flash", {"last_image": "{}://dashscope-instant/A/x.jpg"}, "last_frame_url"),
    ],
)
def test_an_address_in_the_storage_is_one_in_capitals_too(
    scheme: str, model: str, fields: dict[str, str], sent: str
) -> None:
    wire = build("dashscope", model, **{name: address.format(scheme) for name, address in fields.items()})
    assert wire.headers == {"X-DashScope-Async": "enable", "X-DashScope-OssResourceResolve": "enable"}
    assert wire.json is not None
    assert wire.json["input"][sent] == "oss://dashscope-instant/A/x.jpg"


def test_an_address_elsewhere_asks_nothing_of_the_storage() -> None:
    wire = build("dashscope", image="https://example.com/oss://x.jpg")
    assert wire.headers == {"X-DashScope-Async": "enable"}


def test_the_list_is_asked_for_in_beijing_wall_time() -> None:
    since, until = datetime(2025, 11, 4, 23, 59, 58, tzinfo=UTC), datetime(2025, 11, 5, 0, 1, tzinfo=UTC)
    assert EXTENSIONS.build_list("wan2.5-i2v-preview", since, until, 2) == WireRequest(
        "GET",
        "/api/v1/tasks/?start_time=20251105075958&end_time=20251105080100&model_name=wan2.5-i2v-preview"
        "&page_no=2&page_size=100",
    )


def test_a_list_gives_each_task_its_moment_and_says_how_many_there_are() -> None:
    rows: list[dict[str, Any]] = [
        {"task_id": f"t{n}", "status": "PENDING", "gmt_create": 1762254911000 + n} for n in range(2)
    ]
    rows[0]["model_name"] = "wan2.5-i2v-preview"
    body = {"request_id": "r", "total": 3, "page_no": 1, "page_size": 2, "data": rows}
    first = EXTENSIONS.parse_list(reply(body))
    assert first is not None
    assert [(row.task_id, row.created_at.timestamp()) for row in first[0]] == [
        ("t0", 1762254911.0),
        ("t1", pytest.approx(1762254911.001)),
    ]
    assert [row.model for row in first[0]] == ["wan2.5-i2v-preview", None]
    assert first[1] == 3
    assert EXTENSIONS.parse_list(reply({"data": [], "total": 0})) == ([], 0)


@each_row(
    "body",
    [
        {}, [], {"data": {}}, {"data": "x"}, {"data": None}, "<html>", {"data": {"task_id": "t"}}, {"data": []},
        {"data": [{"task_id": "t", "gmt_create": 1762254911000}], "total": 0}, {"data": [], "total": "many"},
    ],
)  # fmt: skip
def test_what_is_no_list_is_none(body: object) -> None:
    assert EXTENSIONS.parse_list(reply(body)) is None


@each_row("row", [None, 7, {}, {"task_id": "t"}, {"gmt_create": 1762254911000}, {"task_id": []}])
def test_a_list_with_a_row_that_says_too_little_is_none(row: object) -> None:
    assert EXTENSIONS.parse_list(reply({"data": [row], "total": 1})) is None


POLICY = {
    "policy": "eyJ",
    "signature": "sig=",
    "upload_dir": "dashscope-instant/u/2025-11-04/x",
    "upload_host": "https://storage.example.com",
    "oss_access_key_id": "LTAI",
    "x_oss_object_acl": "private",
    "x_oss_forbid_overwrite": "true",
}


def test_a_file_is_uploaded_with_the_form_that_was_signed() -> None:
    assert EXTENSIONS.build_upload_policy("wan2.5-i2v-preview") == WireRequest(
        "GET", "/api/v1/uploads?action=getPolicy&model=wan2.5-i2v-preview"
    )
    policy = EXTENSIONS.parse_upload_policy(reply({"data": POLICY}))
    assert policy is not None
    wire = EXTENSIONS.build_upload(policy, "cat.jpg", b"bytes", "image/jpeg")
    assert (wire.method, wire.target, wire.paid) == ("POST", "https://storage.example.com", False)
    assert wire.form == {
        "OSSAccessKeyId": "LTAI",
        "Signature": "sig=",
        "policy": "eyJ",
        "x-oss-object-acl": "private",
        "x-oss-forbid-overwrite": "true",
        "key": "dashscope-instant/u/2025-11-04/x/cat.jpg",
        "success_action_status": "200",
    }
    assert wire.file == ("cat.jpg", b"bytes", "image/jpeg")
    assert EXTENSIONS.uploaded_url(policy, "cat.jpg") == "oss://dashscope-instant/u/2025-11-04/x/cat.jpg"


@each_row(
    "change",
    [
        {"upload_host": None},
        {"upload_host": "storage.example.com"},
        {"upload_host": "http://storage.example.com"},
        {"upload_host": "http://127.0.0.1.example.com"},
        {"upload_host": "file:///etc"},
        {"upload_host": "https://user@storage.example.com"},
        {"upload_host": "https://user:pass@storage.example.com"},
        {"upload_host": "https://@storage.example.com"},
        {"upload_host": "https://storage.example.com\\@evil.example"},
        {"upload_host": "https://storage.example.com\\.evil.example"},
        {"upload_host": "https://storage.example.com/\\evil.example"},
    ],
)
def test_leave_without_a_safe_address_is_no_leave(change: dict[str, object]) -> None:
    """Over plain http anybody on the way could read the image."""
    assert EXTENSIONS.parse_upload_policy(reply({"data": {**POLICY, **change}})) is None


@each_row("host", ["http://127.0.0.1:8000/oss", "http://localhost/oss", "http://[::1]:8000"])
def test_a_storage_on_this_machine_may_speak_plain_http(host: str) -> None:
    policy = EXTENSIONS.parse_upload_policy(reply({"data": {**POLICY, "upload_host": host}}))
    assert policy is not None
    assert policy.host == host


@each_row("name", ["policy", "signature", "upload_dir", "upload_host", "oss_access_key_id"])
@each_row("value", [None, "", 7, True, ["x"], {}, "\ud800"])
def test_leave_that_lacks_what_the_storage_checks_is_no_leave(name: str, value: object) -> None:
    assert EXTENSIONS.parse_upload_policy(reply({"data": {**POLICY, name: value}})) is None
    assert (
        EXTENSIONS.parse_upload_policy(reply({"data": {key: told for key, told in POLICY.items() if key != name}}))
        is None
    )


@each_row("name", ["x_oss_object_acl", "x_oss_forbid_overwrite"])
def test_leave_holds_without_what_a_storage_need_not_ask_for(name: str) -> None:
    policy = EXTENSIONS.parse_upload_policy(reply({"data": {key: told for key, told in POLICY.items() if key != name}}))
    assert policy is not None
    assert len(policy.form) == 4


def test_what_was_signed_is_handed_on_whole_however_long_it_is() -> None:
    long = {name: f"{name}-".ljust(5000, "x") for name in ("policy", "signature", "upload_dir", "oss_access_key_id")}
    policy = EXTENSIONS.parse_upload_policy(reply({"data": {**POLICY, **long}}))
    assert policy is not None
    assert (policy.folder, policy.form["policy"], policy.form["Signature"], policy.form["OSSAccessKeyId"]) == (
        long["upload_dir"], long["policy"], long["signature"], long["oss_access_key_id"],
    )  # fmt: skip
