"""Which error a refused request is, who is at fault, and what the hint asks for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from langchain_nebula_video import (
    AuthenticationError,
    InvalidInputError,
    ModerationError,
    QuotaError,
    RateLimitError,
    RefusedError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols import PROTOCOLS, Reply, hint_for, is_about_a_file, is_unknown_task
from langchain_nebula_video.protocols.web_pages import PAGE_HINT
from tests.tables import each_row

RECEIVED = datetime(2026, 11, 27, tzinfo=UTC)
FETCH = "could not fetch or read a file: give a public https address, or the image's bytes"
NOT_YOURS = "The gateway's own account at the vendor was refused, not yours"
HIDDEN = "请求上游地址失败"
UNFIT = "Input data may contain inappropriate content."


def answer(
    status: int, body: object, *, paid: bool = True, gateway: str = "nebula", facts: bool = True
) -> RequestError | None:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return PROTOCOLS[GATEWAYS[gateway].protocol].parse_refusal(
        Reply(status, {}, content, RECEIVED),
        paid=paid,
        free_refusals=GATEWAYS[gateway].free_refusals if facts else frozenset(),
    )


def refused(status: int, body: object, *, paid: bool = True) -> RequestError:
    """The refusal of Nebula, which is the same with and without what is known of its row."""
    first, second = (answer(status, body, paid=paid, facts=facts) for facts in (True, False))
    assert first is not None
    assert (type(first), str(first)) == (type(second), str(second))
    assert first.spent is False
    return first


def e1(code: object, message: str | None) -> dict[str, Any]:
    return {"code": code, "message": message, "data": None}


def e2(message: str, code: str = "", kind: str = "nebula_api_error") -> dict[str, Any]:
    return {"error": {"message": f"{message} (request id: 20251204)", "type": kind, "code": code}}


def wrapped(code: str, message: str) -> dict[str, Any]:
    return e1("fail_to_fetch_task", json.dumps({"request_id": "r-1", "code": code, "message": message}))


# --- the key ---

KEYS: list[tuple[int, str, type[RefusedError], str]] = [
    # Nebula's gateway, 2025-12; in English new-api, 2026.
    (401, "无效的令牌", AuthenticationError, "Check the key"),
    (401, "未提供令牌", AuthenticationError, "Check the key"),
    (401, "Invalid token", AuthenticationError, "own quota is used up"),
    (401, "[sk-abc***xyz] 该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0", QuotaError,
     "quota of this key"),
    (401, "This token quota is exhausted TokenStatusExhausted[sk-abc***xyz]", QuotaError, "quota of this key"),
    (401, "该令牌已过期", AuthenticationError, "has expired"),
    (401, "This token has expired", AuthenticationError, "has expired"),
    (401, "该令牌状态不可用", AuthenticationError, "switched off"),
    (401, "This token status is unavailable", AuthenticationError, "switched off"),
    (403, "您的 IP 不在令牌允许访问的列表中", AuthenticationError, "IP addresses"),
    (403, "Your IP is not in the list of allowed addresses", AuthenticationError, "IP addresses"),
    (403, "无法解析客户端 IP 地址", AuthenticationError, "IP addresses"),
    (403, "用户已被封禁", AuthenticationError, "banned"),
    (403, "User has been banned", AuthenticationError, "banned"),
    (403, "分组 vip 已被禁用", AuthenticationError, "group"),
    (403, "分组 vip 已被弃用", AuthenticationError, "group"),
    (403, "无权访问 vip 分组", AuthenticationError, "group"),
    (403, "普通用户不支持指定渠道", AuthenticationError, "without anything after it"),
    (403, "该令牌无权访问模型 wan2.5-i2v-preview", AuthenticationError, "only use certain models"),
    (403, "This token has no access to model wan2.5-i2v-preview", AuthenticationError, "only use certain models"),
    (403, "This token has no access to any models", AuthenticationError, "only use certain models"),
]  # fmt: skip


@each_row(("status", "words", "error", "hint"), KEYS)
def test_a_refused_key_is_told_what_is_wrong_with_it_and_never_to_top_up(
    status: int, words: str, error: type[RefusedError], hint: str
) -> None:
    for kind in ("nebula_api_error", "new_api_error"):
        refusal = refused(status, e2(words, kind=kind))
        assert type(refusal) is error
        assert hint in refusal.hint
        assert "Top up" not in refusal.hint


@each_row("words", ["该令牌无权访问模型 ", "This token has no access to model ", "This token has no access to model"])
def test_a_look_with_a_key_that_has_a_list_of_models_needs_another_key_of_the_account(words: str) -> None:
    refusal = refused(403, e2(words), paid=False)
    assert type(refusal) is AuthenticationError
    assert refusal.hint == (
        "This key has a list of allowed models, so the gateway refuses every look with it. The task goes on. Read it "
        "with another key of the same account without such a list."
    )
    assert not is_unknown_task(refusal)


@each_row("body", ["", e2("no"), e2("no", "access_denied"), {"detail": "forbidden"}])
def test_no_refused_look_asks_to_top_up(body: object) -> None:
    refusal = refused(403, body, paid=False)
    assert "Top up" not in refusal.hint
    assert "Another key of the same account may" in refusal.hint


# --- whose account ---


@each_row("status", [401, 402, 403])
@each_row(
    "body",
    [
        e1("fail_to_fetch_task", HIDDEN),
        e1("fail_to_fetch_task", "no"),
        e1("task_submit_failed", "task submit failed: code=Arrearage, message=Access denied."),
        wrapped("AccountSuspended", "account not activated"),
        wrapped("InvalidApiKey", "Invalid API-key provided."),
        wrapped("AccessDenied.Unpurchased", "Access to model denied."),
        wrapped("AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
        {"error": e1("fail_to_fetch_task", json.dumps(e1("insufficient_user_quota", "balance too low")))},
        {"error": {"message": 'litellm.AuthenticationError: DashscopeException - {"code":"InvalidApiKey"}'}},
    ],
)
def test_what_the_vendor_refuses_the_gateway_is_not_the_callers_account(status: int, body: dict[str, Any]) -> None:
    refusal = refused(status, body)
    assert type(refusal) is RefusedError
    assert NOT_YOURS in refusal.hint


@each_row("status", [400, 403, 429])
@each_row(
    "body",
    [
        wrapped("upstream_load_saturated", "当前分组上游负载已饱和，请稍后再试"),
        e1("fail_to_fetch_task", "当前分组上游负载已饱和，请稍后再试"),
        e1("fail_to_fetch_task", "Current group upstream load is saturated, please try again later"),
        wrapped("Throttling.RateQuota", "Requests rate limit exceeded"),
    ],
)
def test_a_busy_vendor_is_a_rate_limit_whatever_the_status(status: int, body: dict[str, Any]) -> None:
    assert type(refused(status, body)) is RateLimitError


def test_a_vendors_path_that_does_not_exist_is_not_the_callers_base_url() -> None:
    assert "base_url" not in refused(404, e1("fail_to_fetch_task", "no such model")).hint
    assert "base_url" in refused(404, {"error": {"message": "Invalid URL (POST /v1/video)"}}).hint


# --- the codes that new-api gives a submit ---


@each_row(
    ("code", "error"),
    [
        ("invalid_request", InvalidInputError),
        ("invalid_multipart_form", InvalidInputError),
        ("invalid_seconds", InvalidInputError),
        ("plugin_request_invalid", InvalidInputError),
        ("plugin_usage_invalid", InvalidInputError),
        ("get_channel_failed", RefusedError),
    ],
)
def test_a_code_of_a_bad_request_is_refused(code: str, error: type[RefusedError]) -> None:
    refusal = refused(400, e1(code, "seconds must be a number"))
    assert type(refusal) is error
    assert "Correct what the message names" in refusal.hint


@each_row("status", [200, 400, 429, 502])
def test_a_vendors_answer_that_the_gateway_could_not_read_may_be_a_task(status: int) -> None:
    refusal = answer(status, e1("plugin_submit_response_failed", "no task id in the answer"), facts=False)
    assert type(refusal) is SubmissionUnconfirmedError


def test_a_gateway_that_stopped_waiting_may_have_a_task() -> None:
    assert type(answer(504, e1("task_timeout", "no answer"), facts=False)) is SubmissionUnconfirmedError


# --- HTTP 200 ---


@each_row(
    "body",
    [
        e1("some_new_code", "no"),
        e1("SomeNewCode", "no"),
        e1("Some.New-Code", "no"),
        e1(1001, "the balance is too low"),
        e1(40301, "no"),
        e1("500", "no"),
        {"error": None, "code": "some_new_code", "msg": "no", "data": None},
    ],
)
def test_a_code_with_no_data_at_200_is_a_refusal(body: dict[str, Any]) -> None:
    refusal = refused(200, body)
    assert type(refusal) is RefusedError
    assert answer(200, body, paid=False) is None, "the caller of a look knows better what it means"


@each_row("code", ["success", "Success", "ok", "task_submitted", "accepted", "video.queued", 0, 1, 200, 201, 1000,
                   10000, 20000, "", None])  # fmt: skip
def test_a_code_of_success_at_200_is_none(code: object) -> None:
    assert answer(200, e1(code, "no")) is None
    assert answer(200, e1("some_code", "Success.")) is None


@each_row(
    "body",
    [
        {"code": "some_new_code", "message": "no"},
        {"code": "some_new_code", "message": "no", "data": {}},
        {"code": "some_new_code", "message": "no", "data": []},
        {"code": "some_new_code", "data": None},
        {"code": "some_new_code", "message": "no", "data": None, "status": "queued"},
    ],
)
def test_any_other_answer_without_a_task_at_200_stays_open(body: dict[str, Any]) -> None:
    assert answer(200, body) is None
    assert PROTOCOLS["nebula"].parse_submit(Reply(200, {}, json.dumps(body).encode(), RECEIVED)) is None


def test_a_vendors_code_in_the_words_counts_at_200_too() -> None:
    refusal = refused(200, e1("ali_api_error", f"DataInspectionFailed: {UNFIT}"))
    assert type(refusal) is ModerationError
    assert refusal.code == "DataInspectionFailed"


# --- the content check ---


@each_row(
    ("code", "words"),
    [
        (
            "InvalidParameter.DataInspection",
            "Unable to download the media resource during the data inspection process.",
        ),
        ("InvalidParameter.DataInspection", "unable to download"),
        ("***.DataInspection", "Unable to download the media resource"),
        ("DataInspectionFailed", "Unable to download the media resource"),
        ("image_download_failed", "no"),
        ("image_download_failed", ""),
        ("audio_download_failed", ""),
        ("InvalidParameter.DownloadFailed", ""),
        ("InvalidURL", "The image could not be downloaded."),
        ("InvalidURL.Timeout", "Download https://example.com/cat.jpg timeout, please check network connection."),
        ("InvalidParameter", "Failed to download the image: timeout"),
        ("InvalidParameter", "The parameter image_url is not valid: timeout while fetching the resource"),
        ("InvalidParameter", "url error, please check url!"),
    ],
)
def test_a_file_that_could_not_be_fetched_is_asked_for_at_a_public_address(code: str, words: str) -> None:
    """Another picture, which is what a content check asks for, would not help."""
    for body in (e1(code, words), wrapped(code, words)):
        refusal = refused(400, body)
        assert type(refusal) is InvalidInputError
        assert FETCH in refusal.hint
        assert is_about_a_file(refusal)
    assert FETCH in hint_for(code, words)


@each_row(
    ("code", "words"),
    [
        ("InvalidParameter.DataInspection", UNFIT),
        ("***.DataInspection", "Input may contain inappropriate content"),
        ("InvalidParameter.DataInspection", "输入内容违规"),
        ("DataInspectionFailed", ""),
        ("DataInspectionFailed", UNFIT),
        ("IPInfringementSuspect", "no"),
        ("content_policy_violation", "no"),
        ("moderation_blocked", "no"),
        ("", UNFIT),
    ],
)
def test_content_against_the_rules_is_to_be_changed(code: str, words: str) -> None:
    refusal = refused(400, e1(code, words))
    assert type(refusal) is ModerationError
    assert hint_for(code or None, words) == refusal.hint == ModerationError.default_hint


@each_row("words", [None, "", "no", "The data inspection did not pass."])
def test_a_content_check_that_does_not_say_why_has_two_causes(words: str | None) -> None:
    """Alibaba's list: a file that cannot be read. The Nebula page: content."""
    refusal = refused(400, e1("InvalidParameter.DataInspection", words))
    assert type(refusal) is InvalidInputError
    for hint in (refusal.hint, hint_for("InvalidParameter.DataInspection", words)):
        assert "public https address" in hint
        assert "change the image or the prompt" in hint
    assert is_about_a_file(refusal)


