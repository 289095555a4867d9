"""A LangChain tool in each framework's own adapter for such tools: what comes of one call."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from tests.framework_talks import VIDEO

__all__ = ["call_adapter"]

Adapter = Callable[[Any, dict[str, Any]], Any]


def _pydantic_ai(tool: Any, fields: dict[str, Any]) -> Any:
    made = importlib.import_module("pydantic_ai.ext.langchain").tool_from_langchain(tool)
    called = made.function(**fields)
    return asyncio.run(called) if asyncio.iscoroutine(called) else called


def _smolagents(tool: Any, fields: dict[str, Any]) -> Any:
    return importlib.import_module("smolagents").Tool.from_langchain(tool)(**fields)


def _dspy(tool: Any, fields: dict[str, Any]) -> Any:
    return asyncio.run(importlib.import_module("dspy").Tool.from_langchain(tool).acall(**fields))


def _google_adk(tool: Any, fields: dict[str, Any]) -> Any:
    made = importlib.import_module("google.adk.integrations.langchain").LangchainTool(tool)
    return asyncio.run(made.run_async(args=fields, tool_context=None))


def _autogen(tool: Any, fields: dict[str, Any]) -> Any:
    made = importlib.import_module("autogen_ext.tools.langchain").LangChainToolAdapter(tool)
    token = importlib.import_module("autogen_core").CancellationToken()
    return asyncio.run(made.run_json(fields, token))


def _crewai(tool: Any, fields: dict[str, Any]) -> Any:
    return importlib.import_module("crewai.tools").BaseTool.from_langchain(tool).run(**fields)


def _to_fastmcp(tool: Any, fields: dict[str, Any]) -> Any:
    made = importlib.import_module("langchain_mcp_adapters.tools").to_fastmcp(tool)
    return asyncio.run(made.run(fields))


def _langchain(tool: Any, fields: dict[str, Any]) -> Any:
    return tool.invoke(fields)


_ADAPTERS: dict[str, Adapter] = {
    "langchain_agent": _langchain,
    "deepagents_agent": _langchain,
    "langgraph_server": _langchain,
    "pydantic_ai_agent": _pydantic_ai,
    "smolagents_agent": _smolagents,
    "dspy_agent": _dspy,
    "google_adk_agent": _google_adk,
    "autogen_agent": _autogen,
    "crewai_agent": _crewai,
    "mcp_1": _to_fastmcp,
}
"""The others have no adapter: haystack, llama-index, agno, and what is built on mcp 2."""


def call_adapter(recipe: str) -> str | None:
    """What a model would read, or the name of the error that the adapter raises; `None`: there is no adapter."""
    if recipe not in _ADAPTERS:
        return None
    with Emulator(speed=500) as emulator:
        where: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}
        try:
            return str(_ADAPTERS[recipe](NebulaVideoTool(conversation=False, **where), dict(VIDEO)))
        except Exception as error:  # noqa: BLE001 each framework has an error of its own
            return type(error).__name__
