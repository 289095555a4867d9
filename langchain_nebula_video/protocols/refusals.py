"""Map an error response to an exception: by the gateway's code if documented, otherwise by the HTTP status."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from langchain_nebula_video.errors import (
    AuthenticationError,
    InvalidInputError,
    ModerationError,
    QuotaError,
    RateLimitError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.protocols.parsing import (
    find_error,
    find_task_id,
    get_text,
    parse_json_object,
    parse_json_objects,
    parse_submitted,
)
from langchain_nebula_video.protocols.shapes import layers, values
from langchain_nebula_video.protocols.statuses import TASK_STATUS_UNKNOWN
from langchain_nebula_video.protocols.values import as_text, first
from langchain_nebula_video.protocols.wire import Reply

__all__ = [
    "TASK_STATUS_UNKNOWN",
    "classify",
    "find_message",
    "find_request_id",
    "hint_for",
    "is_unknown_task",
    "parse_refusal",
    "parse_retry_after",
]

_KEY_HINT = "Check the key, and that it belongs to this gateway; a key whose own quota is used up is answered alike."
_QUOTA_HINT = "Top up the account or ask for the right at the gateway, then repeat."
_FORMAT_HINT = "Give a JPEG or PNG image: every gateway reads these."
_SIZE_HINT = "Scale the image: under 5 MB, with sides of 360 to 2000 pixels, it passes everywhere."
_DOWNLOAD_HINT = "The gateway could not fetch or read a file: give a public https address, or the image's bytes."
_VENDOR_ACCOUNT_HINT = "The gateway's own account at the vendor was refused, not yours: tell its support."


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    """Matched against the end of the code, because gateways mask its start (`***.DataInspection`)."""
    error: type[RefusedError]
    hint: str | None = None


# Sources: the gateway's page, "Common Error Codes", and codes of new-api and DashScope that it passes through.
# Each code proves that the task was refused, whatever the HTTP status.
_RULES = [
    _Rule(r"DataInspection(Failed)?|IPInfringementSuspect|content_policy_violation", ModerationError),
    _Rule(r"(Invalid)?ImageFormat", InvalidInputError, _FORMAT_HINT),
    _Rule(r"(Invalid)?ImageSize|InvalidImageResolution|read_request_body_failed", InvalidInputError, _SIZE_HINT),
    _Rule(r"Invalid(Image|File|URL)\w*(\.\w+)*|\*\*\*\.ConnectionRefused|(\w+_)?Download_?Failed|"
          r"InvalidParameter\.(Image|Audio)\w*", InvalidInputError, _DOWNLOAD_HINT),
    _Rule(r"Invalid_?Parameter(\.\w+)?|invalid_request(_error)?|BadRequest(\.\w+)*|missing_model|bad_request_body",
          InvalidInputError, "Correct what the message names."),
    _Rule(r"InvalidApiKey|invalid_api_key|access_token_invalid", AuthenticationError, _KEY_HINT),
    _Rule(r"InsufficientQuota|quota_not_enough|insufficient_user_quota|insufficient_quota|"
          r"pre_consume_token_quota_failed|Arrearage|(Postpaid|Prepaid)BillOverdue|CommodityNotPurchased|"
          r"(Model\.)?AccessDenied(\.\w+)*|FreeTierOnly", QuotaError, _QUOTA_HINT),
    _Rule(r"Throttling(\.\w+)*|RateQuota|BurstRate|AllocationQuota|rate_limit_exceeded", RateLimitError),
    _Rule(r"UnsupportedOperation", RefusedError, "Only a task that still waits in the queue can be canceled."),
    _Rule(r"task_not_exist|task_not_found", RefusedError, "Check the task id and the account."),
    _Rule(r"ModelNotFound|model_not_found|model_price_error", RefusedError, "Choose a model that this gateway serves."),
]  # fmt: skip
_COMPILED_RULES = [(re.compile(rf"(?:^|[.*\s])(?:{rule.pattern})$", re.IGNORECASE), rule) for rule in _RULES]

_RULES_BY_HTTP_STATUS: dict[int, tuple[type[RefusedError], str | None]] = {
    401: (AuthenticationError, _KEY_HINT),
    402: (QuotaError, _QUOTA_HINT),
    403: (QuotaError, _QUOTA_HINT),
    404: (RefusedError, "Check base_url: nothing answers at this path."),
    405: (RefusedError, "Check base_url: this is not the gateway's address."),
    413: (InvalidInputError, _SIZE_HINT),
    429: (RateLimitError, None),
}
_LASTING_CODES = frozenset({"get_model_price_failed", "build_request_failed", "task_submit_failed", "invalid_request"})
"""Codes of a gateway's own faults that a repetition does not help against."""
_PASSING_HINT = "The gateway has a passing fault, and no task: repeat it later, that is safe."
_LASTING_HINT = "The gateway cannot serve this request, and has no task: change it, or tell the gateway's support."
_REDIRECT_HINT = "The address redirects, and the key is never sent along: set base_url to where the gateway really is."
_FREE_QUOTA = re.compile(r"free[\s_-]*(allocated[\s_-]*)?(quota|tier|allocation)|免费额度", re.IGNORECASE)
_DOWNLOAD_FAILED = re.compile(r"unable to download the media resource", re.IGNORECASE)
"""Alibaba's page on error codes, 2026-11: the content check's message for a file that it could not fetch."""
_UNKNOWN_TASK = re.compile(
    r"(^|[.*])(task_not_exist|task_not_found|TaskNotFound|NotFound|task_id_not_exist)$", re.IGNORECASE
)
# Fields that a task response has and an error envelope does not have.
_TASK_FIELD_PATHS = (
    "task_id",
    "status",
    "data.task_id",
    "data.status",
    "output.task_id",
    "output.task_status",
    "metadata.output.task_id",
    "metadata.output.task_status",
)
_MAX_BODY = 4000
_UNREAD_TASK_ID = re.compile(rb'\\*"task_?id\\*"\s*:\s*(\\*"[^"\\\s]|[1-9])', re.IGNORECASE)
"""A task id anywhere in a body, also in one that is cut off, or that is quoted in a text."""
_TIMEOUT_STATUSES = frozenset({408, 499})
"""A proxy or the gateway stopped waiting. The outcome of the request is unknown."""


