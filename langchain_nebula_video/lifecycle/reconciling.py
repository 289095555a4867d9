"""Settling the entries of submits whose answer was lost, where the gateway lists its tasks.

The list holds the tasks of every program that uses the account, and it has neither prompts nor images. Likeness is no
proof: two users may send the same prompt at the same moment. So a listed task is taken only if

- the list gives it the request id of this very submit, and an incomplete answer told that id; or
- the caller declared `sole_account`, and it is the only task that the submit can have created (see `searching`).

The absence of a task is proof for everybody, once no server can deliver the submit any more (`Gateway.max_hold`).

| tasks of the submit's window that no entry owns                     | `sole_account`           | otherwise        |
|---------------------------------------------------------------------|--------------------------|------------------|
| one has the submit's request id                                     | it is the lost task      | the same         |
| one has the exact prompt, none is pending                           | it is the lost task      | a person decides |
| several have it; one never reports its prompt or has a similar one; | a person decides         | the same         |
| or another submit in doubt has the same prompt                      |                          |                  |
| one does not report its prompt yet                                  | it is polled again       | the same         |
| none can be it, and the submit cannot be delivered any more         | the submit was not       | the same         |
|                                                                     | accepted                 |                  |

Where a person decides, the error names the tasks, and the entry stays unconfirmed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from langchain_nebula_video.errors import JournalError, RequestError, SubmissionUnconfirmedError, printable
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.listing import GatewayTaskList, delivery_end
from langchain_nebula_video.lifecycle.looking import Looker
from langchain_nebula_video.lifecycle.publishing import ImagePublisher
from langchain_nebula_video.lifecycle.searching import Finding, TaskSearch
from langchain_nebula_video.schema import Task

__all__ = ["Reconciler"]

logger = logging.getLogger("langchain_nebula_video")

_LIST_LAG_SECONDS = 30.0
"""How long a task may be missing in the list after it was created. It may be the very one, and not only similar."""
_PAUSES = (5.0, 15.0)
"""Seconds between two listings: during the first half minute, and later."""


class Reconciler:
    """Settles the entries of lost submits."""

    def __init__(self, context: Context, looker: Looker) -> None:
        self._context = context
        self._publisher = ImagePublisher(context)
        self._looker = looker

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
        try:
            task_id = await self._search_until(entry, until)
        except RequestError as failure:
            raise self._explain(entry, error, failure) from None
        except BaseException as stopped:
            stopped.add_note(tasks.IN_DOUBT_NOTE)
            raise
        return await self._settle(entry, task_id, error)

    async def resolve_all(self, entries: Sequence[Entry], until: float) -> list[Task]:
        """Settle what can be settled at once, and return the tasks that were found. The other entries stay.

        The gateway is asked for one list per model and time window, not for one per entry.

        Args:
            entries: Unconfirmed entries.
            until: When to stop asking, on the runtime's clock.
        """
        found: list[Task] = []
        outcomes = await self._search().examine(entries, until)
        for entry in entries:
            try:
                settled = await self.settle(entry, outcomes[entry.id])
                found += [] if settled is None else [settled[0]]
            except SubmissionUnconfirmedError as unconfirmed:
                logger.warning(
                    "a submit is unconfirmed: %s may have been spent. %s",
                    tasks.amount_at_risk(entry),
                    printable(" ".join([unconfirmed.what, *getattr(unconfirmed, "__notes__", ())])),
                )
            except JournalError:
                raise
            except Exception:  # one entry that cannot be read must not hide the others' tasks
                logger.exception("the journal entry %s cannot be settled; it stays as it is", entry.id)
        return found

    async def settle(self, entry: Entry, outcome: Finding | RequestError) -> tuple[Task, Entry] | None:
        """Record what one examination of a list has shown of an entry; `None`: there is no task, and it is forgotten.

        Raises:
            SubmissionUnconfirmedError: the outcome stays unknown, and the entry stays.
        """
        error = _unconfirmed_error(entry)
        try:
            if isinstance(outcome, Finding):
                return await self._settle(entry, self._decide(entry, outcome, lagging=False), error)
        except _Undecided as undecided:
            outcome = undecided.reason
        raise _merge(error, outcome)

    def _search(self) -> TaskSearch:
        return TaskSearch(self._context, self._looker, GatewayTaskList(self._context))

    async def _search_until(self, entry: Entry, until: float) -> str | None:
        """Return the id of the entry's task; `None`: there is none.

        Raises:
            SubmissionUnconfirmedError: undecidable; the error names the tasks it may be.
            RequestError: the gateway does not answer.
        """
        runtime = self._context.runtime
        search, begun = self._search(), runtime.now()
        while True:
            outcome = (await search.examine([entry], until))[entry.id]
            if not isinstance(outcome, Finding):
                raise outcome
            early = runtime.now() < begun + _LIST_LAG_SECONDS
            pause = _PAUSES[0] if early else _PAUSES[1]
            try:
                return self._decide(entry, outcome, lagging=early)
            except _Undecided as undecided:
                if undecided.final or runtime.now() + _PAUSES[0] >= until:
                    raise undecided.reason from None
            await runtime.sleep(max(_PAUSES[0], min(pause, until - runtime.now() - 1)))

    def _decide(self, entry: Entry, finding: Finding, *, lagging: bool) -> str | None:
        """Return the id of the entry's task; `None`: the submit was not accepted.

        Args:
            entry: The unconfirmed entry.
            finding: What the gateway shows.
            lagging: Whether the very task may be missing in the list, because the search has only begun.

        Raises:
            _Undecided: neither can be said.
        """
        if finding.proven is not None:
            return finding.proven
        sole = self._context.options.sole_account
        exact, undecidable = finding.exact, finding.undecidable
        hopeless = bool(undecidable) or len(exact) > 1 or (not sole and bool(exact or finding.similar))
        waiting = bool(finding.pending) or (bool(finding.similar) and not exact and lagging)
        if not hopeless and not waiting:
            if exact:
                return exact[0]
            if not finding.similar and finding.conclusive:
                return None
        end = delivery_end(entry, self._context.gateway)
        final = hopeless or (bool(finding.similar) and not waiting)
        raise _Undecided(_undecided_error(finding, end, conclusive=finding.conclusive, sole=sole), final=final)

    async def _settle(
        self, entry: Entry, task_id: str | None, error: SubmissionUnconfirmedError
    ) -> tuple[Task, Entry] | None:
        """Record the task of an entry, or forget the entry. Another call may have done so meanwhile."""
        context = self._context
        if task_id is None:
            if await context.call_journal(context.journal.forget, entry.id):
                await self._publisher.remove(entry)
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

    def _explain(
        self, entry: Entry, error: SubmissionUnconfirmedError, failure: RequestError
    ) -> SubmissionUnconfirmedError:
        """Return the error with what the search showed, and log what may have been spent."""
        logger.warning("a submit is unconfirmed: %s may have been spent", tasks.amount_at_risk(entry))
        return _merge(error, failure)


def _merge(error: SubmissionUnconfirmedError, failure: RequestError) -> SubmissionUnconfirmedError:
    """Return the error with what the search showed."""
    if isinstance(failure, SubmissionUnconfirmedError):  # keeps what `error` says of the submit itself
        error.what, error.hint = f"{error.what} {failure.what}", failure.hint
    else:
        error.add_note(failure.what)
    return error


class _Undecided(Exception):  # noqa: N818 a signal between two methods, never seen by a caller
    """Nothing is proven yet."""

    def __init__(self, reason: SubmissionUnconfirmedError, *, final: bool) -> None:
        super().__init__(reason.what)
        self.reason = reason
        self.final = final
        """Whether looking again cannot help."""


def _unconfirmed_error(owner: Entry) -> SubmissionUnconfirmedError:
    return SubmissionUnconfirmedError(
        f"The same video was submitted at {owner.created_at:%Y-%m-%d %H:%M} UTC, and no answer came. "
        "It was not sent again."
    )


def _undecided_error(finding: Finding, end: object, *, conclusive: bool, sole: bool) -> SubmissionUnconfirmedError:
    """Return the error for an undecided search; `end` is the moment after which the submit cannot be delivered."""
    candidates = [*finding.exact, *finding.undecidable, *finding.similar, *finding.pending]
    after = f"{end:%H:%M:%S} UTC"
    if not candidates:
        return SubmissionUnconfirmedError(
            "The gateway's list shows no task of that moment yet. A server on the way may still hold the submit, and "
            f"deliver it until {after}.",
            hint=f"Do not repeat it before. Call resume() after {after}: it gives back the task, or releases the "
            "submit if there is none.",
        )
    later = "" if conclusive else f" More may follow until {after}."
    own = (
        "" if sole else " If only this journal submits on this account, set sole_account=True: it takes the task then."
    )
    return SubmissionUnconfirmedError(
        f"The gateway lists tasks of that moment that nobody here owns: {', '.join(candidates)}.{later} "
        "They may be another program's.",
        hint="One of them may be this video: look at each with fetch(id), and take it with wait(id) if it is yours. If "
        f"none is, submit it again as a new video, under a key of its own.{own}",
    )
