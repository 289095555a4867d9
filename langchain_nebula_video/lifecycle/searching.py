"""What a gateway's task list shows of submits whose answer was lost.

A listed task is a candidate if it was created while the submit may have been delivered, with the same model, and no
journal entry owns it. Its own status answer says what it is (see `matching`). Some tasks report their prompt only once
they are finished. Until then they are pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.errors import NebulaVideoError, RequestError
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.matching import Match, match_task
from langchain_nebula_video.lifecycle.polling import Poller
from langchain_nebula_video.protocols import Extensions, ListedTask, Reply, TaskSnapshot
from langchain_nebula_video.transport import FIRST_BYTE_SECONDS
from langchain_nebula_video.transport.retry import retry

__all__ = ["Finding", "TaskSearch", "delivery_end"]

_MAX_EARLY, _MAX_LATE = timedelta(seconds=10), timedelta(seconds=30)
"""How much before and after the submit the gateway may date its task."""
_UNSURE_MARGIN = timedelta(seconds=60)
"""How wrong the clock of a dead process may have been. A task this close to the window proves nothing."""
_MAX_SUBMIT_DURATION = timedelta(minutes=15)
_MAX_CLOCK_SKEW = timedelta(minutes=10)
"""The clock skew assumed for a gateway that sends no `Date` header."""
_TASK_RETENTION = timedelta(hours=23)
"""One hour less than the gateway keeps its tasks."""
_MAX_WINDOW = timedelta(hours=23, minutes=30)
"""A list's window is 24 hours at most: Alibaba's page on asynchronous tasks, 2025-12."""
_MAX_GAP = timedelta(minutes=30)
"""Windows with a longer gap between them are listed separately, so that one list does not become too long."""
_MAX_PAGES = 20
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


@dataclass(frozen=True, slots=True)
class _Listing:
    """The tasks of one model in one window."""

    rows: tuple[ListedTask, ...]
    read_at: datetime
    """When the list was requested, on this machine's clock."""
    offset: timedelta
    """How far the gateway's clock is ahead."""
    slack: timedelta
    """How uncertain that is."""

    def candidates(self, entry: Entry, model: str, gateway: Gateway) -> dict[str, bool]:
        """Return the tasks created in or near the submit's window; by id, whether inside it."""
        since, until = _delivery_window(entry, gateway)
        earliest, latest = since - _MAX_EARLY - self.slack + self.offset, until + _MAX_LATE + self.slack + self.offset
        return {
            row.task_id: earliest <= row.created_at <= latest
            for row in self.rows
            if earliest - _UNSURE_MARGIN <= row.created_at <= latest + _UNSURE_MARGIN and _is_model(row, model)
        }

    def find_request(self, request_id: str | None) -> str | None:
        """Return the task that a request with this id has submitted. An id that several tasks have proves nothing."""
        found = {row.task_id for row in self.rows if request_id and row.request_id == request_id}
        return found.pop() if len(found) == 1 else None


