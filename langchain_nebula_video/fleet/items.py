"""What a worker does with an item: take it, write down what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import NebulaVideoError
from langchain_nebula_video.fleet.engine import PatientConnector
from langchain_nebula_video.fleet.states import ItemState, Stops, Verdict
from langchain_nebula_video.schema import Video

__all__ = ["Batch", "Claim", "Items"]

_FIRST_DELAY, _LAST_DELAY = timedelta(seconds=10), timedelta(minutes=15)
_FIRST_PAUSE, _LAST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
_MAX_REASON = 2000

_CLAIM = (
    "UPDATE nebula_fleet_items SET state = 'running', worker = %s, updated_at = now() "
    "WHERE key = %s AND state = 'queued' AND job_id = %s RETURNING batch_id, request, attempt, errors"
)
# A video is written whoever has the item now: it is paid for.
_DONE = (
    "UPDATE nebula_fleet_items SET state = 'done', video = %s, usd = coalesce(%s, usd), reserved = true, error = NULL, "
    "worker = NULL, job_id = NULL, next_at = NULL, updated_at = clock_timestamp() WHERE key = %s AND state <> 'done'"
)
_ENDED = (
    "UPDATE nebula_fleet_items SET state = %s, error = %s, errors = errors + %s, reserved = %s, "
    "next_at = now() + %s, worker = NULL, job_id = NULL, updated_at = clock_timestamp() "
    "WHERE key = %s AND state = 'running' AND worker = %s AND job_id = %s"
)
_RELEASE = (
    "UPDATE nebula_fleet_items SET state = %s, error = %s, worker = NULL, job_id = NULL, "
    "updated_at = clock_timestamp() WHERE key = %s AND state = 'running' AND worker = %s AND job_id = %s"
)
_PAUSE_FOR_A_WHILE = (
    "UPDATE nebula_fleet_accounts SET reason = %s, refusals = refusals + 1, "
    "paused_until = now() + least(greatest(%s, %s * power(2, least(refusals, 10))), greatest(%s, %s)) "
    "WHERE id = %s AND (paused_until IS NULL OR paused_until <= now())"
)
_PAUSE_ACCOUNT = "UPDATE nebula_fleet_accounts SET reason = %s, paused_until = 'infinity' WHERE id = %s"
_RECOVER = (
    "UPDATE nebula_fleet_accounts SET refusals = 0, reason = NULL, paused_until = NULL "
    "WHERE id = %s AND refusals > 0 AND (paused_until IS NULL OR paused_until <= now())"
)
_PAUSE_BATCH = "UPDATE nebula_fleet_batches SET state = 'paused', reason = %s WHERE id = %s AND state = 'running'"
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
    errors: int

    @property
    def journal_key(self) -> str:
        """The journal's key. An item that failed for nothing and is tried again gets another one."""
        return self.key if self.attempt == 1 else f"{self.key}-{self.attempt}"


class Items:
    """The items of one worker, in the database. A database that is away is waited for."""

    def __init__(self, connector: PatientConnector) -> None:
        self._connector = connector

    async def claim(self, key: str, job_id: int, worker: str) -> Claim | None:
        """Take an item; `None`: it is not for this job any more."""
        rows = await self._connector.query(_CLAIM, [worker, key, job_id])
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
        await self._connector.query(_RECOVER, [account])

    async def ended(self, claim: Claim, worker: str, account: str, verdict: Verdict, error: NebulaVideoError) -> None:
        """Write down an error, and stop what it stops."""
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        delay = None
        if verdict.state is ItemState.DELAYED:
            delay = min(_FIRST_DELAY * 2 ** min(claim.errors, 10), _LAST_DELAY)
        reserved = not verdict.frees
        # First what keeps other items from the same fate, and only then the item, which may be fed again at once.
        match verdict.stops:
            case Stops.ACCOUNT:
                await self._connector.query(_PAUSE_ACCOUNT, [reason, account])
            case Stops.ACCOUNT_FOR_A_WHILE:
                told = timedelta(seconds=getattr(error, "retry_after", None) or 0)
                values = [reason, told, _FIRST_PAUSE, told, _LAST_PAUSE, account]
                await self._connector.query(_PAUSE_FOR_A_WHILE, values)
            case Stops.BATCH:
                await self._connector.query(_PAUSE_BATCH, [reason, claim.batch_id])
            case Stops.NOTHING:
                pass
        values = [verdict.state.value, reason, int(verdict.counts), reserved, delay, claim.key, worker, claim.job_id]
        await self._connector.query(_ENDED, values)

    async def release(self, claim: Claim, worker: str, state: ItemState, why: str | None = None) -> None:
        """Give an item back that did not end. Its task, if there is one, goes on, and its key finds it again."""
        await self._connector.query(_RELEASE, [state.value, why, claim.key, worker, claim.job_id])

    @staticmethod
    def cost(video: Video) -> Decimal:
        """What a video counts with, in US dollars."""
        return video.cost.usd or Decimal(0)
