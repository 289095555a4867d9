"""Finding the task of a submit whose answer was lost, where the gateway lists its tasks.

The list has neither prompts nor images, and it holds the tasks of every program that uses the account. So a listed
task counts as the lost one only if all of this holds:

- it was created while the submit was in flight, and with the same model;
- no journal entry owns it;
- its own status answer repeats the exact prompt (see `matching`);
- it is the only such task, and no other submit in flight or in doubt could have created it.

Some tasks report their prompt only once they are finished. Until then they are pending and polled again.

| tasks created in that window that no entry owns             | outcome                                         |
|-------------------------------------------------------------|-------------------------------------------------|
| one has the exact prompt, none is pending                   | it is the lost task                             |
| none has it, after half a minute too                        | the submit was not accepted and may be repeated |
| several have it, or one stays pending or reports no prompt, | a person must decide; the error names the tasks |
| or another submit in doubt has the same prompt              |                                                 |
| none has it, but one has a similar prompt, or has it and    | the same                                        |
| was created up to a minute outside the window               |                                                 |
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from langchain_nebula_video.errors import RequestError, SubmissionUnconfirmedError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.matching import Match, match_task
from langchain_nebula_video.lifecycle.polling import Poller
from langchain_nebula_video.protocols import Extensions, ListedTask, Reply, TaskSnapshot
from langchain_nebula_video.schema import Task
from langchain_nebula_video.transport.retry import retry

__all__ = ["Reconciler"]

logger = logging.getLogger("langchain_nebula_video")

_EMPTY_LIST_SECONDS = 30.0
"""How long an empty list is requested again."""
_PAUSE_SECONDS = 5.0
_MAX_EARLY, _MAX_LATE = timedelta(seconds=10), timedelta(seconds=30)
"""How much before and after the submit the gateway may date its task."""
_UNSURE_MARGIN = timedelta(seconds=60)
"""How wrong the clock of a dead process may have been. A task this close to the window proves nothing."""
_MAX_SUBMIT_DURATION = timedelta(minutes=15)
_MAX_CLOCK_SKEW = timedelta(minutes=10)
"""The clock skew assumed for a gateway that sends no `Date` header."""
_TASK_RETENTION = timedelta(hours=23)
"""One hour less than the gateway keeps its tasks."""
_MAX_PAGES = 20
_IN_DOUBT = (EntryState.SUBMITTING, EntryState.UNCONFIRMED)


class Reconciler:
    """Settles the entries of lost submits."""

    def __init__(self, context: Context, poller: Poller) -> None:
        self._context = context
        self._finder = _TaskFinder(context, poller)

    async def resolve(
        self, entry: Entry, until: float, error: SubmissionUnconfirmedError | None = None
    ) -> tuple[Task, Entry] | None:
        """Find the task of an unconfirmed entry and record it; `None`: there is none, and the entry is forgotten.

        Args:
            entry: The unconfirmed entry.
            until: When to stop looking, on the runtime's clock.
            error: What the submit ended in, if it was this call's.

        Raises:
            SubmissionUnconfirmedError: the outcome stays unknown, and the entry stays.
        """
        error = error or _unconfirmed_error(entry)
        context = self._context
        try:
            task_id = await self._finder.find_task_id(entry, until)
        except RequestError as failure:
            logger.warning("a submit is unconfirmed: %s may have been spent", tasks.amount_at_risk(entry))
            if isinstance(failure, SubmissionUnconfirmedError):  # keeps what `error` says of the submit itself
                error.what, error.hint = f"{error.what} {failure.what}", failure.hint
            else:
                error.add_note(failure.what)
            raise error from None
        except BaseException as stopped:
            stopped.add_note(tasks.IN_DOUBT_NOTE)
            raise
        if task_id is None:
            if await context.call_journal(context.journal.forget, entry.id):
                return None
            now = next((e for e in await context.call_journal(context.journal.entries) if e.id == entry.id), None)
            if now is None or now.task_id is None:
                raise error
            return context.task_from_entry(now.task_id, now), now  # another call has found it meanwhile
        owner: Entry | None = await context.call_journal(context.journal.claim, entry.id, task_id)
        if owner is None:  # another entry has claimed the task meanwhile
            raise error
        logger.info("the submit of %s was found: it is task %s", entry.created_at, printable(task_id))
        return context.task_from_entry(task_id, owner), owner


class _TaskFinder:
    """Finds the tasks of lost submits in the gateway's list."""

    def __init__(self, context: Context, poller: Poller) -> None:
        self._context = context
        self._poller = poller

    async def find_task_id(self, entry: Entry, deadline: float) -> str | None:
        """Return the id of an unconfirmed entry's task; `None`: the gateway has none.

        Raises:
            SubmissionUnconfirmedError: undecidable; the error names the tasks it may be.
            RequestError: the gateway does not answer.
        """
        extensions, runtime = self._check_listable(entry), self._context.runtime
        empty_until = runtime.now() + _EMPTY_LIST_SECONDS
        listed: dict[str, bool] = {}
        found: dict[str, Match] = {}
        while True:
            listed |= await self._list_candidates(extensions, entry, deadline)
            for task_id in [name for name in listed if found.get(name) is not Match.NONE]:
                match = await self._match_candidate(task_id, entry, deadline)
                unsure = match in {Match.EXACT, Match.UNDECIDABLE} and not listed[task_id]
                found[task_id] = Match.SIMILAR if unsure else match
            exact, similar, pending, undecidable = (
                [name for name, match in found.items() if match is wanted]
                for wanted in (Match.EXACT, Match.SIMILAR, Match.PENDING, Match.UNDECIDABLE)
            )
            late = runtime.now() + _PAUSE_SECONDS >= deadline
            if len(exact) > 1 or undecidable or (late and pending):
                raise _undecided_error([*exact, *undecidable, *similar, *pending])
            if not pending:
                if exact:
                    return exact[0]
                if runtime.now() >= empty_until and not similar:
                    return None
                if runtime.now() >= empty_until or late:
                    raise _undecided_error(similar)
            await runtime.sleep(_PAUSE_SECONDS)

    def _check_listable(self, entry: Entry) -> Extensions:
        """Return the protocol's list support, if the list can contain the entry's task."""
        extensions = self._context.protocol.extensions
        if extensions is None:
            raise RequestError("The gateway documents no list of its tasks, in which it could be looked for.")
        if entry.account != self._context.account:
            raise RequestError("It was submitted with another key or address: this one's list does not have its task.")
        if self._context.runtime.utcnow() - entry.created_at > _TASK_RETENTION:
            raise RequestError("The gateway keeps its tasks for 24 hours: that it shows none says nothing any more.")
        return extensions

    async def _list_candidates(self, extensions: Extensions, entry: Entry, deadline: float) -> dict[str, bool]:
        """List the tasks of the submit's model created in or near its window; by id, whether inside it.

        Corrects for the offset of the gateway's clock.

        Raises:
            RequestError: the gateway does not answer, or its list is incomplete.
        """
        since, until = _submit_window(entry)
        model = self._context.options.offer(entry.model).wire_name
        seen: set[str] = set()
        found: dict[str, bool] = {}
        for page in range(1, _MAX_PAGES + 1):
            wire = extensions.build_list(model, since - _MAX_CLOCK_SKEW, until + _MAX_CLOCK_SKEW, page)
            reply = await retry(self._context.runtime, partial(self._context.send, wire, deadline), deadline=deadline)
            listed = extensions.parse_list(reply)
            if listed is None:
                raise RequestError("The gateway's list of tasks cannot be read.", status_code=reply.status)
            rows, total = listed
            offset, slack = _clock_offset(reply)
            if abs(offset) > _MAX_CLOCK_SKEW:
                raise RequestError("The gateway's clock and this one are too far apart to tell the moment.")
            earliest, latest = since - _MAX_EARLY - slack + offset, until + _MAX_LATE + slack + offset
            found |= {
                row.task_id: earliest <= row.created_at <= latest
                for row in rows
                if earliest - _UNSURE_MARGIN <= row.created_at <= latest + _UNSURE_MARGIN and _is_model(row, model)
            }
            before = len(seen)
            seen |= {row.task_id for row in rows}
            if len(seen) >= total:
                return found
            if len(seen) == before:
                raise RequestError("The gateway's list of tasks has fewer than it says: one may be missing.")
        raise RequestError("The gateway lists more tasks of that moment than can be looked at.")

    async def _match_candidate(self, task_id: str, entry: Entry, deadline: float) -> Match:
        """Match a listed task with the lost submit, by its status answer and the journal."""
        if await self._is_owned_elsewhere(task_id, entry):
            return Match.NONE
        try:
            snapshot = await self._poller.request_status(task_id, deadline)
        except RequestError:  # it is listed, so it exists, whatever this answer says
            return Match.PENDING
        match = match_task(entry.request, snapshot)
        if match is not Match.EXACT:
            return match
        competing = await self._competing_states(entry, snapshot)
        if await self._is_owned_elsewhere(task_id, entry):  # a competing submit has had its answer meanwhile
            return Match.NONE
        if EntryState.UNCONFIRMED in competing:
            return Match.UNDECIDABLE
        return Match.PENDING if competing else match

    async def _is_owned_elsewhere(self, task_id: str, entry: Entry) -> bool:
        owner = await self._context.find_entry(task_id)
        return owner is not None and owner.id != entry.id

    async def _competing_states(self, entry: Entry, snapshot: TaskSnapshot) -> list[EntryState]:
        """Return the states of other entries whose submit overlaps this one and could have created the same task."""
        context = self._context
        rows: list[Entry] = await context.call_journal(context.journal.entries, states=_IN_DOUBT, gateway=entry.gateway)
        since, until = _submit_window(entry)
        return [
            row.state
            for row in rows
            if row.id != entry.id
            and row.model == entry.model
            and row.account in {None, entry.account}
            and (row.sent_at is not None or row.state is EntryState.UNCONFIRMED)
            and _submit_window(row)[0] - _MAX_EARLY <= until + _MAX_LATE
            and since - _MAX_EARLY <= _submit_window(row)[1] + _MAX_LATE
            and match_task(row.request, snapshot) is Match.EXACT
        ]


def _submit_window(entry: Entry) -> tuple[datetime, datetime]:
    """Return when a submit was in flight: from, until."""
    since = entry.sent_at or entry.created_at
    return since, entry.lost_at or since + _MAX_SUBMIT_DURATION


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


def _unconfirmed_error(owner: Entry) -> SubmissionUnconfirmedError:
    return SubmissionUnconfirmedError(
        f"The same video was submitted at {owner.created_at:%Y-%m-%d %H:%M} UTC, and no answer came. "
        "It was not sent again."
    )


def _undecided_error(task_ids: list[str]) -> SubmissionUnconfirmedError:
    if not task_ids:
        return SubmissionUnconfirmedError("The gateway's list shows no task of that moment yet.")
    return SubmissionUnconfirmedError(
        f"The gateway lists tasks of that moment that nobody here owns: {', '.join(task_ids)}.",
        hint="One of them may be this video: look at each with fetch(id) and take it with wait(id). If none is, "
        "submit it again as a new video, under a key of its own.",
    )
