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
from typing import Any, Literal

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

from typing import Annotated, NotRequired

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


class _Spending(AgentState[Any]):
    nebula_video_calls: NotRequired[Annotated[list[str], PrivateStateAttr]]
    """The calls of this run that pay."""


class VideoBudgetMiddleware(AgentMiddleware[Any, Any, Any]):
    """Holds an agent to an amount for videos.

    Decided once a turn, after the model has spoken, for all its calls together: so calls at the same time cannot
    overdraw it. What was spent is read from the journal of the agent's own tools: the bill of what succeeded, the
    reservation of what is under way or unconfirmed, nothing for what failed for free. A call that is refused gets an
    answer that says what it would cost and what is left; so does each video.

    Args:
        usd: The amount.
        per: `"run"`: one `invoke` of the agent; `"thread"`: one conversation, in all its runs; `"day"`: 24 hours of
            everything that the journal holds. Without a thread id in the configuration, a call that ended in an error
            counts in full.

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
        return {"nebula_video_calls": []}

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
        return self._decided(state, runtime, calls, self._spent(state, runtime)) if calls else None

    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """See `after_model`."""
        calls = self._paying(state)
        if not calls:
            return None
        return self._decided(state, runtime, calls, await asyncio.to_thread(self._spent, state, runtime))

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Refuse what a person has made dearer since; tell with each video what is left."""
        if request.tool_call["name"] not in self._tools:
            return handler(request)
        refusal = self._too_dear(request, self._spent(request.state, request.runtime, but=request.tool_call["id"]))
        if refusal is not None:
            return refusal
        answer = handler(request)
        return self._with_rest(answer, self._spent(request.state, request.runtime))

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `wrap_tool_call`."""
        if request.tool_call["name"] not in self._tools:
            return await handler(request)
        state, runtime = request.state, request.runtime
        before = await asyncio.to_thread(self._spent, state, runtime, but=request.tool_call["id"])
        refusal = self._too_dear(request, before)
        if refusal is not None:
            return refusal
        answer = await handler(request)
        return self._with_rest(answer, await asyncio.to_thread(self._spent, state, runtime))

    # --- deciding ---

    def _paying(self, state: Any) -> list[Any]:
        last = next((each for each in reversed(state["messages"]) if isinstance(each, AIMessage)), None)
        answered = {each.tool_call_id for each in state["messages"] if isinstance(each, ToolMessage)}
        calls = last.tool_calls if last is not None else []
        return [call for call in calls if call["name"] in self._tools and call["id"] not in answered]

    def _decided(self, state: Any, runtime: Any, calls: list[Any], spent: Decimal) -> dict[str, Any]:
        del runtime
        refused, allowed, left = [], [], self.usd - spent
        for call in calls:
            cost = _cost(self._tools[call["name"]], call["args"])
            if cost is None:  # what cannot be made at all is told by the tool
                allowed.append(call["id"])
            elif cost.usd is None or cost.usd > left:
                refused.append(self._refusal(call, cost, left))
            else:
                left -= cost.usd
                allowed.append(call["id"])
        known = list(dict.fromkeys([*state.get("nebula_video_calls", []), *allowed]))
        return {"nebula_video_calls": known, **({"messages": refused} if refused else {})}

    def _too_dear(self, request: Any, spent: Decimal) -> ToolMessage | None:
        call = request.tool_call
        cost = _cost(self._tools[call["name"]], call["args"])
        if cost is None or (cost.usd is not None and cost.usd <= self.usd - spent):
            return None
        return self._refusal(call, cost, self.usd - spent)

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

    def _spent(self, state: Any, runtime: Any, *, but: str | None = None) -> Decimal:
        """What counts already; `but`: without this call, which is being decided on."""
        if not self._tools:
            return Decimal(0)
        journals = {id(tool.journal): tool.journal for tool in self._tools.values()}.values()
        if self.per == "day":
            since = datetime.now(UTC) - timedelta(days=1)
            return _sum(entry for journal in journals for entry in journal.entries(since=since) if _not(entry, but))
        thread_id = _thread_of(runtime)
        if thread_id is None:
            return self._told(state, but)
        found = [entry for journal in journals for entry in journal.entries(key_prefix=f"{thread_id}:")]
        if self.per == "run":
            calls = tuple(f"{thread_id}:{call}:" for call in state.get("nebula_video_calls", []))
            found = [entry for entry in found if (entry.key or "").startswith(calls)]
        return _sum(entry for entry in found if _not(entry, but))

    def _told(self, state: Any, but: str | None) -> Decimal:
        """Without a thread the journal's rows do not name the calls: then their answers and prices count."""
        messages = state["messages"]
        answers = {each.tool_call_id: each for each in messages if isinstance(each, ToolMessage)}
        wanted = {call["id"]: call for each in messages if isinstance(each, AIMessage) for call in each.tool_calls}
        total = Decimal(0)
        for name in state.get("nebula_video_calls", []):
            if name == but or name not in wanted:
                continue
            artifact = getattr(answers.get(name), "artifact", None)
            if isinstance(artifact, Mapping) and artifact.get("cost_usd") is not None:
                total += Decimal(str(artifact["cost_usd"]))
                continue
            cost = _cost(self._tools[wanted[name]["name"]], wanted[name]["args"])
            total += (cost.usd if cost is not None else None) or Decimal(0)
        return total


def _not(entry: Entry, call: str | None) -> bool:
    return call is None or f":{call}:" not in (entry.key or "")


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
