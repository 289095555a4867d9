"""The keeper: a thread of each worker that beats, feeds and sweeps, on a connection of its own.

It is a thread so that a busy event loop does not look like a dead worker, and it ends last, so that a drain does not
either.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg

from langchain_nebula_video.errors import printable
from langchain_nebula_video.fleet.database import Connection, Database, is_passing
from langchain_nebula_video.fleet.feeder import Feeder
from langchain_nebula_video.fleet.sweep import sweep, tidy

__all__ = ["Keeper", "Timing", "WorkerState"]

logger = logging.getLogger("langchain_nebula_video.fleet")

_REGISTER = (
    "INSERT INTO nebula_fleet_workers (id, host, pid, holder, version, accounts, concurrency, engine_id, draining) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
# The engine's own beat is off. Another application on the same engine would take this worker for stalled.
_BEAT = (
    "WITH engine AS (UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s) "
    "UPDATE nebula_fleet_workers SET beat_at = now(), accounts = %s, running = %s, finished = %s, per_minute = %s, "
    "usd_per_minute = %s, note = %s, draining = %s, engine_id = %s WHERE id = %s AND ended_at IS NULL"
)
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
    limit: timedelta = timedelta(seconds=10)
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
        new_name: Makes a name for the worker: at first, and after it was taken for dead.
        identity: Host, process id, name for leases, version and concurrency.
        state: What the heartbeat tells.
        timing: How often.
        on_accounts: Called with the accounts of the fleet, when they have changed.
        on_abandon: Called with the keys of running items whose batch was canceled with `abandon`.
    """

    def __init__(
        self,
        database: Database,
        new_name: Callable[[], str],
        identity: tuple[str, int, str, str, int],
        state: WorkerState,
        timing: Timing,
        *,
        on_accounts: Callable[[list[tuple[str, str, str, bool]]], None],
        on_abandon: Callable[[list[str]], None],
    ) -> None:
        self._database = database
        self._new_name = new_name
        self._identity = identity
        self._state = state
        self._timing = timing
        self._on_accounts, self._on_abandon = on_accounts, on_abandon
        self.name = new_name()
        self._registered = False
        self._known: list[tuple[str, str, str, bool]] | None = None
        self._feeder = Feeder(self.name, timing.limit)
        self._healthy_since: float | None = None
        self._beat_at = self._tidy_at = time.monotonic()
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
                self._healthy_since = None
                level = logging.WARNING if is_passing(error) else logging.ERROR
                logger.log(level, "the fleet's database did not work, and is tried again: %s", printable(error))
                self._stop.wait(0.5)
            except Exception:
                self._healthy_since = None
                logger.exception("the fleet's keeper stumbled, and goes on")
                self._stop.wait(1.0)

    def _keep(self, connection: Connection) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self._beat(connection)
            self._look_at_accounts(connection)
            if abandoned := [key for (key,) in connection.execute(_ABANDONED, [self.name]).fetchall()]:
                self._on_abandon(abandoned)
            if self._state.draining:
                self._feeder.stop(connection)
            elif self._feeder.tick(connection) is not None:
                self._sweep(connection)
            self._stop.wait(max(0.0, self._timing.tick.total_seconds() - (time.monotonic() - began)))

    def _sweep(self, connection: Connection) -> None:
        limit = self._timing.limit
        healthy = self._healthy_since is not None and time.monotonic() - self._healthy_since > limit.total_seconds()
        for name in sweep(connection, self.name, limit, healthy=healthy):
            logger.warning("worker %s is dead: its items are given to others", printable(name))
        if time.monotonic() >= self._tidy_at:
            tidy(connection)
            self._tidy_at = time.monotonic() + self._timing.tidy.total_seconds()

    def _beat(self, connection: Connection) -> None:
        state = self._state
        if self._registered:
            values: list[Any] = [state.engine_id, list(state.accounts), state.running, state.finished]
            values += [state.per_minute, state.usd_per_minute, state.note, state.draining, state.engine_id, self.name]
            if connection.execute(_BEAT, values).rowcount == 0:
                logger.warning("this worker was taken for dead, and goes on under a new name")
                self._registered = False
                self.name = self._new_name()
                self._feeder = Feeder(self.name, self._timing.limit)
        if not self._registered:
            host, process, holder, version, concurrency = self._identity
            values = [self.name, host, process, holder, version, list(state.accounts), concurrency]
            connection.execute(_REGISTER, [*values, state.engine_id, state.draining])
            self._registered = True
        now = time.monotonic()
        # After a gap, in which this machine slept or the database hung, the others' heartbeats are old too.
        if self._healthy_since is None or now - self._beat_at > self._timing.limit.total_seconds() / 2:
            self._healthy_since = now
        self._beat_at = now

    def _look_at_accounts(self, connection: Connection) -> None:
        found = connection.execute(_ACCOUNTS).fetchall()
        if found != self._known:
            self._known = [(str(a), str(b), str(c), bool(d)) for a, b, c, d in found]
            self._on_accounts(self._known)

    def _sign_off(self, connection: Connection) -> None:
        self._feeder.stop(connection)
        connection.execute(_END, [self.name])
