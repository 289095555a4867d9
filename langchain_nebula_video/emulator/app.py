"""The ASGI app of one emulator: every dialect's routes over one core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from . import control
from .dialects import dispatch as shared
from .dialects import nebula, vidu
from .dialects.dashscope import DOORS
from .dialects.error_envelopes import unknown_path
from .enums import Dialect
from .refusals import Refusal
from .rendering.errors import RenderStopped
from .serving import storage as results
from .serving.exchange import ClientGone, Exchange, headers_of, wire_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from .faults.schedule import Faults
    from .serving.exchange import Handler
    from .serving.responses import Answer
    from .serving.state import Core

    Refuse = Callable[[Exchange, Refusal], Answer]


class Endpoint:
    """The ASGI app of one route."""

    def __init__(
        self,
        core: Core,
        faults: Faults,
        point: str,
        handler: Handler,
        refuse: Callable[[Exchange, Refusal], Answer],
        dialect: Dialect | None = None,
    ) -> None:
        """Answer with what `handler` returns, or with `refuse` made of the `Refusal` it raises."""
        self._core = core
        self._faults = faults
        self._dialect = dialect
        self._point = point
        self._handler = handler
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        wire = wire_of(scope)
        with self._core.traffic.request(
            self._point,
            method=scope["method"],
            path=scope["path"],
            headers=self._shown(headers_of(scope)),
            connection=wire.number if wire else None,
        ) as entry:
            entry.dialect = self._dialect
            exchange = Exchange(self._core, entry, scope, receive, send)
            try:
                await self._faults.play(self._point, exchange, self._answer)
            except (ClientGone, RenderStopped):
                return

    async def _answer(self, exchange: Exchange) -> Answer:
        try:
            return await self._handler(exchange)
        except Refusal as refusal:
            return self._refuse(exchange, refusal)

    def _shown(self, headers: Mapping[str, str]) -> dict[str, str]:
        holds_key = self._core.accounts.holds_key
        return {name: "***" if holds_key(value) else value for name, value in headers.items()}


def build_app(core: Core, faults: Faults) -> Starlette:
    """All routes. A further dialect is further rows here, over the same core."""
    table: list[tuple[str, str, str, Handler, Refuse, Dialect | None]] = [
        # Nebula's unless the model says otherwise.
        ("POST", nebula.SUBMIT_PATH, "submit", shared.submit, shared.refuse, Dialect.NEBULA),
        ("GET", nebula.QUERY_PATH, "query", shared.query, shared.refuse, Dialect.NEBULA),
        ("GET", vidu.VIDEOS_PATH, "query", vidu.videos, vidu.refuse, Dialect.VIDU),
        *((*row, door.refuse, door.dialect) for door in DOORS for row in door.routes()),
        ("POST", results.UPLOAD_PATH, "upload", results.upload, results.refuse, None),
        ("GET", results.RESULT_PATH, "download", results.download, results.refuse, None),
        ("GET", results.HOSTED_PATH, "hosted", results.hosted, results.refuse, None),
    ]
    return Starlette(
        routes=[
            *(
                Route(path, Endpoint(core, faults, point, handler, refuse, dialect), methods=[method])
                for method, path, point, handler, refuse, dialect in table
            ),
            *control.routes(core, faults),
            # Whatever else is asked for, logged too: a client that goes astray should be seen.
            Route("/{path:path}", Endpoint(core, faults, "unknown", _unknown, nebula.refuse)),
        ]
    )


async def _unknown(exchange: Exchange) -> Answer:
    return unknown_path(exchange)
