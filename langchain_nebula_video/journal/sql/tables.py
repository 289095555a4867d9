"""The tables of a `SqlJournal`, as new ones are made. `schema` migrates older ones, and `totals` has the sums.

Moments are whole microseconds since 1970, so they are exact and can be sorted. Each amount of money has two columns:
the text as it was given, and whole trillionths of a dollar for sums.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text, false

__all__ = ["ADOPTED", "ENTRIES", "METADATA", "SCOPES", "VERSIONS"]

METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite autoincrements only a column of type INTEGER

ENTRIES = Table(
    "nebula_entries",
    METADATA,
    Column("seq", _NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("key", Text, unique=True),
    Column("gateway", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("digest", BigInteger, nullable=False),
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
    Column("host", Text),
    Column("play_money", Boolean, nullable=False, server_default=false()),  # older versions do not write it
    Column("reserved", BigInteger, nullable=False),
    Column("billed", BigInteger),
    Column(
        "counted", BigInteger, nullable=False
    ),  # not a generated column: SQLite does not count these as covered by an index
)
# Not unique: if a gateway gives the same task id twice, the paid task must still be recorded.
Index("nebula_entries_task", ENTRIES.c.gateway, ENTRIES.c.task_id)
Index("nebula_entries_request", ENTRIES.c.digest, ENTRIES.c.created_at)
# The command `tasks` counts and sums up from this index alone.
Index(
    "nebula_entries_states",
    *(ENTRIES.c[name] for name in ("state", "created_at", "gateway", "billed", "counted")),
)
Index("nebula_entries_spent", ENTRIES.c.created_at, ENTRIES.c.counted)  # a budget reads the index alone

ADOPTED = Table(
    "nebula_adopted",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("entry_id", Text, nullable=False, index=True),
)
"""More keys of an entry: those of the calls that adopted it."""

SCOPES = Table(
    "nebula_scopes",
    METADATA,
    Column("scope", Text, primary_key=True),
    Column("entry_id", Text, primary_key=True),
)
"""The scopes of an entry."""
Index("nebula_scopes_entry", SCOPES.c.entry_id, SCOPES.c.scope)

VERSIONS = Table(
    "nebula_schema",
    METADATA,
    Column("version", Integer, nullable=False),
    Column("oldest", Integer),  # the oldest schema whose code may use the tables; since schema 3
)
