"""The keeper: a thread of each worker that beats, feeds and sweeps, on a connection of its own.

It is a thread so that a busy event loop does not look like a dead worker, and it ends last, so that a drain does not
either.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import psycopg

from langchain_nebula_video.errors import JournalError, printable
from langchain_nebula_video.fleet.database import Connection, Database, is_passing
from langchain_nebula_video.fleet.feeder import Feeder
from langchain_nebula_video.fleet.schema import VERSION, check_schema
from langchain_nebula_video.fleet.sweep import give_back_unclaimed, hear, sweep, tidy

__all__ = ["Keeper", "Timing", "WorkerState"]

logger = logging.getLogger("langchain_nebula_video.fleet")

# A row that another worker has ended, or that is gone, comes back: its worker lives.
_BEAT = (
    "INSERT INTO nebula_fleet_workers AS worker (id, host, pid, holder, version, concurrency, accounts, running, "
    "finished, per_minute, usd_per_minute, note, draining, engine_id) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (id) DO UPDATE SET beat_at = now(), accounts = excluded.accounts, running = excluded.running, "
    "finished = excluded.finished, per_minute = excluded.per_minute, usd_per_minute = excluded.usd_per_minute, "
    "note = excluded.note, draining = excluded.draining, engine_id = excluded.engine_id, "
    "comebacks = worker.comebacks + worker.died::int, died = false, ended_at = NULL RETURNING comebacks"
)
# Other applications on the same engine delete workers whose heartbeat is old, and fetching fails without this row.
_ENGINE_BEAT = (
    "INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (%s) "
    "ON CONFLICT (id) DO UPDATE SET last_heartbeat = now()"
)
# By the columns that every version has: these tables are of a newer one.
_REFUSED = (
    "INSERT INTO nebula_fleet_workers (id, host, pid, holder, version, concurrency, accounts, note, ended_at, died) "
    "VALUES (%s, %s, %s, %s, %s, %s, '{}', %s, now(), true)"
)
_VERSION = "SELECT version FROM nebula_fleet_meta"
_END = "UPDATE nebula_fleet_workers SET ended_at = now(), running = 0, note = NULL WHERE id = %s AND ended_at IS NULL"
_ABANDONED = (
    "SELECT item.key FROM nebula_fleet_items AS item JOIN nebula_fleet_batches AS batch ON batch.id = item.batch_id "
    "WHERE item.state = 'running' AND item.worker = %s AND batch.state = 'canceled' AND batch.abandon"
)
_ACCOUNTS = "SELECT id, gateway, base_url, allow_http FROM nebula_fleet_accounts"


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a worker does what. The defaults hold for production; tests are quicker."""

    tick: timedelta = timedelta(seconds=1)
    """Between two heartbeats, and two turns of feeder and sweep."""
    limit: timedelta = timedelta(seconds=8)
    """A worker whose last heartbeat is older is dead. It must be longer than a reconnect takes: 5 s."""
    tidy: timedelta = timedelta(seconds=10)
    """Between two searches for items that have lost their job."""
    delays: tuple[timedelta, timedelta] = (timedelta(seconds=10), timedelta(minutes=15))
    """How long an item waits after its first error that may pass, and the longest: each error doubles it."""
    pauses: tuple[timedelta, timedelta] = (timedelta(seconds=5), timedelta(minutes=5))
    """How long an account or a batch is paused after the first refusal, and the longest: each one in a row doubles it.
    A moment that the gateway names counts more."""


@dataclass(slots=True)
class WorkerState:
    """What a worker tells with each heartbeat. The event loop writes it, and the keeper reads it."""

    accounts: Sequence[str] = ()
    running: int = 0
    finished: int = 0
    per_minute: float = 0.0
    usd_per_minute: Decimal = field(default_factory=Decimal)
    note: str | None = None
    draining: bool = False
    engine_id: int | None = None


