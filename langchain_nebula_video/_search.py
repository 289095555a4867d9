"""What became of a submit whose answer was lost, where the gateway lists its tasks.

The list has neither prompts nor images, and it has the tasks of every program that uses the account. So a listed
task counts as the lost one only if it was made in that submit's moment, is of its model, is in no journal row, and
its own answer repeats the very prompt; and only if it is the only one. Some tasks tell their prompt once they are
finished: until then they are open, and looked at again.

| listed tasks of that moment that no row owns     |                                              |
|--------------------------------------------------|----------------------------------------------|
| exactly one has the prompt, none is open         | it is the lost one                           |
| none has it, and none after half a minute either | the submit was not accepted: free to repeat  |
| several have it, or one stays open               | a person must decide: they are named         |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from langchain_nebula_video._context import Context
from langchain_nebula_video._looking import Looking
from langchain_nebula_video._retry import retrying
from langchain_nebula_video.errors import RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.protocols import Extras, Listed, Reply
from langchain_nebula_video.schema import TaskStatus

__all__ = ["Search"]

_AGAIN = 30.0
"""Seconds for which an empty list is looked at again."""
_PAUSE = 5.0
_BEFORE, _AFTER = timedelta(seconds=10), timedelta(seconds=30)
"""How much earlier and later than the submit the gateway may have noted the task."""
_LONGEST_SUBMIT = timedelta(minutes=15)
_SKEW = timedelta(minutes=10)
"""How wrong a clock may be whose gateway tells no time."""
_KEPT = timedelta(hours=23)
"""An hour less than the gateway keeps its tasks."""
_MAX_PAGES = 20
_FREE = frozenset({TaskStatus.FAILED, TaskStatus.CANCELED})


class Search:
    """Looks for the tasks of lost submits."""

    def __init__(self, context: Context, looking: Looking) -> None:
        self._context = context
        self._looking = looking

    async def task_id(self, entry: Entry, deadline: float) -> str | None:
        """The task of an unconfirmed entry; `None`: the gateway has none.

        Raises:
            SubmissionUnconfirmedError: it cannot be told; the error names the tasks that it may be.
            RequestError: the gateway does not answer.
        """
        extras, runtime = self._list_with(entry), self._context.runtime
        enough = runtime.now() + _AGAIN
        verdicts: dict[str, bool | None] = {}
        while True:
            verdicts |= {row.task_id: None for row in await self._listed(extras, entry, deadline)
                         if row.task_id not in verdicts}  # fmt: skip
            for task_id in [name for name, verdict in verdicts.items() if verdict is None]:
                verdicts[task_id] = await self._is_it(task_id, entry, deadline)
            same = [task_id for task_id, verdict in verdicts.items() if verdict]
            undecided = [task_id for task_id, verdict in verdicts.items() if verdict is None]
            if len(same) == 1 and not undecided:
                return same[0]
            if not same and not undecided:
                if runtime.now() >= enough:
                    return None
            elif len(same) > 1 or not _prompt(entry) or runtime.now() + _PAUSE >= deadline:
                raise _undecided(entry, [*same, *undecided])
            if runtime.now() + _PAUSE >= deadline:
                raise _undecided(entry, [])
            await runtime.sleep(_PAUSE)

    def _list_with(self, entry: Entry) -> Extras:
        """What can list the tasks among which the entry's own would be."""
        extras = self._context.protocol.extras
        if extras is None:
            raise RequestError("The gateway documents no list of its tasks, in which it could be looked for.")
        if entry.account != self._context.account:
            raise RequestError("It was submitted with another key or address: this one's list does not have its task.")
        if self._context.runtime.utcnow() - entry.created_at > _KEPT:
            raise RequestError("The gateway keeps its tasks for 24 hours: that it shows none says nothing any more.")
        return extras

    async def _listed(self, extras: Extras, entry: Entry, deadline: float) -> list[Listed]:
        """The tasks of the submit's model that were made in its moment, by the gateway's clock."""
        since = entry.sent_at or entry.created_at
        until = entry.lost_at or since + _LONGEST_SUBMIT
        model = self._context.options.offer(entry.model).wire_name
        found: list[Listed] = []
        for page in range(1, _MAX_PAGES + 1):
            wire = extras.build_list(model, since - _SKEW, until + _SKEW, page)
            reply = await retrying(self._context.runtime, partial(self._context.ask, wire, deadline), deadline=deadline)
            rows = extras.parse_list(reply)
            if rows is None:
                raise RequestError("The gateway's list of tasks cannot be read.", status_code=reply.status)
            ahead, slack = _ahead(reply)
            if abs(ahead) > _SKEW:
                raise RequestError("The gateway's clock and this one are too far apart to tell the moment.")
            found += [
                row for row in rows[0] if since - _BEFORE - slack <= row.created_at - ahead <= until + _AFTER + slack
            ]
            if not rows[1]:
                return found
        raise RequestError("The gateway lists more tasks of that moment than can be looked at.")

    async def _is_it(self, task_id: str, entry: Entry, deadline: float) -> bool | None:
        """Whether a task repeats the prompt of the submit; `None`: it does not tell, or not yet."""
        owner = await self._context.find(task_id)
        if owner is not None and owner.id != entry.id:
            return False
        try:
            answer = await self._looking.look(task_id, deadline)
        except RequestError:  # the list has it, so it exists, whatever this look says
            return None
        if answer.status in _FREE:  # nothing is billed for it, whosever it is
            return False
        prompt = _prompt(entry)
        return None if answer.prompt is None or not prompt else answer.prompt.strip() == prompt


def _prompt(entry: Entry) -> str:
    return str(entry.request.get("prompt") or "").strip()


def _ahead(reply: Reply) -> tuple[timedelta, timedelta]:
    """How far the gateway's clock is ahead of this one, by its `Date`; and how uncertain that is."""
    try:
        told: datetime = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, IndexError, TypeError, OverflowError):
        return timedelta(0), _SKEW
    return (told if told.tzinfo else told.replace(tzinfo=UTC)) - reply.received_at, timedelta(seconds=1)


def _undecided(entry: Entry, task_ids: list[str]) -> SubmissionUnconfirmedError:
    told = f"The submit of {entry.created_at:%Y-%m-%d %H:%M:%S} UTC got no answer."
    if not task_ids:
        return SubmissionUnconfirmedError(f"{told} The gateway's list shows no task of that moment yet.")
    named = ", ".join(task_ids)
    return SubmissionUnconfirmedError(
        f"{told} The gateway lists tasks of that moment that nobody here owns: {named}.",
        hint="One of them may be this video: look at each with fetch(id) and take it with wait(id). If none is, "
        "submit it again as a new video, under a key of its own.",
    )
