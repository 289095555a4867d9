"""The kinds of fault: a function a kind, and the table of them all.

A kind gets the exchange and the handler. A function that calls the handler first lets the request
count (a submit is accepted); one that does not, does not.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Concatenate

from langchain_nebula_video.emulator.dialects.error_envelopes import distributor, gateway_answer, native, plain
from langchain_nebula_video.emulator.enums import Dialect, Status
from langchain_nebula_video.emulator.serving.responses import Answer, html_answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from langchain_nebula_video.emulator.serving.connection import Wire
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler

    Play = Callable[Concatenate[Exchange, Handler, ...], Awaitable[None]]

ALL = ("submit", "query", "download", "list", "cancel", "policy", "upload")
_PATCHED = ("submit", "query")
_MEGABYTE = 1_000_000
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    play: Play
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that make this kind out of a more general function."""
    points: tuple[str, ...] = ALL
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Parameters that take certain values only."""

    @property
    def params(self) -> Mapping[str, Any]:
        """What can be set, with the defaults; `inspect.Parameter.empty` for what must be."""
        every = inspect.signature(self.play).parameters.values()
        return {
            each.name: each.default for each in every if each.kind is each.KEYWORD_ONLY and each.name not in self.fixed
        }


async def _outcome(exchange: Exchange, handler: Handler, *, accepted: bool) -> Answer:
    """What would have been answered; nothing at all if the request is not to count."""
    if accepted:
        return await handler(exchange)
    # Read all the same: the client has sent everything and is waiting when the fault strikes.
    await exchange.body()
    return Answer(200)


def _wire(exchange: Exchange) -> Wire:
    if exchange.wire is None:
        message = "this fault needs a real connection: start() the emulator and talk to its url"
        raise RuntimeError(message)
    return exchange.wire


async def _write(exchange: Exchange, answer: Answer, *pieces: bytes, delay: float = 0.0) -> bool:
    """Write pieces straight to the connection; False if it was closed meanwhile."""
    wire = _wire(exchange)
    exchange.entry.status = answer.status
    for piece in pieces:
        wire.write(piece)
        if delay and await exchange.pause(delay):
            return False
    return True


async def _hang_up(exchange: Exchange, *, reset: bool = False) -> None:
    """End the connection, and wait until it has ended: only then does the server let it be unanswered."""
    wire = _wire(exchange)
    # A reset throws away what is still on its way, so that is let through first.
    while reset and wire.unsent and not await exchange.pause(0.01):
        pass
    if reset:
        wire.reset()
    else:
        wire.finish()
    await exchange.gone()


async def _reset(exchange: Exchange, handler: Handler, *, accepted: bool) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    await _hang_up(exchange, reset=True)


async def _eof(exchange: Exchange, handler: Handler, *, accepted: bool) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    await _hang_up(exchange)


async def _stall(exchange: Exchange, handler: Handler, *, accepted: bool, seconds: float = 60.0) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    if not await exchange.pause(seconds):
        await _hang_up(exchange)


async def _late(exchange: Exchange, handler: Handler, *, seconds: float = 5.0) -> None:
    answer = await handler(exchange)
    if not await exchange.pause(seconds):
        await exchange.answer(answer)


async def _truncated(exchange: Exchange, handler: Handler) -> None:
    answer = await handler(exchange)
    if await _write(exchange, answer, answer.head_on_the_wire() + answer.body[: len(answer.body) // 2]):
        await _hang_up(exchange)


async def _half(exchange: Exchange, handler: Handler) -> None:
    answer = await handler(exchange)
    await exchange.answer(replace(answer, body=answer.body[: len(answer.body) // 2]))


async def _cut(exchange: Exchange, handler: Handler, *, at: int = 1000, reset: bool = False) -> None:
    answer = await handler(exchange)
    if await _write(exchange, answer, answer.head_on_the_wire() + answer.body[:at]):
        await _hang_up(exchange, reset=reset)


async def _trickle(
    exchange: Exchange, handler: Handler, *, delay: float = 0.01, chunk: int = 1, headers: bool = True
) -> None:
    answer = (await handler(exchange)).with_headers(connection="close")
    head = answer.head_on_the_wire()
    start = b"" if headers else head
    slow = (head if headers else b"") + answer.body
    pieces = [start, *(slow[at : at + chunk] for at in range(0, len(slow), chunk))]
    if await _write(exchange, answer, *filter(None, pieces), delay=delay):
        await _hang_up(exchange)


async def _slow(exchange: Exchange, handler: Handler, *, bytes_per_second: float = 100_000.0) -> None:
    answer = (await handler(exchange)).with_headers(connection="close")
    step = max(1, int(bytes_per_second / 20))
    pieces = [answer.body[at : at + step] for at in range(0, len(answer.body), step)]
    if await _write(exchange, answer, answer.head_on_the_wire(), *pieces, delay=0.05):
        await _hang_up(exchange)


async def _close_idle(exchange: Exchange, handler: Handler, *, delay: float = 0.05) -> None:
    await exchange.answer(await handler(exchange))
    _wire(exchange).finish_when_idle(delay)


def _in(envelope: Callable[[str, str, str], dict[str, Any]]) -> Callable[[Exchange, int, str, str], Answer]:
    return lambda exchange, status, code, message: gateway_answer(
        exchange, envelope(code, message, exchange.request_id), status
    )


def _own(exchange: Exchange, status: int, code: str, message: str) -> Answer:
    """An error in the form that the dialect's own errors have."""
    if exchange.dialect is Dialect.DASHSCOPE:
        return json_answer(native(code, message, str(uuid.uuid4())), status)
    return _in(plain)(exchange, status, code, message)


