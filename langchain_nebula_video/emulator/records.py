"""What a test reads back: frozen snapshots of everything the emulator did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from .enums import Currency, Dialect, Region, Status


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a task failed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One accepted task, as it stood when it was looked at."""

    id: str
    dialect: Dialect
    account: str
    """Name of the account it belongs to."""
    model: str
    request: Mapping[str, Any]
    """The body as it was sent, `data:` URIs replaced by their digest."""
    image_digest: str | None
    """SHA-256 of the (first) picture's bytes; None if there is none, or it could not be fetched."""
    resolution: str
    seconds: int
    seed: int
    status: Status
    accepted_at: float
    started_at: float
    """When it left, or will leave, the queue."""
    finished_at: float
    """When it ended, or will end."""
    problem: Problem | None
    """Why it failed; None until it has."""
    cost: Decimal
    """What was billed, in `currency`; 0 until it has succeeded."""
    currency: Currency


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One account as it stood."""

    name: str
    region: Region | None
    """None for a gateway's account."""
    balance: Decimal
    """In `currency`; below zero when tasks that were all affordable alone end together."""
    currency: Currency
    group_ratio: Decimal


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One HTTP request, as far as it got."""

    number: int
    at: float
    point: str
    """What it was for: one of the points faults are played at, ``hosted`` or ``unknown``."""
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case; the key itself is never kept."""
    connection: int | None
    """Which TCP connection it came on, counted from 1; None when driven without a socket."""
    status: int | None = None
    """What was answered; None while under way, and when no answer was sent."""
    task_id: str | None = None
    """The task this request created; None if it created none."""
    fault: str | None = None
    """The kind of fault that was played on it."""
    dialect: Dialect | None = None
    """Whose words it was in; None for the storage's, and for unknown paths."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most requests that were ever under way at one moment."""

    requests: int = 0
    submits: int = 0
    queries: int = 0
    downloads: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """Something a well-behaved client never does."""

    at: float
    rule: str
    """``key_outside_gateway``: the API key was sent to a storage address."""
    request: int
    """Number of the request."""
    path: str


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault in the list, and how often it has been played."""

    point: str
    kind: str
    times: int | None
    """How many requests it is for; None: all."""
    after: int
    """How many requests it lets pass first."""
    params: Mapping[str, Any] = field(default_factory=dict)
    seen: int = 0
    played: int = 0
