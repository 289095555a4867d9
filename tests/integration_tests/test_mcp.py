"""The MCP server, with real clients of both generations, over stdio and HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import BlobResourceContents, CallToolResult, ElicitResult

from langchain_nebula_video import SqlJournal
from langchain_nebula_video.emulator import Emulator
from tests.agents import animates
from tests.conftest import jpeg
from tests.environments import NotInstalledError, give_up
from tests.mcp_servers import TOKEN, HttpServer, run_new_client, serve_http, server_python, settings, stdio_command

# The SDK's first generation leaves streams of an HTTP session to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ANIMATE = "nebula_image_to_video"
IMAGE = "https://example.com/cat.jpg"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Running:
    """A server over HTTP, and the gateway behind it."""

    emulator: Emulator
    server: HttpServer
    folder: Path
    python: Path

    def posts(self, prompt: str) -> int:
        return sum(f"'{prompt}'" in str(task.request) for task in self.emulator.tasks)

    def where(self, **more: Any) -> dict[str, Any]:
        """What a client of the second generation has to know."""
        return {"url": self.server.url, "token": TOKEN, **more}


@pytest.fixture(scope="session")
def python() -> Path:
    """The servers' own Python."""
    try:
        return server_python()
    except NotInstalledError as error:
        give_up(error)


