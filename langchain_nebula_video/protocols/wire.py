"""The data types that protocols and transport exchange, and the interface of a protocol."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols.shapes import Answer, layers
from langchain_nebula_video.protocols.values import parse_json_values
from langchain_nebula_video.schema import TaskStatus

__all__ = [
    "AccountCalls",
    "Charge",
    "Extensions",
    "FrameForm",
    "KeyFacts",
    "ListedTask",
    "Protocol",
    "Reply",
    "Submission",
    "TaskSnapshot",
    "UploadPolicy",
    "WireRequest",
]

FrameForm = Literal["fields", "media"]
"""How a submit writes the frames: as fields of their own, or as a list `media` of `{type, url}`."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request, without the API key. The transport adds the key, for the gateway's own origin only."""

    method: str
    target: str
    """A path on the gateway, or an absolute URL (which gets no key, unless `with_key` is set)."""
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    """The fields of a multipart form; `file`, if there is one, is sent after them."""
    file: tuple[str, bytes, str] | None = field(default=None, repr=False)
    """Name, content and MIME type of the form's file."""
    file_field: str = "file"
    """The name of the form's field that holds the file."""
    key_parameter: str | None = None
    """The query parameter that takes the key, in place of the header. Servers on the way may write addresses down."""
    paid: bool = False
    """Whether sending it twice may cost twice. This is the only place that decides it."""
    with_key: bool = False
    """Whether the key goes along to an absolute URL, if scheme, host and port are the gateway's own."""


@dataclass(frozen=True)
class Reply:
    """One complete HTTP response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)
    """If the gateway repeated the API key, it has been removed."""
    received_at: datetime

    @cached_property
    def digest(self) -> bytes:
        """Stands for status and body: answers with the same digest are the same."""
        return blake2b(self.body, digest_size=16, salt=self.status.to_bytes(8, "big", signed=True)).digest()

    @cached_property
    def json_values(self) -> list[Any]:
        """The JSON values of the body, which may hold several, one after the other. It is parsed once."""
        return parse_json_values(self.body)

    @cached_property
    def emulator_speed(self) -> float | None:
        """How many times faster than a gateway the emulator is that answered; `None`: no emulator did."""
        try:
            told = float(self.headers["x-emulator-speed"])
        except (KeyError, ValueError):
            return None
        return told if 0 < told < math.inf else None

    @property
    def json_objects(self) -> list[dict[str, Any]]:
        """Those of them that are objects."""
        return [value for value in self.json_values if isinstance(value, dict)]

    @property
    def json(self) -> dict[str, Any] | None:
        """The JSON object that the body begins with, or `None`."""
        found = self.json_values
        return found[0] if found and isinstance(found[0], dict) else None

    @cached_property
    def answer(self) -> Answer:
        """The envelopes of that object."""
        return layers(self.json or {})

    def answer_of(self, body: Mapping[str, Any]) -> Answer:
        """Return the envelopes of one of the objects."""
        return self.answer if body is self.json else layers(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSnapshot:
    """What one response says about a task. `None` where it says nothing."""

    status: TaskStatus
    unknown_status: str | None = None
    """A status word that no page documents. The task counts as running."""
    url: str | None = None
    """Absolute, or a path on the gateway."""
    expires_at: datetime | None = None
    code: str | None = None
    reason: str | None = None
    progress: float | None = None
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    price_per_second: Decimal | None = None
    group_ratio: Decimal | None = None
    seconds: Decimal | None = None
    """The length of the video."""
    billed_seconds: Decimal | None = None
    """The seconds that the bill counts, if they are not `seconds`: some models count an input clip too."""
    resolution: str | None = None
    sound: bool | None = None
    """Whether the video has sound, where the price depends on it."""
    amount_usd: Decimal | None = None
    """What the whole video costs, in US dollars, if the answer says it as one figure."""
    billed: bool = False
    """Whether the figures are those of the bill."""
    model: str | None = None
    """The gateway's name for the model."""
    prompt: str | None = None
    """The submitted prompt."""
    actual_prompt: str | None = None
    request_id: str | None = None
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted submit."""

    task_id: str
    snapshot: TaskSnapshot
    warning: str | None = None
    """What the caller must know of the money, in a sentence: for example that the gateway itself sent the submit
    twice, so that a second task may be billed."""


@dataclass(frozen=True, slots=True)
class ListedTask:
    """One task in a gateway's task list."""

    task_id: str
    created_at: datetime
    model: str | None = None
    """The gateway's name for the model, if it reports one."""
    request_id: str | None = None
    """The id of the request that submitted it, if the gateway reports it."""


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """A signed permission to upload one file."""

    host: str
    """An absolute URL."""
    folder: str
    form: Mapping[str, str] = field(repr=False)


