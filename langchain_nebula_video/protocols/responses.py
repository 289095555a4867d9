"""Parse the responses of all related gateways into a `TaskSnapshot`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols import parsing
from langchain_nebula_video.protocols.refusals import find_request_id, parse_refusal
from langchain_nebula_video.protocols.wire import FrameForm, Reply, Submission, TaskSnapshot
from langchain_nebula_video.schema import TaskStatus

__all__ = ["ResponseParser", "encode_segment"]


def encode_segment(task_id: str) -> str:
    """Percent-encode a task id as a single path segment."""
    encoded = quote(task_id, safe="", errors="replace")
    # A segment of dots alone would change the path.
    return encoded.replace(".", "%2E") if encoded in {".", ".."} else encoded


class ResponseParser:
    """The parsing methods that all protocols share."""

    extensions = None
    frame_forms: frozenset[FrameForm] = frozenset({"fields"})
    task_id_paths: tuple[str, ...] = ("task_id", "id", "data.task_id")
    """Where the answer to a fetch has the id that was asked for. The vendor's own id may stand deeper."""

    def parse_submit(self, reply: Reply) -> Submission | None:
        """See `Protocol`."""
        body = parsing.parse_submitted(reply.body)
        task_id = parsing.find_task_id(body) if body else None
        if body is None or task_id is None:
            return None
        return Submission(task_id=task_id, snapshot=_parse_snapshot(body, reply))

    def parse_fetch(self, reply: Reply) -> TaskSnapshot | None:
        """See `Protocol`."""
        body = parsing.parse_json_object(reply.body)
        return None if body is None else _parse_snapshot(body, reply)

    def names_other_task(self, reply: Reply, task_id: str) -> bool:
        """See `Protocol`."""
        body = parsing.parse_json_object(reply.body)
        return body is not None and parsing.names_other_task(body, task_id, self.task_id_paths)

    def parse_refusal(
        self, reply: Reply, *, paid: bool, free_refusals: frozenset[str] = frozenset()
    ) -> RequestError | None:
        """See `Protocol`."""
        return parse_refusal(reply, paid=paid, free_refusals=free_refusals)


_VENDOR_STATUS_PATHS = ("metadata.output.task_status", "output.task_status")


def _find_status(body: Mapping[str, Any]) -> TaskStatus:
    """Return the status from the gateway's own word. The vendor's nested word separates queued from running.

    An undocumented word means that the task is still running: it is paid for, and only the deadline may end the
    wait for it.
    """
    vendor_status = parsing.parse_status(
        next(filter(None, (parsing.get_value(body, path) for path in _VENDOR_STATUS_PATHS)), None)
    )
    words = [parsing.get_value(body, path) for path in ("data.status", "status")]
    for status in map(parsing.parse_status, words):
        if status is not None:
            queued = status is TaskStatus.RUNNING and vendor_status is TaskStatus.QUEUED
            return TaskStatus.QUEUED if queued else status
    if vendor_status is None or (vendor_status.finished and any(isinstance(word, str) for word in words)):
        return TaskStatus.RUNNING
    return vendor_status


def _find_unknown_status(body: Mapping[str, Any]) -> str | None:
    words = (parsing.get_text(body, path) for path in ("data.status", "status", *_VENDOR_STATUS_PATHS))
    return next((word for word in words if word and parsing.parse_status(word) is None), None)


def _parse_snapshot(body: dict[str, Any], reply: Reply) -> TaskSnapshot:
    status = _find_status(body)
    # An error together with an unfinished status is a temporary fault of the gateway's own polling.
    code, reason = parsing.find_error(body) if status is TaskStatus.FAILED else (None, None)
    url = parsing.find_url(body) if status is TaskStatus.SUCCEEDED else None
    finished_at = _find_finished_at(body) if status.finished else None
    return TaskSnapshot(
        status=status,
        unknown_status=_find_unknown_status(body),
        url=url,
        expires_at=parsing.url_expiry(url, finished_at, reply.received_at) if url else None,
        code=code,
        reason=reason,
        progress=_find_progress(body),
        submitted_at=parsing.find_time(
            body, "metadata.output.submit_time", "output.submit_time", "data.submit_time", "created_at"
        ),
        finished_at=finished_at,
        price_per_second=parsing.get_decimal(body, "metadata.model_price"),
        group_ratio=parsing.get_decimal(body, "metadata.group_ratio"),
        seconds=parsing.get_seconds(
            body, "metadata.usage.duration", "usage.duration", "usage.video_duration", "metadata.requested_seconds"
        ),
        resolution=_find_resolution(body),
        billed=parsing.get_value(body, "metadata.billing_pending") is False,
        model=parsing.get_text(body, "model", "data.properties.origin_model_name"),
        prompt=parsing.get_prompt(body, "metadata.output.orig_prompt", "output.orig_prompt"),
        actual_prompt=parsing.get_text(body, "metadata.output.actual_prompt", "output.actual_prompt"),
        request_id=find_request_id(reply, body),
        raw=body,
    )


def _find_resolution(body: Mapping[str, Any]) -> str | None:
    """Return Nebula's text, or DashScope's `SR`, a number of lines, as text."""
    text = parsing.get_text(body, "metadata.usage.resolution")
    lines = parsing.get_int(body, "usage.SR", "metadata.usage.SR")
    return text.lower() if text else f"{lines}p" if lines else None


def _find_finished_at(body: Mapping[str, Any]) -> Any:
    return parsing.find_time(body, "metadata.output.end_time", "output.end_time", "data.finish_time", "completed_at")


def _find_progress(body: Mapping[str, Any]) -> float | None:
    """Return `progress`, such as 30 or `"30%"`, as a fraction of 1."""
    for path in ("progress", "data.progress"):
        value = parsing.get_value(body, path)
        number = parsing.get_decimal({"n": value.strip().rstrip("%") if isinstance(value, str) else value}, "n")
        if number is not None:
            return min(float(number) / 100, 1.0)
    return None
