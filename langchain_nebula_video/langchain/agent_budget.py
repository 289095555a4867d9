"""What an agent's budget counts: the rows of its tools' journals in one run, one thread or one day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypedDict

from langchain_nebula_video.errors import BudgetExceededError, InvalidRequestError
from langchain_nebula_video.journal import Budget, Entry, Journal
from langchain_nebula_video.journal.limits import SpendLimit
from langchain_nebula_video.langchain.replay import thread_key_prefix
from langchain_nebula_video.langchain.tool_calls import quote_call
from langchain_nebula_video.langchain.tools import RequestTool
from langchain_nebula_video.schema import dollars

__all__ = ["AgentBudget", "Period", "Run", "RunState", "new_run"]

Period = Literal["run", "thread", "day"]


class RunState(TypedDict):
    """What a graph's state keeps of a run; plain data, so that every checkpointer can hold it."""

    since: str
    """When the run began, in ISO format."""
    made: list[str]
    """The journal rows of a run without a thread: their keys do not name the run. No checkpointer stores the state of
    such a run, so all its steps share this one list object."""


def new_run() -> RunState:
    """The state of a run that begins now."""
    return RunState(since=datetime.now(UTC).isoformat(), made=[])


@dataclass(frozen=True, slots=True)
class Run:
    """One `invoke` of an agent."""

    state: RunState
    thread_id: str | None


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

        def check(journal: Journal, entry: Entry) -> None:
            if run.thread_id is None:
                run.state["made"].append(entry.id)
            spent = self._spent(run, journal, entry)
            if spent > self.usd:
                raise self._refusal(entry.reserved_usd, self.usd - spent + entry.reserved_usd)

        return check

    def left(self, run: Run) -> Decimal:
        """What is left, in US dollars; never below zero."""
        return max(self.usd - self._spent(run), Decimal(0))

    def _may_resume(self, call: Mapping[str, Any], run: Run) -> bool:
        """Whether a call may repeat an abandoned one, which is paid for. The journal decides when it is called."""
        prompt = call["args"].get("prompt") or ""
        rows = (row for journal in self._journals() for row in self._rows(journal, run))
        return any(row.abandoned and row.spent_usd and row.request.get("prompt", "") == prompt for row in rows)

    def _refusal(self, usd: Decimal | None, left: Decimal) -> BudgetExceededError:
        price = "has no known price" if usd is None else f"would cost {dollars(usd)}"
        return BudgetExceededError(
            f"This video {price}, and {dollars(max(left, Decimal(0)))} of the budget of {dollars(self.usd)} per "
            f"{self.per} is left.",
            hint="Make a shorter or smaller one, or tell the user.",
        )

    def _spent(self, run: Run, journal: Journal | None = None, entry: Entry | None = None) -> Decimal:
        """The sum that counts.

        Args:
            run: The run that asks.
            journal: Where `entry` was written, if anywhere.
            entry: A row that was just written. It counts whatever its key is.
        """
        journals = self._journals(*([] if journal is None else [journal]))
        if self.per == "day":
            return sum((each.spent(_day_ago()) for each in journals), Decimal(0))
        spent = {row.id: row.spent_usd for each in journals for row in self._rows(each, run)}
        if entry is not None:
            spent[entry.id] = entry.reserved_usd
        return sum(spent.values(), Decimal(0))

    def _journals(self, *more: Journal) -> list[Journal]:
        found: list[Journal] = []
        for journal in (*(tool.journal for tool in list(self._tools.values())), *more):
            if journal not in found:
                found.append(journal)
        return found

    def _rows(self, journal: Journal, run: Run) -> list[Entry]:
        began = datetime.fromisoformat(run.state["since"])
        if self.per == "day":
            return journal.entries(since=_day_ago())
        if run.thread_id is None:
            return [row for row in journal.entries(since=began) if row.id in run.state["made"]]
        return journal.entries(key_prefix=thread_key_prefix(run.thread_id), since=began if self.per == "run" else None)


def _day_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)
