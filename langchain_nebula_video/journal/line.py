"""One thread in which the calls of a journal wait in line, for the event loops of a process.

SQLite has one writer, so threads of a pool would only wait for each other. To hand a call to one thread, which waits
for nothing else, costs half of what a pool takes.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["Line", "asked_at"]

T = TypeVar("T")

asked_at: contextvars.ContextVar[float | None] = contextvars.ContextVar("nebula_video_asked_at", default=None)
"""When the call that runs here came into the line, on the machine's monotonic clock; `None`: it was in none."""

_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", contextvars.Context, Callable[[], Any], float]


class Line:
    """Runs functions one after the other, in the order in which they come, in one thread.

    The thread begins with the first call and ends with the line. At the end of the process it ends what it has begun: a
    call may record what was paid for. A child of a fork has a thread of its own.
    """

    def __init__(self) -> None:
        self._begin()
        _lines.add(self)
        _finish_at_exit()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of the running event loop for the result. The function has the caller's context."""
        if self._process != os.getpid():
            self._begin()
        if self._thread is None:
            with self._lock:
                self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.put((loop, future, contextvars.copy_context(), function, time.monotonic()))
        return future

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=_run, args=(self._calls,), name="nebula-video-journal", daemon=True)
            thread.start()
            self._thread = thread  # not before: a process may have no room for another thread now, and later again
            weakref.finalize(self, self._calls.put, None).atexit = False

    def finish(self) -> None:
        """Wait for all calls that are in the line."""
        thread = self._thread
        if self._process == os.getpid() and thread is not None:
            self._calls.put(None)
            thread.join()
            self._thread = None


def _run(calls: queue.SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        loop, future, context, function, since = call
        outcome = context.run(_call, function, since)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, *outcome)
        del call, loop, future, context, function, outcome


def _call(function: Callable[[], Any], since: float) -> tuple[Any, BaseException | None]:
    asked_at.set(since)
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 whoever waits gets it
        return None, error


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


_lines: weakref.WeakSet[Line] = weakref.WeakSet()


@functools.cache
def _finish_at_exit() -> None:
    """Finish all lines before their databases are closed: what is registered last runs first."""
    atexit.register(_finish_all)


def _finish_all() -> None:
    for line in [*_lines]:
        line.finish()
