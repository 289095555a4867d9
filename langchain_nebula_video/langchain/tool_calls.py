"""The calls that pay: which tools pay, what a call costs, and which calls have no answer yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.tool_base import VideoTool
from langchain_nebula_video.langchain.tool_schema import is_left_out
from langchain_nebula_video.langchain.toolkit import NebulaSubmitVideoTool, NebulaVideoToolkit
from langchain_nebula_video.langchain.tools import NebulaVideoTool, RequestTool
from langchain_nebula_video.schema import Cost

__all__ = ["Tools", "default_paying_tools", "paying_tools", "quote_call", "unanswered_calls"]

Tools = VideoTool | NebulaVideoToolkit | Sequence[Any]
"""A tool, a toolkit, or all tools of an agent."""

_PRICE_FIELDS = ("duration", "resolution")


def paying_tools(tools: Tools) -> dict[str, RequestTool]:
    """The tools that pay, by name.

    Raises:
        InvalidRequestError: none of them pays.
    """
    given = tools.get_tools() if isinstance(tools, NebulaVideoToolkit) else tools
    found = _by_name(given if isinstance(given, Sequence) else (given,))
    if not found:
        raise InvalidRequestError("None of these tools pays for videos.", hint="Give the agent's NebulaVideoTool.")
    return found


def default_paying_tools() -> dict[str, RequestTool]:
    """The tools with default options, to read prices from. They cannot send: the key and the address are fakes."""
    unreachable: Any = {"api_key": "none", "base_url": "https://gateway.invalid"}
    return _by_name([NebulaVideoTool(**unreachable), NebulaSubmitVideoTool(**unreachable)])


def quote_call(tool: RequestTool, args: Mapping[str, Any], group_ratio: Decimal) -> Cost | None:
    """What a call would cost; `None` if the tool will refuse such a video."""
    fields = {name: args[name] for name in _PRICE_FIELDS if not is_left_out(name, args.get(name))}
    try:
        return tool.offer().quote(build_request(None, fields), group_ratio)
    except InvalidRequestError:
        return None


def unanswered_calls(state: Mapping[str, Any]) -> list[Any]:
    """The calls of the newest turn that have neither a result nor a refusal."""
    answered: set[str] = set()
    for message in reversed(state["messages"]):
        if isinstance(message, AIMessage):
            return [call for call in message.tool_calls if call["id"] not in answered]
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
    return []


def _by_name(tools: Iterable[Any]) -> dict[str, RequestTool]:
    return {tool.name: tool for tool in tools if isinstance(tool, RequestTool)}
