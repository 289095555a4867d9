"""`Fleet`: hands lists of videos to the fleet, gives back what was made, and steers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import SecretStr

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet import control
from langchain_nebula_video.fleet.database import Connection, Database
from langchain_nebula_video.fleet.enqueue import Added, BatchOptions, add_items, open_account, open_batch
from langchain_nebula_video.fleet.hours import parse_hours
from langchain_nebula_video.fleet.preview import Preview, preview_items
from langchain_nebula_video.fleet.rows import Planner
from langchain_nebula_video.fleet.schema import check_schema, install
from langchain_nebula_video.fleet.states import ItemState
from langchain_nebula_video.fleet.status import FleetStatus, read_status
from langchain_nebula_video.journal import SqlJournal
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.schema import Video

__all__ = ["Fleet", "Result"]

P = ParamSpec("P")
T = TypeVar("T")

_OF_THE_ACCOUNT = {"api_key", "gateway", "base_url", "allow_http"}
_OF_THE_WORKER = {"journal", "budget", "http_client", "http_async_client", "clock", "rate_limiter", "verify"}
_OVERLAP = timedelta(seconds=60)
"""Transactions commit in another order than their moments: so far back is looked again."""
_PAGE = 500
_POLL_SECONDS = 1.0

_RESULTS = (
    "SELECT key, n, state, tag, video, error, usd, updated_at FROM nebula_fleet_items "
    "WHERE batch_id = %s AND state IN ('done', 'failed', 'unconfirmed', 'canceled') "
    "AND (updated_at, key) > (%s, %s) ORDER BY updated_at, key LIMIT %s"
)
_LEFT = (
    "SELECT coalesce(sum(items), 0) FROM nebula_fleet_counts WHERE batch_id = %s "
    "AND state IN ('waiting', 'delayed', 'queued', 'running')"
)
_BROKEN = "SELECT place, reason FROM nebula_fleet_broken WHERE batch_id = %s ORDER BY place"


@dataclass(frozen=True, slots=True)
class Result:
    """An item that has ended."""

    key: str
    """The journal's key of the video."""
    number: int
    """Its place in the list, from 1."""
    state: ItemState
    """`done`, `failed`, `unconfirmed` or `canceled`."""
    tag: Any
    """What the row had as `tag`."""
    video: Video | None
    """If it is done."""
    error: str | None
    """If it is not."""
    usd: Decimal
    """What it cost, in US dollars; if it is not done, what it would have cost."""
    at: datetime
    """When it ended."""


