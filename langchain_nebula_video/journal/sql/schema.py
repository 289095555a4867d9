"""The versions of a `SqlJournal`'s tables: how new ones are made, and how older ones are migrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from langchain_nebula_video.journal.sql.tables import METADATA, VERSIONS
from langchain_nebula_video.journal.sql.totals import are_kept, keep_totals

__all__ = ["CURRENT", "NewerSchemaError", "Schema", "prepare"]

Migration = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema version of the code, and for each older version, from 1, the migration to the next one."""

    version: int
    steps: Mapping[int, Migration] = field(default_factory=dict)
    oldest: int = 3
    """The oldest schema whose code may use these tables. Raise it only for a change that would make that code wrong."""


def _add_account(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE nebula_entries ADD COLUMN account TEXT"))


def _add_scopes(connection: Connection) -> None:
    columns = "scope TEXT NOT NULL, entry_id TEXT NOT NULL, PRIMARY KEY (scope, entry_id)"
    connection.execute(text(f"CREATE TABLE nebula_scopes ({columns})"))
    connection.execute(text("CREATE INDEX nebula_scopes_entry ON nebula_scopes (entry_id, scope)"))
    connection.execute(text("ALTER TABLE nebula_schema ADD COLUMN oldest INTEGER"))


def _add_totals(connection: Connection) -> None:
    keep_totals(connection)
    wider = {
        "nebula_entries_request": ("ix_nebula_entries_digest", "digest, created_at"),
        "nebula_entries_states": ("nebula_entries_state", "state, created_at, gateway, billed, counted"),
    }
    for name, (narrower, columns) in wider.items():
        connection.execute(text(f"DROP INDEX {narrower}"))
        connection.execute(text(f"CREATE INDEX {name} ON nebula_entries ({columns})"))


def _add_host(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE nebula_entries ADD COLUMN host TEXT"))
    connection.execute(text("ALTER TABLE nebula_entries ADD COLUMN play_money BOOLEAN NOT NULL DEFAULT FALSE"))


CURRENT = Schema(5, {1: _add_account, 2: _add_scopes, 3: _add_totals, 4: _add_host})


class NewerSchemaError(SQLAlchemyError):
    """A newer version of the package wrote the tables, and this one must not use them."""

    hint = "Upgrade: pip install -U langchain-nebula-video"

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"it was written by a newer langchain-nebula-video: its schema is {found}, and this one knows {known}"
        )


def prepare(connection: Connection, schema: Schema = CURRENT) -> None:
    """Create the tables, or migrate older ones. The caller holds a transaction that excludes all others.

    Raises:
        NewerSchemaError: the tables are newer, and do not say that this version may use them.
    """
    version = select(VERSIONS.c.version)
    found = connection.execute(version).scalar() if inspect(connection).has_table(VERSIONS.name) else None
    if found is None:
        METADATA.create_all(connection)
        keep_totals(connection)
        connection.execute(insert(VERSIONS).values(version=schema.version, oldest=schema.oldest))
        return
    if found > schema.version:
        oldest = connection.execute(select(VERSIONS.c.oldest)).scalar()
        if oldest is None or oldest > schema.version:
            raise NewerSchemaError(found, schema.version)
        return
    if found == schema.version:
        if not are_kept(connection):
            keep_totals(connection)
        return
    for step in range(found, schema.version):
        schema.steps[step](connection)
    connection.execute(update(VERSIONS).values(version=schema.version, oldest=schema.oldest))
