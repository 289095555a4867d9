"""The clients of a worker: one for all batches with the same settings, closed when others are needed more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from langchain_nebula_video.client import AsyncNebulaVideoClient
from langchain_nebula_video.errors import InvalidRequestError, SetupError
from langchain_nebula_video.fleet.items import Batch
from langchain_nebula_video.fleet.options import BY_PATH
from langchain_nebula_video.journal import SqlJournal
from langchain_nebula_video.lifecycle.options import ClientOptions

__all__ = ["Clients"]

_REFUSAL_SECONDS = 30.0
"""A worker repeats a refused submit so long. Longer refusals pause the account, and keep no place."""
_MOST_IDLE = 16
"""Clients that are kept open although nobody uses them. Each has connections: a worker may see thousands of batches."""


@dataclass(slots=True)
class _Held:
    client: AsyncNebulaVideoClient
    users: int = 0


class Clients:
    """Lends clients to items.

    Args:
        options: The worker's own options of a client. They win over those of the batches.
        journal: The fleet's.
    """

    def __init__(self, options: Mapping[str, Any], journal: SqlJournal) -> None:
        self._options = options
        self._journal = journal
        self._held: dict[str, _Held] = {}
        """By their settings; those that were lent last stand last."""
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def lend(self, batch: Batch) -> AsyncIterator[AsyncNebulaVideoClient]:
        """Return a batch's client for the body.

        Raises:
            SetupError: the batch's settings do not fit this machine.
        """
        where = {"gateway": batch.gateway, "base_url": batch.base_url, "allow_http": batch.allow_http}
        name = json.dumps([where, batch.settings], sort_keys=True)
        async with self._opening:
            held = self._held.pop(name, None) or await self._open({**batch.settings, **where})
            self._held[name] = held
            held.users += 1
        try:
            yield held.client
        finally:
            held.users -= 1
            idle = [name for name, each in self._held.items() if not each.users]
            await self._close(idle[:-_MOST_IDLE])

    async def close(self) -> None:
        """Close all of them."""
        await self._close(list(self._held))

    async def _open(self, settings: Mapping[str, Any]) -> _Held:
        options = {"refusal_timeout": _REFUSAL_SECONDS, **settings, **self._options, "journal": self._journal}
        options.pop(BY_PATH, None)
        try:
            client = AsyncNebulaVideoClient(**cast("ClientOptions", options))
        except InvalidRequestError as error:  # no item's fault
            raise SetupError(error.what, hint=error.hint) from error
        return _Held(await client.__aenter__())

    async def _close(self, names: list[str]) -> None:
        for held in [self._held.pop(name) for name in names]:
            await held.client.__aexit__(None, None, None)