# --- words ---


@each_row(
    ("body", "words"),
    [
        ({"code": 1001, "msg": "the balance is too low"}, " 1001: the balance is too low"),
        ({"detail": "the image address could not be fetched"}, ": the image address could not be fetched"),
        ({"detail": [{"loc": ["body", "image"], "msg": "field required"}]}, ": image: field required"),
        ({"error": "no such parameter"}, ": no such parameter"),
        ({"errors": [{"message": "no such field"}, {"message": "nor this"}]}, ": no such field"),
        ({"errors": ["no such field"]}, ": no such field"),
        ({"error_message": "too small"}, ": too small"),
        ({"err_code": "CreditInsufficient", "message": "no credits"}, " CreditInsufficient: no credits"),
        ({"error": "invalid_grant", "error_description": "no such grant"}, ": invalid_grant"),
        ({"title": "Unprocessable", "type": "about:blank"}, ": Unprocessable"),
        ("model is not served here", ": model is not served here"),
        ('"model is not served here"', ": model is not served here"),
    ],
)
def test_the_words_of_a_refusal_are_shown_wherever_they_stand(body: object, words: str) -> None:
    refusal = refused(422, body)
    assert type(refusal) is RefusedError
    assert refusal.what == f"The gateway answered HTTP 422{words}."


