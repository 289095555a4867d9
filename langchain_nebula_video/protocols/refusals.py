"""Map an error response to an exception: by the gateway's code if documented, otherwise by the HTTP status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from langchain_nebula_video.errors import (
    AuthenticationError,
    NebulaVideoError,
    QuotaError,
    RateLimitError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.protocols.failures import GENERIC_CODES
from langchain_nebula_video.protocols.parsing import (
    find_error,
    find_submitted,
    find_task_id,
    get_text,
    get_value,
    is_whole,
)
from langchain_nebula_video.protocols.refusal_rules import (
    ACCEPTED_PERHAPS,
    FILE_HINTS,
    INPUT_HINT,
    OWN_FAULTS,
    PASSING_HINT,
    REFUSALS_BY_STATUS,
    VENDOR_ACCOUNT_HINT,
    WITHOUT_WORDS_HINT,
    Rule,
    Said,
    find_rule,
    is_unknown_task_code,
    is_unknown_task_text,
)
from langchain_nebula_video.protocols.shapes import values
from langchain_nebula_video.protocols.statuses import TASK_STATUS_UNKNOWN, is_about_task
from langchain_nebula_video.protocols.values import as_text, first, parse_json_object
from langchain_nebula_video.protocols.web_pages import (
    PAGE_HINT,
    REDIRECT_HINT,
    REFUSED_BY_PAGE,
    describe_answer,
    is_web_page,
)
from langchain_nebula_video.protocols.wire import Reply

__all__ = [
    "TASK_STATUS_UNKNOWN",
    "find_message",
    "find_request_id",
    "hint_for",
    "is_about_a_file",
    "is_unknown_task",
    "parse_refusal",
    "parse_retry_after",
]

_FAULT_HINT = "The gateway has a fault: try again later."
_OTHER = Rule(error=RefusedError, hint=INPUT_HINT)
_PAGE = Rule(error=RefusedError, hint=PAGE_HINT)
_MAX_BODY = 4000
_MAX_PLAIN_TEXT = 300
_TIMEOUT_STATUSES = frozenset({408, 499})
"""A proxy or the gateway stopped waiting. The outcome of the request is unknown."""
_NO_SUCH_PATH = frozenset({404, 405})
_UNREAD_TASK_ID = re.compile(rb'\\*"task_?id\\*"\s*:\s*(\\*"[^"\\\s]|[1-9])', re.IGNORECASE)
"""A task id anywhere in a body, also in one that is cut off, or that is quoted in a text."""
_WRAPPED_WORDS = re.compile(r"\b\w+Exception - ")
"""LiteLLM puts the name of an exception before what its vendor said."""
_ERROR_CODE = re.compile(r"(?=.*[A-Za-z])[\w.*-]{3,80}|[4-9]\d\d|(?![12]0+$)\d{4,6}")
"""A word, or a number that no interface has for success: many have 0, 1, 200, 1000, 20000."""
_SUCCESS = re.compile(
    r"(.*[._ -])?(success(ful(ly)?)?|succeed(ed)?|ok|accepted|created|submitted|queued|pending|running|processing|"
    r"in_progress|completed|done|成功)",
    re.IGNORECASE,
)
_MORE_WORDS_PATHS = ("errors", "error_msg", "error_description", "reason", "title")
"""Further names of an error's words: JSON:API `errors`, OAuth `error_description`, RFC 9457 `title`."""

_FAILED_TASK_HINT = "Change the image or the prompt, or submit it again as a new video."
_LATER_HINT = "The vendor had too much to do: submit it again later, as a new video."
_ACCOUNT_HINT = (
    "An account was refused: yours, or the gateway's own at its vendor. If yours is in order, tell its support."
)
_LOST_CHANNEL = re.compile(r"failed to get channel", re.IGNORECASE)
"""The gateway's published code, 2025-12 (controller/task.go): a channel that was switched off ends its tasks."""
_LOST_CHANNEL_HINT = (
    "The gateway has switched off its way to the vendor: that is its fault, not the request's. Submit it again as a "
    "new video."
)


def hint_for(code: str | None, message: str | None) -> str:
    """Return the hint for a task that failed with this code."""
    if _LOST_CHANNEL.search(message or ""):
        return _LOST_CHANNEL_HINT
    rule = find_rule(Said(status=400, code=code or "", words=message or ""))
    if rule is None or (rule.error is RefusedError and rule.proves_refusal):
        return _FAILED_TASK_HINT
    if rule.error is RateLimitError:
        return _LATER_HINT
    if rule.error in {AuthenticationError, QuotaError}:
        return _ACCOUNT_HINT
    return rule.hint or rule.error.default_hint


