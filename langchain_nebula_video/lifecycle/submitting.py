"""Submitting an order: reserve its journal entry or replay the key's task, pay at most once, clean up after errors."""

from __future__ import annotations

import contextlib
import logging
import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from langchain_nebula_video.errors import (
    InvalidRequestError,
    JournalError,
    Money,
    NotSentError,
    RequestError,
    SubmissionUnconfirmedError,
    printable,
)
from langchain_nebula_video.journal import Entry, EntryState, MemoryJournal, Repeats, limits
from langchain_nebula_video.journal.entries import MAX_REUSE_AGE
from langchain_nebula_video.lifecycle.cleanup import run_cleanup
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.deadline import Deadline
from langchain_nebula_video.lifecycle.lease import LEASE_DURATION, is_dead, new_holder, working
from langchain_nebula_video.lifecycle.orders import Order, differing_fields
from langchain_nebula_video.lifecycle.posting import PaidPostSender, PostState
from langchain_nebula_video.lifecycle.publishing import ImagePublisher
from langchain_nebula_video.lifecycle.reconciling import Reconciler
from langchain_nebula_video.lifecycle.tasks import IN_DOUBT_NOTE, journal_errors_cost
from langchain_nebula_video.schema import Task
from langchain_nebula_video.transport import OnWait

__all__ = ["Submitter"]

logger = logging.getLogger("langchain_nebula_video")

_PEER_PAUSE_SECONDS = 0.25


