"""Ask a person before a video is paid for, with its price and its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import images
from langchain_nebula_video.langchain.tool_calls import (
    Tools,
    default_paying_tools,
    paying_tools,
    quote_call,
    unanswered_calls,
)
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS, messages_in
from langchain_nebula_video.langchain.tools import RequestTool
from langchain_nebula_video.schema import dollars

__all__ = ["spend_approval"]


def spend_approval(tools: Tools | None = None, *, over_usd: Decimal | float | str = 0) -> dict[str, Any]:
    """The `interrupt_on` of `HumanInTheLoopMiddleware`, to ask a person before a video is paid for.

    The person sees the price, the image and the other arguments. They may approve, edit (to a shorter video, for
    example) or reject. Nothing is sent before that. Calls that a `VideoBudgetMiddleware` refused are not asked about.

    Args:
        tools: The agent's tools, or its tool or toolkit. Their names, gateways, models and prices count. `None`: the
            tools with default options.
        over_usd: Ask only about videos that cost more, by the configured prices and `group_ratio`: the decision to ask
            must not change while the run is paused. An unknown price is always asked about.

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
    tools_by_name = default_paying_tools() if tools is None else paying_tools(tools)

    def describe(tool_call: Mapping[str, Any], state: Any, runtime: object) -> str:  # noqa: ARG001 LangChain's
        tool, args = tools_by_name[tool_call["name"]], tool_call["args"]
        cost = quote_call(tool, args, tool.current_group_ratio())
        price = "an unknown price" if cost is None or cost.usd is None else f"about {dollars(cost.usd)}"
        lines = {name: str(value)[:300] for name, value in args.items() if value is not None}
        lines |= dict(_describe_images(tool, args, state))
        return f"{tool.name} makes a video for {price}.\n\n" + "\n".join(
            f"{name}: {value}" for name, value in lines.items()
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


def _describe_images(tool: RequestTool, args: Mapping[str, Any], state: Any) -> Iterator[tuple[str, str]]:
    """The images of the conversation that a call would use, by field. The tool chooses them, as it will when called."""
    runtime = SimpleNamespace(state=state)
    try:
        request = tool.request_from_call(dict(args), runtime)
    except InvalidRequestError:
        return  # the tool will refuse it and say why
    available = images(messages_in(runtime))
    for name in IMAGE_FIELDS:
        value = getattr(request, name)
        used = value if isinstance(value, tuple) else () if value is None else (value,)
        lines = [f"number {image.describe()}" for source in used for image in available if image.source == source]
        if lines:
            yield name, "; ".join(lines)
