"""What an agent's budget counts: what was paid for in one run, in one thread, or in a day of its journals.

Each journal entry that is reserved inside the agent's tool calls has two scopes: a hash of the thread and one of the
run. It does not matter who pays: a tool, a client or a runnable with any key or none, or an agent inside a tool.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypedDict

from langchain_nebula_video.errors import BudgetExceededError, InvalidRequestError
from langchain_nebula_video.journal import Budget, Journal
from langchain_nebula_video.journal.limits import SeenJournals, SpendLimit, watch_journal
from langchain_nebula_video.langchain.replay import scope_hash, thread_scope
from langchain_nebula_video.langchain.tool_calls import quote_call
from langchain_nebula_video.langchain.tools import RequestTool
from langchain_nebula_video.schema import dollars

__all__ = ["AgentBudget", "Period", "Run", "RunState", "new_run"]

Period = Literal["run", "thread", "day"]


_DAY = timedelta(days=1)


class RunState(TypedDict):
    """What a graph's state keeps of a run; plain data, so that every checkpointer can hold it."""

    id: str


def new_run() -> RunState:
    """The state of a run that begins now."""
    return RunState(id=uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Run:
    """One `invoke` of an agent."""

    state: RunState
    thread_id: str | None

    @property
    def scope(self) -> str:
        """What the run's entries count for."""
        return scope_hash("run", self.state["id"], self.thread_id or "")

    @property
    def thread_scope(self) -> str:
        """What the thread's entries count for. Without a thread id it is the run's."""
        return self.scope if self.thread_id is None else thread_scope(self.thread_id)


class AgentBudget:
    """An amount for the videos of an agent, and what counts towards it.

    Args:
        usd: The amount in US dollars.
        per: The period that the amount is for.

    Raises:
        InvalidRequestError: the amount or the period is not valid.
    """

    def __init__(self, usd: Decimal | float | str, per: Period) -> None:
        if per not in {"run", "thread", "day"}:
            raise InvalidRequestError(f"A budget is not per {per!r}.", hint='Give "run", "thread" or "day".')
        self.usd = Budget(usd).usd
        self.per = per
        self._tools: dict[str, RequestTool] = {}
        self._seen = SeenJournals()

    def register(self, tools: Iterable[Any]) -> None:
        """Count what these tools pay; others are ignored.

        Raises:
            InvalidRequestError: a known tool has another journal.
        """
        for tool in tools:
            if isinstance(tool, RequestTool):
                known = self._tools.setdefault(tool.name, tool)
                if known.journal != tool.journal:
                    raise InvalidRequestError(
                        f"This VideoBudgetMiddleware knows another {tool.name}, with another journal.",
                        hint="Give each agent a middleware of its own, or their tools one journal.",
                    )
                self._tools[tool.name] = tool

    def covers(self, tool_name: str) -> bool:
        """Whether this is the name of a registered tool."""
        return tool_name in self._tools

    def refusals(self, calls: Iterable[Mapping[str, Any]], run: Run) -> Iterator[tuple[Any, BudgetExceededError]]:
        """The calls that do not fit into what is left, each with its error. Earlier calls come first."""
        left = self.usd - self._spent(run)
        for call in calls:
            tool = self._tools[call["name"]]
            cost = quote_call(tool, call["args"], tool.current_group_ratio())
            if cost is None:
                continue  # the tool itself refuses it and says why
            if cost.usd is not None and cost.usd <= left:
                left -= cost.usd
            elif not self._may_resume(call, run):
                yield call, self._refusal(cost.usd, left)

    def limit(self, run: Run) -> SpendLimit:
        """The check of each row that a call writes: with the real price, and everything else that counts by then."""
        return self._limit(run, (run.scope, run.thread_scope))

    @contextmanager
    def watch(self, run: Run) -> Iterator[None]:
        """While the body runs, hold a budget per day for whatever this process reserves in the tools' journals."""
        if self.per != "day":
            yield
            return
        limit = self._limit(run, ())
        with watch_journal(limit.counted(), limit):
            yield

    def end(self, run: Run) -> None:
        """Let the journals of a run go, when it has ended."""
        self._seen.forget(run.scope)

    @property
    def kept_journals(self) -> int:
        """How many journals of other code are kept alive for their sums."""
        return len(self._seen)

    def left(self, run: Run) -> Decimal:
        """What is left, in US dollars; never below zero."""
        return max(self.usd - self._spent(run), Decimal(0))

    def _limit(self, run: Run, scopes: tuple[str, ...]) -> SpendLimit:
        journals: list[Journal] = []
        for tool in list(self._tools.values()):
            if tool.journal not in journals:
                journals.append(tool.journal)
        return SpendLimit(
            usd=self.usd,
            scopes=scopes,
            refusal=self._refusal,
            scope=self._scope(run),
            window=_DAY if self.per == "day" else None,
            journals=tuple(journals),
            seen=self._seen,
        )

    def _scope(self, run: Run) -> str | None:
        return {"run": run.scope, "thread": run.thread_scope, "day": None}[self.per]

    def _may_resume(self, call: Mapping[str, Any], run: Run) -> bool:
        """Whether a call may continue a video that is paid for. The journal decides when the tool is called."""
        now, prompt = datetime.now(UTC), call["args"].get("prompt") or ""
        since = now - _DAY if self.per == "day" else None
        journals = self._limit(run, ()).counted()
        rows = (row for journal in journals for row in journal.entries(since=since, scope=self._scope(run)))
        return any(
            (row.abandoned or row.is_orphaned(now)) and row.spent_usd and row.request.get("prompt", "") == prompt
            for row in rows
        )

    def _refusal(self, usd: Decimal | None, left: Decimal) -> BudgetExceededError:
        price = "has no known price" if usd is None else f"would cost {dollars(usd)}"
        return BudgetExceededError(
            f"This video {price}, and {dollars(max(left, Decimal(0)))} of the budget of {dollars(self.usd)} per "
            f"{self.per} is left.",
            hint="Make a shorter or smaller one, or tell the user.",
        )

    def _spent(self, run: Run) -> Decimal:
        return self._limit(run, ()).spent(datetime.now(UTC))