class Submitter:
    """Submits the orders of one client."""

    def __init__(self, context: Context, reconciler: Reconciler) -> None:
        self._context = context
        self._reconciler = reconciler
        self._sender = PaidPostSender(context)
        self._publisher = ImagePublisher(context)
        self._warned = False

    async def drain(self, grace: float) -> bool:
        """See `PaidPostSender.drain`."""
        return await self._sender.drain(grace)

    async def submit(
        self,
        order: Order,
        key: str | None,
        deadline: Deadline,
        *,
        holder: str,
        adopt: bool,
        exact_key: bool = False,
        search_seconds: float = math.inf,
        on_wait: OnWait | None,
        leave_line: Callable[[], None],
    ) -> tuple[Task, Entry]:
        """Return the task of an order and its entry: a new one, or the one that the key has already.

        Args:
            order: What to make.
            key: The caller's name for it.
            deadline: The end of the caller's time.
            holder: The name of this call in the journal.
            adopt: Whether a repetition continues what an abandoned call may have paid for.
            exact_key: Whether the key stands for one video, whatever the request: another request is refused then.
            search_seconds: How long to look for a lost submit, within the caller's time.
            on_wait: Called every few seconds while the submit waits for a place.
            leave_line: Called before a long wait for what is no POST of this call: the calls behind it go first.
        """
        runtime = self._context.runtime
        self._check_price_known(order)
        if key is not None and adopt and not exact_key:
            # Nobody chose this key: some language models restart their call ids each turn.
            key = f"{key}:{order.digest}"
        repeats = self._repeats(key) if adopt else None
        while True:
            entry = self._new_entry(order, key, holder)
            state = PostState()
            try:
                owner = await self._reserve(entry, deadline.at, repeats, leave_line)
                if owner.id == entry.id:
                    with working(holder):
                        return await self._sender.send(order, entry, state, deadline, on_wait)
                replayed = self._replay(owner)
                if replayed is not None:
                    return _mark_reused(replayed, key)
            except BaseException as error:
                await run_cleanup(runtime, error, self._clean_up(entry, state, error))
                if state.unconfirmed is None or not isinstance(error, SubmissionUnconfirmedError):
                    raise
                leave_line()
                until = min(deadline.at, runtime.now() + search_seconds)
                with journal_errors_cost(Money.MAYBE):
                    found = await self._reconciler.resolve(state.unconfirmed, until, error)
                if found is None:
                    raise _not_accepted_error(self._context.gateway.max_hold) from None
                return found
            leave_line()
            with journal_errors_cost(Money.MAYBE):
                found = await self._reconciler.resolve(owner, min(deadline.at, runtime.now() + search_seconds))
            if found is not None:
                return _mark_reused(found, key)

    async def find_repeated(self, order: Order) -> Task | None:
        """Return the task that an order without a key would join; `None`: it would be paid for."""
        context = self._context
        new, repeats = self._new_entry(order, None, new_holder()), self._repeats(None)
        entries: list[Entry] = await context.call_journal(
            context.journal.entries, same_request=new, since=new.created_at - MAX_REUSE_AGE
        )
        found = next((entry for entry in entries if entry.is_joined_by(new, repeats)), None)
        if found is None or found.task_id is None:
            return None
        return context.task_from_entry(found.task_id, found).model_copy(update={"reused": True})

    def _repeats(self, key: str | None) -> Repeats:
        """Return which entries of the same request this call may join."""
        window = self._context.options.repeat_window
        if key is not None or window is None:
            return Repeats(is_dead=is_dead)
        if isinstance(self._context.journal, MemoryJournal) and not self._warned:
            self._warned = True
            logger.info(
                "repeats are recognized within this process only, as its journal is in memory; "
                "a SqlJournal keeps them across reloads and processes"
            )
        return Repeats(since=self._context.runtime.utcnow() - timedelta(seconds=window), is_dead=is_dead)

    def _check_price_known(self, order: Order) -> None:
        """A budget needs a price."""
        context = self._context
        if (context.options.budget is not None or limits.has_limits(context.journal)) and order.cost.usd is None:
            raise InvalidRequestError(
                f"There is a budget, and no price is known for {order.offer.model.name} on {context.gateway.name!r}.",
                hint=f"Give its price per second with prices={{{order.offer.model.name!r}: '…'}}, choose a model with "
                "a price, or leave the budget out.",
            )

    def _new_entry(self, order: Order, key: str | None, holder: str) -> Entry:
        context, now = self._context, self._context.runtime.utcnow()
        return Entry(
            id=uuid.uuid4().hex,
            key=key,
            gateway=context.gateway.name,
            account=context.account,
            host=printable(urlsplit(context.base_url).netloc),
            play_money=context.experience.speed is not None,
            model=order.offer.model.name,
            request=order.summary,
            created_at=now,
            reserved_usd=order.cost.usd or Decimal(0),
            holder=holder,
            held_until=now + LEASE_DURATION,
        )

    async def _reserve(
        self, entry: Entry, deadline: float, repeats: Repeats | None, leave_line: Callable[[], None]
    ) -> Entry:
        """Write the entry, or return the one that has the key. Wait while another call is submitting that one."""
        context = self._context
        # A process-wide limit may read other journals, and those may block.
        call = context.runtime.call if limits.has_limits(context.journal) else context.call_journal
        while True:
            owner: Entry = await call(limits.reserve, context.journal, entry, context.options.budget, repeats=repeats)
            if owner.id == entry.id:
                return owner
            submitting = owner.state is EntryState.SUBMITTING
            if not (submitting and is_dead(owner.holder)):  # that one may be forgotten, and its key be free
                _check_same_account(owner, entry)
            if not submitting or context.runtime.now() >= deadline:
                _check_same_request(owner, entry)  # not before, so that the error names the task
                return owner
            if is_dead(owner.holder):
                with contextlib.suppress(KeyError):  # another call has resolved it meanwhile
                    await context.update_entry(owner, held_until=context.runtime.utcnow())
            else:
                leave_line()
                await context.runtime.sleep(_PEER_PAUSE_SECONDS)
            entry = replace(entry, created_at=context.runtime.utcnow())

    def _replay(self, owner: Entry) -> tuple[Task, Entry] | None:
        """Return the task of the entry that has the key; `None`: its submit is unconfirmed. Sends nothing."""
        if owner.task_id is not None:
            return self._context.task_from_entry(owner.task_id, owner), owner
        if owner.state is EntryState.SUBMITTING:
            raise _still_submitting_error(owner)
        if owner.state is EntryState.UNKNOWN:
            raise JournalError(
                "A newer version of langchain-nebula-video is submitting this very video; its journal entry has a "
                "state that this version does not know.",
                money=Money.MAYBE,
                hint="Upgrade this process too: pip install -U langchain-nebula-video",
            )
        return None

    async def _clean_up(self, entry: Entry, state: PostState, error: BaseException) -> None:
        """Make the journal agree with what was sent, and say in the error what goes on.

        | the submit got as far as    | the entry                                    |
        |-----------------------------|----------------------------------------------|
        | a task id                   | has the task, and is abandoned               |
        | a POST without an answer    | is unconfirmed, and keeps its reservation    |
        | less, or a refusal          | is forgotten, and its reservation with it    |
        """
        context = self._context
        if state.task_id is not None:
            error.add_note(
                f"Task {printable(state.task_id)} was accepted by {entry.gateway} and goes on; "
                f"it is billed when it succeeds. Go on with wait({state.task_id!r})."
            )
            await context.update_entry(entry, task_id=state.task_id, state=EntryState.SUBMITTED, abandoned=True)
            await context.call_journal(context.journal.release, entry.id, entry.holder)
        elif state.in_flight:
            if not isinstance(error, Exception):
                error.add_note(IN_DOUBT_NOTE)
            state.unconfirmed = await context.update_entry(
                entry,
                state=EntryState.UNCONFIRMED,
                abandoned=True,
                lost_at=context.runtime.utcnow(),
                reason=getattr(error, "request_id", None),
                holder=None,
                held_until=None,
            )
        else:
            await context.call_journal(context.journal.forget, entry.id)
            if state.lent:
                await self._publisher.remove(entry)


