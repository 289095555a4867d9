"""What a worker does with an item: take it, write down what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import NebulaVideoError, shorten
from langchain_nebula_video.fleet.engine import PatientConnector
from langchain_nebula_video.fleet.keeper import Timing
from langchain_nebula_video.fleet.rows import RETRY_MARK
from langchain_nebula_video.fleet.states import ItemState, Stops, judge
from langchain_nebula_video.schema import Video

__all__ = ["Batch", "Claim", "Items"]

_MAX_REASON = 2000
_LONGEST_RETRY_AFTER = 86400.0

# It may be repeated: if the database went away after it, its answer is lost.
_CLAIM = (
    "UPDATE nebula_fleet_items SET state = 'running', worker = %s, claims = claims + (state = 'queued')::int, "
    "updated_at = now() WHERE key = %s AND job_id = %s AND (state = 'queued' OR (state = 'running' AND worker = %s)) "
    "RETURNING batch_id, request, attempt, errors, claims, updated_at"
)
# A video is written whoever has the item now: it is paid for.
_DONE = (
    "UPDATE nebula_fleet_items SET state = 'done', video = %s, usd = coalesce(%s, usd), reserved = true, error = NULL, "
    "worker = NULL, job_id = NULL, next_at = NULL, updated_at = clock_timestamp() WHERE key = %s AND state <> 'done'"
)
_ENDED = (
    "UPDATE nebula_fleet_items SET state = %s, error = %s, errors = errors + %s, reserved = %s, "
    "claims = CASE WHEN %s THEN claims ELSE 0 END, next_at = now() + %s, worker = NULL, job_id = NULL, "
    "updated_at = clock_timestamp() WHERE key = %s AND state = 'running' AND worker = %s AND job_id = %s"
)
_RELEASE = (
    "UPDATE nebula_fleet_items SET state = %s, error = %s, worker = NULL, job_id = NULL, "
    "updated_at = clock_timestamp() WHERE key = %s AND state = 'running' AND worker = %s AND job_id = %s"
)
# Those that were under way at the first refusal say nothing new, but for a later moment that the gateway asks for.
_FOR_A_WHILE = (
    "SET reason = %s, refusals = refusals + CASE WHEN paused_until > now() THEN 0 ELSE 1 END, "
    "paused_until = CASE WHEN paused_until > now() THEN greatest(paused_until, now() + %s) "
    "ELSE now() + least(greatest(%s, %s * power(2, least(refusals, 10))), greatest(%s, %s)) END "
    "WHERE id = %s AND (paused_until IS NULL OR paused_until < 'infinity')"
)
_PAUSE_ACCOUNT_FOR_A_WHILE = f"UPDATE nebula_fleet_accounts {_FOR_A_WHILE}"
_PAUSE_BATCH_FOR_A_WHILE = f"UPDATE nebula_fleet_batches {_FOR_A_WHILE} AND state = 'running'"
# What was begun before a person has resumed it was refused for what is mended.
_PAUSE_ACCOUNT = (
    "UPDATE nebula_fleet_accounts SET reason = %s, paused_until = 'infinity' "
    "WHERE id = %s AND (resumed_at IS NULL OR resumed_at < %s)"
)
# A video that was begun before the pause tells nothing of what is begun after it.
_RECOVER = (
    "WITH account AS (UPDATE nebula_fleet_accounts SET refusals = 0, reason = NULL, paused_until = NULL "
    "WHERE id = %s AND refusals > 0 AND paused_until <= %s) "
    "UPDATE nebula_fleet_batches SET refusals = 0, reason = NULL, paused_until = NULL "
    "WHERE id = %s AND refusals > 0 AND paused_until <= %s"
)
_OTHERS_USE_ACCOUNT = (
    "SELECT EXISTS (SELECT FROM nebula_fleet_workers WHERE id <> %s AND ended_at IS NULL AND per_minute > 0 "
    "AND %s = ANY (accounts))"
)
_BATCH_GOES_ON = (
    "SELECT EXISTS (SELECT FROM nebula_fleet_items WHERE batch_id = %s AND state = 'done' "
    "AND updated_at > now() - interval '1 minute')"
)
_BATCH = (
    "SELECT batch.name, batch.settings, account.id, account.gateway, account.base_url, account.allow_http "
    "FROM nebula_fleet_batches AS batch JOIN nebula_fleet_accounts AS account ON account.id = batch.account "
    "WHERE batch.id = %s"
)
_IMAGE = "SELECT data FROM nebula_fleet_images WHERE batch_id = %s AND digest = %s"


@dataclass(frozen=True, slots=True)
class Batch:
    """What the items of a batch have in common."""

    name: str
    settings: Mapping[str, Any]
    account: str
    gateway: str
    base_url: str
    allow_http: bool


@dataclass(slots=True)
class Claim:
    """An item that this worker has."""

    key: str
    job_id: int
    batch_id: int
    request: Mapping[str, Any]
    attempt: int
    """It counts from 1. An item that failed for nothing and is tried again gets the next one."""
    errors: int
    """Errors of it that count."""
    claims: int
    """How often it was taken since it was known last that its key has no task; this one counts."""
    at: datetime

    @property
    def journal_key(self) -> str:
        """The journal's key. Under that of an earlier attempt, the journal has a task that failed."""
        return self.key if self.attempt == 1 else f"{self.key}{RETRY_MARK}{self.attempt}"


