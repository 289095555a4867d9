"""The tables of a `SqlJournal`, and their migrations.

Moments are whole microseconds since 1970, so they are exact and can be sorted. Each amount of money has two columns:
the text as it was given, and whole trillionths of a dollar for sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["ADOPTED", "CURRENT", "ENTRIES", "SCOPES", "VERSIONS", "NewerSchemaError", "Schema", "prepare"]

_METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite autoincrements only a column of type INTEGER

ENTRIES = Table(
    "nebula_entries",
    _METADATA,
    Column("seq", _NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("key", Text, unique=True),
    Column("gateway", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("digest", BigInteger, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("task_id", Text),
    Column("reserved_usd", Text, nullable=False),
    Column("billed_usd", Text),
    Column("video", Text),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("lost_at", BigInteger),
    Column("abandoned", Boolean, nullable=False),
    Column("holder", Text),
    Column("held_until", BigInteger),
    Column("updated_at", BigInteger),
    Column("adopted_by", Text),
    Column("account", Text),
    Column("reserved", BigInteger, nullable=False),
    Column("billed", BigInteger),
    Column(
        "counted", BigInteger, nullable=False
    ),  # not a generated column: SQLite does not count these as covered by an index
)
# Not unique: if a gateway gives the same task id twice, the paid task must still be recorded.
Index("nebula_entries_task", ENTRIES.c.gateway, ENTRIES.c.task_id)
Index("nebula_entries_state", ENTRIES.c.state, ENTRIES.c.created_at)
Index("nebula_entries_spent", ENTRIES.c.created_at, ENTRIES.c.counted)  # a budget reads the index alone

ADOPTED = Table(
    "nebula_adopted",
    _METADATA,
    Column("key", Text, primary_key=True),
    Column("entry_id", Text, nullable=False, index=True),
)
"""More keys of an entry: those of the calls that adopted it."""

SCOPES = Table(
    "nebula_scopes",
    _METADATA,
    Column("scope", Text, primary_key=True),
    Column("entry_id", Text, primary_key=True),
)
"""The scopes of an entry."""
Index("nebula_scopes_entry", SCOPES.c.entry_id, SCOPES.c.scope)

VERSIONS = Table(
    "nebula_schema",
    _METADATA,
    Column("version", Integer, nullable=False),
    Column("oldest", Integer),  # the oldest schema whose code may use the tables; since schema 3
)

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


CURRENT = Schema(3, {1: _add_account, 2: _add_scopes})


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
        _METADATA.create_all(connection)
        connection.execute(insert(VERSIONS).values(version=schema.version, oldest=schema.oldest))
        return
    if found > schema.version:
        oldest = connection.execute(select(VERSIONS.c.oldest)).scalar()
        if oldest is None or oldest > schema.version:
            raise NewerSchemaError(found, schema.version)
        return
    if found == schema.version:
        return
    for step in range(found, schema.version):
        schema.steps[step](connection)
    connection.execute(update(VERSIONS).values(version=schema.version, oldest=schema.oldest))
