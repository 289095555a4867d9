"""The fleet's tables, beside the journal's, and the engine's.

```text
meta       one row: the fleet's name, the version of these tables, the feeder's lease, since when workers are heard
accounts   where videos are paid: gateway, address, limits, pauses; never a key
batches    what was enqueued together: settings, budget, state
items      one video each; the primary key is the journal's key
counts     items and dollars by batch and state, in slots, kept by triggers: nobody ever counts items
workers    who lives, by a heartbeat of our own
broken     rows of lists that cannot become videos
images     the bytes of local images, for workers on other machines
```
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import LiteralString

from procrastinate.schema import SchemaManager

from langchain_nebula_video.errors import JournalError
from langchain_nebula_video.fleet.database import Connection

__all__ = ["MIGRATIONS", "VERSION", "check_schema", "install"]

_LOCK = 0x6E6562756C61 + 100  # beside the journal's locks, which count from the same number

_TABLES: LiteralString = """
CREATE TABLE nebula_fleet_meta (
    name text NOT NULL,
    version int NOT NULL,
    engine text,
    feeder text,
    feeder_until timestamptz NOT NULL DEFAULT '-infinity',
    heard_at timestamptz NOT NULL DEFAULT now(),
    heard_since timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE nebula_fleet_accounts (
    id text PRIMARY KEY,
    gateway text NOT NULL,
    base_url text NOT NULL,
    allow_http boolean NOT NULL,
    cap int,
    rate int,
    tokens double precision NOT NULL DEFAULT 0,
    tokens_at timestamptz NOT NULL DEFAULT now(),
    paused_until timestamptz,
    resumed_at timestamptz,
    reason text,
    refusals int NOT NULL DEFAULT 0
);
CREATE TABLE nebula_fleet_batches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    account text NOT NULL REFERENCES nebula_fleet_accounts,
    state text NOT NULL DEFAULT 'running',
    settings json NOT NULL,
    budget numeric,
    priority int NOT NULL DEFAULT 0,
    not_before timestamptz,
    hours text,
    paused_until timestamptz,
    reason text,
    refusals int NOT NULL DEFAULT 0,
    abandon boolean NOT NULL DEFAULT false,
    waiter json,
    size bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX nebula_fleet_batches_waiter ON nebula_fleet_batches (id)
    WHERE waiter IS NOT NULL AND waiter->>'told_at' IS NULL;
CREATE TABLE nebula_fleet_items (
    key text COLLATE "C" PRIMARY KEY,
    batch_id bigint NOT NULL,
    n bigint NOT NULL,
    request json NOT NULL,
    content text,
    tag json,
    state text NOT NULL DEFAULT 'waiting',
    usd numeric NOT NULL DEFAULT 0,
    reserved boolean NOT NULL DEFAULT false,
    attempt int NOT NULL DEFAULT 1,
    errors int NOT NULL DEFAULT 0,
    claims int NOT NULL DEFAULT 0,
    next_at timestamptz,
    job_id bigint,
    worker text,
    video json,
    error text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX nebula_fleet_items_waiting ON nebula_fleet_items (batch_id, reserved, n) WHERE state = 'waiting';
CREATE INDEX nebula_fleet_items_delayed ON nebula_fleet_items (next_at) WHERE state = 'delayed';
CREATE INDEX nebula_fleet_items_queued ON nebula_fleet_items (updated_at) WHERE state = 'queued';
CREATE INDEX nebula_fleet_items_running ON nebula_fleet_items (worker) WHERE state = 'running';
CREATE INDEX nebula_fleet_items_ended ON nebula_fleet_items (batch_id, updated_at)
    WHERE state IN ('done', 'failed', 'unconfirmed', 'canceled');
CREATE INDEX nebula_fleet_items_undone ON nebula_fleet_items (batch_id, state, updated_at)
    WHERE state IN ('failed', 'unconfirmed', 'canceled');
CREATE TABLE nebula_fleet_counts (
    batch_id bigint NOT NULL,
    slot smallint NOT NULL,
    state text NOT NULL,
    items bigint NOT NULL,
    usd numeric NOT NULL,
    reserved numeric NOT NULL,
    PRIMARY KEY (batch_id, slot, state)
) WITH (fillfactor = 50);
CREATE TABLE nebula_fleet_workers (
    id text PRIMARY KEY,
    host text NOT NULL,
    pid int NOT NULL,
    holder text NOT NULL,
    version text NOT NULL,
    accounts text[] NOT NULL,
    concurrency int NOT NULL,
    running int NOT NULL DEFAULT 0,
    finished bigint NOT NULL DEFAULT 0,
    per_minute real NOT NULL DEFAULT 0,
    usd_per_minute numeric NOT NULL DEFAULT 0,
    note text,
    draining boolean NOT NULL DEFAULT false,
    engine_id bigint,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    died boolean NOT NULL DEFAULT false,
    comebacks int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE nebula_fleet_broken (
    batch_id bigint NOT NULL,
    place text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, place)
);
CREATE TABLE nebula_fleet_images (
    batch_id bigint NOT NULL,
    digest text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (batch_id, digest)
);
ALTER TABLE nebula_fleet_images ALTER COLUMN data SET STORAGE EXTERNAL;
"""
# An image is compressed already: EXTERNAL keeps PostgreSQL from trying it again.

_TRIGGERS: LiteralString = """
CREATE FUNCTION nebula_fleet_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO nebula_fleet_counts AS c (batch_id, slot, state, items, usd, reserved)
        SELECT batch_id, pg_backend_pid() % 16, state, count(*), sum(usd), sum(CASE WHEN reserved THEN usd ELSE 0 END)
        FROM new_rows GROUP BY batch_id, state ORDER BY batch_id, state
        ON CONFLICT (batch_id, slot, state) DO UPDATE
        SET items = c.items + excluded.items, usd = c.usd + excluded.usd, reserved = c.reserved + excluded.reserved;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO nebula_fleet_counts AS c (batch_id, slot, state, items, usd, reserved)
        SELECT batch_id, pg_backend_pid() % 16, state, -count(*), -sum(usd),
               -sum(CASE WHEN reserved THEN usd ELSE 0 END)
        FROM old_rows GROUP BY batch_id, state ORDER BY batch_id, state
        ON CONFLICT (batch_id, slot, state) DO UPDATE
        SET items = c.items + excluded.items, usd = c.usd + excluded.usd, reserved = c.reserved + excluded.reserved;
    ELSE
        INSERT INTO nebula_fleet_counts AS c (batch_id, slot, state, items, usd, reserved)
        SELECT batch_id, pg_backend_pid() % 16, state, sum(sign), sum(sign * usd),
               sum(CASE WHEN reserved THEN sign * usd ELSE 0 END)
        FROM (SELECT batch_id, state, usd, reserved, 1 AS sign FROM new_rows
              UNION ALL SELECT batch_id, state, usd, reserved, -1 FROM old_rows) AS changes
        GROUP BY batch_id, state
        HAVING sum(sign) <> 0 OR sum(sign * usd) <> 0 OR sum(CASE WHEN reserved THEN sign * usd ELSE 0 END) <> 0
        ORDER BY batch_id, state
        ON CONFLICT (batch_id, slot, state) DO UPDATE
        SET items = c.items + excluded.items, usd = c.usd + excluded.usd, reserved = c.reserved + excluded.reserved;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER nebula_fleet_count_insert AFTER INSERT ON nebula_fleet_items
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION nebula_fleet_count();
CREATE TRIGGER nebula_fleet_count_update AFTER UPDATE ON nebula_fleet_items
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION nebula_fleet_count();
CREATE TRIGGER nebula_fleet_count_delete AFTER DELETE ON nebula_fleet_items
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION nebula_fleet_count();
"""

# The engine's tables hold little and change much: vacuum comes by the hundred rows, not by the fifth of a table.
_UPKEEP: LiteralString = """
ALTER TABLE procrastinate_jobs SET (autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE procrastinate_events SET (autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE nebula_fleet_counts SET (autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE nebula_fleet_items SET (autovacuum_vacuum_scale_factor = 0.02);
"""


MIGRATIONS: tuple[tuple[LiteralString, ...], ...] = ((_TABLES, _TRIGGERS, _UPKEEP),)
"""What makes each version of the fleet's tables from the one before. A version that was published is never changed."""
VERSION = len(MIGRATIONS)
"""The version of the fleet's tables that this code makes and uses."""


def install(connection: Connection, migrations: Sequence[Sequence[LiteralString]] = MIGRATIONS) -> bool:
    """Make the fleet's tables and the engine's, or bring older ones up to date; whether anything was done.

    Any number of processes may do it at the same time.

    Args:
        connection: To the database.
        migrations: What makes each version from the one before.

    Raises:
        JournalError: a newer version made them, or the engine's tables are another application's and too old.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        found = _version(connection)
        newest = len(migrations)
        if found is not None and found > newest:
            raise _too_new(found, newest)
        engine = _install_engine(connection) if found is None else _upgrade_engine(connection)
        for statements in migrations[found or 0 :]:
            for statement in statements:
                connection.execute(statement)
        if found is None:
            # The engine's channels belong to the database, and not to a schema: the name keeps two fleets apart.
            values = [uuid.uuid4().hex[:8], newest, engine]
            connection.execute("INSERT INTO nebula_fleet_meta (name, version, engine) VALUES (%s, %s, %s)", values)
        else:
            connection.execute("UPDATE nebula_fleet_meta SET version = %s, engine = %s", [newest, engine])
        return found != newest


def check_schema(connection: Connection) -> str:
    """Check that this code can use the fleet's tables, and return the fleet's name.

    Raises:
        JournalError: there are none, or they are of another version.
    """
    version = _version(connection)
    if version is None:
        raise JournalError("There is no fleet in this database.", hint="Make its tables: nebula-video fleet init")
    if version > VERSION:
        raise _too_new(version, VERSION)
    if version < VERSION:
        raise JournalError(
            f"The fleet's tables have version {version}, and this version of langchain-nebula-video needs {VERSION}.",
            hint="Bring them up to date: nebula-video fleet init. Older workers then stop, and have to be upgraded.",
        )
    row = connection.execute("SELECT name FROM nebula_fleet_meta").fetchone()
    assert row is not None  # noqa: S101 the version was read from it
    return str(row[0])


def _too_new(version: int, known: int) -> JournalError:
    return JournalError(
        f"The fleet's tables have version {version}, and this version of langchain-nebula-video knows {known}.",
        hint="Upgrade this machine: pip install -U 'langchain-nebula-video[fleet]'",
    )


def _version(connection: Connection) -> int | None:
    if not _has(connection, "nebula_fleet_meta"):
        return None
    row = connection.execute("SELECT version FROM nebula_fleet_meta").fetchone()
    return None if row is None else int(row[0])


def _has(connection: Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
    return row is not None and row[0] is not None


# --- the engine's tables ---


def _install_engine(connection: Connection) -> str | None:
    """Make the engine's tables, or use those of another application; the migration that they have, if they are ours."""
    if _has(connection, "procrastinate_jobs"):
        _check_functions(connection)
        return None
    connection.execute(SchemaManager.get_schema())
    return _engine_migrations()[-1].name


def _upgrade_engine(connection: Connection) -> str | None:
    """Run the engine's migrations that are newer than its tables, if these are ours."""
    row = connection.execute("SELECT engine FROM nebula_fleet_meta").fetchone()
    had = None if row is None else row[0]
    if had is not None:
        for file in _engine_migrations():
            if file.name > had:
                connection.execute(file.read_bytes())
        had = max(had, _engine_migrations()[-1].name)
    _check_functions(connection)
    return had


def _check_functions(connection: Connection) -> None:
    """Check that the engine's tables have what this version of the engine calls."""
    found = connection.execute("SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace")
    missing = sorted(_engine_functions() - {name for (name,) in found.fetchall()})
    if missing:
        raise JournalError(
            f"The tables of procrastinate in this schema are older than the installed one: {missing[0]} is missing.",
            hint="They are another application's: upgrade them with its migrations, "
            "or give the fleet a schema of its own: ?options=-csearch_path%3Dfleet",
        )


@cache
def _engine_migrations() -> Sequence[Path]:
    """Its files of SQL, in their order."""
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


@cache
def _engine_functions() -> frozenset[str]:
    return frozenset(re.findall(r"CREATE FUNCTION (\w+)", SchemaManager.get_schema()))