class Protocol(typing.Protocol):
    """Builds requests for a kind of gateway and parses its responses. Implementations are stateless."""

    @property
    def supported_fields(self) -> frozenset[str]:
        """The fields of a `VideoRequest` that a submit can express. No other field reaches the gateway."""
        ...

    @property
    def frame_forms(self) -> frozenset[FrameForm]:
        """The forms in which a submit can write the frames."""
        ...

    @property
    def extensions(self) -> Extensions | None:
        """Optional operations. `None`: the gateway has none."""
        ...

    @property
    def account_calls(self) -> AccountCalls | None:
        """Free questions about the key. `None`: the gateway has none."""
        ...

    def build_submit(
        self, model: str, fields: Mapping[str, Any], images: Mapping[str, Any], *, frames: FrameForm = "fields"
    ) -> WireRequest:
        """Build the submit of a completed request.

        Args:
            model: The gateway's name for the model.
            fields: The fields that the model accepts on this gateway, without images; `None` if not set. Each is in
                `supported_fields`, or has only one possible value.
            images: The URLs or `data:` URIs of the image fields; a list for `reference_images`.
            frames: The form of the frames, where the protocol knows several.
        """
        ...

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        """Build the fetch of a task. Several requests are tried in order on 401, 403, 404 and 405."""
        ...

    def describe_unreachable(self, task_id: str) -> str | None:
        """Return why a task of this id can never be fetched, in sentences. `None`: it can."""
        ...

    def parse_submit(self, reply: Reply) -> Submission | None:
        """Parse the response to a submit. `None`: it names no task."""
        ...

    def parse_fetch(self, reply: Reply) -> TaskSnapshot | None:
        """Parse the response to a fetch. `None`: it is not about a task."""
        ...

    def names_other_task(self, reply: Reply, task_id: str) -> bool:
        """Return whether the response to a fetch or a cancellation is about another task than the one asked for."""
        ...

    def parse_refusal(
        self, reply: Reply, *, paid: bool, free_refusals: frozenset[str] = frozenset()
    ) -> RequestError | None:
        """Return the error for a response. `None`: it is a success.

        For a paid request the error says whether the task may have been accepted anyway. A paid request whose response
        names a task was accepted.

        Args:
            reply: The response.
            paid: Whether the request may cost money.
            free_refusals: See `Gateway.free_refusals`.
        """
        ...


class Extensions(typing.Protocol):
    """Optional operations: cancel a task, list tasks, upload an image to temporary storage."""

    def build_cancel(self, task_id: str) -> WireRequest:
        """Build the cancellation of a queued task."""
        ...

    def build_list(self, model: str, since: datetime, until: datetime, page: int) -> WireRequest:
        """Build the request for one page, from 1, of the account's tasks of a model, created in a time window."""
        ...

    def parse_list(self, reply: Reply) -> tuple[list[ListedTask], int] | None:
        """Return the tasks of one page and the total of all pages. `None`: the list cannot be read."""
        ...

    def build_upload_policy(self, model: str) -> WireRequest:
        """Build the request for an upload policy for a model."""
        ...

    def parse_upload_policy(self, reply: Reply) -> UploadPolicy | None:
        """Parse the upload policy. `None`: the response has none."""
        ...

    def build_upload(self, policy: UploadPolicy, name: str, data: bytes, mime: str) -> WireRequest:
        """Build the upload of a file."""
        ...

    def uploaded_url(self, policy: UploadPolicy, name: str) -> str:
        """Return the URL of an uploaded file, as a submit takes it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a gateway says about the key that asks. `None` where it says nothing."""

    model_list: frozenset[str] | None = None
    """The only models that it may use."""
    has_model_list: bool | None = None
    expires_at: datetime | None = None
    expires: bool | None = None
    """Whether it ever expires."""
    unlimited: bool | None = None
    """Whether it has no quota of its own. The account's balance is another matter."""
    left_usd: Decimal | None = None
    """What is left of its own quota."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What the account paid for one task, by the log of the key that submitted it."""

    task_id: str
    charged_at: datetime
    """When it was charged: when the gateway saw that the task had succeeded."""
    amount_usd: Decimal
    times: int = 1
    """How often it was charged. The amount is the sum."""
    model: str | None = None
    """The gateway's name for the model."""
    seconds: Decimal | None = None
    resolution: str | None = None
    group_ratio: Decimal | None = None
    """What list prices were multiplied by: the group's ratio, and the discount of the gateway's site."""


class AccountCalls(typing.Protocol):
    """Free questions about a key and its account. A `build_…` returns `None` if the gateway documents no such call."""

    def build_key_check(self, now: datetime) -> WireRequest:
        """Build a request that only an accepted key gets answered."""
        ...

    def parse_models(self, reply: Reply) -> frozenset[str] | None:
        """Return the models that its answer names; `None`: it names none."""
        ...

    def build_key_facts(self) -> WireRequest | None:
        """Build the question about the key itself."""
        ...

    def parse_key_facts(self, reply: Reply, units_per_usd: Decimal) -> KeyFacts | None:
        """Parse the answer; `None`: it is none."""
        ...

    def build_site(self) -> WireRequest | None:
        """Build the question how the gateway counts money."""
        ...

    def parse_units(self, reply: Reply | None) -> Decimal:
        """Return how many of the gateway's units a dollar has; `None`: nothing was asked."""
        ...

    def build_group_ratios(self) -> WireRequest | None:
        """Build the question for the groups' price ratios. The answer does not say which group is the account's."""
        ...

    def parse_group_ratios(self, reply: Reply) -> dict[str, Decimal] | None:
        """Return the ratio of each group; `None`: the answer has none."""
        ...

    def build_log(self, *, key_in_address: bool) -> WireRequest | None:
        """Build the question for the key's log.

        Args:
            key_in_address: Whether to send the key as a part of the address and not as a header. Older versions of
                the gateway read it there only. Servers on the way may write addresses down.
        """
        ...

    def parse_log(self, reply: Reply, units_per_usd: Decimal) -> list[Charge] | None:
        """Return what was charged for each task, oldest first; `None`: the log cannot be read.

        A key that the gateway did not read gives an empty log, and no error.
        """
        ...
