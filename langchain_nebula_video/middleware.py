"""Middleware for `create_agent`: a person's approval before money is spent, and a budget per run, thread or day.

Needs the extra `agents`. The budget is checked twice:

1. After the model has answered, for all calls of the turn together. The first calls come first. A call that does not
   fit is refused before a person is asked about it.
2. When a call pays, as its row is written to the journal. So the budget also holds after a person's edit, after a
   restart, and while other agents pay.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any, NotRequired

from langchain_core.messages import ToolMessage

from langchain_nebula_video.journal.limits import apply_limit
from langchain_nebula_video.langchain.agent_budget import AgentBudget, Period, Run, RunState, new_run
from langchain_nebula_video.langchain.approval import spend_approval
from langchain_nebula_video.langchain.tool_calls import Tools, paying_tools, unanswered_calls
from langchain_nebula_video.langchain.tools import RequestTool
from langchain_nebula_video.schema import dollars

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langchain.agents.middleware.types import PrivateStateAttr
except ImportError as error:  # pragma: no cover - the extra is there in every test environment
    raise ImportError('This wants LangChain\'s agents: pip install "langchain-nebula-video[agents]"') from error

__all__ = ["VideoBudgetMiddleware", "spend_approval"]


class _BudgetState(AgentState[Any]):
    nebula_video_run: NotRequired[Annotated[RunState, PrivateStateAttr]]


class VideoBudgetMiddleware(AgentMiddleware[Any, Any, Any]):
    """Limits what an agent spends on videos. Give each agent an instance of its own.

    The limit covers everything that is paid for inside a call of any of the agent's tools: with any client, key or
    journal, and by agents inside. It holds across processes and after a person's edits. Threads that get no context
    are covered by `per="day"` only; see `docs/spending.md`. The amount spent is read from the journals:

    - the bill of videos that succeeded;
    - the reservation of videos that are unfinished or unconfirmed;
    - nothing for videos that failed for free.

    A refused call gets an answer with its cost and with what is left. Each video's answer has what is left too. A call
    that is replayed or repeated resumes its paid video, and is never refused.

    Put it after `HumanInTheLoopMiddleware` in the list of middleware, so that nobody is asked about refused calls.

    Args:
        usd: The amount in US dollars.
        per: `"run"`: one `invoke` of the agent. `"thread"`: one conversation, in all its runs. `"day"`: the last
            24 hours of the whole journal. Without a thread id in the configuration, `"thread"` is the run.
        tools: The tools of the agent, or its tool or toolkit. `None`: they become known when the model is called.
            Tools that another middleware adds become known when they are called.

    Raises:
        InvalidRequestError: the amount or the period is not valid, or none of the tools pays for videos. In a run: a
            known tool has another journal, so the middleware belongs to another agent.
    """

    state_schema = _BudgetState

    def __init__(self, usd: Decimal | float | str, per: Period = "run", *, tools: Tools | None = None) -> None:
        super().__init__()
        self.budget = AgentBudget(usd, per)
        if tools is not None:
            self.budget.register(paying_tools(tools).values())
        self._default_run = new_run()

    @property
    def usd(self) -> Decimal:
        """The amount."""
        return self.budget.usd

    @property
    def per(self) -> Period:
        """The period that the amount is for."""
        return self.budget.per

    @property
    def name(self) -> str:
        """The name in the agent's graph. It has the period, so an agent may have one middleware for each."""
        return f"{type(self).__name__}_{self.per}"

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 LangChain's signature
        """Begin a new run."""
        return {"nebula_video_run": new_run()}

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """See `before_agent`."""
        return self.before_agent(state, runtime)

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Let go what is kept for this run."""
        self.budget.end(self._run(state, runtime))

    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        """See `after_agent`."""
        self.after_agent(state, runtime)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Register the agent's tools, for their prices and their journal. Limit what is paid for meanwhile."""
        self.budget.register(request.tools)
        with self._limited(request):
            return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_model_call`."""
        self.budget.register(request.tools)
        with self._limited(request):
            return await handler(request)

    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Refuse the calls of this turn that do not fit."""
        calls = [call for call in unanswered_calls(state) if self.budget.covers(call["name"])]
        if not calls:
            return None
        run = self._run(state, runtime)
        refused = [
            ToolMessage(str(error), tool_call_id=call["id"], name=call["name"], status="error")
            for call, error in self.budget.refusals(calls, run)
        ]
        return {"nebula_video_run": run.state, **({"messages": refused} if refused else {})}

    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """See `after_model`."""
        return await asyncio.to_thread(self.after_model, state, runtime)

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Limit the call to what is left now, and add what is left afterwards to its answer."""
        self.budget.register([request.tool])
        with self._limited(request):
            answer = handler(request)
        return self._add_budget_left(answer, request)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_tool_call`."""
        self.budget.register([request.tool])
        with self._limited(request):
            answer = await handler(request)
        return await asyncio.to_thread(self._add_budget_left, answer, request)

    @contextmanager
    def _limited(self, request: Any) -> Iterator[None]:
        """Hold the body to the budget of the request's run."""
        run = self._run(request.state, request.runtime)
        with self.budget.watch(run), apply_limit(self.budget.limit(run)):
            yield

    def _run(self, state: Any, runtime: Any) -> Run:
        """The run of this state. A run that began before the middleware existed counts from its creation."""
        info = getattr(runtime, "execution_info", None)
        thread_id = getattr(info, "thread_id", None)
        run_state: RunState = state.get("nebula_video_run") or self._default_run
        return Run(run_state, None if thread_id is None else str(thread_id))

    def _add_budget_left(self, answer: Any, request: Any) -> Any:
        ours = isinstance(request.tool, RequestTool) or self.budget.covers(request.tool_call["name"])
        if not ours or not isinstance(answer, ToolMessage) or not isinstance(answer.content, str):
            return answer
        left = self.budget.left(self._run(request.state, request.runtime))
        changes: dict[str, Any] = {"content": _with_budget_left(answer.content, left)}
        if isinstance(answer.artifact, dict):
            changes["artifact"] = {**answer.artifact, "budget_left_usd": float(left)}
        return answer.model_copy(update=changes)


def _with_budget_left(content: str, left: Decimal) -> str:
    """A tool's content with what is left: in its JSON, else in a sentence.

    The JSON may be the last line, below a note: `HumanInTheLoopMiddleware` tells the model of a person's edit so.
    """
    before, newline, last = content.rpartition("\n")
    for note, text in (("", content), (before + newline, last)):
        try:
            facts = json.loads(text)
        except ValueError:
            continue
        if isinstance(facts, dict):
            return note + json.dumps({**facts, "budget_left_usd": float(left)}, ensure_ascii=False)
        return content
    return f"{content} Left of the budget: {dollars(left)}."