class Items:
    """The items of one worker, in the database. A database that is away is waited for."""

    def __init__(self, connector: PatientConnector, timing: Timing) -> None:
        self._connector = connector
        self._timing = timing

    async def claim(self, key: str, job_id: int, worker: str) -> Claim | None:
        """Take an item; `None`: it is not for this job any more."""
        rows = await self._connector.query(_CLAIM, [worker, key, job_id, worker])
        return Claim(key, job_id, *rows[0]) if rows else None

    async def batch(self, batch_id: int) -> Batch:
        """Return a batch."""
        return Batch(*(await self._connector.query(_BATCH, [batch_id]))[0])

    async def image(self, batch_id: int, digest: str) -> bytes | None:
        """Return a stored image; `None`: it is not there any more."""
        rows = await self._connector.query(_IMAGE, [batch_id, digest])
        return bytes(rows[0][0]) if rows else None

    async def done(self, claim: Claim, video: Video, account: str) -> None:
        """Write down a video."""
        text = json.dumps(video.model_dump(mode="json", exclude={"raw"}))
        await self._connector.query(_DONE, [text, video.cost.usd, claim.key])
        await self._connector.query(_RECOVER, [account, claim.at, claim.batch_id, claim.at])

    async def ended(self, claim: Claim, worker: str, account: str, error: NebulaVideoError) -> None:
        """Write down an error, and stop what it stops."""
        outcome = judge(error, claim.errors, first=claim.claims == 1)
        reason = shorten(f"{type(error).__name__}: {error}", _MAX_REASON)
        state, stops = outcome.state, outcome.stops
        if outcome.local and await self._is_local(claim, worker, account, stops):
            state, stops = ItemState.DELAYED, Stops.NOTHING
        # First what keeps other items from the same fate, and only then the item, which may be fed again at once.
        await self._stop(claim, account, stops, f"{worker}: {reason}" if outcome.local else reason, error)
        delay = None
        if state is ItemState.DELAYED:
            first, last = self._timing.delays
            delay = min(first * 2 ** min(claim.errors, 20), last)
        values = [state.value, reason, int(outcome.counts), not outcome.frees, not outcome.frees, delay]
        await self._connector.query(_ENDED, [*values, claim.key, worker, claim.job_id])

    async def _is_local(self, claim: Claim, worker: str, account: str, stops: Stops) -> bool:
        """Whether other workers succeed meanwhile in what this one cannot do."""
        if stops is Stops.ACCOUNT_FOR_A_WHILE:
            rows = await self._connector.query(_OTHERS_USE_ACCOUNT, [worker, account])
        else:
            rows = await self._connector.query(_BATCH_GOES_ON, [claim.batch_id])
        return bool(rows[0][0])

    async def _stop(self, claim: Claim, account: str, stops: Stops, reason: str, error: NebulaVideoError) -> None:
        told = timedelta(seconds=min(getattr(error, "retry_after", None) or 0, _LONGEST_RETRY_AFTER))
        first, last = self._timing.pauses
        for_a_while: list[Any] = [reason, told, told, first, told, last]
        match stops:
            case Stops.ACCOUNT:
                await self._connector.query(_PAUSE_ACCOUNT, [reason, account, claim.at])
            case Stops.ACCOUNT_FOR_A_WHILE:
                await self._connector.query(_PAUSE_ACCOUNT_FOR_A_WHILE, [*for_a_while, account])
            case Stops.BATCH_FOR_A_WHILE:
                await self._connector.query(_PAUSE_BATCH_FOR_A_WHILE, [*for_a_while, claim.batch_id])
            case Stops.NOTHING:
                pass

    async def release(self, claim: Claim, worker: str, state: ItemState, why: str | None = None) -> None:
        """Give an item back that did not end. Its task, if there is one, goes on, and its key finds it again."""
        await self._connector.query(_RELEASE, [state.value, why, claim.key, worker, claim.job_id])

    @staticmethod
    def cost(video: Video) -> Decimal:
        """What a video counts with, in US dollars."""
        return video.cost.usd or Decimal(0)
