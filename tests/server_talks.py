"""Agents and models that talk to the tools through a server: MCP, with clients of both generations, and LangGraph's."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from langchain_nebula_video import MemoryJournal
from langchain_nebula_video.emulator import Emulator
from tests.framework_talks import Open, Talk
from tests.langgraph_servers import LangGraphServer
from tests.mcp_servers import TOKEN, run_new_client, serve_http, settings

__all__ = ["SERVERS", "recipe"]

Call = dict[str, Any]
Answer = tuple[str, dict[str, Any] | None]
TOOL = "nebula_image_to_video"
AGENT = """
    import json

    from langchain.agents import create_agent
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from langchain_nebula_video import NebulaVideoTool, SqlJournal


    class Model(BaseChatModel):
        _llm_type = "scripted"

        def bind_tools(self, tools, **kwargs):
            return self

        def _generate(self, messages, *args, **kwargs):
            last = messages[-1]
            line = AIMessage("Done.")
            if not isinstance(last, ToolMessage):
                call = {"name": "nebula_image_to_video", "args": json.loads(last.content), "id": "call_1"}
                line = AIMessage("", tool_calls=[call])
            return ChatResult(generations=[ChatGeneration(message=line)])


    agent = create_agent(Model(), [NebulaVideoTool(journal=SqlJournal("sqlite:///videos.db"), poll_interval=0.1)])
"""


def recipe(converse: Callable[..., Any]) -> Open:
    """A recipe of examples/frameworks, with one journal for all its runs."""

    @contextmanager
    def opened(emulator: Emulator) -> Iterator[Talk]:
        options = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}
        yield functools.partial(converse, {**options, "journal": MemoryJournal()})

    return opened


def _mcp(python: Path, ask: Callable[..., list[Answer]]) -> Open:
    """A model behind a client of one MCP server. The server lives on, whatever its clients do."""

    @contextmanager
    def opened(emulator: Emulator) -> Iterator[Talk]:
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home)
            variables = settings(emulator, folder / "journal.db")
            with serve_http(python, variables, folder, "--confirm", "never") as server:
                yield functools.partial(ask, python, server.url)

    return opened


def _ask_as_mcp_1(_: Path, url: str, calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    client: Any = importlib.import_module("mcp.client.streamable_http")
    sdk: Any = importlib.import_module("mcp")

    async def ask() -> list[Answer]:
        answers: list[Answer] = []
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            client.streamablehttp_client(url, headers=headers) as (read, write, _),
            sdk.ClientSession(read, write) as session,
        ):
            await session.initialize()
            for call in calls:
                limit = None if timeout is None else timedelta(seconds=timeout)
                try:
                    result = await session.call_tool(TOOL, call, read_timeout_seconds=limit)
                except sdk.McpError as error:
                    answers.append((str(error), None))
                else:
                    answers.append((result.content[0].text, None if result.isError else result.structuredContent))
        return answers

    return asyncio.run(ask())


def _ask_as_mcp_2(python: Path, url: str, calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    answers: list[Answer] = []
    for call in calls:
        asked = {"tool": TOOL, "arguments": call, "timeout": timeout}
        (told,) = run_new_client(python, {"url": url, "token": TOKEN}, [asked])
        text = told["raised"] if "raised" in told else told["content"][0]["text"]
        answers.append((text, None if told.get("error", True) else told["facts"]))
    return answers


def _langgraph(python: Path) -> Open:
    """An agent behind a LangGraph server, asked with its SDK. The user's message is the call that the model makes.

    A run that was given up goes on in its thread. A message that the thread has already is not sent again.
    """

    @contextmanager
    def opened(emulator: Emulator) -> Iterator[Talk]:
        variables = {"NEBULA_BASE_URL": emulator.url, "NEBULA_API_KEY": emulator.api_key}
        with tempfile.TemporaryDirectory() as home:
            server = LangGraphServer(python, Path(home), AGENT, {"agent": "./graphs.py:agent"}, variables)
            with server.running("--no-reload", "--n-jobs-per-worker", "10"):
                yield functools.partial(_ask_agent, server.url, str(uuid.uuid4()))

    return opened


def _ask_agent(url: str, thread: str, calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    sdk: Any = importlib.import_module("langgraph_sdk")

    async def ask() -> list[Answer]:
        async with sdk.get_client(url=url) as client:
            await client.threads.create(thread_id=thread, if_exists="do_nothing")
            for number, call in enumerate(calls):
                state = await client.threads.get_state(thread)
                said = {"id": f"said-{number}", "role": "user", "content": json.dumps(call)}
                if state["next"]:
                    await client.runs.wait(thread, "agent", input=None, on_disconnect="cancel")
                elif said["id"] not in [known["id"] for known in (state["values"] or {}).get("messages", [])]:
                    await client.runs.wait(thread, "agent", input={"messages": [said]}, on_disconnect="cancel")
            messages = (await client.threads.get_state(thread))["values"]["messages"]
        return [(made["content"], made["artifact"]) for made in messages if made["type"] == "tool"]

    return asyncio.run(asyncio.wait_for(ask(), timeout))


SERVERS: Mapping[str, Callable[[Path], Open]] = {
    "langgraph_server": _langgraph,
    "mcp_1": functools.partial(_mcp, ask=_ask_as_mcp_1),
    "mcp_2": functools.partial(_mcp, ask=_ask_as_mcp_2),
}
"""By the Python that serves: each talks to a server of its own."""