class Fleet:
    """Many videos on many machines. Hands them over, gives back what was made, and steers.

    Workers make the videos: `FleetWorker`, or `nebula-video fleet worker`. The methods are async; each opens a
    connection of its own and closes it.

    Args:
        url: `postgresql://user:password@host/database`: the database of the journal.

    Raises:
        InvalidRequestError: the URL is none of PostgreSQL.

    Example:
        ```python notest
        fleet = Fleet("postgresql://nebula@db/videos")
        await fleet.init()
        rows = [{"image": "https://example.com/cat.jpg", "prompt": "The cat blinks"}]
        await fleet.submit_many(rows, batch="cats", save_to="s3://studio/videos")
        async for result in fleet.results("cats"):
            print(result.key, result.video or result.error)
        ```
    """

    def __init__(self, url: str | Path) -> None:
        self._database = Database(url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database.printable_url!r})"

    async def init(self) -> bool:
        """Make the tables of fleet, engine and journal, unless they are there; whether they were made now.

        Raises:
            JournalError: the database does not work, or a newer version of this package made the tables.
        """

        def work() -> bool:
            SqlJournal(self._database.url).spent()  # makes the journal's tables
            with self._database.session() as connection:
                return install(connection)

        return await asyncio.to_thread(work)

    async def submit_many(
        self,
        rows: Iterable[Any],
        *,
        batch: str,
        defaults: Mapping[str, Any] | None = None,
        budget: Decimal | float | str | None = None,
        priority: int = 0,
        not_before: datetime | None = None,
        hours: str | None = None,
        by_path: bool = False,
        paused: bool | str = False,
        waiter: Mapping[str, Any] | None = None,
        on_progress: Callable[[Added], object] = lambda _: None,
        **options: Any,
    ) -> Added:
        """Hand a list of videos to the fleet. Nothing is sent and nothing is paid now. It may be repeated at any time.

        Each row's key is made of the video that it asks for, so the same row adds nothing, in any batch.

        Args:
            rows: Dicts with the fields of a `VideoRequest`, or `VideoRequest`s; an iterable of any length, read in
                another thread. A dict may have `key` (your own name of the video), `tag` (anything that JSON can hold,
                given back with the result) and `place` (where the row comes from, for broken ones).
            batch: The name of the batch. A batch that exists is added to, if its options are the same.
            defaults: Fields of a request that hold where a row does not set them.
            budget: The most that the batch may cost, in US dollars; `None`: no limit. An item whose price does not fit
                is not begun, nor are those after it.
            priority: Batches with a higher one go first.
            not_before: Nothing is begun before this moment.
            hours: Begin items only within these hours of the day, such as `"22:00-06:00 Europe/Berlin"`.
            by_path: Leave local images where they are; every worker must find them under the same path. Otherwise
                their bytes go into the database.
            paused: Make the batch paused; `resume` begins it. A text is the reason that `status` tells. A batch that
                exists stays as it is.
            waiter: Who is told when the batch has ended; see `langchain_nebula_video.graph`.
            on_progress: Called with what was done so far, after each transaction, in another thread.
            options: Those of a client: the account (`gateway`, `base_url`, `api_key`) and what holds for each video
                (`model`, `save_to`, `prices`, `fit`, …). Keys are not stored.

        Returns:
            How many items are new, were there before, and which rows are broken.

        Raises:
            InvalidRequestError: an option is not valid, or the batch exists with others.
            JournalError: the database does not work, or has no fleet.
        """
        client = _check_options(batch, options)
        settings = client.model_dump(mode="json", exclude_unset=True, exclude=_OF_THE_ACCOUNT | {"budget"})
        if options.get("model"):
            settings["model"] = client.model
        limit = None if budget is None else Decimal(str(budget))
        told = BatchOptions(
            name=batch,
            settings=settings,
            budget=limit,
            priority=priority,
            not_before=not_before,
            hours=None if hours is None else parse_hours(hours),
            waiter=waiter,
            paused=paused,
        )
        planner = Planner(client, defaults, by_path=by_path, has_budget=limit is not None)

        def work(connection: Connection) -> Added:
            check_schema(connection)
            batch_id = open_batch(connection, open_account(connection, client), told)
            return add_items(connection, batch_id, batch, planner.plan(rows), on_progress)

        return await self._do(work)

    async def preview(
        self,
        rows: Iterable[Any],
        *,
        batch: str,
        defaults: Mapping[str, Any] | None = None,
        budget: Decimal | float | str | None = None,
        by_path: bool = False,
        on_progress: Callable[[Preview], object] = lambda _: None,
        **options: Any,
    ) -> Preview:
        """Count what `submit_many` would add, and what it would cost. Nothing is written.

        The arguments and errors are those of `submit_many`.
        """
        client = _check_options(batch, options)
        planner = Planner(client, defaults, by_path=by_path, has_budget=budget is not None)

        def work(connection: Connection) -> Preview:
            check_schema(connection)
            return preview_items(connection, batch, planner.plan(rows), on_progress)

        return await self._do(work)

    async def results(self, batch: str, *, wait: bool = True, since: datetime | None = None) -> AsyncIterator[Result]:
        """Iterate over the items of a batch as they end, each once; until all have ended.

        Args:
            batch: Its name.
            wait: Whether to wait for what has not ended. Otherwise the iterator ends with what is there.
            since: Only what ended after this moment, such as `at` of the last result of an earlier call.

        Raises:
            InvalidRequestError: there is no such batch.
            JournalError: the database does not work.
        """
        batch_id = await self._do(control.find_batch, batch)
        seen: dict[str, datetime] = {}
        position = (since or _BEGINNING, "")
        while True:
            left = await self._do(_count_left, batch_id) if wait else 0
            newest = position[0]
            while page := await self._do(_read_page, batch_id, position):
                for result in page:
                    if seen.get(result.key) != result.at:
                        seen[result.key] = result.at
                        yield result
                newest, position = page[-1].at, (page[-1].at, page[-1].key)
            if not left:
                return
            position = (max(newest - _OVERLAP, since or _BEGINNING), "")
            seen = {key: at for key, at in seen.items() if at >= position[0]}
            await asyncio.sleep(_POLL_SECONDS)

    async def status(self, batch: str | None = None, *, errors: int = 10) -> FleetStatus:
        """Return how the fleet is: batches, accounts, workers, and the newest errors. It counts no items.

        Args:
            batch: Only this batch; `None`: all.
            errors: How many errors of each kind to tell.
        """

        def work(connection: Connection) -> FleetStatus:
            check_schema(connection)
            if batch is not None:
                control.find_batch(connection, batch)
            return read_status(connection, batch, errors=errors)

        return await self._do(work)

    async def broken(self, batch: str) -> list[tuple[str, str]]:
        """Return the rows of a batch's lists that cannot become videos: where each stands, and why."""

        def work(connection: Connection) -> list[tuple[str, str]]:
            found = connection.execute(_BROKEN, [control.find_batch(connection, batch)]).fetchall()
            return [(str(place), str(reason)) for place, reason in found]

        return await self._do(work)

    async def pause(self, batch: str, reason: str | None = None) -> None:
        """See `control.pause`."""
        await self._do(control.pause, batch, reason)

    async def resume(self, batch: str) -> int:
        """See `control.resume`."""
        return await self._do(control.resume, batch)

    async def cancel(self, batch: str, *, abandon: bool = False) -> int:
        """See `control.cancel`."""
        return await self._do(control.cancel, batch, abandon=abandon)

    async def retry(self, batch: str, states: Sequence[ItemState] = (ItemState.FAILED,)) -> int:
        """See `control.retry`."""
        return await self._do(control.retry, batch, states)

    async def forget(self, batch: str) -> int:
        """See `control.forget`."""
        return await self._do(control.forget, batch)

    async def change_batch(
        self,
        batch: str,
        *,
        budget: Decimal | float | str | None = None,
        priority: int | None = None,
        not_before: datetime | None = None,
        hours: str | None = None,
    ) -> None:
        """Change what decides when the items of a batch begin; `None`: as it is."""
        limit = None if budget is None else Decimal(str(budget))
        told = None if hours is None else parse_hours(hours)
        await self._do(control.change_batch, batch, budget=limit, priority=priority, not_before=not_before, hours=told)

    async def change_account(
        self,
        mark: str,
        *,
        cap: int | None = None,
        rate: int | None = None,
        paused: bool | None = None,
        reason: str | None = None,
    ) -> None:
        """See `control.change_account`."""
        await self._do(control.change_account, mark, cap=cap, rate=rate, paused=paused, reason=reason)

    async def replace_key(self, mark: str, api_key: str | None = None) -> tuple[str, list[str]]:
        """Pay the batches of an account with another key of the same gateway from now on.

        Args:
            mark: The account whose key is not used any more.
            api_key: The new key; `None`: that of the gateway's environment variable. It is not stored.

        Returns:
            The mark of the new key's account, and the names of the batches.

        Raises:
            InvalidRequestError: there is no such account, or no new key.
        """

        def work(connection: Connection) -> tuple[str, list[str]]:
            check_schema(connection)
            gateway, url, allow_http = control.find_account(connection, mark)
            key = None if api_key is None else SecretStr(api_key)
            client = LifecycleOptions(gateway=gateway, base_url=url, allow_http=allow_http, api_key=key)
            new = client.account_id()
            if new == mark:
                raise InvalidRequestError(
                    f"The key of account {mark} is the one that is here.",
                    hint=f"Set {client.gateway_row.key_variable} to the new one.",
                )
            open_account(connection, client)
            return new, control.move_to_account(connection, mark, new)

        return await self._do(work)

    async def _do(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._database.session() as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.to_thread(run)


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def _check_options(batch: str, options: Mapping[str, Any]) -> LifecycleOptions:
    if not batch.strip():
        raise InvalidRequestError("The batch has no name.", hint="Give one: batch='cats'.")
    refused = sorted(_OF_THE_WORKER & options.keys())
    if refused:
        raise InvalidRequestError(
            f"{refused[0]} is no option of a batch.",
            hint="A batch has a budget of its own." if refused == ["budget"] else "Give it to the workers.",
        )
    return LifecycleOptions(**options)


def _count_left(connection: Connection, batch_id: int) -> int:
    row = connection.execute(_LEFT, [batch_id]).fetchone()
    return int(row[0]) if row else 0


def _read_page(connection: Connection, batch_id: int, position: tuple[datetime, str]) -> list[Result]:
    rows = connection.execute(_RESULTS, [batch_id, *position, _PAGE]).fetchall()
    return [
        Result(key, number, ItemState(state), tag, video and Video.model_validate(video), error, usd, at)
        for key, number, state, tag, video, error, usd, at in rows
    ]
