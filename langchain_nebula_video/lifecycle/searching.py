"""What a gateway's task list shows of submits whose answer was lost.

A listed task is a candidate if it was created while the submit may have been delivered, with the same model, and no
journal entry owns it. Its own status answer says what it is (see `matching`). Some tasks report their prompt only once
they are finished. Until then they are pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from langchain_nebula_video.errors import NebulaVideoError, RequestError
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.listing import (
    MAX_CLOCK_SKEW,
    TaskList,
    delivery_end,
    delivery_window,
    windows_overlap,
)
from langchain_nebula_video.lifecycle.looking import Looker
from langchain_nebula_video.lifecycle.matching import Match, match_task
from langchain_nebula_video.protocols import TaskSnapshot

__all__ = ["Finding", "TaskSearch"]

_MAX_WINDOW = timedelta(hours=23, minutes=30)
"""A list's window is 24 hours at most: Alibaba's page on asynchronous tasks, 2025-12."""
_MAX_GAP = timedelta(minutes=30)
"""Windows with a longer gap between them are listed separately, so that one list does not become too long."""
_MAX_LOOKS = 200
"""The most candidates that one examination fetches: ten seconds of DashScope's 20 polls a second."""
_LOOKS_AT_ONCE = 8
_IN_DOUBT = (EntryState.SUBMITTING, EntryState.UNCONFIRMED)


@dataclass(slots=True)
class Finding:
    """The candidates for one lost submit, as of one examination: task ids by how they match."""

    proven: str | None = None
    """The task that has the request id of this very submit."""
    conclusive: bool = False
    """Whether the list was read after the last moment at which the submit can have been delivered."""
    exact: list[str] = field(default_factory=list)
    similar: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    undecidable: list[str] = field(default_factory=list)

    def add(self, task_id: str, match: Match) -> None:
        """Add a candidate."""
        groups = {
            Match.EXACT: self.exact,
            Match.SIMILAR: self.similar,
            Match.PENDING: self.pending,
            Match.UNDECIDABLE: self.undecidable,
        }
        if match in groups:
            groups[match].append(task_id)


