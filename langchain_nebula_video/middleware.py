"""For `create_agent`: a person's consent before money is spent, and a ceiling per run, thread or day.

Needs the extra `agents`. A client's own `budget` is the harder bound: the journal decides it in the transaction that
reserves the cost, for all processes together. What is here decides earlier, once for all calls of a turn, and tells
the language model what is left.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from langchain_core.messages import AIMessage, ToolMessage

from langchain_nebula_video._tool_base import VideoTool
from langchain_nebula_video.client import quote
from langchain_nebula_video.errors import InvalidRequestError, NebulaVideoError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.schema import Budget, Cost, dollars
from langchain_nebula_video.toolkit import NebulaVideoToolkit

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langchain.agents.middleware.types import PrivateStateAttr
except ImportError as error:  # pragma: no cover - the extra is there in every test environment
    raise ImportError('This wants LangChain\'s agents: pip install "langchain-nebula-video[agents]"') from error

__all__ = ["VideoBudgetMiddleware", "spend_approval"]

_PAYING = ("nebula_image_to_video", "nebula_submit_video")
_PRICED = ("duration", "resolution", "model")


def spend_approval(
    tools: VideoTool | NebulaVideoToolkit | Sequence[Any] | None = None,
    *,
    over_usd: Decimal | float | str = 0,
) -> dict[str, Any]:
    """What `HumanInTheLoopMiddleware(interrupt_on=…)` wants, to ask a person before a video is paid for.

    The person reads the price and what is asked for, and may approve, edit (a shorter video, say) or reject. Nothing
    is sent before.

    Args:
        tools: The tool or toolkit of the agent: its gateway, model and prices count. `None`: the defaults.
        over_usd: Ask only about what costs more. An unknown price is always asked about.

    Example:
        ```python
        from langchain.agents.middleware import HumanInTheLoopMiddleware
        from langchain_nebula_video import NebulaVideoTool
        from langchain_nebula_video.middleware import spend_approval

        tool = NebulaVideoTool()
        asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd="0.50"))
        ```
    """
    limit = Decimal(str(over_usd))
    known = _by_name(_tools_of(tools))

    def describe(tool_call: Mapping[str, Any], state: object, runtime: object) -> str:  # noqa: ARG001 LangChain's
        cost = _cost(known.get(str(tool_call["name"])), tool_call["args"])
        price = "an unknown price" if cost is None or cost.usd is None else f"about {dollars(cost.usd)}"
        asked = {name: value for name, value in tool_call["args"].items() if value is not None}
        return f"{tool_call['name']} makes a video for {price}.\n\n" + "\n".join(
            f"{name}: {str(value)[:300]}" for name, value in asked.items()
        )

    def costs_more(request: Any) -> bool:
        cost = _cost(known.get(str(request.tool_call["name"])), request.tool_call["args"])
        return cost is None or cost.usd is None or cost.usd > limit

    entry = {"allowed_decisions": ["approve", "edit", "reject"], "description": describe, "when": costs_more}
    return {name: dict(entry) for name in _PAYING}


class _Run(TypedDict):
    """What is remembered of a run."""

    since: str
    """When it began."""
    let: str
    """What the calls that were let through are to cost together, in dollars."""
    turn: dict[str, str]
    """The same of each call of this turn."""
    left: str
    """What is left of the budget when they are paid."""


class _Spending(AgentState[Any]):
    nebula_video_run: NotRequired[Annotated[_Run, PrivateStateAttr]]


class VideoBudgetMiddleware(AgentMiddleware[Any, Any, Any]):
    """Holds an agent to an amount for videos.

    Decided once a turn, after the model has spoken, for all its calls together: so calls at the same time cannot
    overdraw it. What was spent is read from the journal of the agent's own tools: the bill of what succeeded, the
    reservation of what is under way or unconfirmed, nothing for what failed for free. A call that is refused gets an
    answer that says what it would cost and what is left; so does each video.

    Args:
        usd: The amount.
        per: `"run"`: one `invoke` of the agent; `"thread"`: one conversation, in all its runs; `"day"`: 24 hours of
            everything that the journal holds. Without a thread id in the configuration, each call of the run counts
            in full, whatever it ended in.

    Raises:
        InvalidRequestError: the amount or the window is none.
    """

    state_schema = _Spending

    def __init__(self, usd: Decimal | float | str, per: Literal["run", "thread", "day"] = "run") -> None:
        super().__init__()
        if per not in {"run", "thread", "day"}:
            raise InvalidRequestError(f"A budget is not per {per!r}.", hint='Give "run", "thread" or "day".')
        self.usd = Budget(usd).usd
        self.per = per
        self._tools: dict[str, VideoTool] = {}

    # --- what LangChain calls ---

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 LangChain's signature
        """A new run begins."""
        began = datetime.now(UTC).isoformat()
        return {"nebula_video_run": _Run(since=began, let="0", turn={}, left=str(self.usd))}

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """See `before_agent`."""
        return self.before_agent(state, runtime)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Learn the agent's tools: their prices and their journal count."""
        self._tools |= _by_name(request.tools)
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_model_call`."""
        self._tools |= _by_name(request.tools)
        return await handler(request)

    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Decide on all calls of the turn."""
        calls = self._paying(state)
        return self._decided(state, calls, self._spent(state, runtime)) if calls else None

    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """See `after_model`."""
        calls = self._paying(state)
        return self._decided(state, calls, await asyncio.to_thread(self._spent, state, runtime)) if calls else None

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Refuse what a person has made too dear since; tell with each video what is left."""
        self._tools |= _by_name([request.tool])
        if not self._bounds(request):
            return handler(request)
        answer = self._too_dear(request, self._spent(request.state, request.runtime)) or handler(request)
        return self._with_rest(answer, self._spent(request.state, request.runtime))

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_tool_call`."""
        self._tools |= _by_name([request.tool])
        if not self._bounds(request):
            return await handler(request)
        before = await asyncio.to_thread(self._spent, request.state, request.runtime)
        answer = self._too_dear(request, before) or await handler(request)
        return self._with_rest(answer, await asyncio.to_thread(self._spent, request.state, request.runtime))

    # --- deciding ---

    def _paying(self, state: Any) -> list[Any]:
        """The calls of this turn that pay and have no answer yet."""
        turn: list[Any] = []
        for message in reversed(state["messages"]):
            turn.append(message)
            if isinstance(message, AIMessage):
                break
        if not turn or not isinstance(turn[-1], AIMessage):
            return []
        answered = {each.tool_call_id for each in turn if isinstance(each, ToolMessage)}
        return [call for call in turn[-1].tool_calls if call["name"] in self._tools and call["id"] not in answered]

    def _decided(self, state: Any, calls: list[Any], spent: Decimal) -> dict[str, Any]:
        run: _Run = state["nebula_video_run"]
        left, turn, refused = self.usd - spent, {}, []
        for call in calls:
            cost = _cost(self._tools[call["name"]], call["args"])
            if cost is not None and (cost.usd is None or cost.usd > left):
                refused.append(self._refusal(call, cost, left))
            elif cost is not None and cost.usd is not None:  # what cannot be made at all is told by the tool
                left -= cost.usd
                turn[call["id"]] = str(cost.usd)
        let = Decimal(run["let"]) + sum(map(Decimal, turn.values()), Decimal(0))
        known = _Run(since=run["since"], let=str(let), turn=turn, left=str(left))
        return {"nebula_video_run": known, **({"messages": refused} if refused else {})}

    def _bounds(self, request: Any) -> bool:
        return request.tool_call["name"] in self._tools and "nebula_video_run" in request.state

    def _too_dear(self, request: Any, spent: Decimal) -> ToolMessage | None:
        """A refusal, if what is left does not hold the call as it is now: a person may have made it dearer.

        A call of which nothing was decided is one of a run that another process began, and this one resumed before
        the model spoke again: only now are the tools known.
        """
        call, run = request.tool_call, request.state["nebula_video_run"]
        cost = _cost(self._tools[call["name"]], call["args"])
        if cost is None:
            return None
        let = run["turn"].get(call["id"])
        left = self.usd - spent if let is None else Decimal(run["left"]) + Decimal(let)
        return None if cost.usd is not None and cost.usd <= left else self._refusal(call, cost, left)

    def _refusal(self, call: Mapping[str, Any], cost: Cost, left: Decimal) -> ToolMessage:
        price = "has no known price" if cost.usd is None else f"would cost {dollars(cost.usd)}"
        return ToolMessage(
            f"This video {price}, and {dollars(max(left, Decimal(0)))} of the budget of {dollars(self.usd)} per "
            f"{self.per} is left. Nothing was sent and nothing was spent. Make a shorter or smaller one, or tell the "
            "user.",
            tool_call_id=call["id"],
            name=call["name"],
            status="error",
        )

    def _with_rest(self, answer: Any, spent: Decimal) -> Any:
        if not isinstance(answer, ToolMessage) or not isinstance(answer.content, str):
            return answer
        left = max(self.usd - spent, Decimal(0))
        try:
            facts = json.loads(answer.content)
        except ValueError:
            return answer.model_copy(update={"content": f"{answer.content} Left of the budget: {dollars(left)}."})
        if not isinstance(facts, dict):
            return answer
        told = json.dumps({**facts, "budget_left_usd": float(left)}, ensure_ascii=False)
        return answer.model_copy(update={"content": told})

    # --- what was spent ---

    def _spent(self, state: Any, runtime: Any) -> Decimal:
        """What counts already."""
        run: _Run = state["nebula_video_run"]
        thread_id = _thread_of(runtime)
        chosen: dict[str, Any] = {}
        if self.per == "day":
            chosen = {"since": datetime.now(UTC) - timedelta(days=1)}
        elif thread_id is None:  # the journal's rows do not name the calls then
            return Decimal(run["let"])
        elif self.per == "thread":
            chosen = {"key_prefix": f"{thread_id}:"}
        else:
            chosen = {"key_prefix": f"{thread_id}:", "since": datetime.fromisoformat(run["since"])}
        journals = {id(tool.journal): tool.journal for tool in self._tools.values()}.values()
        return _sum(entry for journal in journals for entry in journal.entries(**chosen))


def _sum(entries: Iterable[Entry]) -> Decimal:
    return sum((entry.spent_usd for entry in entries), Decimal(0))


def _thread_of(runtime: Any) -> str | None:
    info = getattr(runtime, "execution_info", None)
    found = getattr(info, "thread_id", None)
    return None if found is None else str(found)


def _tools_of(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    if isinstance(given, NebulaVideoToolkit):
        return given.get_tools()
    return (given,) if isinstance(given, VideoTool) else tuple(given)


def _by_name(tools: Iterable[Any]) -> dict[str, VideoTool]:
    """The tools that pay."""
    return {tool.name: tool for tool in tools if isinstance(tool, VideoTool) and tool.name in _PAYING}


def _cost(tool: VideoTool | None, args: Mapping[str, Any]) -> Cost | None:
    """What a call would cost; `None`: such a video cannot be made, which the tool will say."""
    asked = {name: args[name] for name in _PRICED if args.get(name) is not None}
    settings: dict[str, Any] = {}
    if tool is not None:
        settings = {name: getattr(tool, name) for name in ("gateway", "model", "prices", "group_ratio")}
        asked.pop("model", None)
    try:
        return quote(asked, **settings)
    except NebulaVideoError:
        return None
