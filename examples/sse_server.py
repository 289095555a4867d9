"""A web server that shows the progress of videos as server-sent events, and a client of it.

Starlette here; FastAPI takes the same functions. To serve it: `uvicorn --factory sse_server:make_app`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import uvicorn
from _gateway import gateway
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from langchain_nebula_video import AsyncNebulaVideoClient, Video, VideoProgress
from langchain_nebula_video.errors import NebulaVideoError

IDLE_SECONDS = 15.0
"""A proxy ends a connection on which nothing comes. nginx waits 60 seconds."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""So that nothing on the way keeps an event back."""


def message(event: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


async def messages(items: AsyncGenerator[VideoProgress | Video, None]) -> AsyncIterator[str]:
    """Turn `client.watch(…)` or `client.stream(…)` into server-sent events, with a comment whenever nothing comes."""
    ready: asyncio.Queue[str | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    if isinstance(item, Video):
                        ready.put_nowait(message("video", {"url": item.url, "task_id": item.task_id}))
                    else:
                        ready.put_nowait(message("progress", item.as_dict()))
        except NebulaVideoError as error:
            ready.put_nowait(message("failed", {"error": str(error)}))
        finally:
            ready.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while True:
            try:
                text = await asyncio.wait_for(ready.get(), IDLE_SECONDS)
            except TimeoutError:
                yield ": still there\n\n"
                continue
            if text is None:
                return
            yield text
    finally:  # the browser may have left: the task goes on at the gateway
        reader.cancel()


def make_app(client: AsyncNebulaVideoClient | None = None) -> Starlette:
    """The web application. Here everybody is let in: in yours, ask who it is before both routes."""
    videos = client or AsyncNebulaVideoClient()

    async def submit(request: Request) -> JSONResponse:
        """Pay for a video once: the page sends its own order number, and may send it again."""
        order = await request.json()
        try:
            task = await videos.submit(prompt=order["prompt"], image=order["image"], key=order["number"])
        except NebulaVideoError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"events": f"/videos/{task.task_id}/events"}, status_code=202)

    async def events(request: Request) -> StreamingResponse:
        """Show how far a task is. Free, so a browser may connect again as often as it likes."""
        items = videos.watch(request.path_params["task_id"])
        return StreamingResponse(messages(items), media_type="text/event-stream", headers=HEADERS)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with videos:
            yield
            await videos.drain()

    routes = [Route("/videos", submit, methods=["POST"]), Route("/videos/{task_id}/events", events)]
    return Starlette(routes=routes, lifespan=lifespan)


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def main() -> None:
    """Serve the application, and be its browser."""
    with gateway(speed=60) as options:
        app = make_app(AsyncNebulaVideoClient(**options))
        async with served(app) as address, httpx.AsyncClient(base_url=address, timeout=60) as browser:
            order = {"number": "order-17", "prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
            accepted = await browser.post("/videos", json=order)
            async with browser.stream("GET", accepted.json()["events"]) as answer:
                async for line in answer.aiter_lines():
                    print(line)


if __name__ == "__main__":
    asyncio.run(main())