def classify(code: str | None, message: str | None) -> tuple[type[RefusedError], str | None] | None:
    """Return the error class and the hint for a documented code, otherwise `None`."""
    for pattern, rule in _COMPILED_RULES:
        if pattern.search((code or "").strip()):
            if rule.error is RateLimitError and _FREE_QUOTA.search(f"{code} {message}"):
                return QuotaError, _QUOTA_HINT  # waiting does not restore a free quota
            if rule.error is ModerationError and _DOWNLOAD_FAILED.search(message or ""):
                return InvalidInputError, _DOWNLOAD_HINT  # the file was not fetched, so its content was not checked
            return rule.error, rule.hint
    return None


def hint_for(code: str | None, message: str | None) -> str:
    """Return the hint for a task that failed with this code."""
    rule = classify(code, message)
    if rule is None:
        return "Change the image or the prompt, or submit it again as a new video."
    error, hint = rule
    return hint or error.default_hint


def is_unknown_task(error: RequestError) -> bool:
    """Whether the error of a fetch means that the task does not exist."""
    return (
        error.status_code == 404
        or error.code == TASK_STATUS_UNKNOWN
        or bool(error.code and _UNKNOWN_TASK.search(error.code))
    )


def parse_refusal(reply: Reply, *, paid: bool, free_refusals: frozenset[str] = frozenset()) -> RequestError | None:
    """Return the error for a response, or `None` if it is a success.

    A paid request whose response names a task was accepted, whatever its status and code say: 429, 409, a 5xx, a
    throttling code with 200. No vendor's page says otherwise: the errors on all pages read until 2026-11 name no task.
    Apart from that, outside 2xx every response is an error. Inside 2xx only an error envelope with a documented code is
    one. A paid request that got 5xx, 408 or 499 may have been accepted: it is unconfirmed, unless a documented code
    proves that it was refused. So it is if its response has a task id at a place that nobody knows.

    A response may hold several objects. If the last one is an error of `free_refusals`, the gateway has no task of the
    submit, even if an object before it names one.
    """
    objects = parse_json_objects(reply.body) if paid else []
    if objects and (own := _find_free_code(objects[-1], free_refusals)) is not None:
        body = next(value for value in objects if find_task_id(value) is None)
        return _free_refusal(reply, body, own)
    body = parse_json_object(reply.body) or {}
    if paid and parse_submitted(reply.body) is not None:
        return None
    refusal = _parse_refusal(reply, body, paid=paid)
    if refusal is None or not paid or not _UNREAD_TASK_ID.search(reply.body):
        return refusal
    code, message = find_error(body)
    return SubmissionUnconfirmedError(_describe_reply(reply, code, message), **_error_details(reply, body, code))