def is_unknown_task(error: RequestError) -> bool:
    """Whether the error of a fetch means that the task does not exist."""
    return (
        error.status_code == 404
        or error.code == TASK_STATUS_UNKNOWN
        or bool(error.code and is_unknown_task_code(error.code))
        or (isinstance(error, RefusedError) and is_unknown_task_text(error.what))
    )


def is_about_a_file(error: NebulaVideoError) -> bool:
    """Whether an error may be about the image or the sound file: its format, its size, or how it is given."""
    return error.hint in FILE_HINTS


def parse_refusal(reply: Reply, *, paid: bool, free_refusals: frozenset[str] = frozenset()) -> RequestError | None:
    """Return the error for a response, or `None` if it is a success.

    A paid request whose response names a task was accepted, whatever its status and code say: 429, 409, a 5xx, a
    throttling code with 200. No vendor's page says otherwise: the errors on all pages read until 2026-11 name no
    task. Apart from that, outside 2xx every response is an error. Inside 2xx only a web page is one, an error
    envelope with a documented code, and for a paid request also one with any code and no data. A paid request that
    got 5xx, 408 or 499 may have been accepted: it is unconfirmed, unless a documented code proves that it was
    refused. So it is if its response has a task id at a place that nobody knows.

    A response may hold several objects. If the last one is an error of `free_refusals`, the gateway has no task of the
    submit, even if an object before it names one.
    """
    objects = reply.json_objects if paid else []
    own = _find_free_code(objects[-1], free_refusals) if objects else None
    if own is not None and is_whole(reply.body):
        body = next(value for value in objects if find_task_id(value) is None)
        return _free_refusal(reply, body, own)
    body = reply.json or {}
    if paid and find_submitted(objects) is not None:
        return None
    refusal = _parse_refusal(reply, body, paid=paid)
    if refusal is None or not paid:
        return refusal
    if _UNREAD_TASK_ID.search(reply.body) or _find_own_code(body) in ACCEPTED_PERHAPS:
        code, message = _find_error(reply, body)
        return SubmissionUnconfirmedError(_describe_reply(reply, code, message), **_error_details(reply, body, code))
    return refusal


def _parse_refusal(reply: Reply, body: dict[str, Any], *, paid: bool) -> RequestError | None:
    accepted = 200 <= reply.status < 300
    if accepted and is_web_page(reply):
        return _refuse_page(reply, paid=paid)
    if accepted and is_about_task(reply.answer_of(body)):
        return None  # a task response; failed tasks have a code too
    rule = _find_rule(reply, body)
    proven = rule is not None and rule.proves_refusal
    if accepted:
        return (
            _refuse(reply, body, rule, paid=paid) if proven or (paid and _is_error_without_data(reply, body)) else None
        )
    if proven or (400 <= reply.status < 500 and reply.status not in _TIMEOUT_STATUSES):
        return _refuse(reply, body, rule, paid=paid)
    code, message = _find_error(reply, body)
    summary, details = _describe_reply(reply, code, message), _error_details(reply, body, code)
    if 300 <= reply.status < 400:
        return RefusedError(summary, hint=REDIRECT_HINT, **details)
    if paid:
        return SubmissionUnconfirmedError(summary, **details)
    return RequestError(summary, hint=_FAULT_HINT, **details)


def _refuse_page(reply: Reply, *, paid: bool) -> RequestError:
    """The error for a web page that says nothing of a refusal. A paid request may have reached a gateway behind it."""
    kind = SubmissionUnconfirmedError if paid else RequestError
    hint = f"{kind.default_hint} {PAGE_HINT}".strip()
    return kind(_describe_reply(reply, None, None), hint=hint, **_error_details(reply, {}, None))


def _find_rule(reply: Reply, body: dict[str, Any]) -> Rule | None:
    code, message = _find_error(reply, body)
    kind = get_text(body, "error.type", "type") or ""
    return find_rule(Said(status=reply.status, code=code or "", kind=kind, words=message or ""))


