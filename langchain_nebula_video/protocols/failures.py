"""Find the code and the words of an error: of a refused request, and of a failed task."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.protocols.shapes import layers
from langchain_nebula_video.protocols.values import as_text, get_text, get_value, parse_json_object

__all__ = ["GENERIC_CODES", "find_error", "says_error"]

_CODE_NAMES = ("code", "err_code", "fail_code", "base_resp.status_code")
"""`err_code`: Vidu. `base_resp`: MiniMax."""
_WORDS_NAMES = (
    "message",
    "msg",
    "fail_reason",  # new-api's row of a task, and from its task plugins on the answer itself
    "error_message",
    "task_status_msg",  # Kling
    "base_resp.status_msg",
    "detail",  # FastAPI, so LiteLLM and SGLang too: a text, or a list of objects with `msg`
)
_WORDS_OF_THE_TASK = ("fail_reason", "error_message", "task_status_msg")
_TEXT_IN_PLACE_OF_URL = ("data.result_url", "result_url")
"""Newer versions of new-api put the words of a failed task here."""

_SUCCESS_WORDS = frozenset({"success", "succeed", "succeeded", "ok", "0"})
_HTTP_STATUS = re.compile("[1-5][0-9]{2}")
"""In place of a code it says nothing: Nebula's gateway gives 400 for every failed task."""
GENERIC_CODES = frozenset({"fail_to_fetch_task", "task_submit_failed", "ali_api_error", "task_failed"})
"""Codes that gateways of the family put around every error of the vendor. The vendor's own code is in the words."""
_NO_WORDS = frozenset({"任务执行失败"}) | _SUCCESS_WORDS
"""What Nebula's gateway says of any failed task (its published code, 2025-12, relay/channel/task/ali/adaptor.go), and
what stands beside a success."""

# "task submit failed: code=InvalidURL, message=The image could not be downloaded": the same code.
_NAMED_PARTS = re.compile(r"\bcode=([^\s,;]{1,100})\s*[,;]\s*message=(.*)", re.DOTALL | re.IGNORECASE)
# "InvalidParameter.DataInspection: The image …". Codes of one word are Alibaba's that have no second part.
_LEADING_CODE = re.compile(
    r"\s*((?:\*+|[A-Z]\w*)(?:\.[A-Z*][\w*]*)+|[A-Z]\w*[a-z0-9][A-Z]\w*|[a-z]+(?:_[a-z]+)+|Arrearage|Throttling)"
    r":\s+(\S.*)",
    re.DOTALL,
)


def find_error(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the error's code and words. The innermost count: they are the vendor's, and say most.

    A vendor's error that the gateway has put into a text is taken apart.
    """
    code = words = None
    for layer in reversed(layers(body)):
        for holder in (layer.fields.get("error"), layer.fields):
            inner_code, inner_words = _read_pair(holder)
            code, words = code or inner_code, words or inner_words
    if code or words:
        return code, words
    text = get_text(body, *_TEXT_IN_PLACE_OF_URL)
    return None, None if text is None or split_url(text, ("https", "http")) is not None else text


def says_error(body: Mapping[str, Any]) -> bool:
    """Return whether the answer itself, and not only a task in it, is an error."""
    code = get_text(body, "code")
    return bool(body.get("error")) or (code is not None and not _is_success(code))


def _read_pair(holder: object) -> tuple[str | None, str | None]:
    """Return the code and the words that stand side by side in an object, or that a text consists of."""
    if not isinstance(holder, Mapping):
        return _take_apart(None, as_text(holder) if isinstance(holder, str) else None, holder)
    code = get_text(holder, *_CODE_NAMES)
    names: tuple[str, ...] = _WORDS_NAMES
    if code is not None and _is_success(code):
        code, names = None, _WORDS_OF_THE_TASK  # the others are about the request, which has succeeded
    elif code is not None and _HTTP_STATUS.fullmatch(code):
        code = None
    for name in names:
        value = get_value(holder, name)
        words = _join_details(value) if name == "detail" else as_text(value)
        if words and words.strip().lower() not in _NO_WORDS:
            return _take_apart(code, words, value)
    return code, None


def _is_success(code: str) -> bool:
    return code.strip().lower() in _SUCCESS_WORDS or (_HTTP_STATUS.fullmatch(code) is not None and code[0] == "2")


def _join_details(value: object) -> str | None:
    """Return the words of `detail`: each field's name, if there is one, and what is wrong with it."""
    if isinstance(value, list):
        parts = [_join_details(item) for item in value[:5]]
        return "; ".join(part for part in parts if part) or None
    if not isinstance(value, Mapping):
        return as_text(value)
    where = value.get("loc")
    field = ".".join(str(part) for part in where[1:5]) if isinstance(where, list) else ""
    words = get_text(value, "msg", "message")
    return f"{field}: {words}" if field and words else words


def _take_apart(code: str | None, words: str | None, whole: object) -> tuple[str | None, str | None]:
    """Return the vendor's code and words if they are in the gateway's words: as JSON text, or as `code=…, message=…`.

    The gateway masks dotted words in that text, which can break the JSON. Then a regular expression extracts the
    parts that are intact.
    """
    if words is None or not isinstance(whole, str):
        return code, words
    if "{" in whole:
        inner = parse_json_object(whole[whole.index("{") :].encode("utf-8", "replace"))
        if inner is not None:
            inner_code, inner_words = find_error(inner)
        else:
            inner_code, inner_words = (_extract_string(name, whole) for name in ("code", "message"))
        return inner_code or code, inner_words or words
    if (named := _NAMED_PARTS.search(words)) is not None:
        return named[1], named[2].strip() or None
    if (code is None or code in GENERIC_CODES) and (led := _LEADING_CODE.fullmatch(words)) is not None:
        return led[1], led[2]
    return code, words


def _extract_string(name: str, text: str) -> str | None:
    match = re.search(rf'"{name}"\s*:\s*"([^"]{{1,500}})"', text)
    return match.group(1) if match else None
