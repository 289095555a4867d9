"""The kinds of fault: one function for each kind, and the table of all kinds.

Each function gets the exchange and the handler. If it calls the handler, the request takes effect:
a submit is accepted. Otherwise the request has no effect.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Concatenate

from langchain_nebula_video.emulator.dialects.error_envelopes import (
    distributor_error,
    gateway_response,
    native_error,
    plain_error,
)
from langchain_nebula_video.emulator.enums import Dialect, Status
from langchain_nebula_video.emulator.serving.responses import Response, html_response, json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from langchain_nebula_video.emulator.serving.connection import Connection
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler

    Play = Callable[Concatenate[Exchange, Handler, ...], Awaitable[None]]

POINTS = ("submit", "query", "download", "content", "list", "cancel", "policy", "upload", "account")
_JSON_POINTS = ("submit", "query")
_MEGABYTE = 1_000_000
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table."""

    play: Play
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that select this kind if several kinds share a function."""
    points: tuple[str, ...] = POINTS
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Parameters that accept certain values only."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters and their defaults; `inspect.Parameter.empty` for required ones."""
        every = inspect.signature(self.play).parameters.values()
        return {
            each.name: each.default for each in every if each.kind is each.KEYWORD_ONLY and each.name not in self.fixed
        }


async def _run_handler(exchange: Exchange, handler: Handler, *, accepted: bool) -> Response:
    """Return the regular response; a dummy if the request must have no effect."""
    if accepted:
        return await handler(exchange)
    # The body is read first, so that the fault occurs while the client waits for a response.
    await exchange.body()
    return Response(200)


def _require_connection(exchange: Exchange) -> Connection:
    if exchange.connection is None:
        message = "this fault needs a real connection: start() the emulator and talk to its url"
        raise RuntimeError(message)
    return exchange.connection


async def _write_pieces(exchange: Exchange, response: Response, *pieces: bytes, delay: float = 0.0) -> bool:
    """Write raw bytes to the connection. Return False if the client disconnected meanwhile."""
    connection = _require_connection(exchange)
    exchange.entry.status = response.status
    for piece in pieces:
        connection.write(piece)
        if delay and await exchange.sleep(delay):
            return False
    return True


async def _close_connection(exchange: Exchange, *, reset: bool = False) -> None:
    """Close the connection and wait for its end. The server accepts a missing response only then."""
    connection = _require_connection(exchange)
    # A reset discards unsent bytes, so they are sent first.
    while reset and connection.unsent_bytes and not await exchange.sleep(0.01):
        pass
    if reset:
        connection.reset()
    else:
        connection.close()
    await exchange.wait_disconnect()


async def _reset(exchange: Exchange, handler: Handler, *, accepted: bool) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    await _close_connection(exchange, reset=True)


async def _eof(exchange: Exchange, handler: Handler, *, accepted: bool) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    await _close_connection(exchange)


async def _stall(exchange: Exchange, handler: Handler, *, accepted: bool, seconds: float = 60.0) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    if not await exchange.sleep(seconds):
        await _close_connection(exchange)


async def _late(exchange: Exchange, handler: Handler, *, seconds: float = 5.0) -> None:
    response = await handler(exchange)
    if not await exchange.sleep(seconds):
        await exchange.respond(response)