class TaskSearch:
    """Examines a list for lost submits. Answers about finished tasks are kept between examinations."""

    def __init__(self, context: Context, looker: Looker, tasks: TaskList) -> None:
        self._context = context
        self._looker = looker
        self._tasks = tasks
        self._finished: dict[str, TaskSnapshot] = {}

    async def examine(self, entries: Sequence[Entry], deadline: float) -> dict[str, Finding | RequestError]:
        """Return what the gateway shows of each entry's submit, or why it cannot be said; by the entry's id."""
        outcomes: dict[str, Finding | RequestError] = {}
        for group in self._group(entries, outcomes):
            try:
                outcomes |= await self._examine_group(group, deadline)
            except RequestError as error:
                outcomes |= {entry.id: error for entry in group}
        return outcomes

    def _group(self, entries: Iterable[Entry], outcomes: dict[str, Finding | RequestError]) -> list[list[Entry]]:
        """Group entries whose tasks one list can show. Others get their error in `outcomes`."""
        groups: list[list[Entry]] = []
        last: dict[str, tuple[list[Entry], datetime, datetime]] = {}
        for entry in sorted(entries, key=lambda entry: entry.sent_at or entry.created_at):
            try:
                model = self._check_listable(entry)
            except NebulaVideoError as error:
                reason = error if isinstance(error, RequestError) else RequestError(error.what)
                outcomes[entry.id] = reason
                continue
            since, until = delivery_window(entry, self._context.gateway)
            group, begin, end = last.get(model, ([], since, since))
            if not group or since - end > _MAX_GAP or max(end, until) - begin > _MAX_WINDOW - 2 * MAX_CLOCK_SKEW:
                group, begin, end = [], since, until
                groups.append(group)
            group.append(entry)
            last[model] = group, begin, max(end, until)
        return groups

    def _check_listable(self, entry: Entry) -> str:
        """Return the gateway's name of the entry's model, if the list can contain the entry's task."""
        context = self._context
        self._tasks.check(entry)
        if entry.account != context.account:
            raise RequestError("It was submitted with another key or address: this one's list does not have its task.")
        if not _is_readable(entry):
            raise RequestError("Its request in the journal cannot be read.")
        return context.options.offer(entry.model).wire_name

    async def _examine_group(self, entries: Sequence[Entry], deadline: float) -> dict[str, Finding | RequestError]:
        context = self._context
        model = context.options.offer(entries[0].model).wire_name
        windows = [delivery_window(entry, context.gateway) for entry in entries]
        listing = await self._tasks.read(
            model, min(since for since, _ in windows), max(until for _, until in windows), deadline
        )
        self._finished |= listing.snapshots
        listed = {entry.id: listing.candidates(entry, model, context.gateway) for entry in entries}
        snapshots = await self._look(sorted({name for names in listed.values() for name in names}), deadline)
        in_doubt = await context.call_journal(context.journal.entries, states=_IN_DOUBT, gateway=context.gateway.name)
        rows = [row for row in in_doubt if _is_readable(row)]
        owned: dict[str, bool] = {}
        findings: dict[str, Finding | RequestError] = {}
        for entry in entries:
            finding = Finding(
                proven=listing.find_request(entry.reason),
                conclusive=listing.complete and listing.read_at >= delivery_end(entry, context.gateway),
            )
            for name, inside in listed[entry.id].items():
                match = self._match(entry, snapshots.get(name), rows)
                if match is not Match.NONE and name not in owned:
                    owned[name] = await context.find_entry(name) is not None
                if match is Match.NONE or owned[name]:
                    continue
                unsure = match in {Match.EXACT, Match.UNDECIDABLE} and not inside
                finding.add(name, Match.SIMILAR if unsure else match)
            findings[entry.id] = finding
        return findings

    async def _look(self, names: Sequence[str], deadline: float) -> dict[str, TaskSnapshot]:
        """Fetch candidates that no entry owns, in an async client several at once. No answer: it is left out."""
        context, found = self._context, {name: self._finished[name] for name in names if name in self._finished}

        async def look(name: str) -> None:
            if await context.find_entry(name) is not None:
                return
            try:
                found[name] = await self._looker.request_status(name, deadline)
            except RequestError:  # it is listed, so it exists, whatever this answer says
                return
            if found[name].status.finished:
                self._finished[name] = found[name]

        missing = [name for name in names if name not in found][:_MAX_LOOKS]
        await context.runtime.gather([partial(look, name) for name in missing], limit=_LOOKS_AT_ONCE)
        return found

    def _match(self, entry: Entry, snapshot: TaskSnapshot | None, rows: Iterable[Entry]) -> Match:
        """Match a candidate with the lost submit, and with others in flight or in doubt that may have created it."""
        if snapshot is None:
            return Match.PENDING
        match = match_task(entry.request, snapshot)
        if match is not Match.EXACT:
            return match
        competing = [row.state for row in rows if self._competes(row, entry, snapshot)]
        if EntryState.UNCONFIRMED in competing:
            return Match.UNDECIDABLE
        return Match.PENDING if competing else match

    def _competes(self, row: Entry, entry: Entry, snapshot: TaskSnapshot) -> bool:
        """Whether another entry's submit overlaps this one and could have created the same task."""
        return (
            row.id != entry.id
            and row.model == entry.model
            and row.account in {None, entry.account}
            and (row.sent_at is not None or row.state is EntryState.UNCONFIRMED)
            and windows_overlap(row, entry, self._context.gateway)
            and match_task(row.request, snapshot) is Match.EXACT
        )


def _is_readable(entry: Entry) -> bool:
    request: object = entry.request  # whatever another program has written there
    return isinstance(request, Mapping)
