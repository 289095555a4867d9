"""The paths that Nebula and UniAll share. The model decides which of them answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from langchain_nebula_video.emulator.enums import Behaviour, Dialect
from langchain_nebula_video.emulator.refusals import Refusal

from . import nebula, nebula_source, uniall
from .uniall_request import is_uniall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response


class _NebulaDialect(Protocol):
    """Nebula, played from one source or the other."""

    async def submit(self, exchange: Exchange) -> Response: ...

    async def query(self, exchange: Exchange) -> Response: ...

    def refuse(self, exchange: Exchange, refusal: Refusal) -> Response: ...


_NEBULA: Mapping[Behaviour, _NebulaDialect] = {
    Behaviour.PAGE: nebula,
    Behaviour.SOURCE: nebula_source,
    Behaviour.OLDER_SOURCE: nebula_source,
}


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/video/generations``."""
    if is_uniall(await exchange.body()):
        exchange.dialect = Dialect.VIDU
        return await uniall.submit(exchange)
    return await _nebula(exchange).submit(exchange)


async def query(exchange: Exchange) -> Response:
    """``GET /v1/video/generations/{task_id}``."""
    if _dialect_of_task(exchange) is Dialect.VIDU:
        exchange.dialect = Dialect.VIDU
        return await uniall.query(exchange)
    # Nebula owns the path, so it answers for unknown tasks.
    return await _nebula(exchange).query(exchange)


async def videos(exchange: Exchange) -> Response:
    """``GET /v1/videos/{task_id}``. Nebula's code answers it, and its page does not name it."""
    if exchange.state.behaviour is not Behaviour.PAGE and _dialect_of_task(exchange) is Dialect.NEBULA:
        exchange.dialect = Dialect.NEBULA
        return await nebula_source.query(exchange)
    return await uniall.videos(exchange)


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the dialect that was chosen."""
    refuse_it = uniall.refuse if exchange.dialect is Dialect.VIDU else _nebula(exchange).refuse
    return refuse_it(exchange, refusal)


def _nebula(exchange: Exchange) -> _NebulaDialect:
    return _NEBULA[exchange.state.behaviour]


def _dialect_of_task(exchange: Exchange) -> Dialect | None:
    """Return the dialect that a task was submitted in, whoever asks; None if there is no such task."""
    dialects = (Dialect.NEBULA, Dialect.VIDU)
    try:
        task, _ = exchange.state.engine.find(exchange.path_params["task_id"], dialects=dialects)
    except Refusal:
        return None
    return task.spec.dialect
