"""The SQL statements of a `SqlJournal`, built once and compiled once for each kind of database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from langchain_nebula_video.journal.entries import FORGETTABLE_STATES, UNBILLED_STATES, EntryState
from langchain_nebula_video.journal.sql.rows import FIELDS, SCOPE_SEPARATOR
from langchain_nebula_video.journal.sql.tables import ADOPTED, ENTRIES, SCOPES, VERSIONS
from langchain_nebula_video.journal.sql.totals import in_scope, sum_up

__all__ = [
    "ADOPT",
    "BEGIN",
    "CAN_BEGIN",
    "CLAIM",
    "DELETE",
    "DELETE_KEYS",
    "DELETE_SCOPES",
    "EXISTS",
    "FIND",
    "FIND_ABANDONED",
    "FIND_BY_TASK",
    "FIND_CLAIMED",
    "FIND_FOR_UPDATE",
    "FIND_OWN",
    "FIND_REPEATED",
    "FIND_SWEPT",
    "FORGET",
    "HOLD",
    "INSERT",
    "INSERT_KEY",
    "INSERT_SCOPE",
    "MARK_UNCONFIRMED",
    "RELEASE",
    "SWEEP_SENT",
    "SWEEP_UNSENT",
    "VERSION",
    "filter_entries",
    "update_entry",
]

VERSION = select(VERSIONS.c.version)
_E = ENTRIES.c
_separator: Any = literal_column(f"'{SCOPE_SEPARATOR}'")  # a text would be a parameter that is bound late
_joined_scopes = (
    select(func.aggregate_strings(SCOPES.c.scope, _separator))
    .where(SCOPES.c.entry_id == _E.id)
    .correlate(ENTRIES)
    .scalar_subquery()
)
_ROW: list[Any] = [*(ENTRIES.c[name] for name in FIELDS), _joined_scopes]
_SUBMITTING = EntryState.SUBMITTING.value
_MONEY = frozenset({"billed", "reserved", "state"})
_UNCONFIRMED = EntryState.UNCONFIRMED.value

# No parameter has a column's name: SQLAlchemy reserves these for the values that are set.
_ID: BindParameter[str] = bindparam("of_id")
_KEY: BindParameter[str] = bindparam("of_key")
_GATEWAY: BindParameter[str] = bindparam("of_gateway")
_TASK: BindParameter[str] = bindparam("of_task")
_DIGEST: BindParameter[int] = bindparam("of_digest", type_=BigInteger())
_HOLDER: BindParameter[str] = bindparam("by_holder")
_BY: BindParameter[str] = bindparam("by_id")
_NOW: BindParameter[int] = bindparam("now", type_=BigInteger())
_UNTIL: BindParameter[int] = bindparam("until", type_=BigInteger())
_SINCE: BindParameter[int] = bindparam("since", type_=BigInteger())
_RECENT: BindParameter[int] = bindparam("recent", type_=BigInteger())
_PREFIX: BindParameter[str] = bindparam("prefix")
_LENGTH: BindParameter[int] = bindparam("length", type_=Integer())
_LIMIT: BindParameter[int] = bindparam("most", type_=BigInteger())
_CAP: BindParameter[int] = bindparam("cap", type_=BigInteger())

# --- find ---

_adopted_id = select(ADOPTED.c.entry_id).where(ADOPTED.c.key == _KEY).scalar_subquery()
FIND = select(*_ROW).where(or_(_E.key == _KEY, _E.id == _adopted_id))
FIND_BY_TASK = select(*_ROW).where(_E.gateway == _GATEWAY, _E.task_id == _TASK).order_by(_E.seq.desc()).limit(1)

_orphaned = and_(_E.state == _SUBMITTING, _E.held_until <= _NOW)
# FOR UPDATE is for PostgreSQL, where another process may change the entry now. SQLite has one writer.
FIND_FOR_UPDATE = FIND.with_for_update(of=ENTRIES)
FIND_OWN = select(*_ROW).where(or_(_E.id == _ID, and_(_E.digest == _DIGEST, _E.adopted_by == _ID)))
_may_be_billed = [_E.state != state.value for state in sorted(UNBILLED_STATES)]


def _repeated(*more: ColumnElement[bool]) -> Select[Any]:
    """Return the statement that finds entries of the same request that a new one may join, oldest first."""
    return (
        select(*_ROW)
        .where(_E.digest == _DIGEST, _E.created_at > _SINCE, *_may_be_billed, or_(_E.abandoned, _orphaned, *more))
        .order_by(_E.created_at, _E.id)
        .with_for_update(of=ENTRIES)
    )


FIND_ABANDONED = _repeated()
FIND_REPEATED = _repeated(and_(_E.key.is_(None), or_(_E.created_at > _RECENT, _E.holder.is_not(None))))

# --- write ---

INSERT = insert(ENTRIES).inline()


@lru_cache
def _update_statement(given: frozenset[str]) -> ReturningUpdate[Any]:
    """Return the UPDATE of an entry. If `given` names columns of money or state, it recomputes the column `counted`."""
    statement = update(ENTRIES).where(_E.id == _ID)
    if given:
        billed, reserved, free = (bindparam(f"new_{name}", type_=BigInteger()) if name in given else None
                                  for name in ("billed", "reserved", "state"))  # fmt: skip
        bill: Any = _E.billed if billed is None else billed
        unbilled = or_(*(_E.state == state.value for state in sorted(UNBILLED_STATES))) if free is None else free == 1
        counts = case((bill.is_not(None), bill), (unbilled, 0), else_=_E.reserved if reserved is None else reserved)
        statement = statement.values(counted=counts)
    return statement.returning(*_ROW)


def update_entry(entry_id: str, row: Mapping[str, Any]) -> tuple[ReturningUpdate[Any], dict[str, Any]]:
    """Return the statement that changes columns of an entry, and its values."""
    values = {"of_id": entry_id, **row}
    given = _MONEY & row.keys()
    for name in given:
        values[f"new_{name}"] = row[name] if name != "state" else int(row[name] in UNBILLED_STATES)
    return _update_statement(frozenset(given)), values


INSERT_KEY = insert(ADOPTED)
_taken_over = {"abandoned": False, "adopted_by": _BY, "updated_at": _NOW, "holder": _HOLDER, "held_until": _UNTIL}
ADOPT = update(ENTRIES).where(_E.id == _ID).values(**_taken_over).returning(*_ROW)
DELETE = delete(ENTRIES).where(_E.id == _ID)
_forgettable = or_(*(_E.state == state.value for state in sorted(FORGETTABLE_STATES)))
FORGET = DELETE.where(_E.task_id.is_(None), _forgettable)
EXISTS = select(_E.id).where(_E.id == _ID)
DELETE_KEYS = delete(ADOPTED).where(ADOPTED.c.entry_id == _ID)
INSERT_SCOPE = insert(SCOPES)
DELETE_SCOPES = delete(SCOPES).where(SCOPES.c.entry_id == _ID)

_lost: dict[str, Any] = {"state": _UNCONFIRMED, "abandoned": True, "lost_at": _E.held_until, "updated_at": _NOW}
MARK_UNCONFIRMED = update(ENTRIES).where(_E.id == _ID).values(**_lost).returning(*_ROW)
SWEEP_SENT = update(ENTRIES).where(_orphaned, _E.sent_at.is_not(None)).values(**_lost)
SWEEP_UNSENT = delete(ENTRIES).where(_orphaned, _E.sent_at.is_(None)).returning(_E.id)
FIND_SWEPT = (
    select(*_ROW)
    .where(_E.state == _UNCONFIRMED, _E.updated_at == _NOW, _E.lost_at.is_not(None))
    .order_by(_E.created_at, _E.id)
)

_other = ENTRIES.alias("other")
_in_flight = (
    select(func.count())
    .select_from(_other)
    .where(
        _other.c.state == _SUBMITTING,
        # The concatenation prevents an index: SQLite might take that of tasks, and read all rows of the gateway.
        _other.c.gateway.concat(literal_column("''")) == _E.gateway,
        _other.c.sent_at.is_not(None),
        _other.c.held_until > _NOW,
        _other.c.id != _E.id,
    )
    .scalar_subquery()
)
_can_hold = or_(_E.holder.is_(None), _E.holder == _HOLDER, _E.held_until.is_(None), _E.held_until <= _NOW)
_begun = and_(_E.sent_at == _NOW, _E.holder == _HOLDER)  # this very call did it, and its answer was lost
CAN_BEGIN = select(func.count()).select_from(ENTRIES).where(_E.id == _ID, _E.state == _SUBMITTING, _can_hold)
BEGIN = (
    update(ENTRIES)
    .where(_E.id == _ID, _E.state == _SUBMITTING, _can_hold, or_(_in_flight < _CAP, _begun))
    .values(sent_at=_NOW, holder=_HOLDER, held_until=_UNTIL, updated_at=_NOW)
)
HOLD = update(ENTRIES).where(_E.id == _ID, _can_hold).values(holder=_HOLDER, held_until=_UNTIL).returning(*_ROW)
RELEASE = update(ENTRIES).where(_E.id == _ID, _E.holder == _HOLDER).values(holder=None, held_until=None)

_taken = select(_other.c.id).where(_other.c.gateway == _E.gateway, _other.c.task_id == _TASK, _other.c.id != _E.id)
CLAIM = (
    update(ENTRIES)
    .where(_E.id == _ID, _E.task_id.is_(None), _E.state == _UNCONFIRMED, ~_taken.exists())
    .values(
        task_id=_TASK,
        state=EntryState.SUBMITTED.value,
        reason=None,
        abandoned=False,
        updated_at=_NOW,
        counted=func.coalesce(_E.billed, _E.reserved),
    )
    .returning(*_ROW)
)
FIND_CLAIMED = select(*_ROW).where(_E.id == _ID, _E.task_id == _TASK, ~_taken.exists())

# --- list and summarize ---

_of_unknown_state = and_(*(_E.state != state.value for state in EntryState if state is not EntryState.UNKNOWN))
_FILTERS: dict[str, ColumnElement[bool]] = {
    "of_gateway": _E.gateway == _GATEWAY,
    "since": _E.created_at > _SINCE,
    "prefix": func.substr(_E.key, 1, _LENGTH) == _PREFIX,
    "of_scope": in_scope,
    "of_digest": _E.digest == _DIGEST,
}
_KINDS: dict[str, Select[Any]] = {
    "oldest": select(*_ROW).order_by(_E.created_at, _E.seq),
    "newest": select(*_ROW).order_by(_E.created_at.desc(), _E.seq.desc()),
    "summary": select(_E.state, func.count(), *sum_up(_E.billed), *sum_up(_E.counted)).group_by(_E.state),
}


@lru_cache
def _filtered(kind: str, states: int | None, given: frozenset[str], *, unknown: bool) -> Select[Any]:
    statement = _KINDS[kind].where(*(condition for name, condition in _FILTERS.items() if name in given))
    if states is not None:
        chosen = [_E.state == bindparam(f"state{n}") for n in range(states)]
        statement = statement.where(or_(_of_unknown_state if unknown else false(), *chosen))
    return statement.limit(_LIMIT) if "most" in given else statement


def filter_entries(
    kind: str, states: Collection[EntryState] | None, filters: Mapping[str, Any]
) -> tuple[Select[Any], dict[str, Any]]:
    """Return a statement about the entries that match, and its values.

    Args:
        kind: What it returns: the entries, `oldest` or `newest` first; or a `summary`, which has a row for each state:
            the number of entries, what was billed, and what counts.
        states: In one of these states.
        filters: The values of parameters. A filter of `None` is left out.
    """
    values = {name: value for name, value in filters.items() if value is not None}
    unknown = states is not None and EntryState.UNKNOWN in states
    statement = _filtered(kind, None if states is None else len(states), frozenset(values), unknown=unknown)
    return statement, values | {f"state{number}": str(state) for number, state in enumerate(states or ())}