async def _truncated(exchange: Exchange, handler: Handler) -> None:
    response = await handler(exchange)
    if await _write_pieces(exchange, response, response.head_bytes() + response.body[: len(response.body) // 2]):
        await _close_connection(exchange)


async def _half(exchange: Exchange, handler: Handler) -> None:
    response = await handler(exchange)
    await exchange.respond(replace(response, body=response.body[: len(response.body) // 2]))


async def _cut(exchange: Exchange, handler: Handler, *, at: int = 1000, reset: bool = False) -> None:
    response = await handler(exchange)
    if await _write_pieces(exchange, response, response.head_bytes() + response.body[:at]):
        await _close_connection(exchange, reset=reset)


async def _trickle(
    exchange: Exchange, handler: Handler, *, delay: float = 0.01, chunk: int = 1, headers: bool = True
) -> None:
    response = (await handler(exchange)).with_headers(connection="close")
    head = response.head_bytes()
    start = b"" if headers else head
    slow = (head if headers else b"") + response.body
    pieces = [start, *(slow[at : at + chunk] for at in range(0, len(slow), chunk))]
    if await _write_pieces(exchange, response, *filter(None, pieces), delay=delay):
        await _close_connection(exchange)


async def _slow(exchange: Exchange, handler: Handler, *, bytes_per_second: float = 100_000.0) -> None:
    response = (await handler(exchange)).with_headers(connection="close")
    step = max(1, int(bytes_per_second / 20))
    pieces = [response.body[at : at + step] for at in range(0, len(response.body), step)]
    if await _write_pieces(exchange, response, response.head_bytes(), *pieces, delay=0.05):
        await _close_connection(exchange)


async def _close_idle(exchange: Exchange, handler: Handler, *, delay: float = 0.05) -> None:
    await exchange.respond(await handler(exchange))
    _require_connection(exchange).close_when_idle(delay)


def _gateway_error(
    envelope: Callable[[str, str, str], dict[str, Any]],
) -> Callable[[Exchange, int, str, str], Response]:
    return lambda exchange, status, code, message: gateway_response(
        exchange, envelope(code, message, exchange.request_id), status
    )


def _dialect_error(exchange: Exchange, status: int, code: str, message: str) -> Response:
    """Return an error in the dialect's own format."""
    if exchange.dialect is Dialect.DASHSCOPE:
        return json_response(native_error(code, message, str(uuid.uuid4())), status)
    return _gateway_error(plain_error)(exchange, status, code, message)


# Bodies of error responses. The last two imitate a proxy, so they have no request id.
_ERROR_BODIES: Mapping[str, Callable[[Exchange, int, str, str], Response]] = {
    "json": _dialect_error,
    "distributor": _gateway_error(distributor_error),
    "native": _gateway_error(native_error),
    "html": lambda _exchange, status, _code, message: html_response(f"{status} {message}", status),
    "empty": lambda _exchange, status, _code, _message: Response(status),
}
_ERROR_CODES = {401: "InvalidApiKey", 403: "InsufficientQuota", 429: "Throttling.RateLimit"}


async def _status(
    exchange: Exchange,
    handler: Handler,
    *,
    code: int = 500,
    body: str = "json",
    error_code: str | None = None,
    message: str | None = None,
    retry_after: str | float | None = None,
    accepted: bool = False,
) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    word = error_code or _ERROR_CODES.get(code, "InternalError")
    response = _ERROR_BODIES[body](exchange, code, word, message or HTTPStatus(code).phrase)
    await exchange.respond(response if retry_after is None else response.with_headers(retry_after=str(retry_after)))


async def _html(exchange: Exchange, handler: Handler, *, code: int = 200, accepted: bool = True) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    await exchange.respond(html_response("Welcome", code))


async def _empty(exchange: Exchange, handler: Handler, *, code: int = 200, accepted: bool = True) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    await exchange.respond(Response(code))


async def _doubled(exchange: Exchange, handler: Handler) -> None:
    response = await handler(exchange)
    await exchange.respond(replace(response, body=response.body * 2))


async def _huge(exchange: Exchange, handler: Handler, *, megabytes: float = 64.0, accepted: bool = True) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    exchange.entry.status = 200
    size = int(megabytes * _MEGABYTE)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
    for at in range(0, size, _CHUNK):
        piece = b"[" * min(_CHUNK, size - at)
        await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        # Sending does not wait while buffers have room. Other requests run, and a disconnect is noticed.
        await asyncio.sleep(0)
    await exchange.send({"type": "http.response.body"})


async def _redirect(exchange: Exchange, handler: Handler, *, to: str, code: int = 302, accepted: bool = False) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    await exchange.respond(Response(code, headers={"location": to}))


async def _respond_with(
    exchange: Exchange, handler: Handler, *, body: Any, code: int = 200, accepted: bool = True
) -> None:
    await _run_handler(exchange, handler, accepted=accepted)
    await exchange.respond(json_response(body, code))


async def _patch(exchange: Exchange, handler: Handler, *, fields: Mapping[str, Any]) -> None:
    response = await handler(exchange)
    payload = _merge_patch(json.loads(response.body), fields)
    await exchange.respond(replace(response, body=json_response(payload).body))


def _merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396): null removes a field."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_patch(merged.get(name), value)
    return merged


async def _status_word(exchange: Exchange, handler: Handler, *, word: str = "resting") -> None:
    response = await handler(exchange)
    await _patch(exchange, _constant_handler(response), fields=_fields(exchange).status(word))


async def _no_url(exchange: Exchange, handler: Handler) -> None:
    response = await handler(exchange)
    await _patch(exchange, _constant_handler(response), fields=_fields(exchange).no_url)


def _constant_handler(response: Response) -> Handler:
    """Return a handler with a finished response. The dialect is known only after the real handler ran."""

    async def handler(_: Exchange) -> Response:
        return response

    return handler


async def _regress(exchange: Exchange, handler: Handler, *, status: str = "PENDING") -> None:
    exchange.status_override = Status(status)
    await exchange.respond(await handler(exchange))


@dataclass(frozen=True, slots=True)
class _DialectFields:
    """Where a dialect's responses have the values that faults change."""

    status: Callable[[str], dict[str, Any]]
    no_url: Mapping[str, Any]


_NEBULA_FIELDS = _DialectFields(
    lambda word: {"status": word}, {"url": None, "metadata": {"output": {"video_url": None}}}
)
_DASHSCOPE_FIELDS = _DialectFields(lambda word: {"output": {"task_status": word}}, {"output": {"video_url": None}})
_DIALECT_FIELDS: Mapping[Dialect | None, _DialectFields] = {
    None: _NEBULA_FIELDS,
    Dialect.NEBULA: _NEBULA_FIELDS,
    Dialect.DASHSCOPE: _DASHSCOPE_FIELDS,
    Dialect.PASSTHROUGH: _DASHSCOPE_FIELDS,
    Dialect.VIDU: _DialectFields(lambda word: {"status": word}, {"video_url": None, "result": None}),
    Dialect.NEWAPI: _DialectFields(lambda word: {"status": word}, {"metadata": None}),
    Dialect.VIDEOS: _DialectFields(lambda word: {"status": word}, {}),
}
_ROW_FIELDS = _DialectFields(
    lambda word: {"data": {"status": word}}, {"data": {"result_url": None, "data": {"output": {"video_url": None}}}}
)


def _fields(exchange: Exchange) -> _DialectFields:
    if exchange.dialect is Dialect.NEWAPI and "/video/generations/" in exchange.path:
        return _ROW_FIELDS
    return _DIALECT_FIELDS[exchange.dialect]


KINDS: Mapping[str, FaultKind] = {
    "reset_before": FaultKind(_reset, {"accepted": False}),
    "reset_after": FaultKind(_reset, {"accepted": True}),
    "eof_before": FaultKind(_eof, {"accepted": False}),
    "eof_after": FaultKind(_eof, {"accepted": True}),
    "stall_before": FaultKind(_stall, {"accepted": False}),
    "stall_after": FaultKind(_stall, {"accepted": True}),
    "late": FaultKind(_late),
    "truncated": FaultKind(_truncated),
    "half": FaultKind(_half),
    "cut": FaultKind(_cut),
    "trickle": FaultKind(_trickle),
    "slow": FaultKind(_slow),
    "close_idle": FaultKind(_close_idle),
    "status": FaultKind(_status, choices={"body": tuple(_ERROR_BODIES)}),
    "html": FaultKind(_html),
    "empty": FaultKind(_empty),
    "doubled": FaultKind(_doubled),
    "huge": FaultKind(_huge),
    "redirect": FaultKind(_redirect),
    "answer": FaultKind(_respond_with),
    "patch": FaultKind(_patch, points=_JSON_POINTS),
    "status_word": FaultKind(_status_word, points=_JSON_POINTS),
    "no_url": FaultKind(_no_url, points=("query",)),
    "regress": FaultKind(_regress, points=("query",), choices={"status": (Status.PENDING, Status.RUNNING)}),
}
