"""The ASGI app of one emulator: every dialect's routes over one core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from . import control, nebula, results
from .exchange import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from .answers import Answer
    from .core import Core
    from .exchange import Exchange, Handler
    from .refusals import Refusal


def build_app(core: Core) -> Starlette:
    """All routes. A further dialect is further rows here, over the same core."""
    table: list[tuple[str, str, str, Handler, Callable[[Exchange, Refusal], Answer]]] = [
        ("POST", nebula.SUBMIT_PATH, "submit", nebula.submit, nebula.refuse),
        ("GET", nebula.QUERY_PATH, "query", nebula.query, nebula.refuse),
        ("GET", results.RESULT_PATH, "download", results.download, results.refuse),
        ("GET", results.HOSTED_PATH, "hosted", results.hosted, results.refuse),
    ]
    return Starlette(
        routes=[
            *(
                Route(path, Endpoint(core, point, handler, refuse), methods=[method])
                for method, path, point, handler, refuse in table
            ),
            *control.routes(core),
            # Whatever else is asked for, logged too: a client that goes astray should be seen.
            Route("/{path:path}", Endpoint(core, "unknown", _unknown, nebula.refuse)),
        ]
    )


async def _unknown(exchange: Exchange) -> Answer:
    return nebula.unknown_path(exchange)
