"""Lists as `Fleet` takes them: blocking iterables, and async streams in pieces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.rows import BrokenRow
from langchain_nebula_video.schema import VideoRequest

__all__ = ["AsyncRows", "Rows", "check_rows", "in_pieces", "until_canceled"]

Rows = Iterable[Mapping[str, Any] | VideoRequest | BrokenRow]
AsyncRows = AsyncIterable[Mapping[str, Any] | VideoRequest | BrokenRow]

_STREAM_ROWS, _STREAM_BYTES, _STREAM_SECONDS = 5000, 32_000_000, 1.0
"""An async stream is handed over in pieces: at most so many rows or bytes, or what came within so many seconds."""


def check_rows(rows: object) -> None:
    """Refuse what is one row, and would be read as many.

    Raises:
        InvalidRequestError: it is no list.
    """
    if isinstance(rows, Mapping | VideoRequest | str | bytes) or not isinstance(rows, Iterable | AsyncIterable):
        raise InvalidRequestError(f"A {type(rows).__name__} is no list of rows.", hint="Give [row], or a generator.")


def until_canceled(canceled: threading.Event, rows: Rows) -> Iterator[Any]:
    """Yield rows until somebody does not want them any more."""
    for row in rows:
        if canceled.is_set():
            return
        yield row


async def in_pieces(rows: AsyncRows) -> AsyncIterator[list[Any]]:
    """Yield what an async stream brings, in pieces: a slow one is not kept waiting until a piece is full.

    What came before an error of the stream is yielded before it is raised.
    """
    piece = list[Any]()
    come, full, room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def pump() -> None:
        size = 0
        async for row in rows:
            if not piece:
                size = 0
            piece.append(row)
            size += _size(row)
            come.set()
            if len(piece) >= _STREAM_ROWS or size >= _STREAM_BYTES:
                full.set()
                room.clear()
                await room.wait()

    pumping = asyncio.create_task(pump())
    try:
        while not pumping.done() or piece:
            await _first(pumping, come.wait())
            await _first(pumping, full.wait(), timeout=_STREAM_SECONDS)
            taken, piece[:] = piece[:], []
            come.clear()
            full.clear()
            room.set()
            if taken:
                yield taken
        pumping.result()
    finally:
        pumping.cancel()
        await asyncio.wait([pumping])


async def _first(pumping: asyncio.Task[None], coming: Coroutine[Any, Any, Any], timeout: float | None = None) -> None:
    """Wait for an event, but not longer than the stream goes on."""
    waiting = asyncio.ensure_future(coming)
    await asyncio.wait([pumping, waiting], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _size(row: Any) -> int:
    """The bytes of images that a row keeps in memory, as far as they are plain to see."""
    values = row.values() if isinstance(row, dict) else ()
    return sum(len(value) for value in values if isinstance(value, bytes))
