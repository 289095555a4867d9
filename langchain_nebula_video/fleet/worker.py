"""A worker of the fleet: takes items, generates them with their keys, and writes down what became of them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_nebula_video.client import AsyncNebulaVideoClient
from langchain_nebula_video.errors import (
    InvalidRequestError,
    JournalError,
    Money,
    NebulaVideoError,
    printable,
)
from langchain_nebula_video.fleet.clients import Clients
from langchain_nebula_video.fleet.database import Database
from langchain_nebula_video.fleet.engine import Engine
from langchain_nebula_video.fleet.items import Batch, Claim, Items
from langchain_nebula_video.fleet.jobs import queue_name
from langchain_nebula_video.fleet.keeper import Keeper, Timing, WorkerState
from langchain_nebula_video.fleet.keys import has_key, marks_here, no_key_note
from langchain_nebula_video.fleet.options import check_worker_options
from langchain_nebula_video.fleet.rows import has_local_images, open_images, stored_digests
from langchain_nebula_video.fleet.schema import check_schema
from langchain_nebula_video.fleet.states import ItemState
from langchain_nebula_video.journal import SqlJournal
from langchain_nebula_video.lifecycle.lease import new_holder

__all__ = ["FleetWorker"]

logger = logging.getLogger("langchain_nebula_video.fleet")

_MINUTE = 60.0
_RESTART_SECONDS = 1.0
_MOST_BATCHES = 1000
"""Batches whose settings stay in memory."""
_REACH_SECONDS = 30.0
"""How long a worker that starts waits for the database."""
_FOUND_SECONDS = 1.0
"""Between two looks for an account with a key here, while there is none."""


@dataclass(slots=True)
class _Running:
    """An item that runs, or is being claimed."""

    key: str
    task: asyncio.Task[Any]
    abandoned: bool = False

    def cancel(self) -> None:
        if not self.task.cancelling():  # it is being given back
            self.task.cancel()


class FleetWorker:
    """Makes videos of a fleet's items until it is stopped.

    It needs the database's URL, and in the environment the keys of the gateways; everything else stands in the batches.
    It takes the items of each account whose key it has.

    Args:
        url: `postgresql://user:password@host/database`, as for `SqlJournal`.
        concurrency: How many items at once. Each waits for 1 to 3 minutes, and costs about 40 kB meanwhile.
        grace: Seconds that running items may take after a stop. What is cut off goes on at the gateway, and another
            worker takes it up by its key. `None`: they run to their end.
        budget: The most that the journal's tasks may cost together, as for a client: a limit over all batches.
        options: More keyword options of the client, such as `verify` or `download_hosts`. They win over those of the
            batch.
        timing: How often it beats, feeds and sweeps.

    Raises:
        InvalidRequestError: the URL is none of PostgreSQL, `concurrency` is no number of places, or an option is none,
            or says which video is made and who pays: that stands in the batch.

    Example:
        ```python notest
        import asyncio

        from langchain_nebula_video.fleet import FleetWorker

        asyncio.run(FleetWorker("postgresql://nebula@db/videos", concurrency=500).run())
        ```
    """

    def __init__(
        self,
        url: str | Path,
        *,
        concurrency: int = 100,
        grace: float | None = None,
        budget: Any = None,
        options: Mapping[str, Any] | None = None,
        timing: Timing | None = None,
    ) -> None:
        if concurrency < 1:
            raise InvalidRequestError(f"concurrency is {concurrency}.", hint="Give 1 or more.")
        check_worker_options(options or {})
        self._database = Database(url)
        self._journal = SqlJournal(self._database.url)
        self._concurrency = concurrency
        self._grace = grace
        self._options = {**(options or {}), **({} if budget is None else {"budget": budget})}
        self._state = WorkerState()
        identity = (socket.gethostname(), os.getpid(), new_holder(), _version(), concurrency)
        self._timing = timing or Timing()
        self._keeper = Keeper(
            self._database,
            _new_name(),
            identity,
            self._state,
            self._timing,
            on_accounts=self._note_accounts,
            on_abandon=self._abandon,
            on_outdated=self._stop_outdated,
        )
        self._outdated: JournalError | None = None
        self._fleet = ""
        self._queues: tuple[str, ...] = ()
        self._batches: dict[int, Batch] = {}
        self._clients = Clients(self._options, self._journal)
        self._running: dict[int, _Running] = {}
        self._given_back = 0
        self._ended: deque[tuple[float, Decimal]] = deque()
        self._stopping = asyncio.Event()
        self._cutting = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None

    @property
    def name(self) -> str:
        """The worker's name in the fleet."""
        return self._keeper.name

    @property
    def made(self) -> int:
        """The videos that it has made."""
        return self._state.finished

    @property
    def given_back(self) -> int:
        """The items that it gave back before they had ended, for other workers."""
        return self._given_back

    async def run(self, *, signals: bool = False) -> None:
        """Work until `stop` is called, then let running items end.

        Args:
            signals: Whether SIGTERM and SIGINT stop it. A second one cuts off what runs.

        Raises:
            JournalError: the database is out of reach for half a minute, there is no fleet in it, or it is of another
                version, or has become so.
        """
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            if signals:
                self._handle_signals(stack)
            if not await self._reach_database():
                return
            self._fleet = await asyncio.to_thread(self._check)
            self._engine = await stack.enter_async_context(Engine(self._database, self._run_item, self._concurrency))
            self._items = Items(self._engine.connector, self._timing)
            stack.push_async_callback(self._clients.close)
            places = f"{self._concurrency:,} place{'' if self._concurrency == 1 else 's'}"
            logger.info("worker %s with %s", self.name, places)
            await asyncio.to_thread(self._keeper.start)
            telling = asyncio.create_task(self._tell())
            try:
                await self._supervise(self._engine)
            finally:
                telling.cancel()
                self._state.engine_id = None
                await asyncio.to_thread(self._keeper.stop)
        if self._outdated is not None:
            raise self._outdated

    def stop(self) -> None:
        """Take no more items. Those that run go on, for `grace` seconds at most. Safe in the event loop alone."""
        self._state.draining = True
        self._stopping.set()
        if self._engine is not None:
            self._engine.stop()

    def cut_off(self) -> None:
        """Cut off what runs. It goes on at the gateway, and another worker takes it up by its key."""
        self._cutting = True
        self.stop()
        for running in self._running.values():
            running.cancel()
        if self._engine is not None:
            self._engine.give_up()

    # --- the engine ---

    async def _reach_database(self) -> bool:
        """Wait for a database that is away, as it may be while machines start; `False`: the worker was stopped."""
        reaching = asyncio.create_task(self._database.reach(_REACH_SECONDS, self._tell_away))
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([reaching, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                reaching.result()
            return not stopped.done()
        finally:
            for task in (reaching, stopped):
                task.cancel()
            await asyncio.wait([reaching, stopped])

    @staticmethod
    def _tell_away(error: JournalError) -> None:
        logger.warning("%s It is tried again for %.0f seconds.", error.what, _REACH_SECONDS)

    def _check(self) -> str:
        with self._database.session() as connection:
            try:
                fleet = check_schema(connection)
            except JournalError as error:
                self._keeper.refuse(connection, f"{error.what} {error.hint}")
                raise
        self._journal.spent()  # makes the journal's tables, if these are not there
        return fleet

    def _stop_outdated(self, error: JournalError) -> None:
        logger.error("stopping, as soon as the running items have ended: %s", error)
        self._outdated = error
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.stop)

    async def _supervise(self, engine: Engine) -> None:
        """Keep the engine running: it ends by itself if a side task of it fails."""
        while not self._stopping.is_set():
            if not self._queues:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _FOUND_SECONDS)
                continue
            running = asyncio.create_task(engine.run(self._queues, self._grace))
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                self.cut_off()
                await asyncio.wait([running])
                raise
            except Exception:
                if self._cutting:
                    return
                logger.exception("the engine stumbled, and is started again")
                await asyncio.sleep(_RESTART_SECONDS)

    async def _tell(self) -> None:
        """Write what the next heartbeat tells."""
        while True:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            while self._ended and now - self._ended[0][0] > _MINUTE:
                self._ended.popleft()
            state = self._state
            state.running, state.engine_id = len(self._running), self._engine.id if self._engine else None
            state.per_minute = float(len(self._ended))
            state.usd_per_minute = sum((usd for _, usd in self._ended), Decimal(0))

    def _handle_signals(self, stack: AsyncExitStack) -> None:
        assert self._loop is not None  # noqa: S101 for the type checker

        def stop() -> None:
            if self._state.draining:
                self.cut_off()
            else:
                logger.warning("stopping: no more items are taken, and %d run to their end", len(self._running))
                self.stop()

        for each in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(each, stop)
            stack.callback(self._loop.remove_signal_handler, each)

    # --- accounts: called by the keeper, in its thread ---

    def _note_accounts(self, found: list[tuple[str, str, str, bool]]) -> None:
        """Find out which accounts' keys are here."""
        own = [(mark, gateway) for mark, gateway, url, allow in found if has_key(mark, gateway, url, allow_http=allow)]
        self._state.accounts = sorted({mark for mark, _ in own} | marks_here())
        queues = tuple(queue_name(self._fleet, mark) for mark, _ in own)
        self._state.note = None if own or not found else no_key_note(found)
        if self._state.note:
            logger.warning("%s", self._state.note)
        for mark, gateway in own:
            logger.info("takes items of account %s at %s", mark, gateway)
        if queues != self._queues and self._loop is not None:
            self._loop.call_soon_threadsafe(self._take_queues, queues)

    def _take_queues(self, queues: tuple[str, ...]) -> None:
        before, self._queues = self._queues, queues
        if before and self._engine is not None:
            self._engine.requeue(queues)

    def _abandon(self, keys: list[str]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, keys)

    def _cancel(self, keys: list[str]) -> None:
        for running in self._running.values():
            if running.key in keys:
                running.abandoned = True
                running.cancel()

    # --- items ---

    async def _run_item(self, key: str, job_id: int) -> None:
        task, worker = asyncio.current_task(), self.name
        if task is None or self._cutting:  # the item has no job then, and is given back
            return
        running = self._running[job_id] = _Running(key, task)
        try:
            claim = await self._items.claim(key, job_id, worker)
            if claim is None:
                return
            try:
                await self._generate(claim, worker)
            except asyncio.CancelledError:
                await asyncio.shield(self._give_back(claim, worker, abandoned=running.abandoned))
                raise
            except Exception:  # what became of it could not be written: its key finds its task again
                logger.exception("item %s is given back", printable(claim.key))
                await self._give_back(claim, worker, abandoned=False)
        finally:
            del self._running[job_id]

    async def _generate(self, claim: Claim, worker: str) -> None:
        batch = await self._batch_of(claim)
        try:
            async with self._clients.lend(batch) as client:
                video = await self._make_video(client, claim)
        except NebulaVideoError as error:
            await self._end(claim, worker, batch, error)
        except Exception as error:
            logger.exception("item %s failed unexpectedly", printable(claim.key))
            unexpected = NebulaVideoError(f"{type(error).__name__}: {error}.", money=Money.MAYBE)
            await self._end(claim, worker, batch, unexpected)
        else:
            self._state.finished += 1
            self._ended.append((time.monotonic(), Items.cost(video)))
            await self._items.done(claim, video, batch.account)

    async def _make_video(self, client: AsyncNebulaVideoClient, claim: Claim) -> Any:
        fields, claim.request = claim.request, {}
        key = claim.journal_key
        if has_local_images(fields):
            fields = await self._open_images(claim.batch_id, fields)
        generating = client.generate(fields, key=key)
        del fields  # its images are not needed while the task is waited for
        return await generating

    async def _open_images(self, batch_id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        stored: dict[str, bytes] = {}
        for digest in stored_digests(fields):
            data = await self._items.image(batch_id, digest)
            if data is None:
                raise InvalidRequestError(
                    "The image is not in the fleet's database any more.", hint="Enqueue the list again."
                )
            stored[digest] = data
        return await asyncio.to_thread(open_images, fields, stored.__getitem__)

    async def _end(self, claim: Claim, worker: str, batch: Batch, error: NebulaVideoError) -> None:
        logger.info("item %s: %s: %s", printable(claim.key), type(error).__name__, error)
        await self._items.ended(claim, worker, batch.account, error)

    async def _give_back(self, claim: Claim, worker: str, *, abandoned: bool) -> None:
        state = ItemState.CANCELED if abandoned else ItemState.WAITING
        why = "Abandoned. A task that was submitted goes on, and is billed: nebula-video resume" if abandoned else None
        try:
            await self._items.release(claim, worker, state, why)
            self._given_back += not abandoned
        except Exception as error:  # noqa: BLE001 it is not waited for any more
            logger.warning("item %s is left to the sweep: %s", printable(claim.key), printable(error))

    async def _batch_of(self, claim: Claim) -> Batch:
        if claim.batch_id not in self._batches:
            if len(self._batches) >= _MOST_BATCHES:
                self._batches.clear()
            self._batches[claim.batch_id] = await self._items.batch(claim.batch_id)
        return self._batches[claim.batch_id]


def _new_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def _version() -> str:
    return version("langchain-nebula-video")
