"""Parse the responses of all related gateways into a `TaskSnapshot`."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from langchain_nebula_video.errors import RefusedError, RequestError
from langchain_nebula_video.protocols import parsing
from langchain_nebula_video.protocols.addresses import find_url, url_expiry
from langchain_nebula_video.protocols.failures import GENERIC_CODES, find_error
from langchain_nebula_video.protocols.refusals import TASK_STATUS_UNKNOWN, find_request_id, parse_refusal
from langchain_nebula_video.protocols.shapes import Answer, values
from langchain_nebula_video.protocols.sizes import find_resolution
from langchain_nebula_video.protocols.statuses import find_gone_word, find_status
from langchain_nebula_video.protocols.values import (
    as_decimal,
    as_flag,
    as_positive,
    as_prompt,
    as_text,
    as_time,
    first,
    share_names,
)
from langchain_nebula_video.protocols.wire import AccountCalls, FrameForm, Reply, Submission, TaskSnapshot
from langchain_nebula_video.schema import TaskStatus

__all__ = ["ResponseParser", "encode_segment"]


@lru_cache(maxsize=1024)  # each task is looked at many times
def encode_segment(task_id: str) -> str:
    """Percent-encode a task id as a single path segment."""
    encoded = quote(task_id, safe="", errors="replace")
    # A segment of dots alone would change the path.
    return encoded.replace(".", "%2E") if encoded in {".", ".."} else encoded


class ResponseParser:
    """The parsing methods that all protocols share."""

    extensions = None
    frame_forms: frozenset[FrameForm] = frozenset({"fields"})
    account_calls: AccountCalls | None = None
    task_id_paths: tuple[str, ...] = ("task_id", "id", "data.task_id")
    """Where the answer to a fetch has the id that was asked for. The vendor's own id may stand deeper."""
    lone_request_id_is_task = True
    """Whether a submit's answer that has a `request_id` and nothing else names the task by it, as xAI's does. An answer
    of DashScope has one whatever it says."""
    unknown_is_own = False
    """Whether `UNKNOWN` is the gateway's own word for a task that it has not. Elsewhere `unknown` is temporary."""

    def describe_unreachable(self, task_id: str) -> str | None:  # noqa: ARG002 others' ids tell
        """See `Protocol`."""
        return None

    def parse_submit(self, reply: Reply) -> Submission | None:
        """See `Protocol`."""
        body = parsing.find_submitted(reply.json_objects)
        task_id = parsing.find_task_id(body) if body else None
        if body is None and self.lone_request_id_is_task and 200 <= reply.status < 300:
            body = reply.json
            task_id = parsing.find_lone_request_id(body) if body else None
        if body is None or task_id is None:
            return None
        return Submission(task_id=task_id, snapshot=_parse_snapshot(body, reply))

    def parse_fetch(self, reply: Reply) -> TaskSnapshot | None:
        """See `Protocol`."""
        body = reply.json
        return None if body is None else _parse_snapshot(body, reply)

    def names_other_task(self, reply: Reply, task_id: str) -> bool:
        """See `Protocol`."""
        body = reply.json
        return body is not None and parsing.names_other_task(body, task_id, self.task_id_paths)

    def parse_refusal(
        self, reply: Reply, *, paid: bool, free_refusals: frozenset[str] = frozenset()
    ) -> RequestError | None:
        """See `Protocol`. A task that the gateway has no longer is a refusal of the look."""
        body = reply.json if not paid and 200 <= reply.status < 300 else None
        gone = find_gone_word(reply.answer, unknown_is_own=self.unknown_is_own) if body else None
        if gone is not None:
            return RefusedError(
                f"The gateway answered that the task's status is {gone[:100]}: there is none, or it is no longer kept.",
                status_code=reply.status,
                code=TASK_STATUS_UNKNOWN,
                request_id=find_request_id(reply, body),
            )
        return parse_refusal(reply, paid=paid, free_refusals=free_refusals)