@pytest.fixture(scope="module")
def running(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests that need nothing special: starting one takes seconds."""
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "images").mkdir()
    (folder / "images" / "cat.jpg").write_bytes(jpeg(400, 400))
    (folder / "secret.jpg").write_bytes(jpeg(400, 400, "red"))
    options = ("--budget", "90", "--image-folder", "images", "--save-to", "videos", "--download-host", "127.0.0.1")
    with Emulator(speed=200) as emulator:
        variables = settings(emulator, folder / "journal.db")
        with serve_http(python, variables, folder, *options) as server:
            yield Running(emulator, server, folder, python)


@pytest.fixture
def standing(running: Running) -> Iterator[Emulator]:
    """The gateway, whose tasks make no progress until its clock is moved."""
    running.emulator.clock.pause()
    yield running.emulator
    running.emulator.clock.resume()


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[ClientSession]:
    """A client of the SDK's first generation."""
    async with (
        streamablehttp_client(url, headers=BEARER) as (read, write, _),
        ClientSession(read, write, **options) as session,
    ):
        await session.initialize()
        yield session


def ask(prompt: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "image": IMAGE, "resolution": "480p", "seed": 1, **more}


def facts(result: CallToolResult) -> dict[str, Any]:
    assert not result.isError, result.content
    assert result.structuredContent is not None
    return result.structuredContent


# --- a video ---


async def test_a_video_is_facts_as_text_and_as_data_with_progress_on_the_way(running: Running) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with connected(running.server.url) as session:
        result = await session.call_tool(ANIMATE, ask("A cat"), progress_callback=progress)
    found = facts(result)
    assert (found["status"], found["cost_usd"], found["duration"]) == ("succeeded", 0.1845, 5)
    assert found["url"].startswith(running.emulator.url)
    assert {"expires_at", "task_id", "path", "resource"} <= set(found)
    (text,) = result.content  # no link: this client does not tell its name
    assert json.loads(text.text) == found  # type: ignore[union-attr]
    assert [value for value, _, _ in told] == sorted({value for value, _, _ in told})
    assert (told[0][2], told[-1][0]) == ("submitting, 0 s", 100.0)
    assert running.posts("A cat") == 1


async def test_the_tools_say_what_they_need_and_what_they_do(running: Running) -> None:
    async with connected(running.server.url) as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert list(tools) == [
        ANIMATE, "nebula_submit_video", "nebula_get_video", "nebula_quote_video", "nebula_list_videos",
    ]  # fmt: skip
    assert tools[ANIMATE].inputSchema["required"] == ["prompt", "image"]
    assert not any("conversation" in str(tool) for tool in tools.values())
    hints = {name: tool.annotations.readOnlyHint for name, tool in tools.items() if tool.annotations}
    assert hints == dict(zip(tools, [False, False, False, True, True], strict=True))


async def test_submitted_waited_for_quoted_and_listed(running: Running) -> None:
    async with connected(running.server.url) as session:
        started = facts(await session.call_tool("nebula_submit_video", ask("A dog")))
        got = facts(await session.call_tool("nebula_get_video", {"task_id": started["task_id"], "wait_seconds": 60}))
        price = facts(await session.call_tool("nebula_quote_video", {"duration": 10, "resolution": "480p"}))
        listed = facts(await session.call_tool("nebula_list_videos", {"limit": 100}))
    assert got["status"] == "succeeded"
    assert price["cost_usd"] == 0.369
    assert got["task_id"] in {each["task_id"] for each in listed["finished"]}


async def test_a_saved_video_and_the_images_of_the_folder_are_resources(running: Running) -> None:
    async with connected(running.server.url) as session:
        (image,) = (await session.list_resources()).resources
        assert (str(image.uri), image.mimeType) == ("resource://images/cat.jpg", "image/jpeg")
        (shown,) = (await session.read_resource(image.uri)).contents
        assert isinstance(shown, BlobResourceContents)
        assert base64.b64decode(shown.blob) == jpeg(400, 400)
        made = facts(await session.call_tool(ANIMATE, ask("From a file", image=str(image.uri))))
        (file,) = (await session.read_resource(made["resource"])).contents
    assert isinstance(file, BlobResourceContents)
    assert base64.b64decode(file.blob) == Path(made["path"]).read_bytes()
    assert made["path"].startswith(str(running.folder / "videos"))


async def test_a_path_outside_the_folder_is_refused(running: Running) -> None:
    async with connected(running.server.url) as session:
        for image in ("../secret.jpg", "resource://images/../secret.jpg", str(running.folder / "secret.jpg")):
            refused = await session.call_tool(ANIMATE, ask("Stolen", image=image))
            assert refused.isError
            assert "Nothing was sent and nothing was spent." in str(refused.content)
        for uri in ("resource://images/../secret.jpg", "resource://images/..%2Fsecret.jpg"):
            with pytest.raises(McpError):
                await session.read_resource(uri)  # type: ignore[arg-type]
    assert running.posts("Stolen") == 0


async def test_the_bytes_of_an_image_may_come_along(running: Running) -> None:
    data = f"data:image/jpeg;base64,{base64.b64encode(jpeg(400, 400)).decode()}"
    async with connected(running.server.url) as session:
        assert facts(await session.call_tool(ANIMATE, ask("Bytes", image=data)))["status"] == "succeeded"


async def test_a_client_that_tells_its_name_gets_a_link(running: Running) -> None:
    (named,) = run_new_client(
        running.python, running.where(name="Desk"), [{"tool": ANIMATE, "arguments": ask("Linked")}]
    )
    assert [block["type"] for block in named["content"]] == ["text", "resource_link"]
    link = named["content"][1]
    assert (link["uri"], link["mime_type"]) == (named["facts"]["url"], "video/mp4")
    assert named["progress"][-1] == 100.0


# --- clients that give up ---


async def test_a_client_that_stops_listening_seven_times_pays_once(running: Running, standing: Emulator) -> None:
    """The SDK's first generation does not tell the server. Each call gives up after a second."""
    async with connected(running.server.url) as session:
        for _ in range(7):
            with pytest.raises(McpError, match="Timed out"):
                await session.call_tool(ANIMATE, ask("Patience"), read_timeout_seconds=timedelta(seconds=1))
        standing.clock.advance(300)
        made = facts(await session.call_tool(ANIMATE, ask("Patience")))
    assert (made["status"], made["reused"]) == ("succeeded", True)
    assert running.posts("Patience") == 1


def test_a_client_that_cancels_six_times_pays_once(running: Running, standing: Emulator) -> None:
    """The second generation tells the server, which leaves the task in the journal; the next call adopts it."""
    call = {"tool": ANIMATE, "arguments": ask("Cancelled")}
    given_up = run_new_client(running.python, running.where(), [{**call, "timeout": 0.7}] * 6)
    assert all("timed out" in each["raised"] for each in given_up)
    standing.clock.advance(300)
    (made,) = run_new_client(running.python, running.where(), [call])
    assert made["facts"]["status"] == "succeeded"
    assert running.posts("Cancelled") == 1


async def _call_and_kill(server: HttpServer, emulator: Emulator, arguments: dict[str, Any]) -> None:
    async with asyncio.timeout(60), connected(server.url) as session:
        waiting = asyncio.create_task(session.call_tool(ANIMATE, arguments))
        looks = len(emulator.requests)
        while not emulator.tasks or len(emulator.requests) < looks + 4:  # noqa: ASYNC110 another process does it
            await asyncio.sleep(0.05)
        server.kill()
        waiting.cancel()  # the SDK's first generation waits for a dead server until its own time is over


async def test_a_server_that_is_killed_and_started_again_delivers_the_video(python: Path, tmp_path: Path) -> None:
    with Emulator(speed=200) as emulator:
        emulator.clock.pause()
        variables = settings(emulator, tmp_path / "journal.db")
        with serve_http(python, variables, tmp_path, "--confirm", "never") as first:
            with contextlib.suppress(Exception):  # whatever the client makes of a dead server
                await _call_and_kill(first, emulator, ask("Survivor"))
            assert first.process.returncode == -signal.SIGKILL
            port = first.port
        emulator.clock.resume()
        with serve_http(python, variables, tmp_path, "--confirm", "never", port=port) as second:
            async with connected(second.url) as session:
                made = facts(await session.call_tool(ANIMATE, ask("Survivor")))
        assert (made["status"], made["reused"]) == ("succeeded", True)
        assert len(emulator.tasks) == 1
        (entry,) = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}").entries()
        assert entry.task_id == made["task_id"]


