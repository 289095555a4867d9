"""The transactions of a `SqlJournal`. Each can be retried if its answer was lost; see `database`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from langchain_nebula_video.errors import BudgetExceededError, JournalError, Money
from langchain_nebula_video.journal.budget import Budget, Ceiling, check_budget, check_ceilings
from langchain_nebula_video.journal.entries import (
    KEPT_STATES,
    MAX_REUSE_AGE,
    UNBILLED_STATES,
    Entry,
    EntryState,
    Repeats,
    Summary,
)
from langchain_nebula_video.journal.protocol import lease_lost_error, missing_entry_error
from langchain_nebula_video.journal.sql import statements as sql
from langchain_nebula_video.journal.sql.database import Database
from langchain_nebula_video.journal.sql.faults import is_read_only
from langchain_nebula_video.journal.sql.rows import (
    clean_text,
    index_text,
    to_columns,
    to_entries,
    to_entry,
    to_row,
    to_scopes,
    to_state,
)
from langchain_nebula_video.journal.sql.sessions import Session
from langchain_nebula_video.journal.sql.totals import sum_spent, to_dollars
from langchain_nebula_video.journal.sql.url import parse_url, without_secrets
from langchain_nebula_video.journal.stretches import to_microseconds

__all__ = ["Store"]

_RESERVE_LOCK, _BEGIN_LOCK = 1, 2
"""One lock for decisions on keys and budgets, one for decisions on how many submits are under way."""
_MONEY = {
    EntryState.SUCCEEDED: Money.SPENT,
    EntryState.UNCONFIRMED: Money.MAYBE,
    **dict.fromkeys(UNBILLED_STATES, Money.FREE),
}
_FOREVER = 2**63 - 1
"""A moment after all others, in microseconds."""
_UNCHANGED = "What stands in the journal stays as it was before."


class Store:
    """The entries in a database.

    Args:
        url: The URL that `SqlJournal` takes.
        patience: Seconds for which transient faults are retried.
    """

    def __init__(self, url: str | Path, patience: float) -> None:
        self.database = Database(parse_url(url), patience)
        self._unwritten: dict[str, dict[str, Any]] = {}
        """Changes with a task id that could not be written, by entry; the next call writes them."""

    def printable_url(self) -> str:
        """Return the URL without its passwords."""
        return without_secrets(self.database.url)

    # --- submitting ---

    def reserve(
        self, entry: Entry, budget: Budget | None, *, repeats: Repeats | None, ceilings: Sequence[Ceiling]
    ) -> Entry:
        """See `Journal.reserve`."""
        self._write_pending()
        row, now = to_row(entry), to_microseconds(entry.created_at)

        def work(retried: bool) -> Entry | BudgetExceededError:
            with self.database.transaction(_RESERVE_LOCK) as session:
                found = self._find_own(session, row) if retried else None
                found = found or self._find_by_key(session, row, now)
                if found is None and repeats is not None:
                    found = self._join(session, row, entry, repeats)
                if found is not None:
                    return found
                spent = partial(self._spent, session)
                try:
                    if budget is not None:
                        since = entry.created_at - budget.per if budget.per else None
                        check_budget(budget, spent(since, None), entry.reserved_usd)
                    check_ceilings(ceilings, spent, entry.reserved_usd)
                except BudgetExceededError as error:
                    return error  # not raised here: the transaction commits what it deleted before
                session.execute(sql.INSERT, row)
                for scope in to_scopes(entry):
                    session.execute(sql.INSERT_SCOPE, scope)
                return entry

        try:
            result = self.database.run(work, money=Money.NOT_SENT, entry_id=entry.id)
        except JournalError as error:
            if (finished := self._find_finished(entry.key, error)) is None:
                raise
            return finished
        if isinstance(result, BudgetExceededError):
            raise result
        return result

    def _find_finished(self, key: str | None, error: JournalError) -> Entry | None:
        """Return the key's entry if nothing has to be written for it, in a database that can only be read."""
        if key is None or error.__cause__ is None or not is_read_only(error.__cause__):
            return None
        try:
            found = self.find(key=key, gateway=None, task_id=None)
        except JournalError:
            return None
        return found if found is not None and found.state is EntryState.SUCCEEDED else None

    def _find_own(self, session: Session, row: Mapping[str, Any]) -> Entry | None:
        """Return what this very call reserved already, if it was committed and only the answer was lost."""
        found = session.fetch(sql.FIND_OWN, {"of_id": row["id"], "of_digest": row["digest"]})
        return to_entry(found[0]) if found else None

    def _find_by_key(self, session: Session, row: Mapping[str, Any], now: int) -> Entry | None:
        if row["key"] is None:
            return None
        found = session.fetch(sql.FIND_FOR_UPDATE, {"of_key": row["key"]})
        return self._resolve_orphan(session, to_entry(found[0]), now) if found else None

    def _join(self, session: Session, row: Mapping[str, Any], entry: Entry, repeats: Repeats) -> Entry | None:
        """Return the oldest entry that this one joins, taken over if nobody works on it."""
        now = to_microseconds(entry.created_at)
        oldest = to_microseconds(entry.created_at - MAX_REUSE_AGE)
        query = {"of_digest": row["digest"], "since": oldest, "now": now}
        if row["key"] is None:
            query["recent"] = _FOREVER if repeats.since is None else to_microseconds(repeats.since)
        for candidate in session.fetch(sql.FIND_REPEATED if row["key"] is None else sql.FIND_ABANDONED, query):
            other = to_entry(candidate)
            # Another request may have the same digest. Requests are compared as they are written.
            if to_row(other)["request"] != row["request"] or not other.is_joined_by(
                replace(entry, request=other.request), repeats
            ):
                continue
            found = self._resolve_orphan(session, other, now)
            if found is None:
                continue
            if row["key"] is not None:
                session.execute(sql.INSERT_KEY, {"key": row["key"], "entry_id": found.id})
            deserted = found.is_deserted(entry.created_at, repeats)
            if found.state in KEPT_STATES or not (found.abandoned or deserted):
                return found
            lease = row if deserted else to_row(found)
            changes = {"of_id": found.id, "by_id": row["id"], "now": now}
            changes |= {"by_holder": lease["holder"], "until": lease["held_until"]}
            return to_entry(session.fetch(sql.ADOPT, changes)[0])
        return None

    def _resolve_orphan(self, session: Session, entry: Entry, now: int) -> Entry | None:
        """Return the entry. One left in mid-submit becomes unconfirmed, or is deleted if nothing was sent."""
        if (
            entry.state is not EntryState.SUBMITTING
            or entry.held_until is None
            or to_microseconds(entry.held_until) > now
        ):
            return entry
        if entry.sent_at is not None:
            return to_entry(session.fetch(sql.MARK_UNCONFIRMED, {"of_id": entry.id, "now": now})[0])
        session.execute(sql.DELETE, {"of_id": entry.id})
        _delete_links(session, entry.id)
        return None

    def begin(self, entry_id: str, *, holder: str, now: datetime, until: datetime, cap: int) -> bool:
        """See `Journal.begin`."""
        values = {**_lease_values(entry_id, holder, now, until), "cap": cap}

        def work(_: bool) -> bool:
            database = self.database  # SQLite runs one writing statement at a time, so it needs no lock here
            exclusive = database.statement(synced=True) if database.sqlite else database.transaction(_BEGIN_LOCK)
            with exclusive as session:
                if session.execute(sql.BEGIN, values):
                    return True
                if not session.fetch(sql.CAN_BEGIN, values)[0][0]:
                    raise lease_lost_error()
                return False

        return self.database.run(work, money=Money.NOT_SENT, entry_id=entry_id)

    # --- changing ---

    def update(self, entry_id: str, changes: Mapping[str, Any]) -> Entry:
        """See `Journal.update`."""
        merged = {"updated_at": datetime.now(UTC), **self._unwritten.get(entry_id, {}), **changes}
        task_id = merged.get("task_id")
        statement, values = sql.update_entry(entry_id, to_columns(merged))

        def work(_: bool) -> list[Any]:
            with self.database.statement(synced=task_id is not None) as session:
                # All rows, not the first: SQLite commits, or fails to commit, after the last row.
                return session.fetch(statement, values)

        state = merged.get("state")
        money = _MONEY.get(state, Money.RUNNING) if state is not None else Money.RUNNING
        hint = _keep_hint(task_id) if task_id else _UNCHANGED
        try:
            found = self.database.run(
                work, money=money, hint=hint, task_id=task_id, entry_id=entry_id, unrecorded=task_id is not None
            )
        except BaseException:
            if task_id is not None:
                pending = {name: value for name, value in merged.items() if name != "updated_at"}
                self._unwritten[entry_id] = pending
            raise
        self._unwritten.pop(entry_id, None)
        if not found:
            raise missing_entry_error(entry_id, merged)
        return to_entry(found[0])

    def _write_pending(self) -> None:
        """Write the ids of accepted tasks that could not be written before. Each is tried once."""
        for entry_id in [*self._unwritten]:
            try:
                self.update(entry_id, {})
            except (JournalError, KeyError):  # its caller has the id, and the next call tries again
                continue

    def claim(self, entry_id: str, task_id: str) -> Entry | None:
        """See `Journal.claim`."""
        values = {"of_id": entry_id, "of_task": index_text(task_id), "now": to_microseconds(datetime.now(UTC))}

        def work(_: bool) -> list[Any]:
            with self.database.transaction(_RESERVE_LOCK, synced=True) as session:
                return session.fetch(sql.CLAIM, values) or session.fetch(sql.FIND_CLAIMED, values)

        found = self.database.run(
            work,
            money=Money.RUNNING,
            hint=f"wait({task_id!r}) fetches the video.",
            task_id=task_id,
            entry_id=entry_id,
            unrecorded=True,
        )
        return to_entry(found[0]) if found else None

    def forget(self, entry_id: str) -> bool:
        """See `Journal.forget`."""
        values = {"of_id": entry_id}

        def work(_: bool) -> bool:
            with self.database.transaction(_RESERVE_LOCK) as session:
                if session.execute(sql.FORGET, values):
                    _delete_links(session, entry_id)
                    return True
                return not session.fetch(sql.EXISTS, values)

        return self.database.run(work, money=Money.REFUSED, hint=_UNCHANGED, entry_id=entry_id)

    def hold(self, entry_id: str, *, holder: str, now: datetime, until: datetime) -> Entry | None:
        """See `Journal.hold`."""
        values = _lease_values(entry_id, holder, now, until)

        def work(_: bool) -> list[Any]:
            with self.database.statement() as session:
                return session.fetch(sql.HOLD, values)

        found = self.database.run(work, money=Money.RUNNING, hint=_UNCHANGED, entry_id=entry_id)
        return to_entry(found[0]) if found else None

    def release(self, entry_id: str, holder: str) -> None:
        """See `Journal.release`."""

        def work(_: bool) -> None:
            with self.database.statement() as session:
                session.execute(sql.RELEASE, {"of_id": entry_id, "by_holder": clean_text(holder)})

        self.database.run(work, money=Money.RUNNING, hint=_UNCHANGED, entry_id=entry_id)

    def sweep(self, now: datetime) -> list[Entry]:
        """See `Journal.sweep`."""
        values = {"now": to_microseconds(now)}

        def work(_: bool) -> list[Any]:
            with self.database.transaction(_RESERVE_LOCK) as session:
                session.execute(sql.SWEEP_SENT, values)
                # Last, because it changes totals: whoever locks these must not wait for an entry any more.
                for row in session.fetch(sql.SWEEP_UNSENT, values):
                    _delete_links(session, row[0])
                return session.fetch(sql.FIND_SWEPT, values)

        self._write_pending()
        return to_entries(self.database.run(work))

    # --- reading ---

    def find(self, *, key: str | None, gateway: str | None, task_id: str | None) -> Entry | None:
        """See `Journal.find`."""

        def work(_: bool) -> Any:
            with self.database.statement() as session:
                if key is not None:
                    return session.fetch(sql.FIND, {"of_key": index_text(key)})
                values = {"of_gateway": clean_text(gateway or ""), "of_task": index_text(task_id or "")}
                return session.fetch(sql.FIND_BY_TASK, values)

        self._write_pending()
        if key is not None or task_id is None:
            found = self.database.run(work)
        else:  # there is a task: it goes on, and may be billed
            hint = f"The task is not lost: wait({task_id!r}) fetches its video."
            found = self.database.run(work, money=Money.RUNNING, hint=hint, task_id=task_id)
        return to_entry(found[0]) if found else None

    def entries(
        self,
        *,
        states: Collection[EntryState] | None,
        gateway: str | None,
        since: datetime | None,
        key_prefix: str | None,
        scope: str | None,
        same_request: Entry | None,
        limit: int | None,
        newest_first: bool,
    ) -> list[Entry]:
        """See `Journal.entries`."""
        filters = {
            "of_gateway": gateway,
            "since": None if since is None else to_microseconds(since),
            "prefix": key_prefix,
            "length": None if key_prefix is None else len(key_prefix),
            "of_scope": None if scope is None else index_text(scope),
            "of_digest": None if same_request is None else to_row(same_request)["digest"],
            "most": limit,
        }
        statement, values = sql.filter_entries("newest" if newest_first else "oldest", states, filters)

        def work(_: bool) -> list[Any]:
            with self.database.statement() as session:
                return session.fetch(statement, values)

        self._write_pending()
        return to_entries(self.database.run(work))

    def summarize(
        self, *, states: Collection[EntryState] | None, gateway: str | None, since: datetime | None
    ) -> Summary:
        """See `Journal.summarize`."""
        filters = {"of_gateway": gateway, "since": None if since is None else to_microseconds(since)}
        statement, values = sql.filter_entries("summary", states, filters)

        def work(_: bool) -> list[Any]:
            with self.database.statement() as session:
                return session.fetch(statement, values)

        self._write_pending()
        summary = Summary()
        for state, count, *sums in self.database.run(work):
            summary.add(to_state(state), count, to_dollars(*sums[:2]), to_dollars(*sums[2:]))
        return summary

    def spent(self, since: datetime | None, scope: str | None) -> Decimal:
        """See `Journal.spent`."""

        def work(_: bool) -> Decimal:
            with self.database.statement() as session:
                return self._spent(session, since, scope)

        return self.database.run(work)

    def schema_version(self) -> int:
        """See `SqlJournal.schema_version`."""

        def work(_: bool) -> int:
            with self.database.statement() as session:
                return int(session.fetch(sql.VERSION)[0][0])

        return self.database.run(work)

    def _spent(self, session: Session, since: datetime | None, scope: str | None) -> Decimal:
        after = None if since is None else to_microseconds(since)
        statement, values = sum_spent(after, None if scope is None else index_text(scope))
        return to_dollars(*session.fetch(statement, values)[0])


def _keep_hint(task_id: str) -> str:
    return f"Note the task's id: wait({task_id!r}) fetches the video."


def _delete_links(session: Session, entry_id: str) -> None:
    """Delete the further keys and the scopes of an entry that is deleted."""
    session.execute(sql.DELETE_KEYS, {"of_id": entry_id})
    session.execute(sql.DELETE_SCOPES, {"of_id": entry_id})


def _lease_values(entry_id: str, holder: str, now: datetime, until: datetime) -> dict[str, Any]:
    return {
        "of_id": entry_id,
        "by_holder": clean_text(holder),
        "now": to_microseconds(now),
        "until": to_microseconds(until),
    }
