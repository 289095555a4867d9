"""The console's routes, in front of the emulator's own."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import python_multipart  # noqa: F401 - Starlette needs it when a form arrives; a missing one is told now
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route, request_response

from langchain_nebula_video.emulator.serving.browsers import control_refusal
from langchain_nebula_video.emulator.serving.exchange import MAX_BODY
from langchain_nebula_video.emulator.serving.storage import content_response
from langchain_nebula_video.web.look import Guarded, static_files, templates

from . import actions
from .message import Message
from .views import kind_view, view_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Scope

    from langchain_nebula_video.emulator import Emulator

PREFIX = "/_console"
_THUMBNAIL = (480, 480)
# Nothing about a task's picture or video ever changes, but another emulator at this address may have the same ids.
_CACHED = {"cache-control": "private, max-age=300"}
_LIVE = {"cache-control": "no-store"}


def add_console(emulator: Emulator) -> None:
    """Serve the console at ``/`` of an emulator, for browsers on this machine.

    Its requests are not in the emulator's log, and no fault reaches them. A video that it submits is an ordinary
    request: logged, billed, and open to faults.
    """
    console = _Console(emulator)
    pages = Starlette(
        routes=[
            Route("/live", console.live),
            Route("/kinds", console.kind),
            Route("/thumbnails/{task_id}", console.thumbnail),
            Route("/videos/{task_id}.mp4", console.video),
            *(Route(path, console.endpoint_for(action), methods=["POST"]) for path, action in actions.TABLE.items()),
            Mount("/look", static_files()),
        ]
    )
    emulator.app.router.routes[:0] = [
        Route("/", Guarded(request_response(console.page), _page_refusal), methods=["GET"]),
        Mount(PREFIX, Guarded(pages, control_refusal)),
    ]


class _Console:
    """The pages of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._templates = templates(
            Path(__file__).parent / "templates",
            # Whatever a template prints passes here before it is escaped. HTML of the templates' own has passed.
            shown=lambda value: emulator.without_keys(value) if type(value) is str else value,
        )

    async def page(self, request: Request) -> Response:
        return await self._render(request, "console.html")

    async def live(self, request: Request) -> Response:
        return await self._render(request, "live.html")

    async def kind(self, request: Request) -> Response:
        try:
            values = kind_view(request.query_params.get("kind", ""))
        except KeyError:
            return Response(status_code=404)
        return HTMLResponse(self._templates.get_template("kind.html").render(values))

    async def thumbnail(self, request: Request) -> Response:
        # In a thread, because it draws, and clients wait for the emulator meanwhile. The same is true of the page.
        small = await asyncio.to_thread(self._small_picture_of, request.path_params["task_id"])
        if small is None:
            return Response(status_code=404)
        return Response(small, media_type="image/jpeg", headers=_CACHED)

    async def video(self, request: Request) -> Response:
        video = await self._emulator.video_of(request.path_params["task_id"])
        if video is None:
            return Response(status_code=404)
        answer = content_response(request.headers, video, "video/mp4")
        return Response(answer.body, answer.status, {**answer.all_headers(), **_CACHED})

    def endpoint_for(self, action: actions.Action) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            # Without scripts the browser shows the whole page anew.
            template = "live.html" if "hx-request" in request.headers else "console.html"
            return await self._render(request, template, await self._done(action, request))

        return endpoint

    async def _done(self, action: actions.Action, request: Request) -> Message:
        if int(request.headers.get("content-length", MAX_BODY + 1)) > MAX_BODY:
            async for _ in request.stream():  # a browser reads no answer before it has sent all
                pass
            return Message(f"Nothing was changed: more than {MAX_BODY // 2**20} MB were sent.", good=False)
        async with request.form(max_files=1, max_fields=20) as form:
            try:
                return await action(self._emulator, form)
            # Unknown faults, and numbers that are none.
            except (ValueError, TypeError) as error:
                return Message(f"Nothing was changed: {error}", good=False)

    async def _render(self, request: Request, template: str, message: Message | None = None) -> Response:
        # By the name that the browser uses. It is one of this machine's, or the guard had refused.
        where = {"console": PREFIX, "look": f"{PREFIX}/look", "address": str(request.base_url).rstrip("/")}
        return HTMLResponse(await asyncio.to_thread(self._html, template, {**where, "message": message}), headers=_LIVE)

    def _html(self, template: str, values: dict[str, Any]) -> str:
        return self._templates.get_template(template).render(view_of(self._emulator), **values)

    def _small_picture_of(self, task_id: str) -> bytes | None:
        picture = self._emulator.picture_of(task_id)
        return None if picture is None else _small(picture)


def _page_refusal(scope: Scope) -> str | None:
    """Refuse as the control routes do, but let a person follow a link here: that reveals and changes nothing."""
    headers = dict(scope["headers"])
    if headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document":
        kept = [(name, value) for name, value in scope["headers"] if name != b"sec-fetch-site"]
        scope = {**scope, "headers": kept}
    return control_refusal(scope)


def _small(picture: bytes) -> bytes:
    """Return a picture as a small JPEG, whatever it was: a browser gets no file of a stranger."""
    with Image.open(io.BytesIO(picture)) as image:
        image.draft("RGB", _THUMBNAIL)
        small = image.convert("RGB")
        small.thumbnail(_THUMBNAIL)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82)
    return out.getvalue()