@each_row("body", ["", "<?xml version='1.0'?>", "[1, 2]", "{broken", "17", "x" * 301, "\0\1"])
def test_noise_is_not_shown_as_words(body: str) -> None:
    refusal = refused(422, body)
    assert refusal.what == "The gateway answered HTTP 422."
    assert "may be the image, the prompt or a parameter" in refusal.hint


def page(status: int, body: str, *, paid: bool, **headers: str) -> RequestError:
    reply = Reply(status, headers, body.encode(), RECEIVED)
    found = PROTOCOLS["nebula"].parse_refusal(reply, paid=paid)
    assert found is not None
    return found


@each_row("status", [401, 402, 403])
def test_a_page_of_a_firewall_says_nothing_of_key_or_account(status: int) -> None:
    body = "<!DOCTYPE html><html><head><title>Attention\nRequired! &amp; more</title></head>"
    refusal = page(status, body, paid=True)
    assert type(refusal) is RefusedError
    assert refusal.what == f'The gateway answered HTTP {status} with a web page ("Attention Required! & more").'
    assert refusal.spent is False
    assert "A firewall, a CDN or the login page of a network" in refusal.hint


@each_row("paid", [True, False])
def test_a_page_instead_of_an_answer_is_no_success(paid: bool) -> None:
    """A console at a wrong base_url, or a network that asks for a login; a gateway may still be behind it."""
    found = page(200, "<div id=app></div>", paid=paid, **{"content-type": "text/html; charset=utf-8"})
    assert type(found) is (SubmissionUnconfirmedError if paid else RequestError)
    assert found.what == "The gateway answered HTTP 200 with a web page."
    assert found.hint.endswith(PAGE_HINT)
    assert ("Do not simply repeat it" in found.hint) is paid


