"""For `create_agent`: a person's consent before money is spent, and a ceiling per run, thread or day.

Needs the extra `agents`. The ceiling is decided twice. After the model has spoken, for all calls of the turn together:
the first calls first, and what does not fit is refused before a person is asked about it. And where it is paid for,
when its row stands in the journal: whatever an edit, a restart or another agent has changed since, that holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from langchain_core.messages import ToolMessage

from langchain_nebula_video.errors import BudgetExceededError, InvalidRequestError
from langchain_nebula_video.journal import Budget, Entry, Journal
from langchain_nebula_video.journal.limits import SpendLimit, apply_limit
from langchain_nebula_video.langchain.consent import Tools, paying_tools, quote_call, spend_approval, unanswered_calls
from langchain_nebula_video.langchain.replay import thread_key_prefix
from langchain_nebula_video.langchain.tools import RequestTool
from langchain_nebula_video.schema import dollars

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langchain.agents.middleware.types import PrivateStateAttr
except ImportError as error:  # pragma: no cover - the extra is there in every test environment
    raise ImportError('This wants LangChain\'s agents: pip install "langchain-nebula-video[agents]"') from error

__all__ = ["VideoBudgetMiddleware", "spend_approval"]


class _RunState(TypedDict):
    """What is remembered of a run."""

    since: str
    """When it began."""
    made: list[str]
    """The rows of a run without a thread, whose keys do not name it. Nothing keeps the state of such a run, so this
    very list is the one that each of its steps sees."""


class _BudgetState(AgentState[Any]):
    nebula_video_run: NotRequired[Annotated[_RunState, PrivateStateAttr]]


class VideoBudgetMiddleware(AgentMiddleware[Any, Any, Any]):
    """Holds an agent to an amount for videos; give each agent one of its own.

    It holds for all that is paid for inside a call of any of the agent's tools, in however many processes, and
    whatever a person edits. What was spent is read from the journal of the agent's own tools: the bill of what
    succeeded, the reservation of what is under way or unconfirmed, nothing for what failed for free. A call that is
    refused gets an answer that says what it would cost and what is left; so does each video. What is paid for already
    is never refused: a call that is replayed or repeated goes on with its video.

    In the list of middleware it comes after `HumanInTheLoopMiddleware`: so nobody is asked about what it has refused.

    Args:
        usd: The amount.
        per: `"run"`: one `invoke` of the agent; `"thread"`: one conversation, in all its runs; `"day"`: 24 hours of
            everything that the journal holds. Without a thread id in the configuration, `"thread"` is the run.
        tools: The tools of the agent, or its tool or toolkit. `None`: they are learnt when the model is called, and
            tools that another middleware adds, when they are called.

    Raises:
        InvalidRequestError: the amount or the window is none, or none of the tools pays for videos. In a run: a tool
            of a name that is known has another journal, so the middleware is another agent's.
    """

    state_schema = _BudgetState

    def __init__(
        self,
        usd: Decimal | float | str,
        per: Literal["run", "thread", "day"] = "run",
        *,
        tools: Tools | None = None,
    ) -> None:
        super().__init__()
        if per not in {"run", "thread", "day"}:
            raise InvalidRequestError(f"A budget is not per {per!r}.", hint='Give "run", "thread" or "day".')
        self.usd = Budget(usd).usd
        self.per = per
        self._tools: dict[str, RequestTool] = {} if tools is None else paying_tools(tools)
        self._default_run = _new_run()

    @property
    def name(self) -> str:
        """Its name in the agent's graph: an agent may have one for each window."""
        return f"{type(self).__name__}_{self.per}"

    # --- what LangChain calls ---

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 LangChain's signature
        """A new run begins."""
        return {"nebula_video_run": _new_run()}

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """See `before_agent`."""
        return self.before_agent(state, runtime)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Learn the agent's tools: their prices and their journal count."""
        self._register_tools(request.tools)
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_model_call`."""
        self._register_tools(request.tools)
        return await handler(request)

    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Decide on all calls of the turn."""
        calls = [call for call in unanswered_calls(state) if call["name"] in self._tools]
        if not calls:
            return None
        run, thread_id = self._run(state), _thread_id(runtime)
        refused = list(self._refusals(calls, run, thread_id))
        return {"nebula_video_run": run, **({"messages": refused} if refused else {})}

    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """See `after_model`."""
        return await asyncio.to_thread(self.after_model, state, runtime)

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Hold the call to what is left by now; tell with each video what is left then."""
        self._register_tools([request.tool])
        with apply_limit(self._limit(request)):
            answer = handler(request)
        return self._add_budget_left(answer, request)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_tool_call`."""
        self._register_tools([request.tool])
        with apply_limit(self._limit(request)):
            answer = await handler(request)
        return await asyncio.to_thread(self._add_budget_left, answer, request)

    # --- deciding ---

    def _refusals(self, calls: list[Any], run: _RunState, thread_id: str | None) -> Iterator[ToolMessage]:
        left = self.usd - self._spent(run, thread_id)
        for call in calls:
            tool = self._tools[call["name"]]
            cost = quote_call(tool, call["args"], tool.current_group_ratio())
            if cost is None:
                continue  # the tool says why not
            if cost.usd is not None and cost.usd <= left:
                left -= cost.usd
            elif not self._may_resume(call, run, thread_id):
                refusal = str(self._refusal(cost.usd, left))
                yield ToolMessage(refusal, tool_call_id=call["id"], name=call["name"], status="error")

    def _may_resume(self, call: Mapping[str, Any], run: _RunState, thread_id: str | None) -> bool:
        """Whether it may be a repetition, which goes on with what is paid for: that is known when it is called."""
        prompt = call["args"].get("prompt") or ""
        rows = (row for journal in self._journals() for row in self._rows(journal, run, thread_id))
        return any(row.abandoned and row.spent_usd and row.request.get("prompt", "") == prompt for row in rows)

    def _limit(self, request: Any) -> SpendLimit:
        """What is asked when the row of a video stands: the price as it really is, and all else that counts by then."""
        run, thread_id = self._run(request.state), _thread_id(request.runtime)

        def check(journal: Journal, entry: Entry) -> None:
            if thread_id is None:
                run["made"].append(entry.id)
            spent = self._spent(run, thread_id, journal, entry)
            if spent > self.usd:
                raise self._refusal(entry.reserved_usd, self.usd - spent + entry.reserved_usd)

        return check

    def _refusal(self, usd: Decimal | None, left: Decimal) -> BudgetExceededError:
        price = "has no known price" if usd is None else f"would cost {dollars(usd)}"
        return BudgetExceededError(
            f"This video {price}, and {dollars(max(left, Decimal(0)))} of the budget of {dollars(self.usd)} per "
            f"{self.per} is left.",
            hint="Make a shorter or smaller one, or tell the user.",
        )

    def _add_budget_left(self, answer: Any, request: Any) -> Any:
        ours = isinstance(request.tool, RequestTool) or request.tool_call["name"] in self._tools
        if not ours or not isinstance(answer, ToolMessage) or not isinstance(answer.content, str):
            return answer
        left = max(self.usd - self._spent(self._run(request.state), _thread_id(request.runtime)), Decimal(0))
        try:
            facts = json.loads(answer.content)
        except ValueError:
            return answer.model_copy(update={"content": f"{answer.content} Left of the budget: {dollars(left)}."})
        if not isinstance(facts, dict):
            return answer
        content = json.dumps({**facts, "budget_left_usd": float(left)}, ensure_ascii=False)
        return answer.model_copy(update={"content": content})

    # --- what counts ---

    def _register_tools(self, tools: Iterable[Any]) -> None:
        for tool in tools:
            if isinstance(tool, RequestTool):
                known = self._tools.setdefault(tool.name, tool)
                if known.journal != tool.journal:
                    raise InvalidRequestError(
                        f"This VideoBudgetMiddleware knows another {tool.name}, with another journal.",
                        hint="Give each agent a middleware of its own, or their tools one journal.",
                    )
                self._tools[tool.name] = tool

    def _run(self, state: Any) -> _RunState:
        """A run that had begun before this middleware was there begins with it."""
        run: _RunState = state.get("nebula_video_run") or self._default_run
        return run

    def _journals(self, *more: Journal) -> list[Journal]:
        found: list[Journal] = []
        for journal in (*(tool.journal for tool in list(self._tools.values())), *more):
            if journal not in found:
                found.append(journal)
        return found

    def _rows(self, journal: Journal, run: _RunState, thread_id: str | None) -> list[Entry]:
        began = datetime.fromisoformat(run["since"])
        if self.per == "day":
            return journal.entries(since=_day_ago())
        if thread_id is None:
            return [row for row in journal.entries(since=began) if row.id in run["made"]]
        return journal.entries(key_prefix=thread_key_prefix(thread_id), since=began if self.per == "run" else None)

    def _spent(
        self, run: _RunState, thread_id: str | None, journal: Journal | None = None, entry: Entry | None = None
    ) -> Decimal:
        """What counts already; with the entry that has just been written to that journal, whatever its key."""
        journals = self._journals(*([] if journal is None else [journal]))
        if self.per == "day":
            return sum((each.spent(_day_ago()) for each in journals), Decimal(0))
        rows = {row.id: row.spent_usd for each in journals for row in self._rows(each, run, thread_id)}
        if entry is not None:
            rows[entry.id] = entry.reserved_usd
        return sum(rows.values(), Decimal(0))


def _new_run() -> _RunState:
    return _RunState(since=datetime.now(UTC).isoformat(), made=[])


def _day_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def _thread_id(runtime: Any) -> str | None:
    info = getattr(runtime, "execution_info", None)
    found = getattr(info, "thread_id", None)
    return None if found is None else str(found)