def test_a_server_that_is_told_to_end_in_mid_wait_ends_and_its_journal_has_the_task(
    python: Path, tmp_path: Path
) -> None:
    with Emulator(speed=1) as emulator:
        process = subprocess.Popen(
            [str(python), *stdio_command("--confirm", "never")],
            env=settings(emulator, tmp_path / "journal.db"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdin is not None
            hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
            call = {"name": ANIMATE, "arguments": ask("Ended")}
            for message in (
                {"id": 1, "method": "initialize", "params": hello},
                {"method": "notifications/initialized"},
                {"id": 2, "method": "tools/call", "params": call},
            ):
                process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                process.stdin.flush()
            while len(emulator.requests) < 3 and process.poll() is None:  # into the wait
                time.sleep(0.05)
            process.terminate()
            assert process.wait(timeout=30) == 0
        (task,) = emulator.tasks
    (entry,) = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}").entries()
    assert (entry.task_id, entry.abandoned) == (task.id, True)


# --- who may come in ---


def test_without_the_token_from_a_page_or_under_a_foreign_name_nobody_comes_in(running: Running) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    cases: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"Authorization": "Bearer wrong-token-wrong-token"}, 401),
        ({**BEARER, "Origin": "https://evil.example"}, 403),
        ({**BEARER, "Origin": f"http://127.0.0.1:{running.server.port}"}, 403),
        ({**BEARER, "Host": f"evil.example:{running.server.port}"}, 421),
    ]
    for headers, status in cases:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            answered = httpx.request(method, running.server.url, headers=headers, json=hello, timeout=30)
            assert answered.status_code == status, (method, headers)


def test_the_key_and_the_token_are_in_no_line_of_the_log(running: Running) -> None:
    text = running.server.errors.read_text()
    assert TOKEN not in text
    assert running.emulator.api_key not in text


# --- consent ---


def person(*, agrees: bool) -> tuple[Callable[..., Any], list[str]]:
    asked: list[str] = []

    async def answer(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"pay": True}) if agrees else ElicitResult(action="decline")

    return answer, asked