_SIDES = (("width", "height"), ("video_width", "video_height"))
"""new-api's page on video tasks, `metadata`; MiniMax."""
_SIDE_NAMES = frozenset(name for names in _SIDES for name in names)
_QUOTA_PER_USD = 500_000
"""new-api's unit of account; `GET /api/status` says it. Its row of a task has what was really taken."""
_LONGEST_VIDEO = 600
"""Seconds. A longer one is how long the task took, or milliseconds."""


def _parse_snapshot(body: dict[str, Any], reply: Reply) -> TaskSnapshot:
    answer = reply.answer_of(body)
    status, unknown_status = find_status(answer)
    # An error together with an unfinished status is a temporary fault of the gateway's own polling.
    code, reason = find_error(body) if status is TaskStatus.FAILED else (None, None)
    url = find_url(body) if status is TaskStatus.SUCCEEDED else None
    finished_at = first(as_time, values(answer, "finished_at")) if status.finished else None
    seconds, billed_seconds = _find_seconds(answer)
    resolution = find_resolution(values(answer, "resolution"), _find_sides(answer))
    amount_usd = _find_amount(answer) if status is TaskStatus.SUCCEEDED else None
    price_per_second = first(as_decimal, values(answer, "price_per_second"))
    # The Nebula page: `billing_pending: false`, and beside it all that a bill is made of.
    figures = (price_per_second, seconds, resolution)
    is_bill = next(iter(values(answer, "billing_pending")), None) is False and None not in figures
    return TaskSnapshot(
        status=status,
        unknown_status=unknown_status,
        url=url,
        expires_at=url_expiry(url, finished_at, reply.received_at) if url else None,
        code=None if code in GENERIC_CODES else code,
        reason=reason,
        progress=first(_as_share, values(answer, "progress")),
        submitted_at=first(as_time, values(answer, "submitted_at")),
        finished_at=finished_at,
        price_per_second=price_per_second,
        group_ratio=first(as_decimal, values(answer, "group_ratio")),
        seconds=seconds,
        billed_seconds=billed_seconds,
        resolution=resolution,
        sound=first(as_flag, values(answer, "sound")),
        amount_usd=amount_usd,
        billed=amount_usd is not None or (is_bill and status is TaskStatus.SUCCEEDED),
        model=first(as_text, values(answer, "model")),
        prompt=first(as_prompt, values(answer, "prompt")),
        actual_prompt=first(as_text, values(answer, "actual_prompt")),
        request_id=find_request_id(reply, body),
        raw=share_names(body),
    )


def _find_seconds(answer: Answer) -> tuple[Decimal | None, Decimal | None]:
    """Return the length of the video, and the seconds that are billed if they are others."""
    length = first(_as_length, values(answer, "seconds"))
    billed = first(as_positive, values(answer, "billed_seconds"))
    clip = first(as_positive, values(answer, "clip_seconds"))
    if clip is not None and billed is not None and length == billed > clip:
        length = billed - clip
    return length, None if billed == length else billed


def _as_length(value: object) -> Decimal | None:
    seconds = as_positive(value)
    return None if seconds is None or seconds > _LONGEST_VIDEO else seconds


def _find_sides(answer: Answer) -> tuple[int | None, int | None]:
    """Return width and height."""
    if answer.names.isdisjoint(_SIDE_NAMES):
        return None, None
    for layer in answer:
        for names in _SIDES:
            sides = [first(as_positive, [layer.fields.get(name)]) for name in names]
            if None not in sides:
                width, height = (int(side or 0) for side in sides)
                return width, height
    return None, None


def _find_amount(answer: Answer) -> Decimal | None:
    """Return what the video costs in US dollars, if the answer says it as one figure."""
    quota = first(_as_quota, values(answer, "quota"))
    return quota / _QUOTA_PER_USD if quota is not None else first(as_positive, values(answer, "cost"))


def _as_quota(value: object) -> Decimal | None:
    return as_decimal(value, below=1_000_000 * _QUOTA_PER_USD) or None


def _as_share(value: object) -> float | None:
    """Return `progress`, such as 30 or `"30%"`, as a fraction of 1."""
    number = as_decimal(value.strip().rstrip("%") if isinstance(value, str) else value)
    return None if number is None else min(float(number) / 100, 1.0)