def _parse_refusal(reply: Reply, body: dict[str, Any], *, paid: bool) -> RequestError | None:
    code, message = find_error(body)
    known = classify(code, message)
    success = 200 <= reply.status < 300
    if success and (known is None or get_text(body, *_TASK_FIELD_PATHS) is not None):
        return None  # a task response; failed tasks have a code too
    details = _error_details(reply, body, code)
    summary = _describe_reply(reply, code, message)
    if known is not None:
        error, hint = known
        if error in {AuthenticationError, QuotaError} and _is_wrapped_vendor_error(body):
            error, hint = RefusedError, _VENDOR_ACCOUNT_HINT
        return error(summary, hint=hint, **details)
    if reply.status >= 500 or reply.status in _TIMEOUT_STATUSES:
        if paid:
            return SubmissionUnconfirmedError(summary, **details)
        return RequestError(summary, hint="The gateway has a fault: try again later.", **details)
    if 300 <= reply.status < 400:
        return RefusedError(summary, hint=_REDIRECT_HINT, **details)
    error, hint = _RULES_BY_HTTP_STATUS.get(reply.status, (RefusedError, "Correct what the message names."))
    if error is RateLimitError and _FREE_QUOTA.search(message or ""):
        error, hint = QuotaError, _QUOTA_HINT
    return error(summary, hint=hint, **details)


def _find_free_code(body: dict[str, Any], free_refusals: frozenset[str]) -> str | None:
    """Return the code or type by which a gateway's error proves that it has no task."""
    if find_task_id(body) is not None:
        return None
    found = (get_text(body, path) for path in ("code", "error.code", "error.type"))
    return next((code for code in found if code in free_refusals), None)


def _free_refusal(reply: Reply, body: dict[str, Any], own: str) -> RequestError:
    """The error for a response that proves that the gateway has no task and bills nothing."""
    refusal = _parse_refusal(reply, body, paid=False)
    if isinstance(refusal, RefusedError):
        return refusal
    code, message = find_error(body)
    repeatable = own not in _LASTING_CODES
    return RefusedError(
        _describe_reply(reply, code, message),
        hint=_PASSING_HINT if repeatable else _LASTING_HINT,
        repeatable=repeatable,
        **_error_details(reply, body, code),
    )


def _is_wrapped_vendor_error(body: dict[str, Any]) -> bool:
    """Whether the code is the vendor's, wrapped into the gateway's own envelope."""
    return get_text(body, "code") == "fail_to_fetch_task"


def _describe_reply(reply: Reply, code: str | None, message: str | None) -> str:
    code_part = f" {code}" if code else ""
    message_part = f": {message.strip().rstrip('.')[:500]}" if message else ""
    return f"The gateway answered HTTP {reply.status}{code_part}{message_part}."


def _error_details(reply: Reply, body: dict[str, Any], code: str | None) -> dict[str, Any]:
    return {
        "status_code": reply.status,
        "code": code,
        "request_id": find_request_id(reply, body),
        "body": reply.body[:_MAX_BODY].decode("utf-8", "replace"),
        "retry_after": parse_retry_after(reply),
    }


def find_message(body: bytes) -> str | None:
    """Return the words of an error response; `None`: it has none, or is no JSON."""
    return find_error(parse_json_object(body) or {})[1]


def find_request_id(reply: Reply, body: dict[str, Any] | None = None) -> str | None:
    """Return the gateway's id for the request. Its support asks for it. `body`: the parsed body, if there is one."""
    body = parse_json_object(reply.body) or {} if body is None else body
    for name in ("x-oneapi-request-id", "x-request-id", "x-dashscope-request-id"):
        if reply.headers.get(name):
            return reply.headers[name]
    return first(as_text, values(layers(body), "request_id"))


def parse_retry_after(reply: Reply) -> float | None:
    """Return the seconds in `Retry-After`, a number or a date (RFC 9110, section 10.2.3)."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 7:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - reply.received_at).total_seconds())