async def test_a_client_of_the_first_generation_asks_and_its_answer_counts(running: Running) -> None:
    yes, asked = person(agrees=True)
    async with connected(running.server.url, elicitation_callback=yes) as session:
        assert facts(await session.call_tool(ANIMATE, ask("Agreed")))["status"] == "succeeded"
        await session.call_tool(ANIMATE, ask("Agreed"))
    assert asked == [
        "Pay about $0.1845 for a video? 5 s at 480p, with sound, by Wan 2.5 image-to-video. Prompt: Agreed"
    ]
    no, asked = person(agrees=False)
    async with connected(running.server.url, elicitation_callback=no) as session:
        refused = await session.call_tool(ANIMATE, ask("Declined"))
    assert refused.isError
    assert "declined. Nothing was sent and nothing was spent." in str(refused.content)
    assert len(asked) == 1
    assert (running.posts("Agreed"), running.posts("Declined")) == (1, 0)


def test_a_client_of_the_second_generation_asks_too_also_for_a_task(running: Running) -> None:
    calls: list[dict[str, Any]] = [
        {"tool": ANIMATE, "arguments": ask("Agreed later")},
        {"tool": ANIMATE, "arguments": ask("Agreed as a task"), "task": True},
        {"tool": ANIMATE, "arguments": ask("Agreed as a task"), "task": True},
    ]
    plain, task, again = run_new_client(running.python, running.where(elicit=True), calls)
    assert plain["facts"]["status"] == task["facts"]["status"] == again["facts"]["status"] == "succeeded"
    assert [len(call["asked"]) for call in (plain, task, again)] == [1, 1, 0]
    assert again["facts"]["reused"] is True
    (declined,) = run_new_client(
        running.python, running.where(elicit=False), [{"tool": ANIMATE, "arguments": ask("Declined later")}]
    )
    assert (declined["error"], declined["facts"]["error"]) == (True, "ConsentRefusedError")
    assert [running.posts(text) for text in ("Agreed later", "Agreed as a task", "Declined later")] == [1, 1, 0]


def test_a_task_of_a_client_that_cannot_ask_is_paid_within_the_budget(running: Running) -> None:
    (made,) = run_new_client(
        running.python, running.where(), [{"tool": ANIMATE, "arguments": ask("Unasked"), "task": True}]
    )
    assert made["facts"]["status"] == "succeeded"
    assert made["asked"] == []


# --- LangChain ---


async def test_an_agent_uses_it_over_http(running: Running) -> None:
    connection: Any = {"transport": "http", "url": running.server.url, "headers": BEARER}
    client = MultiServerMCPClient({"videos": connection})
    agent = create_agent(animates(prompt="By an agent", image=IMAGE), await client.get_tools())
    state = await agent.ainvoke({"messages": [HumanMessage("Animate it")]})
    (message,) = [each for each in state["messages"] if isinstance(each, ToolMessage)]
    made = message.artifact["structured_content"]
    assert (made["status"], message.status) == ("succeeded", "success")
    assert [block["type"] for block in message.content_blocks] == ["text"]  # models refuse a video as a file
    assert running.posts("By an agent") == 1


async def test_an_agent_uses_it_over_stdio_and_reads_our_errors(python: Path, tmp_path: Path) -> None:
    with Emulator(speed=200) as emulator:
        connection: Any = {
            "transport": "stdio",
            "command": str(python),
            "args": stdio_command("--budget", "5"),
            "env": settings(emulator, tmp_path / "journal.db"),
            "cwd": str(tmp_path),
        }
        async with MultiServerMCPClient({"videos": connection}).session("videos") as session:
            tools = await load_mcp_tools(session)
            agent = create_agent(animates(image=IMAGE), tools)
            made = await agent.ainvoke({"messages": [HumanMessage("Animate it")]})
            wrong = create_agent(animates(image="cat.jpg"), tools)
            refused = await wrong.ainvoke({"messages": [HumanMessage("Animate it")]})
        assert len(emulator.tasks) == 1
    assert made["messages"][2].artifact["structured_content"]["cost_usd"] == 0.369
    assert refused["messages"][2].status == "error"
    assert "Files can be named only if this server is started with --image-folder" in refused["messages"][2].text
