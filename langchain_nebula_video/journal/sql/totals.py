"""Running totals of what a `SqlJournal` counts, so that a budget costs the same at a thousand and at a million rows.

The table has a sum for each stretch of time (see `stretches`).

Triggers keep the totals, in the transaction that changes a row. So they are right whoever writes: a process with an
older version of this package too, and a person at a prompt.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    column,
    func,
    literal_column,
    select,
    table,
    text,
    union_all,
)

from langchain_nebula_video.journal.budget import from_trillionths
from langchain_nebula_video.journal.sql.tables import ENTRIES, SCOPES
from langchain_nebula_video.journal.stretches import LEVELS, bounds

__all__ = ["are_kept", "in_scope", "keep_totals", "sum_spent", "sum_up", "to_dollars"]

# In two parts, because a sum in SQLite overflows at 2**63 - 1 trillionths, which is nine million dollars.
_MILLION = 1_000_000
_PARTS = (f"/ {_MILLION}", f"% {_MILLION}")

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS nebula_totals (
    level INTEGER NOT NULL, bucket BIGINT NOT NULL, whole BIGINT NOT NULL, rest BIGINT NOT NULL,
    PRIMARY KEY (level, bucket)
)
"""
# The longest first: whoever has changed its row has the others to itself, so no two processes wait for each other.
_ADD = f"""
INSERT INTO nebula_totals (level, bucket, whole, rest)
SELECT level, created_at >> level, {", ".join(f"SUM(sign * (counted {part}))" for part in _PARTS)}
FROM ({{changes}}) AS changes, (SELECT {" UNION ALL SELECT ".join(f"{level} AS level" for level in LEVELS)}) AS levels
WHERE true
GROUP BY 1, 2 ORDER BY 1 DESC, 2
ON CONFLICT (level, bucket) DO UPDATE
SET whole = nebula_totals.whole + excluded.whole, rest = nebula_totals.rest + excluded.rest
"""  # noqa: S608 all of the text is from this file
_NEW, _OLD = (
    f"SELECT {row}.created_at AS created_at, {row}.counted AS counted, {sign} AS sign"
    for row, sign in (("new", 1), ("old", -1))
)
_ADD_ALL = _ADD.format(changes="SELECT created_at, counted, 1 AS sign FROM nebula_entries")
_CHANGES = {"INSERT": _NEW, "UPDATE": f"{_OLD} UNION ALL {_NEW}", "DELETE": _OLD}
_ADD_CHANGE = {event: _ADD.format(changes=changes) for event, changes in _CHANGES.items()}
_TRIGGERS = {
    "INSERT": "",
    "UPDATE OF created_at, counted": "WHEN ((new.created_at, new.counted) <> (old.created_at, old.counted))",
    "DELETE": "",
}
"""The condition of each event's trigger."""
_NAMES_OF_TRIGGERS = [f"nebula_totals_{event.partition(' ')[0].lower()}" for event in _TRIGGERS]
_COUNT_TRIGGERS = {
    "sqlite": "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name IN {}",
    "postgresql": "SELECT COUNT(*) FROM pg_trigger WHERE tgrelid = 'nebula_entries'::regclass AND tgenabled <> 'D' "
    "AND tgname IN {}",
}
_POSTGRES_FUNCTION = f"""
CREATE OR REPLACE FUNCTION nebula_add_to_totals() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    {" ".join(f"IF TG_OP = '{event}' THEN {statement}; END IF;" for event, statement in _ADD_CHANGE.items())}
    RETURN NULL;
END $$
"""


def are_kept(connection: Connection) -> bool:
    """Return whether the triggers are there. A backup that was restored in part may lack them, and sums would stand."""
    names = ", ".join(f"'{name}'" for name in _NAMES_OF_TRIGGERS)
    count = text(_COUNT_TRIGGERS[connection.dialect.name].format(f"({names})"))
    return connection.execute(count).scalar() == len(_NAMES_OF_TRIGGERS)


