"""What a person is asked before a video is paid for; and what consent and budgets both know of calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import images
from langchain_nebula_video.langchain.tool_base import VideoTool
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS, messages_in
from langchain_nebula_video.langchain.toolkit import NebulaSubmitVideoTool, NebulaVideoToolkit
from langchain_nebula_video.langchain.tools import NebulaVideoTool, RequestTool
from langchain_nebula_video.schema import Cost, dollars

__all__ = ["Tools", "paying_tools", "quote_call", "spend_approval", "unanswered_calls"]

Tools = VideoTool | NebulaVideoToolkit | Sequence[Any]
"""A tool, a toolkit, or an agent's tools."""

_PRICE_FIELDS = ("duration", "resolution")


def spend_approval(tools: Tools | None = None, *, over_usd: Decimal | float | str = 0) -> dict[str, Any]:
    """What `HumanInTheLoopMiddleware(interrupt_on=…)` wants, to ask a person before a video is paid for.

    The person reads the price, which image it will be of, and what else is asked for, and may approve, edit (a
    shorter video, say) or reject. Nothing is sent before. A call that a `VideoBudgetMiddleware` has refused is not
    asked about.

    Args:
        tools: The tools of the agent, or its tool or toolkit: their names, gateways, models and prices count. `None`:
            the defaults.
        over_usd: Ask only about what costs more, by the configured prices and `group_ratio`: whether a person is
            asked must not change while the run is paused. An unknown price is always asked about.

    Raises:
        InvalidRequestError: none of the tools pays for videos.

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
    tools_by_name = _default_tools() if tools is None else paying_tools(tools)

    def describe(tool_call: Mapping[str, Any], state: Any, runtime: object) -> str:  # noqa: ARG001 LangChain's
        tool, args = tools_by_name[tool_call["name"]], tool_call["args"]
        cost = quote_call(tool, args, tool.current_group_ratio())
        price = "an unknown price" if cost is None or cost.usd is None else f"about {dollars(cost.usd)}"
        asked = {name: str(value)[:300] for name, value in args.items() if value is not None}
        asked |= dict(_describe_images(tool, args, state))
        return f"{tool.name} makes a video for {price}.\n\n" + "\n".join(
            f"{name}: {value}" for name, value in asked.items()
        )

    def needs_approval(request: Any) -> bool:
        call = request.tool_call
        if all(call["id"] != waiting["id"] for waiting in unanswered_calls(request.state)):
            return False
        tool = tools_by_name[call["name"]]
        cost = quote_call(tool, call["args"], tool.group_ratio)
        return cost is None or cost.usd is None or cost.usd > limit

    entry = {"allowed_decisions": ["approve", "edit", "reject"], "description": describe, "when": needs_approval}
    return {name: dict(entry) for name in tools_by_name}


def paying_tools(tools: Tools) -> dict[str, RequestTool]:
    """The tools that pay, by name.

    Raises:
        InvalidRequestError: there is none.
    """
    given = tools.get_tools() if isinstance(tools, NebulaVideoToolkit) else tools
    found = _by_name(given if isinstance(given, Sequence) else (given,))
    if not found:
        raise InvalidRequestError("None of these tools pays for videos.", hint="Give the agent's NebulaVideoTool.")
    return found


def _by_name(tools: Iterable[Any]) -> dict[str, RequestTool]:
    return {tool.name: tool for tool in tools if isinstance(tool, RequestTool)}


def _default_tools() -> dict[str, RequestTool]:
    """Stand-ins, for their prices: they never send."""
    nowhere: Any = {"api_key": "none", "base_url": "https://gateway.invalid"}
    return _by_name([NebulaVideoTool(**nowhere), NebulaSubmitVideoTool(**nowhere)])


def quote_call(tool: RequestTool, args: Mapping[str, Any], group_ratio: Decimal) -> Cost | None:
    """What a call would cost; `None`: such a video cannot be made, which the tool will say."""
    asked = {name: args[name] for name in _PRICE_FIELDS if args.get(name) is not None}
    try:
        return tool.offer().quote(build_request(None, asked), group_ratio)
    except InvalidRequestError:
        return None


def unanswered_calls(state: Mapping[str, Any]) -> list[Any]:
    """The calls of this turn that have no answer yet: neither a result nor a refusal."""
    answered: set[str] = set()
    for message in reversed(state["messages"]):
        if isinstance(message, AIMessage):
            return [call for call in message.tool_calls if call["id"] not in answered]
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
    return []


def _describe_images(tool: RequestTool, args: Mapping[str, Any], state: Any) -> Iterator[tuple[str, str]]:
    """Which images of the conversation a call would take, by field: the tool itself says, also if none is named."""
    around = SimpleNamespace(state=state)
    try:
        request = tool.request_from_call(dict(args), around)
    except InvalidRequestError:
        return  # it cannot be made, which the tool will say
    there = images(messages_in(around))
    for name in IMAGE_FIELDS:
        given = getattr(request, name)
        taken = given if isinstance(given, tuple) else () if given is None else (given,)
        lines = [f"number {image.describe()}" for source in taken for image in there if image.source == source]
        if lines:
            yield name, "; ".join(lines)
