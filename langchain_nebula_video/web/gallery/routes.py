"""The gallery as an app: pages about a journal and a fleet, videos, and entries as CSV. It changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from langchain_nebula_video.errors import JournalError
from langchain_nebula_video.journal import Entry, Journal
from langchain_nebula_video.journal.table import entries_as_csv
from langchain_nebula_video.web.gallery.fleet import fleet_view
from langchain_nebula_video.web.gallery.views import MOST_ENTRIES, file_of, url_of, view_of
from langchain_nebula_video.web.look import Guarded, static_files, templates

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from langchain_nebula_video.fleet import Fleet

__all__ = ["TEMPLATES", "gallery_app"]

TEMPLATES = templates(Path(__file__).parent / "templates")
_LIVE = {"cache-control": "no-store"}


def gallery_app(
    journal: Journal,
    *,
    fleet: Fleet | None = None,
    most: int = MOST_ENTRIES,
    hosts: Sequence[str] = ("127.0.0.1", "localhost", "[::1]"),
) -> Starlette:
    """Return an ASGI app that shows a journal at ``/``, and a fleet at ``/fleet``.

    It asks nobody who looks. So it answers only if the request names one of the hosts, and only to pages of its own.

    Args:
        journal: Read only.
        fleet: Of the same database, if it has one: its batches are shown, and videos can be filtered by them.
        most: How many entries are shown, the newest ones.
        hosts: The names under which it may be asked for. Without others, it answers on this machine alone.
    """
    gallery = _Gallery(journal, most, fleet)
    fleets = [] if fleet is None else [Route("/fleet", gallery.fleet), Route("/fleet/live", gallery.fleet_live)]
    return Starlette(
        routes=[
            Route("/", gallery.page),
            Route("/entries.csv", gallery.csv),
            Route("/videos/{entry_id}.mp4", gallery.video),
            Route("/open/{entry_id}", gallery.open),
            *fleets,
            Mount("/look", static_files()),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(Guarded, refusal=_refusal),
        ],
        exception_handlers={JournalError: _journal_error},
    )


class _Gallery:
    """The pages of one journal."""

    def __init__(self, journal: Journal, most: int, fleet: Fleet | None) -> None:
        self._journal = journal
        self._most = most
        self._fleet = fleet

    async def page(self, _: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(self._html), headers=_LIVE)

    async def fleet(self, _: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(self._fleet_html, "fleet.html"), headers=_LIVE)

    async def fleet_live(self, _: Request) -> Response:
        """What is new on the fleet's page."""
        return HTMLResponse(await asyncio.to_thread(self._fleet_html, "fleet_live.html"), headers=_LIVE)

    async def csv(self, _: Request) -> Response:
        text = await asyncio.to_thread(lambda: entries_as_csv(self._journal.entries(newest_first=True)))
        return Response(text, media_type="text/csv; charset=utf-8", headers=_LIVE)

    async def video(self, request: Request) -> Response:
        entry = await self._find(request)
        file = None if entry is None else file_of(entry)
        return Response(status_code=404) if file is None else FileResponse(file, media_type="video/mp4")

    async def open(self, request: Request) -> Response:
        """Lead to the video at the gateway. So its signed address is in no page."""
        entry = await self._find(request)
        url = None if entry is None else url_of(entry, datetime.now(UTC))
        return PlainTextResponse("Its address has expired.\n", 404) if url is None else RedirectResponse(url, 303)

    async def _find(self, request: Request) -> Entry | None:
        def search() -> Entry | None:
            wanted = request.path_params["entry_id"]
            entries = self._journal.entries(newest_first=True, limit=self._most)
            return next((entry for entry in entries if entry.id == wanted), None)

        return await asyncio.to_thread(search)

    def _html(self) -> str:
        view = view_of(self._journal, datetime.now(UTC), most=self._most, fleet=self._fleet)
        names = {"look": "look", "csv": "entries.csv", "fleet": "fleet"}
        return TEMPLATES.get_template("gallery.html").render(view, **names, is_live=True)

    def _fleet_html(self, template: str) -> str:
        assert self._fleet is not None  # noqa: S101 otherwise there is no such route
        return TEMPLATES.get_template(template).render(fleet_view(self._fleet), look="look", home="./", is_live=True)


def _refusal(scope: Scope) -> str | None:
    """Refuse what a page of another site asks for. A person may follow a link here: that reveals nothing to it."""
    headers = dict(scope["headers"]) if scope["type"] == "http" else {}
    if headers.get(b"sec-fetch-site", b"none") in {b"none", b"same-origin"}:
        return None
    if headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document":
        return None
    return "This page is for the person at this machine, not for other sites."


async def _journal_error(_: Request, error: Exception) -> Response:
    told: Any = error
    return PlainTextResponse(f"{told}\n", 503, headers=_LIVE)
