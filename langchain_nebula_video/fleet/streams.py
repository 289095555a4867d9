"""Lists as `Fleet` takes them: blocking iterables, and async streams in pieces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.rows import BrokenRow
from langchain_nebula_video.schema import VideoRequest

__all__ = ["AsyncRows", "Rows", "check_rows", "in_pieces", "until_canceled"]

Rows = Iterable[Mapping[str, Any] | VideoRequest | BrokenRow]
AsyncRows = AsyncIterable[Mapping[str, Any] | VideoRequest | BrokenRow]

_STREAM_ROWS, _STREAM_SECONDS = 2000, 1.0
"""An async stream is handed over in pieces: at most so many rows, or what came within so many seconds."""


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
    """Yield what an async stream brings, in pieces: a slow one is not kept waiting until a piece is full."""
    source, piece = aiter(rows), list[Any]()
    loop = asyncio.get_running_loop()
    coming: asyncio.Future[Any] | None = None
    try:
        began = loop.time()
        while True:
            coming = coming or asyncio.ensure_future(anext(source, _END))
            left = _STREAM_SECONDS - (loop.time() - began)
            done, _ = await asyncio.wait([coming], timeout=max(0.0, left) if piece else None)
            if done:
                row, coming = coming.result(), None
                if row is _END:
                    break
                piece.append(row)
            if piece and (not done or len(piece) == _STREAM_ROWS or loop.time() - began >= _STREAM_SECONDS):
                yield piece
                piece, began = [], loop.time()
        if piece:
            yield piece
    finally:
        if coming is not None:
            coming.cancel()


_END: Any = object()
