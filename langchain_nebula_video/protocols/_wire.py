"""What crosses the line between the protocols and the runtime."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.schema import TaskStatus, VideoRequest

__all__ = ["Answer", "Protocol", "Reply", "Submission", "WireRequest"]


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request. The key is not in it: the runtime adds it, for the gateway's own host alone."""

    method: str
    target: str
    """A path on the gateway, or a whole address of somewhere else (which gets no key)."""
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    paid: bool = False
    """Whether a second one like it may cost a second time. The only place where that is said."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)
    """With the key cut out, should the gateway have repeated it."""
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a gateway said of a task; `None` where it said nothing."""

    status: TaskStatus
    unknown_word: str | None = None
    """A status word that no page documents; the task is taken to go on."""
    url: str | None = None
    expires_at: datetime | None = None
    code: str | None = None
    reason: str | None = None
    progress: float | None = None
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    price_per_second: Decimal | None = None
    group_ratio: Decimal | None = None
    seconds: int | None = None
    resolution: str | None = None
    billed: bool = False
    """The figures are those of the bill."""
    actual_prompt: str | None = None
    request_id: str | None = None
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted submit."""

    task_id: str
    answer: Answer


class Protocol(typing.Protocol):
    """How a kind of gateway speaks. Implementations hold no state."""

    def build_submit(self, request: VideoRequest, images: Mapping[str, Any]) -> WireRequest:
        """The submit of a completed request; `images` has the wire texts of its image fields."""
        ...

    def build_fetch(self, task_id: str) -> WireRequest:
        """The look at one task."""
        ...

    def parse_submit(self, reply: Reply) -> Submission | None:
        """What an answer to a submit says, if it holds a task; `None`: it does not."""
        ...

    def parse_fetch(self, reply: Reply) -> Answer | None:
        """What an answer to a fetch says; `None`: it is no answer about a task."""
        ...

    def refusal(self, reply: Reply, *, paid: bool) -> RequestError | None:
        """The error that an answer is; `None`: it is none.

        For a paid request the error says whether the task may have been accepted all the same.
        """
        ...
