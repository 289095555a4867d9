"""Faults of Nebula's gateway itself, as its published code has them (2025-12)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.dialects.nebula_refusals import GATEWAY_ERRORS, NebulaRefusal, error_response
from langchain_nebula_video.emulator.enums import Dialect
from langchain_nebula_video.emulator.records import Problem
from langchain_nebula_video.emulator.table import VendorEnd

from .kinds import KINDS, FaultKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.tasks import Task


async def _gateway_error(
    exchange: Exchange,
    handler: Handler,
    *,
    name: str,
    detail: str = "",
    code: int | None = None,
    accepted: bool = False,
) -> None:
    if accepted:
        _, task = await _submitted(exchange, handler)
        _mark(exchange, task, unwritten=True)
    await exchange.body()
    await exchange.respond(error_response(exchange, NebulaRefusal(name, detail, code)))


async def _unwritten(exchange: Exchange, handler: Handler) -> None:
    answer, task = await _submitted(exchange, handler)
    _mark(exchange, task, unwritten=True)
    refusal = error_response(exchange, NebulaRefusal("insert_task_failed"))
    await exchange.respond(replace(answer, body=answer.body + refusal.body))


async def _tried_twice(exchange: Exchange, handler: Handler) -> None:
    lost, task = await _submitted(exchange, handler)
    _mark(exchange, task, unwritten=True)
    answer, _ = await _submitted(exchange, handler)
    await exchange.respond(replace(answer, body=lost.body + answer.body))


async def _stuck(exchange: Exchange, handler: Handler) -> None:
    answer, task = await _submitted(exchange, handler)
    _mark(exchange, task, stuck=True)
    await exchange.respond(answer)


async def _vendor_end(exchange: Exchange, handler: Handler, *, word: str = VendorEnd.CANCELED) -> None:
    answer, task = await _submitted(exchange, handler)
    if task is not None:
        exchange.state.engine.fail(task, Problem(word, ""))
    _mark(exchange, task, end=VendorEnd(word))
    await exchange.respond(answer)


async def _channel_gone(exchange: Exchange, handler: Handler) -> None:
    state = exchange.state
    for account in state.accounts:
        for task in state.engine.tasks_of(account, Dialect.NEBULA):
            _mark(exchange, task, gone=True)
    await exchange.respond(await handler(exchange))


async def _submitted(exchange: Exchange, handler: Handler) -> tuple[Response, Task | None]:
    """Return the answer to a submit, and the task; None if it was refused."""
    answer = await handler(exchange)
    # A fault may submit twice, and only the second may be refused.
    task_id = exchange.entry.task_id if answer.status == 200 else None
    return answer, None if task_id is None else exchange.state.engine.find(task_id)[0]


def _mark(exchange: Exchange, task: Task | None, **mishap: bool | VendorEnd) -> None:
    if task is not None:
        exchange.state.table.mark(task, exchange.state.clock.now(), **mishap)


_SUBMIT = ("submit",)

NEBULA_KINDS: Mapping[str, FaultKind] = {
    "gateway_error": FaultKind(
        _gateway_error, points=("submit", "query", "account"), choices={"name": tuple(GATEWAY_ERRORS)}
    ),
    "unwritten": FaultKind(_unwritten, points=_SUBMIT),
    "tried_twice": FaultKind(_tried_twice, points=_SUBMIT),
    "stuck": FaultKind(_stuck, points=_SUBMIT),
    "vendor_end": FaultKind(_vendor_end, points=_SUBMIT, choices={"word": tuple(VendorEnd)}),
    "channel_gone": FaultKind(_channel_gone, points=("submit", "query")),
}
ALL_KINDS: Mapping[str, FaultKind] = {**KINDS, **NEBULA_KINDS}