@each_row(
    ("location", "target"),
    [
        ("https://user:secret@login.example.com:8443/cb?token=secret", "https://login.example.com"),
        ("//cdn.example.com/secret", "cdn.example.com"),
        ("/secret/login", "another path there"),
        ("https://[secret", "an address that is none"),
    ],
)
def test_a_redirect_names_the_host_it_leads_to_and_no_secret(location: str, target: str) -> None:
    refusal = page(302, "<html>moved</html>", paid=True, location=location)
    assert refusal.what == f"The gateway answered HTTP 302, a redirect to {target}."
    assert "set base_url to where the gateway really is" in refusal.hint


@each_row("status", [400, 404, 422])
def test_words_that_the_gateway_hid_ask_for_the_address_first(status: int) -> None:
    refusal = refused(status, e1("fail_to_fetch_task", HIDDEN))
    assert type(refusal) is RefusedError
    assert "The gateway does not say why" in refusal.hint
    assert "the image or the audio file, which has to be at a public https address" in refusal.hint
    assert "it may be the prompt or a parameter" in refusal.hint
    assert is_about_a_file(refusal)


def test_hidden_words_of_a_fault_do_not_blame_the_image() -> None:
    refusal = answer(500, e1("do_request_failed", HIDDEN))
    assert isinstance(refusal, RefusedError)
    assert not is_about_a_file(refusal)
    assert type(answer(500, e1("do_request_failed", HIDDEN), facts=False)) is SubmissionUnconfirmedError


