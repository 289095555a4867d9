"""What an answer says of a task, whichever of the related gateways gave it: one reading for all their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols import reading as read
from langchain_nebula_video.protocols.refusals import refusal_of, request_id_of
from langchain_nebula_video.protocols.wire import Answer, Reply, Submission
from langchain_nebula_video.schema import TaskStatus

__all__ = ["Reader", "segment"]


def segment(task_id: str) -> str:
    """A task's id as one segment of a path, whatever it holds."""
    encoded = quote(task_id, safe="", errors="replace")
    # These alone would be a step in the path.
    return encoded.replace(".", "%2E") if encoded in {".", ".."} else encoded


class Reader:
    """The half of a protocol that reads."""

    extras = None

    def parse_submit(self, reply: Reply) -> Submission | None:
        """See `Protocol`."""
        body = read.parse_object(reply.body)
        task_id = read.find_task_id(body) if body else None
        if body is None or task_id is None:
            return None
        return Submission(task_id=task_id, answer=_answer(body, reply))

    def parse_fetch(self, reply: Reply) -> Answer | None:
        """See `Protocol`."""
        body = read.parse_object(reply.body)
        return None if body is None else _answer(body, reply)

    def refusal(self, reply: Reply, *, paid: bool) -> RequestError | None:
        """See `Protocol`."""
        return refusal_of(reply, paid=paid)


_INNER_WORDS = ("metadata.output.task_status", "output.task_status")


def _status(body: Mapping[str, Any]) -> TaskStatus:
    """The gateway's own word decides; the vendor's word beneath it tells queued from running.

    A word that nobody documented means that the task goes on: it is paid for, and only the deadline may
    end the wait for it.
    """
    inner = read.status_of(next(filter(None, (read.at(body, path) for path in _INNER_WORDS)), None))
    words = [read.at(body, path) for path in ("data.status", "status")]
    for outer in map(read.status_of, words):
        if outer is not None:
            waiting = outer is TaskStatus.RUNNING and inner is TaskStatus.QUEUED
            return TaskStatus.QUEUED if waiting else outer
    if inner is None or (inner.finished and any(isinstance(word, str) for word in words)):
        return TaskStatus.RUNNING
    return inner


def _unknown_word(body: Mapping[str, Any]) -> str | None:
    words = (read.text_at(body, path) for path in ("data.status", "status", *_INNER_WORDS))
    return next((word for word in words if word and read.status_of(word) is None), None)


def _answer(body: dict[str, Any], reply: Reply) -> Answer:
    status = _status(body)
    # An error beside a status that is no end is a passing fault of the gateway's own polling.
    code, reason = read.find_reason(body) if status is TaskStatus.FAILED else (None, None)
    url = read.find_url(body) if status is TaskStatus.SUCCEEDED else None
    finished = _finished_at(body) if status.finished else None
    return Answer(
        status=status,
        unknown_word=_unknown_word(body),
        url=url,
        expires_at=read.expiry(url, finished, reply.received_at) if url else None,
        code=code,
        reason=reason,
        progress=_progress(body),
        submitted_at=read.find_time(
            body, "metadata.output.submit_time", "output.submit_time", "data.submit_time", "created_at"
        ),
        finished_at=finished,
        price_per_second=read.decimal_at(body, "metadata.model_price"),
        group_ratio=read.decimal_at(body, "metadata.group_ratio"),
        seconds=read.int_at(
            body, "metadata.usage.duration", "usage.duration", "usage.video_duration", "metadata.requested_seconds"
        ),
        resolution=_resolution(body),
        billed=read.at(body, "metadata.billing_pending") is False,
        model=read.text_at(body, "model", "data.properties.origin_model_name"),
        prompt=read.prompt_at(body, "metadata.output.orig_prompt", "output.orig_prompt"),
        actual_prompt=read.text_at(body, "metadata.output.actual_prompt", "output.actual_prompt"),
        request_id=request_id_of(reply, body),
        raw=body,
    )


def _resolution(body: Mapping[str, Any]) -> str | None:
    """Nebula's word, or DashScope's `SR`, a number of lines."""
    told = read.text_at(body, "metadata.usage.resolution")
    lines = read.int_at(body, "usage.SR", "metadata.usage.SR")
    return told.lower() if told else f"{lines}p" if lines else None


def _finished_at(body: Mapping[str, Any]) -> Any:
    return read.find_time(body, "metadata.output.end_time", "output.end_time", "data.finish_time", "completed_at")


def _progress(body: Mapping[str, Any]) -> float | None:
    """A share of 1 from `progress`: 30, or "30%"."""
    for path in ("progress", "data.progress"):
        value = read.at(body, path)
        number = read.decimal_at({"n": value.strip().rstrip("%") if isinstance(value, str) else value}, "n")
        if number is not None:
            return min(float(number) / 100, 1.0)
    return None