class Keeper:
    """Keeps one worker on record, and the fleet moving.

    Args:
        database: The fleet's.
        name: The worker's.
        identity: Host, process id, name for leases, version and concurrency.
        state: What the heartbeat tells.
        timing: How often.
        on_accounts: Called with the accounts of the fleet, when they have changed.
        on_abandon: Called with the keys of running items whose batch was canceled with `abandon`.
        on_outdated: Called once, when the fleet's tables have become those of another version.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        identity: tuple[str, int, str, str, int],
        state: WorkerState,
        timing: Timing,
        *,
        on_accounts: Callable[[list[tuple[str, str, str, bool]]], None],
        on_abandon: Callable[[list[str]], None],
        on_outdated: Callable[[JournalError], None],
    ) -> None:
        self._database = database
        self._identity = identity
        self._state = state
        self._timing = timing
        self._on_accounts, self._on_abandon, self._on_outdated = on_accounts, on_abandon, on_outdated
        self._is_outdated = False
        self.name = name
        self._known: list[tuple[str, str, str, bool]] | None = None
        self._feeder = Feeder(self.name, timing.limit)
        self._comebacks = 0
        self._works = True
        self._tidy_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nebula-fleet-keeper", daemon=True)

    def start(self) -> None:
        """Register the worker, and begin.

        Raises:
            JournalError: the database does not work.
        """
        with self._database.session() as connection:
            self._beat(connection)
            self._look_at_accounts(connection)
        self._thread.start()

    def refuse(self, connection: Connection, why: str) -> None:
        """Write down, as far as it goes, that the worker does not start."""
        with suppress(psycopg.Error):
            connection.execute(_REFUSED, [self.name, *self._identity, why])

    def stop(self) -> None:
        """Write down that the worker has ended, and end. It may block for some seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.connect() as connection:
                    self._keep(connection)
                    self._sign_off(connection)
            except (psycopg.Error, OSError) as error:
                self._tell(error)
                self._stop.wait(0.5)
            except Exception:
                logger.exception("the fleet's keeper stumbled, and goes on")
                self._stop.wait(1.0)

    def _tell(self, error: BaseException | None) -> None:
        """Log that the database does not work, and that it works again: each once."""
        if error is not None and not is_passing(error):
            logger.error("the fleet's database refused a statement, and is tried again: %s", printable(error))
        elif (error is None) != self._works:
            self._works = error is None
            why = printable(" ".join(str(error).split()))
            told = "works again" if error is None else f"does not work, and is tried again: {why}"
            logger.warning("the fleet's database %s", told)

    def _keep(self, connection: Connection) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self._beat(connection)
            self._tell(None)
            self._look_at_accounts(connection)
            self._look_at_version(connection)
            if abandoned := [key for (key,) in connection.execute(_ABANDONED, [self.name]).fetchall()]:
                self._on_abandon(abandoned)
            if self._state.draining:
                self._feeder.stop(connection)
            else:
                self._move(connection)
            self._stop.wait(max(0.0, self._timing.tick.total_seconds() - (time.monotonic() - began)))

    def _move(self, connection: Connection) -> None:
        """Keep the fleet moving: sweep, and feed if this worker has the lease."""
        # Each worker sweeps, as only those on the same machine see at once that a process is gone.
        for name in sweep(connection, self.name, self._timing.limit):
            logger.warning("worker %s is dead: its items are given to others", printable(name))
        if self._feeder.tick(connection) is None:
            return
        give_back_unclaimed(connection)
        if time.monotonic() >= self._tidy_at:
            tidy(connection)
            self._tidy_at = time.monotonic() + self._timing.tidy.total_seconds()

    def _beat(self, connection: Connection) -> None:
        state = self._state
        values = [self.name, *self._identity, list(state.accounts), state.running, state.finished, state.per_minute]
        values += [state.usd_per_minute, state.note, state.draining, state.engine_id]
        row = connection.execute(_BEAT, values).fetchone()
        if row and row[0] > self._comebacks:
            self._comebacks = row[0]
            logger.warning("this worker was taken for dead: its items were given to others, and it goes on")
        if state.engine_id is not None:
            connection.execute(_ENGINE_BEAT, [state.engine_id])
        hear(connection, self._timing.tick, self._timing.limit)

    def _look_at_accounts(self, connection: Connection) -> None:
        found = connection.execute(_ACCOUNTS).fetchall()
        if found != self._known:
            self._known = [(str(a), str(b), str(c), bool(d)) for a, b, c, d in found]
            self._on_accounts(self._known)

    def _look_at_version(self, connection: Connection) -> None:
        row = connection.execute(_VERSION).fetchone()
        if self._is_outdated or row == (VERSION,):
            return
        try:
            check_schema(connection)
        except JournalError as error:
            self._is_outdated = True
            self._state.note = f"{error.what} {error.hint}"
            self._on_outdated(error)

    def _sign_off(self, connection: Connection) -> None:
        self._feeder.stop(connection)
        connection.execute(_END, [self.name])