def keep_totals(connection: Connection) -> None:
    """Create the totals of the rows that are there, and the triggers that keep them, in the caller's transaction."""
    sqlite = connection.dialect.name == "sqlite"
    # Whoever has dropped the other tables, to begin anew, may have left this one and the function.
    connection.execute(text(f"{_CREATE_TABLE}{' WITHOUT ROWID' if sqlite else ''}"))
    connection.execute(text("DELETE FROM nebula_totals"))
    if not sqlite:
        connection.execute(text(_POSTGRES_FUNCTION))
    # The triggers come before the sums: to create one in PostgreSQL waits for the writers, and keeps new ones away.
    for name, (event, condition) in zip(_NAMES_OF_TRIGGERS, _TRIGGERS.items(), strict=True):
        word = event.partition(" ")[0]
        connection.execute(text(f"DROP TRIGGER IF EXISTS {name}{'' if sqlite else ' ON nebula_entries'}"))
        action = f"BEGIN {_ADD_CHANGE[word]}; END" if sqlite else "EXECUTE FUNCTION nebula_add_to_totals()"
        head = f"CREATE TRIGGER {name} AFTER {event} ON nebula_entries FOR EACH ROW"
        connection.execute(text(f"{head} {condition} {action}"))
    connection.execute(text(_ADD_ALL))


# --- sums ---

_E = ENTRIES.c
_NAMES = ("whole", "rest")
_TOTALS = table("nebula_totals", *(column(name, BigInteger()) for name in ("level", "bucket", *_NAMES)))
_T = _TOTALS.c
_SINCE: BindParameter[int] = bindparam("since", type_=BigInteger())
in_scope = _E.id.in_(select(SCOPES.c.entry_id).where(SCOPES.c.scope == bindparam("of_scope")))


def _parts(amount: ColumnElement[Any]) -> list[Any]:
    return [literal_column(f"{amount.name} {part}").label(name) for part, name in zip(_PARTS, _NAMES, strict=True)]


def sum_up(amount: ColumnElement[Any]) -> list[Any]:
    """Return the columns of a sum of trillionths, in two parts, as `to_dollars` takes them."""
    return [_total(part) for part in _parts(amount)]


def _total(part: Any) -> Any:
    return func.coalesce(func.sum(part), 0)


def _between(level: int, moment: Any) -> Select[Any]:
    """Return the statement of a level's sums between its two bounds, or of the rows. The last level has one bound."""
    rows = select(_T.whole, _T.rest).where(_T.level == level) if level else select(*_parts(_E.counted))
    low, high = (bindparam(f"{side}_{level}", type_=BigInteger()) for side in ("from", "to"))
    return rows.where(moment >= low) if level == LEVELS[-1] else rows.where(moment >= low, moment < high)


_SUM_ALL = select(_total(_T.whole), _total(_T.rest)).where(_T.level == LEVELS[-1])
_after = union_all(_between(0, _E.created_at), *(_between(level, _T.bucket) for level in LEVELS)).subquery().c
_SUM_AFTER = select(_total(_after.whole), _total(_after.rest))
_SUM_SCOPE = select(*sum_up(_E.counted)).where(in_scope)
_SUM_SCOPE_AFTER = _SUM_SCOPE.where(_E.created_at > _SINCE)


def sum_spent(since: int | None, scope: str | None) -> tuple[Select[Any], dict[str, Any]]:
    """Return the statement of the sum of what counts, in two parts, and its values.

    Args:
        since: Of the entries made after this moment, in microseconds.
        scope: Of the entries with this scope. They are few, and are read.
    """
    if scope is not None:
        values = {"of_scope": scope}
        return (_SUM_SCOPE, values) if since is None else (_SUM_SCOPE_AFTER, {"since": since, **values})
    return (_SUM_ALL, {}) if since is None else (_SUM_AFTER, _parameters(since))


def _parameters(since: int) -> dict[str, int]:
    """Return the parameters of `_SUM_AFTER` for a moment: the bounds of the rows, and of each level."""
    sides = zip((0, *LEVELS), bounds(since), strict=True)
    return {
        f"{side}_{level}": bound
        for level, both in sides
        for side, bound in zip(("from", "to"), both, strict=True)
        if bound is not None
    }


def to_dollars(whole: int, rest: int) -> Decimal:
    """Return a sum, in two parts, as US dollars."""
    return from_trillionths(int(whole) * _MILLION + int(rest))
