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
from .records import Dialect
from .serving import storage as results
from .serving import uploads
from .serving.exchange import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from .refusals import Refusal
    from .serving.exchange import Exchange, Handler
    from .serving.responses import Answer
    from .serving.state import Core

    Refuse = Callable[[Exchange, Refusal], Answer]


def build_app(core: Core) -> Starlette:
    """All routes. A further dialect is further rows here, over the same core."""
    table: list[tuple[str, str, str, Handler, Refuse, Dialect | None]] = [
        # Nebula's unless the model says otherwise.
        ("POST", nebula.SUBMIT_PATH, "submit", shared.submit, shared.refuse, Dialect.NEBULA),
        ("GET", nebula.QUERY_PATH, "query", shared.query, shared.refuse, Dialect.NEBULA),
        ("GET", vidu.VIDEOS_PATH, "query", vidu.videos, vidu.refuse, Dialect.VIDU),
        *((*row, door.refuse, door.dialect) for door in DOORS for row in door.routes()),
        ("POST", uploads.UPLOAD_PATH, "upload", uploads.upload, results.refuse, None),
        ("GET", results.RESULT_PATH, "download", results.download, results.refuse, None),
        ("GET", results.HOSTED_PATH, "hosted", results.hosted, results.refuse, None),
    ]
    return Starlette(
        routes=[
            *(
                Route(path, Endpoint(core, point, handler, refuse, dialect), methods=[method])
                for method, path, point, handler, refuse, dialect in table
            ),
            *control.routes(core),
            # Whatever else is asked for, logged too: a client that goes astray should be seen.
            Route("/{path:path}", Endpoint(core, "unknown", _unknown, nebula.refuse)),
        ]
    )


async def _unknown(exchange: Exchange) -> Answer:
    return unknown_path(exchange)
