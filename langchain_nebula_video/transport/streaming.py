"""Iterators over what a flow reports, driven in the caller's own thread or task.

A flow awaits an `Emission` to report an item. It goes on when the caller asks for the next one. So no thread, task or
queue is in between, and to close the iterator is to end the flow at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from langchain_nebula_video.transport.blocking import flow_connections

__all__ = ["Emission", "iterate", "iterate_async"]

logger = logging.getLogger("langchain_nebula_video")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Emission(Generic[Item]):
    """An item that a flow reports by awaiting it. The await ends when the caller asks for the next item."""

    __slots__ = ("item",)

    def __init__(self, item: Item) -> None:
        self.item = item

    def __await__(self) -> Generator[Any, None, None]:
        yield self


MakeFlow = Callable[[Callable[[Item], Emission[Item]]], Coroutine[Any, Any, Result]]
"""Makes a flow that reports with the function that it is given."""


def iterate(make_flow: MakeFlow[Item, Result], *, level: int) -> Generator[Item | Result, None, None]:
    """Iterate over what a flow of a blocking runtime reports. Its result comes last.

    Each step may be made by another thread: web frameworks do that.

    Args:
        make_flow: Called when the first item is asked for.
        level: Of the log line that tells what an iterator leaves behind that is closed before its end.
    """
    context, flow = contextvars.copy_context(), make_flow(Emission)
    context.run(flow_connections.set, {})
    while True:
        try:
            emission = context.run(flow.send, None)
        except StopIteration as done:
            result: Result = done.value
            break
        try:
            yield emission.item
        except BaseException:  # closed by the caller
            # Cancelled, in a thread too: a GeneratorExit that is thrown in is another one at each level below.
            try:
                context.run(flow.throw, asyncio.CancelledError())
            except asyncio.CancelledError as ended:
                _log_end(ended, level)
            raise
    yield result


async def iterate_async(make_flow: MakeFlow[Item, Result], *, level: int) -> AsyncGenerator[Item | Result, None]:
    """Iterate over what a flow of an async runtime reports; see `iterate`. Each step may be made by another task."""
    context, flow = contextvars.copy_context(), make_flow(Emission)
    while True:
        step = await _advance(context, flow, partial(flow.send, None))
        if isinstance(step, _End):
            break
        try:
            yield step.item
        except BaseException:  # closed by the caller
            stop = asyncio.CancelledError()
            try:
                await _advance(context, flow, partial(flow.throw, stop))
            except asyncio.CancelledError as ended:
                if ended is not stop:  # the caller itself is cancelled meanwhile
                    raise
                _log_end(ended, level)
            raise
    yield step.result


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a flow."""

    result: Any


class _Suspension:
    """What a flow waits for, passed on to the event loop."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, None]:
        yield self._future


async def _advance(
    context: contextvars.Context, flow: Coroutine[Any, Any, Any], step: Callable[[], Any]
) -> Emission[Any] | _End:
    """Let a flow go on to its next emission or to its end."""
    while True:
        try:
            awaited = context.run(step)
        except StopIteration as done:
            return _End(done.value)
        if isinstance(awaited, Emission):
            return awaited
        try:
            await _Suspension(awaited)
        except BaseException as error:  # noqa: BLE001 the flow decides
            step = partial(flow.throw, error)
        else:
            step = partial(flow.send, None)


def _log_end(ended: BaseException, level: int) -> None:
    """Log what a flow says of the task that goes on without it."""
    if notes := getattr(ended, "__notes__", ()):
        logger.log(level, "an iterator was closed before its end. %s", " ".join(notes))
