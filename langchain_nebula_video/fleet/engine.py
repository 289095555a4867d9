"""procrastinate, as the fleet uses it: it fetches jobs and runs them. Everything else is ours.

| of the engine                      | here                                                                          |
|------------------------------------|-------------------------------------------------------------------------------|
| heartbeat, stalled workers         | off: its heartbeat stops when a drain begins, and ends the worker if it fails |
| retries, periodic tasks, locks     | not used                                                                      |
| finished jobs                      | deleted at once                                                               |
| a statement that fails             | repeated: otherwise the worker would end, after all its jobs have             |
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

import psycopg
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition
from procrastinate.worker import Worker as EngineWorker
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

from langchain_nebula_video.errors import printable
from langchain_nebula_video.fleet.database import SET_DATES, Database, is_passing, needs_dates
from langchain_nebula_video.fleet.jobs import TASK

__all__ = ["Engine"]

T = TypeVar("T")

logger = logging.getLogger("langchain_nebula_video.fleet")

_POLL_SECONDS = 1.0
"""A notification wakes the worker at once. Behind PgBouncer there is none, and one may be lost."""
_FAR = 10 * 365 * 86400.0
"""Seconds after which the engine's own heartbeat would come, and its workers would count as stalled: never."""
_POOL_SECONDS = 15.0
_GONE = "not found or not in"
"""What the engine says of a finished job that is not there: a sweep gave its item back in error."""


class PatientConnector(PsycopgConnector):
    """Waits for a database that is away, until `stopping`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.stopping = False
        """Whether what does not work now is left to the sweep."""

    async def patiently(self, work: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Do a piece of work, and repeat it while the database is away."""
        result: T = await AsyncRetrying(
            retry=retry_if_exception(self._may_pass), wait=wait_random_exponential(0.1, 1.0), reraise=True
        )(work, *args, **kwargs)
        return result

    def _may_pass(self, error: BaseException) -> bool:
        if self.stopping:
            return False
        if not isinstance(error, ConnectorException):
            return is_passing(error)
        # If a statement of the engine's fails, all of it ends. So any fault of one waits for a person, or for the
        # keeper, which restores the engine's row of this worker.
        cause = error.__cause__
        if _GONE in str(cause):
            return False
        if not is_passing(cause):
            logger.error("the engine's statement failed, and is tried again: %s", printable(cause))
        return True

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        try:
            await self.patiently(super().execute_query_async, query, **arguments)
        except ConnectorException as error:
            if _GONE not in str(error.__cause__) and not self.stopping:
                raise
            logger.debug("a job's end was not written: %s", error.__cause__)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        return await self.patiently(super().execute_query_one_async, query, **arguments)

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        return await self.patiently(super().execute_query_all_async, query, **arguments)

    async def listen_notify(self, on_notification: Any, channels: Iterable[str]) -> None:
        await self.patiently(super().listen_notify, on_notification, channels)

    async def query(self, text: Any, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement of ours on a connection of the pool, and return its rows."""

        async def run() -> list[tuple[Any, ...]]:
            async with self.pool.connection() as connection:
                cursor = await connection.execute(text, values)
                return [] if cursor.description is None else await cursor.fetchall()

        return await self.patiently(run)


async def _configure(connection: Any) -> None:
    """Make each statement a transaction: a single one needs no BEGIN and no COMMIT on the way."""
    await connection.set_autocommit(True)
    if needs_dates(connection):
        await connection.execute(SET_DATES)


class Engine:
    """The engine of one worker.

    Args:
        database: Where the jobs are.
        run: Called with an item's key and the id of its job.
        concurrency: How many at once.
    """

    def __init__(self, database: Database, run: Callable[[str, int], Awaitable[None]], concurrency: int) -> None:
        self._database = database
        self.connector = PatientConnector(
            conninfo=database.conninfo,
            kwargs={"prepare_threshold": database.prepare_threshold},
            configure=_configure,
            min_size=1,
            max_size=4,
            timeout=_POOL_SECONDS,
        )
        self._app = App(connector=self.connector)
        self._concurrency = concurrency
        self._worker: EngineWorker | None = None

        @self._app.task(name=TASK, pass_context=True)
        async def generate(context: JobContext, key: str) -> None:
            assert context.job.id is not None  # noqa: S101 it was fetched
            await run(key, context.job.id)

    @property
    def id(self) -> int | None:
        """The engine's own number of this worker; `None`: it does not run."""
        return None if self._worker is None else self._worker.worker_id

    async def __aenter__(self) -> Self:
        try:
            await self._app.open_async()
        except psycopg.Error as error:
            raise self._database.error(error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_up()
        await self._app.close_async()

    async def run(self, queues: Sequence[str], grace: float | None) -> None:
        """Fetch and run jobs until it is stopped, then wait for those that run.

        Args:
            queues: The queues to fetch from.
            grace: Seconds that they may take after a stop; then they are canceled. `None`: without end.
        """
        self._worker = EngineWorker(
            self._app,
            queues=list(queues),
            concurrency=self._concurrency,
            fetch_job_polling_interval=_POLL_SECONDS,
            abort_job_polling_interval=_FAR,
            shutdown_graceful_timeout=grace,
            delete_jobs=DeleteJobCondition.ALWAYS,
            install_signal_handlers=False,
            update_heartbeat_interval=_FAR,
            stalled_worker_timeout=_FAR,
        )
        await self._worker.run()  # type: ignore[no-untyped-call]

    def requeue(self, queues: Sequence[str]) -> None:
        """Fetch from these queues from now on. Notifications of a new one are not heard: it is polled."""
        if self._worker is not None:
            self._worker.queues = list(queues)

    def give_up(self) -> None:
        """Wait for a database that is away no more."""
        self.connector.stopping = True

    def stop(self) -> None:
        """Fetch no more."""
        if self._worker is not None:
            self._worker.stop()  # type: ignore[no-untyped-call]