def _mark_reused(joined: tuple[Task, Entry], key: str | None) -> tuple[Task, Entry]:
    """Mark the task of an earlier identical request. With a key, it is the key's own task."""
    task, entry = joined
    return (task.model_copy(update={"reused": True}) if key is None else task), entry


def _not_accepted_error(seconds: float) -> RequestError:
    return RequestError(
        f"The submit got no answer, and {seconds:.0f} s after it left, the gateway's list shows no task of it: "
        "it counts as not accepted.",
        hint="Submit it again.",
    )


def _check_same_account(owner: Entry, new: Entry) -> None:
    """Check that the entry that has the key is of the same gateway and account."""
    if owner.gateway != new.gateway:
        what = f"belongs to a task of the gateway {owner.gateway!r}, and this call is for {new.gateway!r}."
        hint = f"Repeat it with gateway={owner.gateway!r}, or give another video a key of its own."
    elif owner.account not in {None, new.account}:
        what = f"belongs to a task of another account of the gateway {owner.gateway!r}: of another API key or base_url."
        hint = "Repeat it with the API key and base_url of that task, or give another video a key of its own."
    else:
        return
    raise InvalidRequestError(f"The key {new.key!r} {what}", hint=hint, task_id=owner.task_id)


def _check_same_request(owner: Entry, new: Entry) -> None:
    """Check that the entry that has the key is of the same request."""
    differing = differing_fields(owner.request, new.request)
    if differing:
        raise InvalidRequestError(
            f"The key {new.key!r} belongs to another request: it differs in {', '.join(differing)}.",
            hint="Give each video a key of its own.",
            task_id=owner.task_id,
        )


def _still_submitting_error(owner: Entry) -> NotSentError:
    return NotSentError(
        f"Another call has been submitting this very video since {owner.sent_at or owner.created_at:%H:%M:%S} UTC, and "
        "had no answer when this call's time was over. This call has sent nothing.",
        money=Money.MAYBE,
        hint="Repeat the same call: it goes on with the other one's task.",
    )
