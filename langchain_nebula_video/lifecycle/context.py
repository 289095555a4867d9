"""What all steps of the lifecycle share: options, runtime, journal, and requests to the gateway."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

from langchain_nebula_video.catalog.models import MODELS, Model
from langchain_nebula_video.catalog.offers import offers
from langchain_nebula_video.errors import AuthenticationError, JournalError, RateLimitError, RequestError, printable
from langchain_nebula_video.journal import Entry, EntryState, Journal
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.costs import Pricing
from langchain_nebula_video.lifecycle.experience import JOURNAL_ROWS, Times
from langchain_nebula_video.lifecycle.last_answer import LastAnswer
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.lifecycle.rehearsal import check_rehearsal
from langchain_nebula_video.protocols import PROTOCOLS, Reply, WireRequest
from langchain_nebula_video.schema import Task
from langchain_nebula_video.transport import WAIT_BEAT, OnWait, Runtime, SendWindow, missed_turn_error
from langchain_nebula_video.transport.pace import Pace, pace_of

__all__ = ["Context", "newly_succeeded"]

logger = logging.getLogger("langchain_nebula_video")
refusals = logging.getLogger("langchain_nebula_video.refusals")
"""One for each refused request: whoever has thousands under way shows some of them only."""

_REPLY_SECONDS = 30.0
_TURN_SECONDS = 1.0

newly_succeeded: ContextVar[set[str] | None] = ContextVar("nebula_video_settled", default=None)
"""The ids of tasks that a call in this context was the first to see succeed; `None`: nobody collects them."""


class Context:
    """What all steps of the lifecycle share.

    Args:
        options: What the caller set.
        runtime: Where time, HTTP and threads come from.
    """

    def __init__(self, options: Options, runtime: Runtime) -> None:
        self.options = options
        self.runtime = runtime
        self.gateway = options.gateway_row
        self.protocol = PROTOCOLS[self.gateway.protocol]
        self.journal: Journal = options.journal
        self.account = options.account_id()
        self.pricing = Pricing(options)
        self.base_url = options.resolve_base_url()
        row = self.gateway
        self.pace = pace_of(self.account, row.looks_per_second, row.submits_per_second, share=options.clock is None)
        self.experience = options.experience()

    # --- the gateway ---

    async def send(
        self,
        wire: WireRequest,
        deadline: float,
        *,
        seconds: float = _REPLY_SECONDS,
        stall: float | None = None,
        window: SendWindow | None = None,
        pace: Pace | None = None,
        last: LastAnswer | None = None,
    ) -> Reply:
        """Send a request once and return its answer.

        Args:
            wire: The request.
            deadline: On the runtime's clock.
            seconds: Timeout, shortened if the deadline comes first.
            stall: The most seconds between two pieces of the answer.
            window: Until when the first byte of a paid request may leave.
            pace: What learns from the answer how fast such requests may leave.
            last: The answer to the same request before. The same one again is no refusal either.

        Raises:
            RequestError: no answer came, or it is a refusal.
            NotSentError: a test on an emulator would have reached a real gateway.
        """
        check_rehearsal(self.base_url)
        timeout = self.clamp_timeout(seconds, deadline)
        reply = await self.runtime.send(
            wire, timeout=timeout, stall=None if stall is None else min(stall, timeout), window=window
        )
        if reply.emulator_speed is not None and self.base_url.startswith("http:"):  # no gateway speaks plain http
            self.experience.speed = reply.emulator_speed
        try:
            if last is None or not last.compare(reply):
                self.raise_for_refusal(reply, paid=wire.paid)
        except RateLimitError as error:
            if pace is not None:
                pace.refuse(self.runtime.now(), error.retry_after)
            refusals.info(
                "%s refuses requests for a while, and is asked again: %s", self.gateway.title, printable(error.what)
            )
            raise
        if pace is not None:
            pace.accept(self.runtime.now())
        return reply

    async def wait_for_turn(
        self, pace: Pace, deadline: float, on_wait: OnWait | None = None, *, patience: float = math.inf
    ) -> None:
        """Wait for the turn of one request at the account's pace, but not beyond the deadline.

        `on_wait` is called every few seconds.

        Raises:
            NotSentError: the gateway wants no request of the account for longer than the patience, in seconds.
        """
        runtime = self.runtime
        ticket = pace.join(runtime.now())
        if ticket is None:
            return
        try:
            while (delay := min(pace.delay(ticket, runtime.now()), deadline - runtime.now())) > 0:
                _check_patience(pace.pause(runtime.now()), patience)
                longest = WAIT_BEAT if on_wait else max(_TURN_SECONDS, delay / 2)  # the pace may change meanwhile
                await runtime.sleep(min(delay, longest))
                if on_wait is not None and delay > longest:
                    await on_wait()
        except BaseException:
            pace.leave(runtime.now())
            raise

    def raise_for_refusal(self, reply: Reply, *, paid: bool) -> Reply:
        """Return the answer, or raise the refusal that it is."""
        refusal = self.protocol.parse_refusal(reply, paid=paid, free_refusals=self.gateway.free_refusals)
        if refusal is None:
            return reply
        if isinstance(refusal, AuthenticationError) and self.gateway.key_hint:
            refusal.hint = f"{refusal.hint} {self.gateway.key_hint}"
        if more := self.gateway.code_hints.get(refusal.code or ""):
            refusal.hint = f"{refusal.hint} {more}"
        raise refusal

    def check_task(self, reply: Reply, task_id: str) -> Reply:
        """Return the answer about a task, unless it is about another one.

        Raises:
            RequestError: it is. Connections or caches on the way may mix answers up, so it is worth another look.
        """
        if self.protocol.names_other_task(reply, task_id):
            raise tasks.missing_data_error(RequestError, reply, "is about another task")
        return reply

    def clamp_timeout(self, seconds: float, deadline: float) -> float:
        """Shorten a timeout to the time left before the deadline, but not below 50 ms."""
        return max(0.05, min(seconds, deadline - self.runtime.now()))

    # --- the rows ---

    @property
    def group_ratio(self) -> Decimal:
        """What the account's prices are multiplied by."""
        return self.options.current_group_ratio()

    def model(self, name: str) -> Model:
        """Return the row of a model, or the default model's row if it has none."""
        return MODELS.get(name) or MODELS[self.options.model]

    async def times(self, task: Task) -> Times:
        """Return how long tasks like this one take from the submit, and from the end of the queue.

        The journal's newest finished rows are read at the first call. A paid task does not fail with that.
        """
        experience = self.experience
        if not experience.knows_journal:
            experience.knows_journal = True
            try:
                found = await self.call_journal(
                    self.journal.entries,
                    states=[EntryState.SUCCEEDED],
                    gateway=self.gateway.name,
                    limit=JOURNAL_ROWS,
                    newest_first=True,
                )
            except JournalError as error:
                logger.info("completion times are not read from the journal: %s", printable(error.what))
            else:
                experience.learn(found, MODELS, self.account)
        return experience.times(self.model(task.model), task.resolution, task.duration)

    # --- the journal ---

    async def call_journal(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the journal, in a thread if it may block."""
        if not self.journal.blocking:
            return func(*args, **kwargs)
        line = getattr(self.journal, "line", None)  # a journal of the caller's own may have none
        if line is not None:
            return await self.runtime.call_in(line, func, *args, **kwargs)
        return await self.runtime.call(func, *args, **kwargs)

    async def find_entry(self, task_id: str) -> Entry | None:
        """Return the entry of a task of this gateway; `None`: the journal has none."""
        found: Entry | None = await self.call_journal(self.journal.find, gateway=self.gateway.name, task_id=task_id)
        return found

    async def update_entry(self, entry: Entry, **changes: Any) -> Entry:
        """Change fields of an entry and return it. One whose state a newer version wrote is left as it is."""
        if entry.state is EntryState.UNKNOWN:
            return entry
        changed: Entry = await self.call_journal(self.journal.update, entry.id, **changes)
        return changed

    async def revise_entry(self, entry: Entry, task_id: str, revise: Callable[[Entry], Mapping[str, Any]]) -> None:
        """Read an entry of a task anew and make the changes that `revise` returns for it, in one call of the journal.

        If the journal has no entry of the task any more, `revise` gets this one. One whose state a newer version wrote
        is left as it is. `revise` may run in another thread.
        """

        def work() -> None:
            changes = revise(self.journal.find(gateway=self.gateway.name, task_id=task_id) or entry)
            if changes and entry.state is not EntryState.UNKNOWN:
                self.journal.update(entry.id, **changes)

        await self.call_journal(work)

    def task_from_entry(self, task_id: str, entry: Entry | None) -> Task:
        """Return a task as the journal knows it. Without an entry, it has a model only if that is certain."""
        model = entry.model if entry else self._default_model()
        cost = self.pricing.cost_of_entry(model, entry)
        return tasks.task_from_entry(task_id, entry, self.gateway, model, cost, self.runtime.utcnow())

    def _default_model(self) -> str:
        """Return the model of a task of which nothing else is known; `""`: there may be several."""
        certain = "model" in self.options.model_fields_set or len(offers(self.gateway)) == 1
        return self.options.model if certain else ""


def _check_patience(pause: float, patience: float) -> None:
    if pause > patience:
        raise missed_turn_error(pause)
