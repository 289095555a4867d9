"""The Nebula gateway's protocol, and that of its relatives under `/v1/video/generations`.

Source: the gateway's page "Alibaba Wanxiang Wan2.5 image-to-video", version 1.0 of 2025-11-04. What other
deployments of the same family answer is read too (see `_reading`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols import _reading as read
from langchain_nebula_video.protocols._refusals import refusal_of, request_id_of
from langchain_nebula_video.protocols._wire import Answer, Protocol, Reply, Submission, WireRequest
from langchain_nebula_video.schema import TaskStatus, VideoRequest

__all__ = ["PROTOCOL"]

_PATH = "/v1/video/generations"
# Sent whenever they are set; the others always, so that no gateway's own default decides.
_OPTIONAL = ("audio_url", "seed")


class _Nebula:
    def build_submit(self, request: VideoRequest, images: Mapping[str, Any]) -> WireRequest:
        body = {
            "model": request.model,
            "prompt": request.prompt,
            **images,
            "duration": request.duration,
            "resolution": request.resolution,
            "smart_rewrite": request.smart_rewrite,
            "generate_audio": request.generate_audio,
        }
        body.update({name: getattr(request, name) for name in _OPTIONAL if getattr(request, name) is not None})
        return WireRequest("POST", _PATH, json=body, paid=True)

    def build_fetch(self, task_id: str) -> WireRequest:
        segment = quote(task_id, safe="", errors="replace")
        if segment in {".", ".."}:  # these alone would be a step in the path
            segment = segment.replace(".", "%2E")
        return WireRequest("GET", f"{_PATH}/{segment}")

    def parse_submit(self, reply: Reply) -> Submission | None:
        body = read.parse_object(reply.body)
        task_id = read.find_task_id(body) if body else None
        if body is None or task_id is None:
            return None
        return Submission(task_id=task_id, answer=_answer(body, reply))

    def parse_fetch(self, reply: Reply) -> Answer | None:
        body = read.parse_object(reply.body)
        return None if body is None else _answer(body, reply)

    def refusal(self, reply: Reply, *, paid: bool) -> RequestError | None:
        return refusal_of(reply, paid=paid)


PROTOCOL: Protocol = _Nebula()


def _status(body: Mapping[str, Any]) -> TaskStatus:
    """The gateway's own word decides; the vendor's word beneath it tells queued from running.

    A word that nobody documented means that the task goes on: it is paid for, and only the deadline may
    end the wait for it.
    """
    inner = read.status_of(read.at(body, "metadata.output.task_status") or read.at(body, "output.task_status"))
    words = [read.at(body, path) for path in ("data.status", "status")]
    for outer in map(read.status_of, words):
        if outer is not None:
            waiting = outer is TaskStatus.RUNNING and inner is TaskStatus.QUEUED
            return TaskStatus.QUEUED if waiting else outer
    if inner is None or (inner.finished and any(isinstance(word, str) for word in words)):
        return TaskStatus.RUNNING
    return inner


def _unknown_word(body: Mapping[str, Any]) -> str | None:
    words = (read.text_at(body, path) for path in ("data.status", "status", "metadata.output.task_status"))
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
        submitted_at=read.find_time(body, "metadata.output.submit_time", "data.submit_time", "created_at"),
        finished_at=finished,
        price_per_second=read.decimal_at(body, "metadata.model_price"),
        group_ratio=read.decimal_at(body, "metadata.group_ratio"),
        seconds=read.int_at(body, "metadata.usage.duration", "metadata.requested_seconds"),
        resolution=(read.text_at(body, "metadata.usage.resolution") or "").lower() or None,
        billed=read.at(body, "metadata.billing_pending") is False,
        actual_prompt=read.text_at(body, "metadata.output.actual_prompt"),
        request_id=request_id_of(reply, body),
        raw=body,
    )


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
