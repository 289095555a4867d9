"""Runs the rows of a plan, some at a time, on the async client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from langchain_nebula_video.cli.batch.plan import Item
from langchain_nebula_video.client import AsyncNebulaVideoClient
from langchain_nebula_video.errors import AuthenticationError, JournalError, NebulaVideoError, QuotaError
from langchain_nebula_video.schema import Video, VideoProgress

__all__ = ["BatchRun", "Outcome", "View"]

_HOPELESS = (AuthenticationError, QuotaError, JournalError)
"""After one of these, every further row would end the same way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row: its video, or an error."""

    item: Item
    video: Video | None = None
    error: NebulaVideoError | None = None


class View(Protocol):
    """Shows how far the rows are. A place is the number of the worker that has the row."""

    def begin(self, place: int, item: Item) -> None:
        """A row is begun."""
        ...

    def on_progress(self, place: int, event: VideoProgress) -> None:
        """The client reports on the row of a place."""
        ...

    def end(self, place: int, outcome: Outcome) -> None:
        """The row of a place has ended."""
        ...


class BatchRun:
    """Makes the videos of rows, and remembers what became of each.

    Args:
        client: Pays, waits and saves; each row has a key, so no row is paid for twice.
        items: The rows.
        concurrency: How many are under way at once.
        view: Shows how far they are.
    """

    def __init__(self, client: AsyncNebulaVideoClient, items: Sequence[Item], concurrency: int, view: View) -> None:
        self._client = client
        self._left = deque(items)
        self._places = min(concurrency, len(items))
        self._view = view
        self.outcomes: list[Outcome] = []
        """What has ended so far, in that order. It stays after an interruption."""
        self.stopped_by: NebulaVideoError | None = None
        """The error after which no further row was begun."""

    async def run(self) -> None:
        """Run all rows. What is under way when one fails runs to its end."""
        async with self._client, asyncio.TaskGroup() as workers:
            for place in range(self._places):
                workers.create_task(self._work(place))

    async def _work(self, place: int) -> None:
        while self._left and self.stopped_by is None:
            item = self._left.popleft()
            self._view.begin(place, item)
            try:
                await asyncio.to_thread(item.check_files)
                video = await self._client.generate(
                    item.request, key=item.key, on_progress=partial(self._view.on_progress, place)
                )
            except NebulaVideoError as error:
                outcome = Outcome(item, error=error)
                if isinstance(error, _HOPELESS):
                    self.stopped_by = error
            else:
                outcome = Outcome(item, video)
            self.outcomes.append(outcome)
            self._view.end(place, outcome)
