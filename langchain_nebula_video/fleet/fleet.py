"""`Fleet`: hands lists of videos to the fleet, gives back what was made, and steers it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, cast

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet import accounts, control
from langchain_nebula_video.fleet.database import Connection, Database, is_passing
from langchain_nebula_video.fleet.enqueue import Added, BatchOptions, add_items, open_account, open_batch
from langchain_nebula_video.fleet.failures import Failure, read_failures
from langchain_nebula_video.fleet.hours import parse_hours
from langchain_nebula_video.fleet.mending import Mending
from langchain_nebula_video.fleet.options import (
    BY_PATH,
    BatchClientOptions,
    check_whole,
    parse_budget,
    parse_moment,
    parse_name,
    parse_options,
)
from langchain_nebula_video.fleet.preview import Preview, preview_items
from langchain_nebula_video.fleet.results import BEGINNING, Result, read_broken, read_ended, read_items
from langchain_nebula_video.fleet.rows import Planner
from langchain_nebula_video.fleet.schema import check_schema, install
from langchain_nebula_video.fleet.states import ItemState
from langchain_nebula_video.fleet.status import FleetStatus, read_status
from langchain_nebula_video.fleet.streams import AsyncRows, Rows, check_rows, in_pieces, until_canceled
from langchain_nebula_video.journal import SqlJournal

__all__ = ["Fleet"]

P = ParamSpec("P")
T = TypeVar("T")

_POLL_SECONDS = 1.0
_PATIENCE = 900.0
"""Seconds for which `results` waits for a database that is away."""
_OWN_KEYWORDS = ("batch", "defaults", "budget", "priority", "not_before", "hours", "by_path", "paused")
_NEXT = timedelta(microseconds=1)


class Fleet:
    """Many videos on many machines. Hands them over, gives back what was made, and steers.

    Workers make the videos: `FleetWorker`, or `nebula-video fleet worker`. The methods are async, and may be called at
    the same time. Each opens a connection of its own and closes it. In a program without an event loop, use
    `asyncio.run`.

    All methods raise `JournalError` if the database does not work or has no fleet, and `InvalidRequestError` for a
    batch that is not there. Each may be repeated then.

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
            journal = SqlJournal(self._database.url)
            journal.spent()  # makes the journal's tables
            journal.close()
            with self._database.session() as connection:
                return install(connection)

        return await asyncio.to_thread(work)

    # --- handing over ---

    async def submit_many(
        self,
        rows: Rows | AsyncRows,
        *,
        batch: str,
        defaults: Mapping[str, Any] | None = None,
        budget: Decimal | float | str | None = None,
        priority: int = 0,
        not_before: datetime | None = None,
        hours: str | None = None,
        by_path: bool = False,
        paused: bool | str = False,
        on_progress: Callable[[Added], object] = lambda _: None,
        **options: Unpack[BatchClientOptions],
    ) -> Added:
        """Hand a list of videos to the fleet. Nothing is sent and nothing is paid now. It may be repeated at any time.

        Each row's key is made of the video that it asks for, so the same row adds nothing, in any batch. If the call
        is canceled or fails, what was read until then stays; repeat it with the whole list.

        A row that was broken and is whole now is broken no more. It is known by its `place`; without one by its number,
        if the list has all that is in the batch.

        Args:
            rows: Dicts with the fields of a `VideoRequest`, or `VideoRequest`s, in an iterable of any length, or in an
                async one. A blocking iterable is read in another thread. Images may be URLs, bytes, paths, open files
                and PIL images. A dict may also have `key` (your own name of the video), `tag` (anything that JSON can
                hold; the result has it again) and `place` (where the row comes from; broken rows are told with it).
            batch: The name of the batch. A batch that exists is added to, if its options are the same.
            defaults: Fields of a request that hold where a row does not set them.
            budget: The most that the batch may cost, in US dollars; `None`: no limit. An item whose price does not fit
                is not begun, nor are those after it.
            priority: Batches with a higher one go first.
            not_before: Nothing is begun before this moment, which has a time zone.
            hours: Begin items only within these hours of the day, such as `"22:00-06:00 Europe/Berlin"`.
            by_path: Leave local images where they are; every worker must find them under the same path. Otherwise
                their bytes go into the database.
            paused: Make the batch paused; `resume` begins it. A text is the reason that `status` tells. A batch that
                exists stays as it is.
            on_progress: Called with what was done so far, after each transaction. It may be in another thread.
            options: Options of a client: the account (`gateway`, `base_url`, `api_key`) and what holds for each video
                (`model`, `save_to`, `prices`, `fit`, …). Keys are not stored. A local `save_to` is made absolute, and
                lies on the machine of the worker that made the video.

        Returns:
            How many items are new, were there before, and which rows are broken.

        Raises:
            InvalidRequestError: an option is not valid, or the batch exists with others.
            JournalError: the database does not work, or has no fleet.
        """
        client, settings = parse_options(options, _OWN_KEYWORDS, defaults)
        check_whole(priority, "priority")
        told = BatchOptions(
            name=parse_name(batch),
            settings={**settings, BY_PATH: True} if by_path else settings,
            budget=parse_budget(budget),
            priority=priority,
            not_before=parse_moment(not_before, "not_before"),
            hours=None if hours is None else parse_hours(hours),
            paused=paused,
        )
        check_rows(rows)
        canceled, mending = threading.Event(), Mending()

        def add(connection: Connection, rows: Rows, first: int, on_progress: Callable[[Added], object]) -> Added:
            check_schema(connection)
            batch_id, has_budget = open_batch(connection, open_account(connection, client), told)
            planner = Planner(client, defaults, by_path=by_path, has_budget=has_budget)
            mending.begin(connection, batch_id)
            items = planner.plan(mending.watch(until_canceled(canceled, rows), first), first)
            return add_items(connection, batch_id, batch, items, on_progress)

        try:
            if not isinstance(rows, AsyncIterable):
                total = await self._do(add, rows, 1, on_progress)
            else:
                total, count = await self._do(add, (), 1, on_progress), 0
                async for piece in in_pieces(rows):
                    total += await self._do(add, piece, count + 1, lambda _: None)
                    on_progress(total)
                    count += len(piece)
        except asyncio.CancelledError:
            canceled.set()  # the thread goes on until it looks
            raise
        if mending.found:
            await self._do(mending.finish, total)
        return total

    async def preview(
        self,
        rows: Rows,
        *,
        batch: str,
        defaults: Mapping[str, Any] | None = None,
        budget: Decimal | float | str | None = None,
        by_path: bool = False,
        on_progress: Callable[[Preview], object] = lambda _: None,
        **options: Unpack[BatchClientOptions],
    ) -> Preview:
        """Count what `submit_many` would add, and what it would cost. Nothing is written.

        The arguments and errors are those of `submit_many`; the list is no async one.
        """
        client, _ = parse_options(options, _OWN_KEYWORDS, defaults)
        parse_name(batch)
        check_rows(rows)
        planner = Planner(client, defaults, by_path=by_path, has_budget=parse_budget(budget) is not None)

        def work(connection: Connection) -> Preview:
            check_schema(connection)
            return preview_items(connection, batch, planner.plan(rows), on_progress)

        return await self._do(work)

    # --- results ---

    async def results(
        self, batch: str, *, wait: bool = True, since: Result | datetime | None = None
    ) -> AsyncIterator[Result]:
        """Iterate over the items of a batch in the order in which they end, each once; until all have ended.

        An item that is tried again after its result comes again, with its new one. A database that goes away meanwhile
        is waited for, 15 minutes at most.

        Args:
            batch: Its name.
            wait: Whether to wait for what has not ended, also while the batch is paused. Otherwise the iterator ends
                with what is there.
            since: Only what ended after this: the last result of an earlier call, or a moment.

        Raises:
            InvalidRequestError: there is no such batch.
            JournalError: the database does not work, or has been away for 15 minutes.
        """
        batch_id = await self._do(control.find_batch, batch)
        position = BEGINNING
        if since is not None:
            position = (since.at, since.key) if isinstance(since, Result) else (_aware(since) + _NEXT, "")
        while True:
            page, left = await self._do_patiently(read_ended, batch_id, position)
            for result in page:
                position = (result.at, result.key)
                yield result
            if not page:
                if not (wait and left):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def result(self, key: str) -> Result | None:
        """Return one item by its key, ended or not; `None`: no batch has it.

        Args:
            key: What the row had as `key`, or `Result.key`.
        """
        found = await self._do(read_items, [key])
        return found.get(key)

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
            control.find_batch(connection, batch)
            return list(read_broken(connection, batch).items())

        return await self._do(work)

    async def failures(self, batch: str) -> list[Failure]:
        """Return the items of a batch that have failed or are unconfirmed, with image, prompt, tag and error."""

        def work(connection: Connection) -> list[Failure]:
            return read_failures(connection, control.find_batch(connection, batch))

        return await self._do(work)

    # --- steering ---

    async def pause(self, batch: str, reason: str | None = None) -> None:
        """Begin nothing more of a batch. What runs goes on, and so do some items that are queued.

        Args:
            batch: Its name.
            reason: Stands in `status`.
        """
        await self._do(control.pause, batch, reason)

    async def resume(self, batch: str) -> int:
        """Go on with a batch that is paused or was canceled; how many canceled items wait again."""
        return await self._do(control.resume, batch)

    async def cancel(self, batch: str, *, abandon: bool = False) -> int:
        """Cancel what has not begun; how many items. What runs goes on to its end: it is billed in any case.

        Args:
            batch: Its name.
            abandon: Whether workers let go of what runs, too. The gateway goes on and bills; `nebula-video resume`
                takes such tasks up.
        """
        return await self._do(control.cancel, batch, abandon=abandon)

    async def retry(self, batch: str, states: Collection[ItemState | str] = (ItemState.FAILED,)) -> int:
        """Let items that ended badly wait again; how many. Items that may be paid for keep their key: none pays twice.

        Args:
            batch: Its name.
            states: `failed`, `unconfirmed` or both. An unconfirmed item looks for its lost submit again.

        Raises:
            InvalidRequestError: a state is none that can be tried again.
        """
        return await self._do(control.retry, batch, _states(states))

    async def forget(self, batch: str) -> int:
        """Delete a batch with its items, images and broken rows; how many items. The journal keeps what was paid.

        Raises:
            InvalidRequestError: some of it is queued or runs.
        """
        return await self._do(control.forget, batch)

    async def forget_empty(self, batch: str) -> bool:
        """Delete a batch with its broken rows if it has no items; whether it had none."""
        return await self._do(control.forget_empty, batch)

    async def change_batch(
        self,
        batch: str,
        *,
        budget: Decimal | float | str | None = None,
        priority: int | None = None,
        not_before: datetime | None = None,
        hours: str | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Change what decides when the items of a batch begin; see `submit_many`. `None`: it stays as it is.

        `without` names limits to take away: `budget`, `not_before`, `hours`.
        """
        check_whole(priority or 0, "priority")
        await self._do(
            control.change_batch,
            parse_name(batch),
            budget=parse_budget(budget),
            priority=priority,
            not_before=parse_moment(not_before, "not_before"),
            hours=None if hours is None else parse_hours(hours),
            without=without,
        )

    async def change_account(
        self,
        mark: str,
        *,
        cap: int | None = None,
        rate: int | None = None,
        paused: bool | None = None,
        reason: str | None = None,
    ) -> None:
        """Change what an account may do. `None`: it stays as it is.

        Args:
            mark: `AccountStatus.id`.
            cap: The most items in flight; 0: as many as the workers have places.
            rate: The most items a minute; 0: no limit.
            paused: Whether nothing more is begun. `False` also ends a pause that the fleet has made itself, such as
                after a key that was refused.
            reason: Why it is paused, for `status`.

        Raises:
            InvalidRequestError: there is no such account, or a limit is below 0.
        """
        await self._do(control.change_account, mark, cap=cap, rate=rate, paused=paused, reason=reason)

    async def replace_key(self, mark: str, api_key: str | None = None) -> tuple[str, list[str]]:
        """Pay an account's batches with another key of the same gateway from now on.

        A task that was submitted with the old key belongs to it. If the gateway shows it to the new key, it goes on;
        otherwise its item fails, and says so.

        Args:
            mark: The account whose key is not used any more: `AccountStatus.id`.
            api_key: The new key; `None`: that of the gateway's environment variable. It is not stored, and workers
                find it in their environment.

        Returns:
            The mark of the new key's account, and the names of the batches.

        Raises:
            InvalidRequestError: there is no such account, or no new key.
        """
        return await self._do(accounts.replace_key, mark, api_key)

    # --- the database ---

    async def _do(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._database.session() as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.to_thread(run)

    async def _do_patiently(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what changes nothing, and repeat it while the database is away."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: is_passing(error.__cause__)),
            wait=wait_random_exponential(0.1, 2.0),
            stop=stop_after_delay(_PATIENCE),
            reraise=True,
        )
        return cast("T", await retrying(self._do, work, *args, **kwargs))


def _aware(moment: datetime) -> datetime:
    checked = parse_moment(moment, "since")
    assert checked is not None  # noqa: S101 for the type checker
    return checked


def _states(states: Collection[ItemState | str]) -> Sequence[ItemState]:
    if isinstance(states, str):
        states = (states,)
    unknown = [each for each in states if each not in {*ItemState}]
    if unknown:
        raise InvalidRequestError(f"{unknown[0]!r:.80} is no state.", hint="failed and unconfirmed can be tried again.")
    return [ItemState(each) for each in states]