@each_row(
    ("code", "hint"),
    [
        ("InvalidParameter.ImageFormat", "Give a JPEG or PNG image"),
        ("InvalidImage.FileFormat", "Give a JPEG or PNG image"),
        ("InvalidFile.Format", "WAV or MP3"),
        ("InvalidParameter.ImageSize", "Scale the image"),
        ("InvalidImage.Resolution", "Scale the image"),
        ("InvalidFile.AudioLengthError", "Correct what the message names"),
    ],
)
def test_a_file_of_the_wrong_form_is_told_the_right_one(code: str, hint: str) -> None:
    refusal = refused(400, e1(code, "The file is invalid"))
    assert type(refusal) is InvalidInputError
    assert hint in refusal.hint
    assert hint_for(code, "The file is invalid") == refusal.hint


# --- LiteLLM ---


def litellm(message: str, status: int, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": str(status)}}


def test_a_proxy_without_a_database_refuses_the_key_with_400() -> None:
    refusal = refused(400, litellm("No connected db.", 400, "no_db_connection"))
    assert type(refusal) is AuthenticationError
    assert "master key" in refusal.hint


@each_row("paid", [True, False])
def test_a_proxy_that_rests_is_waited_for(paid: bool) -> None:
    body = json.dumps(litellm("No deployments available for selected model, Try again in 5 seconds.", 429))
    reply = Reply(429, {"retry-after": "5"}, body.encode(), RECEIVED)
    refusal = PROTOCOLS["nebula"].parse_refusal(reply, paid=paid)
    assert type(refusal) is RateLimitError
    assert refusal.retry_after == 5
    assert "proxy's configuration" in refusal.hint


def test_a_task_that_the_vendor_does_not_know_is_unknown_at_400() -> None:
    look = refused(400, litellm("litellm.BadRequestError: DashscopeException - Task not found", 400), paid=False)
    assert is_unknown_task(look)
    assert look.code == "task_not_found"
    assert "Check the task id" in look.hint
    other = refused(400, litellm("litellm.BadRequestError: DashscopeException - no such resolution", 400), paid=False)
    assert not is_unknown_task(other)


@each_row("status", [408, 500, 502, 503, 504])
def test_a_proxy_that_may_have_sent_the_submit_leaves_it_unconfirmed(status: int) -> None:
    body = litellm("Connection reset by peer", status, "invalid_request_error")
    assert type(answer(status, body, facts=False)) is SubmissionUnconfirmedError


# --- failed tasks ---


@each_row(
    ("code", "words", "hint"),
    [
        (None, None, "as a new video"),
        (None, "任务执行失败", "as a new video"),
        ("InternalError", "inference failed", "as a new video"),
        ("SomethingNew", None, "as a new video"),
        (None, "Failed to get channel info, channel ID: 12", "The gateway has switched off its way to the vendor"),
        (None, HIDDEN, "public https address"),
        (None, "The image could not be downloaded", "public https address"),
        ("Arrearage", "Access denied.", "or the gateway's own at its vendor"),
        ("InvalidApiKey", "no", "or the gateway's own at its vendor"),
        ("Throttling.RateQuota", "busy", "submit it again later"),
    ],
)
def test_a_failed_task_comes_with_what_to_do(code: str | None, words: str | None, hint: str) -> None:
    assert hint in hint_for(code, words)
