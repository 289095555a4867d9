"""The fleet's database: that of the journal. Connections, and its faults as our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from langchain_nebula_video.errors import InvalidRequestError, JournalError
from langchain_nebula_video.journal.sql.url import check_query, parse_url, split_prepare_threshold, without_secrets

__all__ = ["SET_DATES", "Connection", "Database", "is_passing", "needs_dates"]

_ATTEMPTS = 50
"""Of a statement that collided with others: each waits some milliseconds longer than the one before."""


class Connection(psycopg.Connection[TupleRow]):
    """A connection on which each statement is a transaction unless one is begun.

    The statements of fleets are made for READ COMMITTED. A database may begin its transactions at a stricter level:
    transactions that are begun here name theirs, and a single statement that collides with others is repeated.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[TupleRow]:
        """Run a statement, and repeat it while it collides; within a transaction it is not repeated."""
        if self.info.transaction_status is not TransactionStatus.IDLE:
            return super().execute(query, params, **options)
        return Retrying(
            retry=retry_if_exception_type((psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)),
            wait=wait_random_exponential(0.005, 0.1),
            stop=stop_after_attempt(_ATTEMPTS),
            reraise=True,
        )(super().execute, query, params, **options)


# A connection that a firewall drops silently must not stop a worker's heartbeat for longer than its limit.
_LINK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "tcp_user_timeout": "6000",
    "client_encoding": "utf8",
}


SET_DATES = "SET datestyle TO ISO"


def needs_dates(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether the database writes moments in a form that psycopg cannot read."""
    return not (connection.info.parameter_status("DateStyle") or "ISO").startswith("ISO")


class Database:
    """Where a fleet and its journal live.

    Args:
        url: `postgresql://user:password@host/database`, as for `SqlJournal`.

    Raises:
        InvalidRequestError: it is no such URL.
    """

    def __init__(self, url: str | Path) -> None:
        parsed = parse_url(url)
        if parsed.drivername == "sqlite":
            raise InvalidRequestError(
                "A fleet needs PostgreSQL: several machines cannot share a file of SQLite.",
                hint="Give postgresql://user:password@host/database. On one machine, `nebula-video batch` needs none.",
            )
        self.url = parsed.render_as_string(hide_password=False)
        """For a `SqlJournal`; it has the password."""
        self.printable_url = without_secrets(parsed)
        # Behind PgBouncer a prepared statement may be run where it is unknown: by default none is prepared.
        rest, self.prepare_threshold = split_prepare_threshold(parsed)
        known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
        check_query(rest, known)
        given: dict[str, Any] = rest.translate_connect_args(username="user", database="dbname")
        given.update({name: value if isinstance(value, str) else ",".join(value) for name, value in rest.query.items()})
        self.conninfo = make_conninfo(**{**_LINK, **given})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.printable_url!r})"

    def connect(self) -> Connection:
        """Return a new connection.

        Raises:
            psycopg.OperationalError: there is none to be had.
        """
        connection = Connection.connect(self.conninfo, prepare_threshold=self.prepare_threshold, autocommit=True)
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        if needs_dates(connection):
            connection.execute(SET_DATES)
        return connection

    async def reach(self, seconds: float, on_fault: Callable[[JournalError], object]) -> None:
        """Wait until the database can be reached. It may be canceled at any moment.

        Args:
            seconds: How long at most, and the attempt that is under way then.
            on_fault: Called once, if it cannot be reached at once.

        Raises:
            JournalError: it could not be reached in that time.
        """

        def tell(state: RetryCallState) -> None:
            fault = state.outcome and state.outcome.exception()
            if state.attempt_number == 1 and isinstance(fault, psycopg.Error):
                on_fault(self.error(fault))

        async def connect() -> None:
            await (await psycopg.AsyncConnection.connect(self.conninfo)).close()

        try:
            await AsyncRetrying(
                retry=retry_if_exception_type(psycopg.OperationalError),
                wait=wait_random_exponential(0.1, 1.0),
                stop=stop_after_delay(seconds),
                before_sleep=tell,
                reraise=True,
            )(connect)
        except psycopg.Error as error:
            raise self.error(error) from error

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Connect for the body, and explain what fails in it.

        Raises:
            JournalError: the database did not work, or the fleet's tables are not there.
        """
        try:
            with self.connect() as connection:
                yield connection
        except psycopg.Error as error:
            raise self.error(error) from error

    def error(self, error: psycopg.Error) -> JournalError:
        """Return our error for one of the database."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        hint = "See to the database, then repeat it: that is safe."
        if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction):
            hint = "Make the fleet's tables first: nebula-video fleet init"
        elif isinstance(error, psycopg.errors.InsufficientPrivilege):
            hint = "Give this user the rights on the fleet's tables, or use another user."
        return JournalError(
            f"The fleet's database {self.printable_url} did not work: {lines[0].rstrip('.')}.", hint=hint
        )


def is_passing(error: BaseException | None) -> bool:
    """Whether a fault of the database may pass: it is away, restarts, or chose this one of two that collided."""
    return isinstance(
        error,
        psycopg.OperationalError
        | psycopg.InterfaceError
        | psycopg.errors.ReadOnlySqlTransaction
        | ConnectionError
        | TimeoutError,
    )
