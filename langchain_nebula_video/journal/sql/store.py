"""The transactions of a `SqlJournal`. Each can be repeated if its answer was lost; see `_database`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import BudgetExceededError, Money
from langchain_nebula_video.journal.budget import Budget
from langchain_nebula_video.journal.entries import (
    FREE,
    LOSABLE,
    REMEMBERED,
    Entry,
    EntryState,
    check_budget,
    gone,
    not_to_be_sent,
)
from langchain_nebula_video.journal.sql import statements as sql
from langchain_nebula_video.journal.sql.database import Database, Session, checked
from langchain_nebula_video.journal.sql.rows import as_entry, as_row, changed, micros, named, text, usd

__all__ = ["Store"]

_RESERVING, _BEGINNING = 1, 2
"""Whoever decides on a key or a budget takes turns, and whoever decides on the submits under way; each by itself."""
_MONEY = {
    EntryState.SUCCEEDED: Money.SPENT,
    EntryState.UNCONFIRMED: Money.MAYBE,
    **dict.fromkeys(FREE, Money.FREE),
}
_STAYS = "What stands in the journal stays as it was before."


class Store:
    """The entries in a database.

    Args:
        url: Where it is.
        patience: Seconds for which passing faults are repeated.
    """

    def __init__(self, url: str, patience: float) -> None:
        self.database = Database(checked(url), patience)
        self._unwritten: dict[str, dict[str, Any]] = {}
        """Changes with a task id that could not be written: they go with the next change of their entry."""

    # --- submitting ---

    def reserve(self, entry: Entry, budget: Budget | None, *, adopt: bool) -> Entry:
        """See `Journal.reserve`."""
        row, now = as_row(entry), micros(entry.created_at)

        def work(again: bool) -> Entry | BudgetExceededError:
            with self.database.transaction(_RESERVING) as session:
                found = self._own(session, row) if again else None
                found = found or self._owner(session, row, now)
                if found is None and adopt:
                    found = self._adopted(session, row, entry, now)
                if found is not None:
                    return found
                if budget is not None:
                    since = micros(entry.created_at - budget.per) if budget.per else None
                    try:
                        check_budget(budget, self._spent(session, since), entry.reserved_usd)
                    except BudgetExceededError as error:
                        return error  # what was forgotten on the way stays forgotten
                session.count(sql.INSERT, row)
                return entry

        result = self.database.run(work)
        if isinstance(result, BudgetExceededError):
            raise result
        return result

    def _own(self, session: Session, row: Mapping[str, Any]) -> Entry | None:
        """What the same call has done already, if it was committed and the answer was lost."""
        found = session.rows(sql.AGAIN, {"of_id": row["id"], "of_digest": row["digest"]})
        return as_entry(found[0]) if found else None

    def _owner(self, session: Session, row: Mapping[str, Any], now: int) -> Entry | None:
        if row["key"] is None:
            return None
        found = session.rows(sql.OWNER, {"of_key": row["key"]})
        return self._alive(session, as_entry(found[0]), now) if found else None

    def _adopted(self, session: Session, row: Mapping[str, Any], entry: Entry, now: int) -> Entry | None:
        """The oldest entry of the same request that a repetition goes on with."""
        asked = {"of_digest": row["digest"], "since": micros(entry.created_at - REMEMBERED), "now": now}
        for candidate in session.rows(sql.LIKES, asked):
            other = as_entry(candidate)
            if as_row(other)["request"] != row["request"] or not other.is_in_reach(entry):
                continue  # another request with its digest, or one that is over
            like = self._alive(session, other, now)
            if like is None or not like.abandoned:
                continue
            if row["key"] is not None:
                session.count(sql.NAME, {"key": row["key"], "entry_id": like.id})
            if like.state in LOSABLE:
                return like
            changes = {"of_id": like.id, "by_id": row["id"], "now": now}
            return as_entry(session.rows(sql.ADOPT, changes)[0])
        return None

    def _alive(self, session: Session, entry: Entry, now: int) -> Entry | None:
        """The entry, or what becomes of it if it was left in mid-submit: unconfirmed, or nothing if it was not sent."""
        if entry.state is not EntryState.SUBMITTING or entry.held_until is None or micros(entry.held_until) > now:
            return entry
        if entry.sent_at is not None:
            return as_entry(session.rows(sql.LOSE, {"of_id": entry.id, "now": now})[0])
        session.count(sql.DELETE_KEYS, {"of_id": entry.id})
        session.count(sql.DELETE, {"of_id": entry.id})
        return None

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """See `Journal.begin`."""
        values = {**_lease(entry_id, holder, now, until), "cap": cap}

        def work(_: bool) -> bool:
            database = self.database  # SQLite's statement is by itself alone with the database
            alone = database.statement(synced=True) if database.sqlite else database.transaction(_BEGINNING)
            with alone as session:
                if session.count(sql.BEGIN, values):
                    return True
                if not session.rows(sql.MAY_BEGIN, values)[0][0]:
                    raise not_to_be_sent()
                return False

        return self.database.run(work)

    # --- changing ---

    def update(self, entry_id: str, changes: Mapping[str, Any]) -> Entry:
        """See `Journal.update`."""
        merged = {"updated_at": datetime.now(UTC), **self._unwritten.get(entry_id, {}), **changes}
        task_id = merged.get("task_id")
        statement, values = sql.changing(entry_id, changed(merged))

        def work(_: bool) -> list[Any]:
            with self.database.statement(synced=task_id is not None) as session:
                # All, not the first: SQLite commits, or says that it cannot, after the last row.
                return session.rows(statement, values)

        if task_id is not None:
            self._unwritten[entry_id] = {name: value for name, value in merged.items() if name != "updated_at"}
        state = merged.get("state")
        money = _MONEY.get(state, Money.RUNNING) if state is not None else Money.RUNNING
        hint = f"Note the task's id: wait({task_id!r}) fetches the video." if task_id else _STAYS
        found = self.database.run(work, money=money, hint=hint, task_id=task_id)
        self._unwritten.pop(entry_id, None)
        if not found:
            raise gone(entry_id, merged)
        return as_entry(found[0])

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """See `Journal.claim`."""
        values = {"of_id": entry_id, "of_task": named(task_id), "now": micros(datetime.now(UTC))}

        def work(_: bool) -> list[Any]:
            with self.database.transaction(_RESERVING, synced=True) as session:
                return session.rows(sql.CLAIM, values) or session.rows(sql.CLAIMED, values)

        found = self.database.run(
            work, money=Money.RUNNING, hint=f"wait({task_id!r}) fetches the video.", task_id=task_id
        )
        return as_entry(found[0]) if found else None

    def forget(self, entry_id: str) -> bool:
        """See `Journal.forget`."""
        named = {"of_id": entry_id}

        def work(_: bool) -> bool:
            with self.database.transaction(_RESERVING) as session:
                if session.count(sql.FORGET, named):
                    session.count(sql.DELETE_KEYS, named)
                    return True
                return not session.rows(sql.IS_THERE, named)

        return self.database.run(work, money=Money.REFUSED, hint=_STAYS)

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """See `Journal.hold`."""
        values = _lease(entry_id, holder, now, until)

        def work(_: bool) -> list[Any]:
            with self.database.statement() as session:
                return session.rows(sql.HOLD, values)

        found = self.database.run(work, money=Money.RUNNING, hint=_STAYS)
        return as_entry(found[0]) if found else None

    def release(self, entry_id: str, holder: str) -> None:
        """See `Journal.release`."""

        def work(_: bool) -> None:
            with self.database.statement() as session:
                session.count(sql.RELEASE, {"of_id": entry_id, "by_holder": text(holder)})

        self.database.run(work, money=Money.RUNNING, hint=_STAYS)

    def sweep(self, now: datetime) -> list[Entry]:
        """See `Journal.sweep`."""
        values = {"now": micros(now)}

        def work(_: bool) -> list[Any]:
            with self.database.transaction(_RESERVING) as session:
                for row in session.rows(sql.SWEEP_UNSENT, values):
                    session.count(sql.DELETE_KEYS, {"of_id": row[0]})
                session.count(sql.SWEEP_SENT, values)
                return session.rows(sql.SWEPT, values)

        return [as_entry(row) for row in self.database.run(work)]

    # --- reading ---

    def find(self, *, key: str | None, gateway: str | None, task_id: str | None) -> Entry | None:
        """See `Journal.find`."""

        def work(_: bool) -> Any:
            with self.database.statement() as session:
                if key is not None:
                    return session.rows(sql.FIND, {"of_key": named(key)})
                values = {"of_gateway": text(gateway or ""), "of_task": named(task_id or "")}
                return session.rows(sql.FIND_BY_TASK, values)

        found = self.database.run(work)
        return as_entry(found[0]) if found else None

    def entries(
        self,
        *,
        states: Collection[EntryState] | None,
        gateway: str | None,
        since: datetime | None,
        key_prefix: str | None,
        limit: int | None,
        newest_first: bool,
    ) -> list[Entry]:
        """See `Journal.entries`."""
        filters = {
            "of_gateway": gateway,
            "since": None if since is None else micros(since),
            "prefix": key_prefix,
            "length": None if key_prefix is None else len(key_prefix),
            "most": limit,
        }
        statement, values = sql.listing(states, filters, newest=newest_first)

        def work(_: bool) -> list[Any]:
            with self.database.statement() as session:
                return session.rows(statement, values)

        return [as_entry(row) for row in self.database.run(work)]

    def spent(self, since: datetime | None) -> Decimal:
        """See `Journal.spent`."""

        def work(_: bool) -> Decimal:
            with self.database.statement() as session:
                return self._spent(session, None if since is None else micros(since))

        return self.database.run(work)

    def _spent(self, session: Session, since: int | None) -> Decimal:
        statement, values = (sql.SPENT, {}) if since is None else (sql.SPENT_SINCE, {"since": since})
        whole, rest = session.rows(statement, values)[0]
        return usd(int(whole) * 1_000_000 + int(rest))


def _lease(entry_id: str, holder: str, now: datetime, until: datetime) -> dict[str, Any]:
    return {"of_id": entry_id, "by_holder": text(holder), "now": micros(now), "until": micros(until)}
