"""What crosses the line between the protocols and the runtime."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.schema import TaskStatus

__all__ = ["Extensions", "ListedTask", "Protocol", "Reply", "Submission", "TaskSnapshot", "UploadPolicy", "WireRequest"]


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request. The key is not in it: the runtime adds it, for the gateway's own host alone."""

    method: str
    target: str
    """A path on the gateway, or a whole address of somewhere else (which gets no key)."""
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    """The fields of a form; a `file` goes with them."""
    file: tuple[str, bytes, str] | None = field(default=None, repr=False)
    """Name, content and type of the form's file."""
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
class TaskSnapshot:
    """What a gateway said of a task; `None` where it said nothing."""

    status: TaskStatus
    unknown_status: str | None = None
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
    model: str | None = None
    """The gateway's name for the model."""
    prompt: str | None = None
    """The prompt as it was submitted."""
    actual_prompt: str | None = None
    request_id: str | None = None
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted submit."""

    task_id: str
    snapshot: TaskSnapshot


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A task in a gateway's list."""

    task_id: str
    created_at: datetime
    model: str | None = None
    """The gateway's name for the model, where it tells."""


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """Leave to upload one file."""

    host: str
    """Where to: a whole address."""
    folder: str
    form: Mapping[str, str] = field(repr=False)


class Protocol(typing.Protocol):
    """How a kind of gateway speaks. Implementations hold no state."""

    @property
    def supported_fields(self) -> frozenset[str]:
        """The fields of a `VideoRequest` that a submit has a place for; of every other nothing would be said."""
        ...

    @property
    def extensions(self) -> Extensions | None:
        """What few gateways can; `None`: this one cannot."""
        ...

    def build_submit(self, model: str, fields: Mapping[str, Any], images: Mapping[str, Any]) -> WireRequest:
        """The submit of a completed request.

        Args:
            model: The gateway's name for the model.
            fields: The fields that the model accepts on this gateway, without images; `None` if not set. Each is in
                `supported_fields`, or has only one possible value.
            images: The URLs or `data:` URIs of the image fields; a list for `reference_images`.
        """
        ...

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        """The look at one task; where no page says how, the ways to try, one after the other on 404 and 405."""
        ...

    def parse_submit(self, reply: Reply) -> Submission | None:
        """What an answer to a submit says, if it holds a task; `None`: it does not."""
        ...

    def parse_fetch(self, reply: Reply) -> TaskSnapshot | None:
        """What an answer to a fetch says; `None`: it is no answer about a task."""
        ...

    def parse_refusal(self, reply: Reply, *, paid: bool) -> RequestError | None:
        """The error that an answer is; `None`: it is none.

        For a paid request the error says whether the task may have been accepted all the same.
        """
        ...


class Extensions(typing.Protocol):
    """What few gateways can: cancel, list, keep an image for a while."""

    def build_cancel(self, task_id: str) -> WireRequest:
        """Take a task back that has not begun."""
        ...

    def build_list(self, model: str, since: datetime, until: datetime, page: int) -> WireRequest:
        """One page, from 1, of the account's tasks of a model that were made in a window."""
        ...

    def parse_list(self, reply: Reply) -> tuple[list[ListedTask], int] | None:
        """The tasks of one page, and how many there are on all pages; `None`: it is no list, or does not say."""
        ...

    def build_upload_policy(self, model: str) -> WireRequest:
        """Ask for leave to upload an image for a model."""
        ...

    def parse_upload_policy(self, reply: Reply) -> UploadPolicy | None:
        """The leave; `None`: the answer gives none."""
        ...

    def build_upload(self, policy: UploadPolicy, name: str, data: bytes, mime: str) -> WireRequest:
        """The upload of a file."""
        ...

    def uploaded_url(self, policy: UploadPolicy, name: str) -> str:
        """The address of an uploaded file, for a submit."""
        ...