# What a failing answer's body may be; the last two are a proxy's, which knows nothing of request ids.
_BODIES: Mapping[str, Callable[[Exchange, int, str, str], Answer]] = {
    "json": _own,
    "distributor": _in(distributor),
    "native": _in(native),
    "html": lambda _exchange, status, _code, message: html_answer(f"{status} {message}", status),
    "empty": lambda _exchange, status, _code, _message: Answer(status),
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
    await _outcome(exchange, handler, accepted=accepted)
    word = error_code or _ERROR_CODES.get(code, "InternalError")
    answer = _BODIES[body](exchange, code, word, message or HTTPStatus(code).phrase)
    await exchange.answer(answer if retry_after is None else answer.with_headers(retry_after=str(retry_after)))


async def _html(exchange: Exchange, handler: Handler, *, code: int = 200, accepted: bool = True) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    await exchange.answer(html_answer("Welcome", code))


async def _empty(exchange: Exchange, handler: Handler, *, code: int = 200, accepted: bool = True) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    await exchange.answer(Answer(code))


async def _doubled(exchange: Exchange, handler: Handler) -> None:
    answer = await handler(exchange)
    await exchange.answer(replace(answer, body=answer.body * 2))


async def _huge(exchange: Exchange, handler: Handler, *, megabytes: float = 64.0, accepted: bool = True) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    exchange.entry.status = 200
    size = int(megabytes * _MEGABYTE)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
    for at in range(0, size, _CHUNK):
        piece = b"[" * min(_CHUNK, size - at)
        await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        # Sending does not wait while there is room: let others in, and notice that the client left.
        await asyncio.sleep(0)
    await exchange.send({"type": "http.response.body"})


async def _redirect(exchange: Exchange, handler: Handler, *, to: str, code: int = 302, accepted: bool = False) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    await exchange.answer(Answer(code, headers={"location": to}))


async def _answer(exchange: Exchange, handler: Handler, *, body: Any, code: int = 200, accepted: bool = True) -> None:
    await _outcome(exchange, handler, accepted=accepted)
    await exchange.answer(json_answer(body, code))


async def _patch(exchange: Exchange, handler: Handler, *, fields: Mapping[str, Any]) -> None:
    answer = await handler(exchange)
    payload = _merged(json.loads(answer.body), fields)
    await exchange.answer(replace(answer, body=json_answer(payload).body))


def _merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396): null removes."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


async def _status_word(exchange: Exchange, handler: Handler, *, word: str = "resting") -> None:
    answer = await handler(exchange)
    await _patch(exchange, _given(answer), fields=_FIELDS[exchange.dialect].status(word))


async def _no_url(exchange: Exchange, handler: Handler) -> None:
    answer = await handler(exchange)
    await _patch(exchange, _given(answer), fields=_FIELDS[exchange.dialect].no_url)


def _given(answer: Answer) -> Handler:
    """A handler that has answered already: only then is it known whose words the answer is in."""

    async def handler(_: Exchange) -> Answer:
        return answer

    return handler


async def _regress(exchange: Exchange, handler: Handler, *, status: str = "PENDING") -> None:
    exchange.shown_as = Status(status)
    await exchange.answer(await handler(exchange))


@dataclass(frozen=True, slots=True)
class _Fields:
    """Where a dialect's answers say what the faults change."""

    status: Callable[[str], dict[str, Any]]
    no_url: Mapping[str, Any]


_NEBULA = _Fields(lambda word: {"status": word}, {"url": None, "metadata": {"output": {"video_url": None}}})
_DASHSCOPE = _Fields(lambda word: {"output": {"task_status": word}}, {"output": {"video_url": None}})
_FIELDS: Mapping[Dialect | None, _Fields] = {
    None: _NEBULA,
    Dialect.NEBULA: _NEBULA,
    Dialect.DASHSCOPE: _DASHSCOPE,
    Dialect.PASSTHROUGH: _DASHSCOPE,
    Dialect.VIDU: _Fields(lambda word: {"status": word}, {"video_url": None, "result": None}),
}

KINDS: Mapping[str, Kind] = {
    "reset_before": Kind(_reset, {"accepted": False}),
    "reset_after": Kind(_reset, {"accepted": True}),
    "eof_before": Kind(_eof, {"accepted": False}),
    "eof_after": Kind(_eof, {"accepted": True}),
    "stall_before": Kind(_stall, {"accepted": False}),
    "stall_after": Kind(_stall, {"accepted": True}),
    "late": Kind(_late),
    "truncated": Kind(_truncated),
    "half": Kind(_half),
    "cut": Kind(_cut),
    "trickle": Kind(_trickle),
    "slow": Kind(_slow),
    "close_idle": Kind(_close_idle),
    "status": Kind(_status, choices={"body": tuple(_BODIES)}),
    "html": Kind(_html),
    "empty": Kind(_empty),
    "doubled": Kind(_doubled),
    "huge": Kind(_huge),
    "redirect": Kind(_redirect),
    "answer": Kind(_answer),
    "patch": Kind(_patch, points=_PATCHED),
    "status_word": Kind(_status_word, points=_PATCHED),
    "no_url": Kind(_no_url, points=("query",)),
    "regress": Kind(_regress, points=("query",), choices={"status": (Status.PENDING, Status.RUNNING)}),
}
