"""What became of a submit whose answer was lost, where the gateway lists its tasks.

The list has neither prompts nor images, and it has the tasks of every program that uses the account. So a listed
task counts as the lost one only if it was made in that submit's moment, is of its model, is in no journal row, and
its own answer repeats the very prompt (see `matching`); only if it is the only one; and only if no other submit that
is under way or in doubt could have made it as well. Some tasks tell their prompt once they are finished: until then
they are open, and looked at again.

| listed tasks of that moment that no row owns         |                                              |
|------------------------------------------------------|----------------------------------------------|
| exactly one has the prompt, none is open             | it is the lost one                           |
| none has it, and none after half a minute either     | the submit was not accepted: free to repeat  |
| several have it, one stays open or tells nothing, or | a person must decide: they are named         |
| another submit in doubt has the same prompt          |                                              |
| none has it, and one has a prompt like it, or has it | the same                                     |
| and was made up to a minute before or after          |                                              |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from langchain_nebula_video.errors import RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.matching import Match, match_task
from langchain_nebula_video.lifecycle.polling import Poller
from langchain_nebula_video.protocols import Extensions, ListedTask, Reply, TaskSnapshot
from langchain_nebula_video.transport.retry import retry

__all__ = ["Reconciler"]

_EMPTY_LIST_SECONDS = 30.0
"""Seconds for which an empty list is looked at again."""
_PAUSE_SECONDS = 5.0
_MAX_EARLY, _MAX_LATE = timedelta(seconds=10), timedelta(seconds=30)
"""How much earlier and later than the submit the gateway may have noted the task."""
_UNSURE_MARGIN = timedelta(seconds=60)
"""How wrong the clock of a process may have been that is gone: what lies so near proves nothing, and is not taken."""
_LONGEST_SUBMIT = timedelta(minutes=15)
_MAX_CLOCK_SKEW = timedelta(minutes=10)
"""How wrong a clock may be whose gateway tells no time."""
_TASK_RETENTION = timedelta(hours=23)
"""An hour less than the gateway keeps its tasks."""
_MAX_PAGES = 20
_IN_DOUBT = (EntryState.SUBMITTING, EntryState.UNCONFIRMED)


class Reconciler:
    """Looks for the tasks of lost submits."""

    def __init__(self, context: Context, poller: Poller) -> None:
        self._context = context
        self._poller = poller

    async def find_task_id(self, entry: Entry, deadline: float) -> str | None:
        """The task of an unconfirmed entry; `None`: the gateway has none.

        Raises:
            SubmissionUnconfirmedError: it cannot be reported; the error names the tasks that it may be.
            RequestError: the gateway does not answer.
        """
        extensions, runtime = self._listing_extras(entry), self._context.runtime
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

    def _listing_extras(self, entry: Entry) -> Extensions:
        """What can list the tasks among which the entry's own would be."""
        extensions = self._context.protocol.extensions
        if extensions is None:
            raise RequestError("The gateway documents no list of its tasks, in which it could be looked for.")
        if entry.account != self._context.account:
            raise RequestError("It was submitted with another key or address: this one's list does not have its task.")
        if self._context.runtime.utcnow() - entry.created_at > _TASK_RETENTION:
            raise RequestError("The gateway keeps its tasks for 24 hours: that it shows none says nothing any more.")
        return extensions

    async def _list_candidates(self, extensions: Extensions, entry: Entry, deadline: float) -> dict[str, bool]:
        """The tasks of the submit's model that were made about its moment, and of each whether right in it.

        The gateway's clock is reckoned with.

        Raises:
            RequestError: the gateway does not answer, or its list is not whole.
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
        """What a task is to the lost submit, by its own answer and by the rows of the journal."""
        if await self._is_owned_elsewhere(task_id, entry):
            return Match.NONE
        try:
            answer = await self._poller.request_status(task_id, deadline)
        except RequestError:  # the list has it, so it exists, whatever this look says
            return Match.PENDING
        match = match_task(entry.request, answer)
        if match is not Match.EXACT:
            return match
        competing = await self._competing_states(entry, answer)
        if await self._is_owned_elsewhere(task_id, entry):  # who was a rival until now has had its answer
            return Match.NONE
        if EntryState.UNCONFIRMED in competing:
            return Match.UNDECIDABLE
        return Match.PENDING if competing else match

    async def _is_owned_elsewhere(self, task_id: str, entry: Entry) -> bool:
        owner = await self._context.find_entry(task_id)
        return owner is not None and owner.id != entry.id

    async def _competing_states(self, entry: Entry, answer: TaskSnapshot) -> list[EntryState]:
        """The states of other rows whose submit was under way in that moment, and whose task this could be as well."""
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
            and match_task(row.request, answer) is Match.EXACT
        ]


def _submit_window(entry: Entry) -> tuple[datetime, datetime]:
    """From when to when a submit was under way."""
    since = entry.sent_at or entry.created_at
    return since, entry.lost_at or since + _LONGEST_SUBMIT


def _is_model(row: ListedTask, model: str) -> bool:
    """Whether a listed task is of this model; a name may have a date at its end."""
    reported = row.model or model
    return reported.startswith(model) or model.startswith(reported)


def _clock_offset(reply: Reply) -> tuple[timedelta, timedelta]:
    """How far the gateway's clock is ahead of this one, by its `Date`; and how uncertain that is."""
    try:
        reported: datetime = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, IndexError, TypeError, OverflowError):
        return timedelta(0), _MAX_CLOCK_SKEW
    return (reported if reported.tzinfo else reported.replace(tzinfo=UTC)) - reply.received_at, timedelta(seconds=1)


def _undecided_error(task_ids: list[str]) -> SubmissionUnconfirmedError:
    if not task_ids:
        return SubmissionUnconfirmedError("The gateway's list shows no task of that moment yet.")
    return SubmissionUnconfirmedError(
        f"The gateway lists tasks of that moment that nobody here owns: {', '.join(task_ids)}.",
        hint="One of them may be this video: look at each with fetch(id) and take it with wait(id). If none is, "
        "submit it again as a new video, under a key of its own.",
    )
