"""Progress as server-sent events: the recipe and FastAPI, served by uvicorn, read over loopback."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from langchain.agents import create_agent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from langchain_nebula_video import AsyncNebulaVideoClient, MemoryJournal, NebulaVideoClient, NebulaVideoTool, Video
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.testing import EmulatorClock
from tests.agents import animates
from tests.gateways import standing_clock

ORDER = {"number": "order-17", "prompt": "The cat blinks", "image": "https://example.com/cat.png"}


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`examples/sse_server.py`."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    return importlib.import_module("sse_server")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """On a clock that moves when the client sleeps."""
    with Emulator(clock=standing_clock()) as running:
        yield running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    return {
        "base_url": emulator.url,
        "api_key": emulator.api_key,
        "poll_interval": 15.0,
        "clock": EmulatorClock(emulator),
        "journal": MemoryJournal(),
    }


async def read(browser: httpx.AsyncClient, path: str) -> list[tuple[str, Any]]:
    """Every event with its data, and each comment as an event without a name."""
    found: list[tuple[str, Any]] = []
    async with browser.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
            elif line.startswith(":"):
                found.append(("", line))
    return found


def progress_in(found: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The progress, in which nowhere is a silence of five seconds."""
    told = [data for name, data in found if name == "progress"]
    assert max(later["elapsed"] - earlier["elapsed"] for earlier, later in pairwise(told)) < 5
    assert (told[0]["status"], told[-1]["status"]) == ("queued", "succeeded")
    return told


def posts(emulator: Emulator) -> int:
    return sum(request.method == "POST" for request in emulator.requests)


async def test_a_browser_follows_a_video_to_its_end(recipe: Any, options: dict[str, Any], emulator: Emulator) -> None:
    app = recipe.make_app(AsyncNebulaVideoClient(**options))
    async with recipe.served(app) as address, httpx.AsyncClient(base_url=address) as browser:
        accepted = [await browser.post("/videos", json=ORDER) for _ in range(2)]
        path = accepted[0].json()["events"]
        found = await read(browser, path)
    assert [answer.status_code for answer in accepted] == [202, 202]
    told = progress_in(found)
    assert {event["task_id"] for event in told} == {path.split("/")[2]}
    assert told[0]["elapsed"] < 5
    assert found[-1][0] == "video"
    assert found[-1][1]["url"].startswith("http")
    assert posts(emulator) == 1


async def test_a_browser_that_leaves_may_come_back(recipe: Any, options: dict[str, Any], emulator: Emulator) -> None:
    app = recipe.make_app(AsyncNebulaVideoClient(**options))
    async with recipe.served(app) as address, httpx.AsyncClient(base_url=address) as browser:
        path = (await browser.post("/videos", json=ORDER)).json()["events"]
        async with browser.stream("GET", path) as answer:
            assert await anext(answer.aiter_lines()) == "event: progress"
        assert (await read(browser, path))[-1][0] == "video"
    (entry,) = options["journal"].entries()
    assert (entry.state, entry.held_until, posts(emulator)) == ("succeeded", None, 1)


async def test_a_comment_comes_while_nothing_else_does(
    recipe: Any, options: dict[str, Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "IDLE_SECONDS", 0.05)
    emulator.faults.add("query", "stall_after", seconds=0.4, times=1)
    app = recipe.make_app(AsyncNebulaVideoClient(**options))
    async with recipe.served(app) as address, httpx.AsyncClient(base_url=address) as browser:
        found = await read(browser, (await browser.post("/videos", json=ORDER)).json()["events"])
    assert ("", ": still there") in found
    assert found[-1][0] == "video"


async def test_a_task_that_is_unknown_is_told_in_an_event(recipe: Any, options: dict[str, Any]) -> None:
    app = recipe.make_app(AsyncNebulaVideoClient(**options))
    async with recipe.served(app) as address, httpx.AsyncClient(base_url=address) as browser:
        refused = await browser.post("/videos", json={**ORDER, "image": "ftp://example.com/cat.png"})
        ((name, data),) = [event for event in await read(browser, "/videos/unheard-of/events") if event[0] != ""]
    assert refused.status_code == 400
    assert (name, list(data)) == ("failed", ["error"])


async def test_fastapi_sends_the_same(recipe: Any, options: dict[str, Any], emulator: Emulator) -> None:
    app, client = FastAPI(), AsyncNebulaVideoClient(**options)

    @app.get("/videos/{task_id}/events", response_class=EventSourceResponse)
    async def events(task_id: str) -> AsyncIterator[ServerSentEvent]:
        async with aclosing(client.watch(task_id)) as items:
            async for item in items:
                if isinstance(item, Video):
                    yield ServerSentEvent(event="video", data={"url": item.url})
                else:
                    yield ServerSentEvent(event="progress", data=item.as_dict())

    path = f"/videos/{(await client.submit(prompt=ORDER['prompt'], image=ORDER['image'])).task_id}/events"
    async with recipe.served(app) as address, httpx.AsyncClient(base_url=address) as browser:
        async with browser.stream("GET", path) as answer:
            await anext(answer.aiter_lines())
        found = await read(browser, path)
    progress_in(found)
    assert (found[-1][0], posts(emulator)) == ("video", 1)


async def test_the_progress_of_an_agent_names_its_call(recipe: Any, options: dict[str, Any]) -> None:
    agent = create_agent(animates(image=ORDER["image"]), [NebulaVideoTool(**options)])

    async def talk(_: Request) -> StreamingResponse:
        question = {"messages": [{"role": "user", "content": "Make the cat blink."}]}

        async def told() -> AsyncIterator[str]:
            async for event in agent.astream(question, stream_mode="custom"):  # type: ignore[call-overload]
                yield recipe.message("progress", event)

        return StreamingResponse(told(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/talk", talk)])
    async with recipe.served(app) as address, httpx.AsyncClient(base_url=address) as browser:
        told = progress_in(await read(browser, "/talk"))
    assert {event["tool_call_id"] for event in told} == {"call_1"}
    assert told[0]["elapsed"] < 5


async def test_a_blocking_stream_may_be_sent_too(recipe: Any, options: dict[str, Any], emulator: Emulator) -> None:
    """Starlette reads it in threads, a different one each time."""
    client = NebulaVideoClient(**options)

    def told() -> Iterator[str]:
        for item in client.stream(prompt=ORDER["prompt"], image=ORDER["image"]):
            if isinstance(item, Video):
                yield recipe.message("video", item.url)
            else:
                yield recipe.message("progress", item.as_dict())

    def make(_: Request) -> StreamingResponse:
        return StreamingResponse(told(), media_type="text/event-stream")

    async with (
        recipe.served(Starlette(routes=[Route("/make", make)])) as address,
        httpx.AsyncClient(base_url=address) as browser,
    ):
        many = await asyncio.gather(*(read(browser, "/make") for _ in range(3)))
    assert [{name for name, _ in found[:-1]} for found in many] == [{"progress"}] * 3
    assert [found[-1][0] for found in many] == ["video"] * 3
    assert posts(emulator) == 3
