"""Status words: what each means, and which of several in one answer counts."""

from __future__ import annotations

from langchain_nebula_video.protocols.failures import find_error
from langchain_nebula_video.protocols.shapes import OWN, Answer, values
from langchain_nebula_video.protocols.values import get_text
from langchain_nebula_video.schema import TaskStatus

__all__ = ["TASK_STATUS_UNKNOWN", "find_gone_word", "find_status", "is_about_task", "parse_status"]

# Status words, in lower case. A gateway reports `""` and `unknown` before its own first poll of the vendor, or
# when that poll failed. Both are temporary.
_STATUS_WORDS: dict[TaskStatus, frozenset[str]] = {
    TaskStatus.QUEUED: frozenset(
        {"not_start", "submitted", "queued", "pending", "created", "queueing", "in_queue", "", "unknown"},
    ),
    TaskStatus.RUNNING: frozenset(
        {"in_progress", "processing", "running", "suspended", "initializing", "initialized", "preparing", "generating"},
    ),
    TaskStatus.SUCCEEDED: frozenset({"success", "succeed", "succeeded", "completed", "done"}),
    TaskStatus.FAILED: frozenset({"failure", "failed", "fail", "error"}),
    TaskStatus.CANCELED: frozenset({"canceled", "cancelled"}),
}
_STATUS_BY_WORD = {word: status for status, words in _STATUS_WORDS.items() for word in words}

_GONE_WORDS = frozenset({"expired", "not_found"})
"""Ends after which the gateway has the task no longer: OpenRouter, xAI; Jimeng."""
TASK_STATUS_UNKNOWN = "UNKNOWN"
"""DashScope's status for a task that it does not know, or no longer. `unknown` is a temporary state elsewhere."""

_TASK_NAMES = ("task_id", "status", "state", "task_status")

# From the gateway's own word and the vendor's beneath it to the status. All other pairs: the gateway's own.
_REFINED = {
    (TaskStatus.RUNNING, TaskStatus.QUEUED): TaskStatus.QUEUED,
    (TaskStatus.FAILED, TaskStatus.CANCELED): TaskStatus.CANCELED,
}
# Nebula's gateway hides the vendor's word behind `failed`; in its older versions only the sentence tells (its published
# code, 2025-12, relay/channel/task/ali/adaptor.go).
_SENTENCES = {"任务已取消": "CANCELED", "任务不存在或状态未知": TASK_STATUS_UNKNOWN}


def parse_status(word: object) -> TaskStatus | None:
    """Return the status for a status word, or `None` if the word is undocumented."""
    return _STATUS_BY_WORD.get(word.strip().lower()) if isinstance(word, str) else None


def is_about_task(answer: Answer) -> bool:
    """Return whether an answer has a field that an answer about a task has, and that an error envelope has not."""
    return any(get_text(layer.fields, *_TASK_NAMES) is not None for layer in answer)


def find_status(answer: Answer) -> tuple[TaskStatus, str | None]:
    """Return the status, and a word that no page documents.

    The gateway's own word decides. An undocumented one means that the task is still running: it is paid for, and only
    the deadline may end the wait for it.
    """
    own, vendor = _find_words(answer)
    status, vendor_status = parse_status(own), parse_status(vendor)
    unknown = next((word for word in (own, vendor) if word and _is_undocumented(word)), None)
    if own is None:
        return vendor_status or TaskStatus.RUNNING, unknown
    if status is None:
        known = vendor_status is not None and not vendor_status.finished
        return vendor_status if known and vendor_status else TaskStatus.RUNNING, unknown
    return _REFINED.get((status, vendor_status), status) if vendor_status else status, unknown


def find_gone_word(answer: Answer, *, unknown_is_own: bool) -> str | None:
    """Return the word that says that the gateway or the vendor has the task no longer, or `None`.

    Args:
        answer: To a fetch.
        unknown_is_own: Whether `UNKNOWN` is such a word of the gateway's own. Behind another gateway's `failed` it
            always is one, because it is the vendor's.
    """
    own, vendor = _find_words(answer)
    if own is not None and own.strip().lower() in _GONE_WORDS:
        return own.strip()
    failed = parse_status(own) is TaskStatus.FAILED and find_error(answer[0].fields)[0] is None
    if vendor == TASK_STATUS_UNKNOWN and (failed or (own is None and unknown_is_own)):
        return vendor
    return None


def _find_words(answer: Answer) -> tuple[str | None, str | None]:
    """Return the gateway's own word and the vendor's."""
    beneath = Answer([layer for layer in answer if layer.path not in OWN])
    own, vendor = _find_word(answer, "status"), _find_word(beneath, "vendor_status")
    return own, vendor or _SENTENCES.get(get_text(answer[0].fields, "error.message", "data.error.message") or "")


def _find_word(answer: Answer, field: str) -> str | None:
    """Return the first word. An empty one counts if there is no other."""
    words = [word for word in values(answer, field) if isinstance(word, str)]
    return next(filter(None, words), words[0] if words else None)


def _is_undocumented(word: str) -> bool:
    return parse_status(word) is None and word.strip().lower() not in _GONE_WORDS