def _refuse(reply: Reply, body: dict[str, Any], rule: Rule | None, *, paid: bool) -> RefusedError:
    """Build the error for a refusal, by its rule or by its HTTP status."""
    code, message = _find_error(reply, body)
    wrapped = _is_wrapped_vendor_error(body)
    if rule is None and not (wrapped and reply.status in _NO_SUCH_PATH):  # then it is a path at the vendor
        page = reply.status in REFUSED_BY_PAGE and is_web_page(reply)
        rule = _PAGE if page else REFUSALS_BY_STATUS.get(reply.status)
    rule = rule or _OTHER
    error, hint = rule.error, rule.hint if paid else rule.look_hint or rule.hint
    if hint == INPUT_HINT and not message:
        hint = WITHOUT_WORDS_HINT
    if wrapped and error in {AuthenticationError, QuotaError}:
        error, hint = RefusedError, VENDOR_ACCOUNT_HINT
    details = _error_details(reply, body, code or rule.stands_for)
    return error(_describe_reply(reply, code, message), hint=hint, **details)


# --- what the gateway itself says ---


def _find_own_code(body: dict[str, Any]) -> str | None:
    """Return the code of the gateway's own envelope. The vendor's may stand inside."""
    return get_text(body, "code", "error.code")


def _is_wrapped_vendor_error(body: dict[str, Any]) -> bool:
    """Whether the error is the vendor's, put into the gateway's own envelope."""
    words = get_text(body, "message", "error.message") or ""
    return _find_own_code(body) in GENERIC_CODES or _WRAPPED_WORDS.search(words) is not None


def _is_error_without_data(reply: Reply, body: dict[str, Any]) -> bool:
    """Whether the body is an error envelope that says that there is nothing else: a code, words, and `data: null`."""
    if "data" not in body or body["data"] is not None:
        return False
    code, words = _find_own_code(body) or "", _find_error(reply, body)[1] or ""
    return bool(_ERROR_CODE.fullmatch(code) and words) and not any(
        map(_SUCCESS.fullmatch, (code, words.strip(" .!。")))
    )


def _find_free_code(body: dict[str, Any], free_refusals: frozenset[str]) -> str | None:
    """Return the code or type by which a gateway's error proves that it has no task."""
    if find_task_id(body) is not None:
        return None
    found = (get_text(body, path) for path in ("code", "error.code", "error.type"))
    return next((code for code in found if code in free_refusals), None)


def _free_refusal(reply: Reply, body: dict[str, Any], own: str) -> RequestError:
    """The error for a response that proves that the gateway has no task and bills nothing."""
    rule = _find_rule(reply, body)
    if rule is not None or (400 <= reply.status < 500 and reply.status not in _TIMEOUT_STATUSES):
        return _refuse(reply, body, rule, paid=True)
    code, message = _find_error(reply, body)
    fault = OWN_FAULTS.get(own)
    return RefusedError(
        _describe_reply(reply, code, message),
        hint=fault.hint if fault else PASSING_HINT,
        repeatable=fault is None or fault.repeatable,
        **_error_details(reply, body, code),
    )


# --- code and words ---


def _find_error(reply: Reply, body: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the code and the words of an error, wherever they stand."""
    code, message = find_error(body)
    request_id = find_request_id(reply, body)
    if message and request_id:  # it is told beside the words
        message = message.replace(f"(request id: {request_id})", "").strip()
    if not message:
        message = next(filter(None, (_read_words(get_value(body, path)) for path in _MORE_WORDS_PATHS)), None)
    if not body:
        message = _read_plain_text(reply.body)
    return code, message


def _read_words(value: object) -> str | None:
    """Return a text, or the words of an object, or of the first one of a list."""
    if isinstance(value, list) and value:
        value = value[0]
    return get_text(value, "message", "detail", "title") if isinstance(value, Mapping) else get_text({"": value}, "")


def _read_plain_text(body: bytes) -> str | None:
    """Return a body that is one short text."""
    text = body[: 4 * _MAX_PLAIN_TEXT].decode("utf-8", "replace").strip().strip('"')
    is_text = text and len(text) <= _MAX_PLAIN_TEXT and text[0] not in "<{[" and any(char.isalpha() for char in text)
    return text if is_text else None


def _describe_reply(reply: Reply, code: str | None, message: str | None) -> str:
    code_part = f" {code}" if code else ""
    message_part = f": {message.strip().rstrip('.')[:500]}" if message else ""
    return f"The gateway answered {describe_answer(reply)}{code_part}{message_part}."


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
    for name in ("x-oneapi-request-id", "x-request-id", "x-dashscope-request-id"):
        if reply.headers.get(name):
            return reply.headers[name]
    return first(as_text, values(reply.answer if body is None else reply.answer_of(body), "request_id"))


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
