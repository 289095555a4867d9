"""The ASGI app: the routes of every dialect, of the storage and of the control API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from . import control
from .dialects import content, dispatch, nebula, nebula_free, newapi, uniall, videos
from .dialects.dashscope import SERVICES
from .dialects.error_envelopes import unknown_path_response
from .enums import Dialect
from .refusals import Refusal
from .rendering.errors import RenderStopped
from .serving import storage
from .serving.browsers import vendor_refusal
from .serving.exchange import ClientDisconnected, Exchange, connection_of, headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from .faults.schedule import Faults
    from .serving.exchange import Handler
    from .serving.responses import Response
    from .serving.state import State

    RefusalHandler = Callable[[Exchange, Refusal], Response]


CONSOLE_HINT = (
    "This emulator is running without its console. To get it: "
    'pip install "langchain-nebula-video[emulator,web]", then nebula-video emulator'
)
# A page may show a video or an image: its URL is signed, or names it by its digest.
_OPEN_TO_PAGES = frozenset({"download", "hosted"})


class Endpoint:
    """The ASGI app of one route: it logs the request, injects faults and turns refusals into responses."""

    def __init__(
        self,
        state: State,
        faults: Faults,
        point: str,
        handler: Handler,
        refuse: Callable[[Exchange, Refusal], Response],
        dialect: Dialect | None = None,
    ) -> None:
        """Store the parts; `refuse` turns a `Refusal` raised by `handler` into a response."""
        self._state = state
        self._faults = faults
        self._dialect = dialect
        self._point = point
        self._handler = handler
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. One that a web page sent is neither logged nor counted by a fault."""
        if self._point not in _OPEN_TO_PAGES and (refusal := vendor_refusal(scope)) is not None:
            await JSONResponse({"error": {"message": refusal, "type": "emulator"}}, 403)(scope, receive, send)
            return
        connection = connection_of(scope)
        with self._state.request_log.track(
            self._point,
            method=scope["method"],
            path=scope["path"],
            headers=self._without_keys(headers_of(scope)),
            connection=connection.number if connection else None,
        ) as entry:
            entry.dialect = self._dialect
            exchange = Exchange(self._state, entry, scope, receive, send)
            try:
                await self._faults.play(self._point, exchange, self._respond)
            except (ClientDisconnected, RenderStopped):
                return

    async def _respond(self, exchange: Exchange) -> Response:
        try:
            return await self._handler(exchange)
        except Refusal as refusal:
            return self._refuse(exchange, refusal)

    def _without_keys(self, headers: Mapping[str, str]) -> dict[str, str]:
        contains_key = self._state.accounts.contains_key
        return {name: "***" if contains_key(value) else value for name, value in headers.items()}


async def _root(request: Request) -> StarletteResponse:
    """``GET /`` where no console was added."""
    refusal = vendor_refusal(request.scope)
    return PlainTextResponse(f"{CONSOLE_HINT}\n" if refusal is None else refusal, 200 if refusal is None else 403)


def build_app(state: State, faults: Faults) -> Starlette:
    """Build the app of one emulator. A new dialect adds rows to the table."""
    table: list[tuple[str, str, str, Handler, RefusalHandler, Dialect | None]] = [
        # `dispatch` sends a request to UniAll if its model says so.
        ("POST", nebula.SUBMIT_PATH, "submit", dispatch.submit, dispatch.refuse, Dialect.NEBULA),
        ("GET", nebula.QUERY_PATH, "query", dispatch.query, dispatch.refuse, Dialect.NEBULA),
        ("GET", uniall.VIDEOS_PATH, "query", dispatch.videos, dispatch.refuse, Dialect.VIDU),
        ("POST", uniall.OTHER_SUBMIT_PATH, "submit", uniall.submit, uniall.refuse, Dialect.VIDU),
        ("GET", uniall.OTHER_QUERY_PATH, "query", uniall.videos, uniall.refuse, Dialect.VIDU),
        ("GET", content.CONTENT_PATH, "content", content.content, content.refuse, None),
        *(
            (method, path, "account", handler, nebula_free.refuse, Dialect.NEBULA)
            for method, path, handler in nebula_free.routes()
        ),
        *((*row, service.refuse, service.dialect) for service in SERVICES for row in service.routes()),
        *((*row, newapi.refuse, Dialect.NEWAPI) for row in newapi.routes()),
        *((*row, videos.refuse, Dialect.VIDEOS) for row in videos.routes()),
        *(
            ("GET", service.PREFIX + content.CONTENT_PATH, "content", content.content, content.refuse, None)
            for service in (newapi, videos)
        ),
        ("POST", storage.UPLOAD_PATH, "upload", storage.upload, storage.refuse, None),
        ("GET", storage.RESULT_PATH, "download", storage.download, storage.refuse, None),
        ("GET", storage.HOSTED_PATH, "hosted", storage.hosted, storage.refuse, None),
    ]
    return Starlette(
        routes=[
            *(
                Route(path, Endpoint(state, faults, point, handler, refuse, dialect), methods=[method])
                for method, path, point, handler, refuse, dialect in table
            ),
            *control.routes(state, faults),
            Route("/", _root, methods=["GET"]),
            # Unknown paths are logged too, so that a misdirected client shows up in `requests`.
            Route("/{path:path}", Endpoint(state, faults, "unknown", _unknown_path, nebula.refuse)),
        ]
    )


async def _unknown_path(exchange: Exchange) -> Response:
    return unknown_path_response(exchange)