class TaskSearch:
    """Examines the gateway's list for lost submits. Answers about finished tasks are kept between examinations."""

    def __init__(self, context: Context, poller: Poller) -> None:
        self._context = context
        self._poller = poller
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
            since, until = _delivery_window(entry, self._context.gateway)
            group, begin, end = last.get(model, ([], since, since))
            if not group or since - end > _MAX_GAP or max(end, until) - begin > _MAX_WINDOW - 2 * _MAX_CLOCK_SKEW:
                group, begin, end = [], since, until
                groups.append(group)
            group.append(entry)
            last[model] = group, begin, max(end, until)
        return groups

    def _check_listable(self, entry: Entry) -> str:
        """Return the gateway's name of the entry's model, if the list can contain the entry's task."""
        context = self._context
        if context.protocol.extensions is None:
            raise RequestError("The gateway documents no list of its tasks, in which it could be looked for.")
        if entry.account != context.account:
            raise RequestError("It was submitted with another key or address: this one's list does not have its task.")
        if context.runtime.utcnow() - entry.created_at > _TASK_RETENTION:
            raise RequestError("The gateway keeps its tasks for 24 hours: that it shows none says nothing any more.")
        if not _is_readable(entry):
            raise RequestError("Its request in the journal cannot be read.")
        return context.options.offer(entry.model).wire_name

    async def _examine_group(self, entries: Sequence[Entry], deadline: float) -> dict[str, Finding | RequestError]:
        context = self._context
        model = context.options.offer(entries[0].model).wire_name
        windows = [_delivery_window(entry, context.gateway) for entry in entries]
        listing = await self._list(
            model, min(since for since, _ in windows), max(until for _, until in windows), deadline
        )
        listed = {entry.id: listing.candidates(entry, model, context.gateway) for entry in entries}
        snapshots = await self._look(sorted({name for names in listed.values() for name in names}), deadline)
        in_doubt = await context.call_journal(context.journal.entries, states=_IN_DOUBT, gateway=context.gateway.name)
        rows = [row for row in in_doubt if _is_readable(row)]
        owned: dict[str, bool] = {}
        findings: dict[str, Finding | RequestError] = {}
        for entry in entries:
            finding = Finding(
                proven=listing.find_request(entry.reason),
                conclusive=listing.read_at >= delivery_end(entry, context.gateway),
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

    async def _list(self, model: str, since: datetime, until: datetime, deadline: float) -> _Listing:
        """Read the list of a window's tasks.

        Raises:
            RequestError: the gateway does not answer, or its list is incomplete.
        """
        context, extensions = self._context, self._extensions
        rows: dict[str, ListedTask] = {}
        read_at = context.runtime.utcnow()
        for page in range(1, _MAX_PAGES + 1):
            wire = extensions.build_list(model, since - _MAX_CLOCK_SKEW, until + _MAX_CLOCK_SKEW, page)
            reply = await retry(context.runtime, partial(context.send, wire, deadline), deadline=deadline)
            listed = extensions.parse_list(reply)
            if listed is None:
                raise RequestError("The gateway's list of tasks cannot be read.", status_code=reply.status)
            found, total = listed
            offset, slack = _clock_offset(reply)
            if abs(offset) > _MAX_CLOCK_SKEW:
                raise RequestError("The gateway's clock and this one are too far apart to tell the moment.")
            before = len(rows)
            rows |= {row.task_id: row for row in found}
            if len(rows) >= total:
                return _Listing(tuple(rows.values()), read_at, offset, slack)
            if len(rows) == before:
                raise RequestError("The gateway's list of tasks has fewer than it says: one may be missing.")
        raise RequestError("The gateway lists more tasks of that moment than can be looked at.")

    @property
    def _extensions(self) -> Extensions:
        extensions = self._context.protocol.extensions
        assert extensions is not None  # noqa: S101 for the type checker; `_check_listable` refuses it
        return extensions

    async def _look(self, names: Sequence[str], deadline: float) -> dict[str, TaskSnapshot]:
        """Fetch candidates that no entry owns, in an async client several at once. No answer: it is left out."""
        context, found = self._context, {name: self._finished[name] for name in names if name in self._finished}

        async def look(name: str) -> None:
            if await context.find_entry(name) is not None:
                return
            try:
                found[name] = await self._poller.request_status(name, deadline)
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
        since, until = _delivery_window(entry, self._context.gateway)
        begin, end = _delivery_window(row, self._context.gateway)
        return (
            row.id != entry.id
            and row.model == entry.model
            and row.account in {None, entry.account}
            and (row.sent_at is not None or row.state is EntryState.UNCONFIRMED)
            and begin - _MAX_EARLY <= until + _MAX_LATE
            and since - _MAX_EARLY <= end + _MAX_LATE
            and match_task(row.request, snapshot) is Match.EXACT
        )


def delivery_end(entry: Entry, gateway: Gateway) -> datetime:
    """Return the moment after which no server can deliver the entry's submit to the gateway any more.

    The journal records `sent_at` before the first byte leaves, which may take `FIRST_BYTE_SECONDS`.
    """
    return (entry.sent_at or entry.created_at) + timedelta(seconds=FIRST_BYTE_SECONDS + gateway.max_hold)


def _delivery_window(entry: Entry, gateway: Gateway) -> tuple[datetime, datetime]:
    """Return from when until when the entry's submit may have been delivered."""
    since = entry.sent_at or entry.created_at
    return since, max(entry.lost_at or since + _MAX_SUBMIT_DURATION, delivery_end(entry, gateway))


def _is_readable(entry: Entry) -> bool:
    request: object = entry.request  # whatever another program has written there
    return isinstance(request, Mapping)


def _is_model(row: ListedTask, model: str) -> bool:
    """Whether a listed task is of this model. One of the names may end in a date."""
    reported = row.model or model
    return reported.startswith(model) or model.startswith(reported)


def _clock_offset(reply: Reply) -> tuple[timedelta, timedelta]:
    """Return how far the gateway's clock is ahead, by its `Date` header, and how uncertain that is."""
    try:
        reported: datetime = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, IndexError, TypeError, OverflowError):
        return timedelta(0), _MAX_CLOCK_SKEW
    return (reported if reported.tzinfo else reported.replace(tzinfo=UTC)) - reply.received_at, timedelta(seconds=1)
