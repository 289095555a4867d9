"""Frozen snapshots of everything the emulator did, for tests to read."""

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
    """One accepted task, at the time of the snapshot."""

    id: str
    dialect: Dialect
    account: str
    """Name of its account."""
    model: str
    request: Mapping[str, Any]
    """The request body, with each `data:` URI replaced by its digest."""
    image_digest: str | None
    """SHA-256 of the first image; None if there is none, or it could not be fetched."""
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
    """Why it failed; None until it has failed."""
    cost: Decimal
    """The billed amount, in `currency`; 0 until it is billed."""
    currency: Currency
    forwarded: Mapping[str, Any] | None = None
    """What Nebula sent to the vendor behind it, with `behaviour="source"`."""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One account, at the time of the snapshot."""

    name: str
    region: Region | None
    """None for a gateway's account."""
    balance: Decimal
    """In `currency`. It drops below zero if several tasks end that only one balance could pay."""
    currency: Currency
    group_ratio: Decimal
    number: int
    """Its user id, which the console's routes ask for."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One HTTP request, as far as it got."""

    number: int
    at: float
    point: str
    """Its purpose: one of the points for faults, ``hosted`` or ``unknown``."""
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case. API keys are replaced."""
    connection: int | None
    """Number of its TCP connection, from 1; None without a socket."""
    status: int | None = None
    """Status code of the response; None while in progress, or if none was sent."""
    task_id: str | None = None
    """The task that this request created, if any."""
    fault: str | None = None
    """The kind of fault that was injected, if any."""
    dialect: Dialect | None = None
    """The API that it used; None for the storage and for unknown paths."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The highest numbers of requests in flight at one moment."""

    requests: int = 0
    submits: int = 0
    queries: int = 0
    downloads: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that a correct client never does."""

    at: float
    rule: str
    """``key_outside_gateway``: an API key was sent to a storage URL."""
    request: int
    """Number of the request."""
    path: str


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault in the list, and how often it was injected."""

    point: str
    kind: str
    times: int | None
    """How many requests it applies to; None: all."""
    after: int
    """How many requests it skips first."""
    params: Mapping[str, Any] = field(default_factory=dict)
    seen: int = 0
    played: int = 0
    number: int = 0
    """Its number, from 1. A number is never used again."""
