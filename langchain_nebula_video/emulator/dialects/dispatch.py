"""The path that Nebula and the Vidu gateway share. The model decides which of them answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.enums import Dialect
from langchain_nebula_video.emulator.refusals import Refusal

from . import nebula, vidu
from .error_envelopes import refusal_response
from .vidu_request import is_vidu

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler
    from langchain_nebula_video.emulator.serving.responses import Response

_SUBMITS: Mapping[Dialect, Handler] = {Dialect.NEBULA: nebula.submit, Dialect.VIDU: vidu.submit}
_QUERIES: Mapping[Dialect, Handler] = {Dialect.NEBULA: nebula.query, Dialect.VIDU: vidu.query}


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/video/generations``."""
    dialect = Dialect.VIDU if is_vidu(await exchange.body()) else Dialect.NEBULA
    exchange.dialect = dialect
    return await _SUBMITS[dialect](exchange)


async def query(exchange: Exchange) -> Response:
    """``GET /v1/video/generations/{task_id}``."""
    try:
        task, _ = exchange.state.engine.find(exchange.path_params["task_id"], dialects=tuple(_QUERIES))
    except Refusal:
        # Nebula owns the path, so it answers for unknown tasks.
        return await nebula.query(exchange)
    exchange.dialect = task.spec.dialect
    return await _QUERIES[task.spec.dialect](exchange)


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the dialect that was chosen."""
    error_formats = vidu.ERROR_FORMATS if exchange.dialect is Dialect.VIDU else nebula.ERROR_FORMATS
    return refusal_response(exchange, refusal, error_formats)
