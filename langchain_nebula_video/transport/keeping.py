"""What runs in the background of many calls: one timer for an event loop, one thread for a process.

A task or a thread for each call would wake up four times a second for each of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from langchain_nebula_video.transport.runtime import KEEP_ALIVE_PAUSE, KeepAliveAction, run_sync

__all__ = ["Alarm", "Alarms", "AsyncKeeper", "BlockingKeeper"]

logger = logging.getLogger("langchain_nebula_video")

_IDLE_SECONDS = 10.0
"""How long the thread of `Alarms` stays without an alarm."""


class _AsyncKept:
    """An action of `AsyncKeeper`; see `KeepAlive`."""

    def __init__(self, action: KeepAliveAction) -> None:
        self.action = action
        self.due: datetime | None = None
        self.ended = False
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """See `KeepAlive.paused`."""
        async with self.lock:
            yield


class AsyncKeeper:
    """Runs the actions of `Runtime.keep_alive` on one event loop: a timer looks at them, and a task runs what is due.

    Most calls end before the timer does, and then there never is a task.

    Args:
        utcnow: The wall clock. It goes on while the machine sleeps, so what is due then runs at once afterwards.
    """

    def __init__(self, utcnow: Callable[[], datetime]) -> None:
        self._utcnow = utcnow
        self._kept: dict[_AsyncKept, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def keep(
        self,
        action: KeepAliveAction,
        run_to_completion: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]],
    ) -> AsyncGenerator[_AsyncKept]:
        """See `Runtime.keep_alive`."""
        kept = _AsyncKept(action)
        self._kept[kept] = None
        if self._timer is None:
            self._look_later()
        try:
            yield kept
        finally:
            kept.ended = True
            del self._kept[kept]
            if not self._kept and self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if kept.lock.locked():
                await run_to_completion(self._finish(kept))

    async def _finish(self, kept: _AsyncKept) -> None:
        """Wait for a run under way."""
        async with kept.lock:
            pass

    def _look_later(self) -> None:
        # Without the context of the call that happens to be the first one.
        loop, context = asyncio.get_running_loop(), contextvars.Context()
        self._timer = loop.call_later(KEEP_ALIVE_PAUSE, self._look, context=context)

    def _look(self) -> None:
        self._look_later()
        due = [kept for kept in self._kept if self._is_due(kept)]
        # Done: also if somebody has cancelled all tasks of the loop.
        if due and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run(due))

    def _is_due(self, kept: _AsyncKept) -> bool:
        """Whether to run its action. A paused one may be so for minutes: the others must not wait."""
        return not (kept.ended or kept.lock.locked()) and (kept.due is None or kept.due <= self._utcnow())

    async def _run(self, due: list[_AsyncKept]) -> None:
        for kept in due:
            if self._is_due(kept):
                async with kept.lock:
                    kept.due = await self._run_once(kept)

    async def _run_once(self, kept: _AsyncKept) -> datetime | None:
        try:
            return await kept.action()
        except Exception:
            logger.exception("what keeps a lease alive failed; it is tried again")
            return None


class Alarm:
    """A function to be called at a time, unless it is cancelled before."""

    __slots__ = ("_alarms", "action", "cancelled", "when")

    def __init__(self, alarms: Alarms, when: float, action: Callable[[], None]) -> None:
        self._alarms = alarms
        self.when = when
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call it. If it is being called, that goes on."""
        self.cancelled = True
        self._alarms.discard(self)


class Alarms:
    """Calls functions at their times, in one thread. The thread ends when it has nothing to do for a while.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._pending: set[Alarm] = set()
        self._wakes_at = 0.0
        self._runs = False

    def call_at(self, when: float, action: Callable[[], None]) -> Alarm:
        """Call it at a time of the machine's monotonic clock. It must not take long: the others wait for it."""
        alarm = Alarm(self, when, action)
        with self._changed:
            if not self._runs:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._runs = True  # not before: a process may have no room for another thread now, and later again
            elif when < self._wakes_at:  # most alarms are later than one before them: they wake nobody
                self._changed.notify()
            self._pending.add(alarm)
        return alarm

    def discard(self, alarm: Alarm) -> None:
        """Forget an alarm."""
        with self._changed:
            self._pending.discard(alarm)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = {alarm for alarm in self._pending if alarm.when <= now}
                self._pending -= due
                if not due:
                    idle = not self._pending
                    self._wakes_at = min((alarm.when for alarm in self._pending), default=now + _IDLE_SECONDS)
                    self._changed.wait(self._wakes_at - now)
                    if idle and not self._pending and time.monotonic() >= self._wakes_at:
                        self._runs = False
                        return
            for alarm in due:
                if alarm.cancelled:  # while the ones before it were called
                    continue
                try:
                    alarm.action()
                except Exception:  # the thread serves all calls of the process, and must not end with one of them
                    logger.exception("what was to be done at a certain time failed")


class _BlockingKept:
    """An action of `BlockingKeeper`; see `KeepAlive`."""

    def __init__(self) -> None:
        self.due: datetime | None = None
        self.ended = False
        self.lock = threading.Lock()
        self.alarm: Alarm

    @asynccontextmanager
    async def paused(self) -> AsyncGenerator[None]:
        """See `KeepAlive.paused`."""
        with self.lock:
            yield


class BlockingKeeper:
    """Runs the actions of `Runtime.keep_alive` of all threads of a process, in one thread.

    Args:
        utcnow: As for `AsyncKeeper`.
    """

    def __init__(self, utcnow: Callable[[], datetime]) -> None:
        self._utcnow = utcnow
        # Not the thread of the timeouts: an action may wait for a journal.
        self._alarms = Alarms("nebula-video-lease")

    @asynccontextmanager
    async def keep(self, action: KeepAliveAction) -> AsyncGenerator[_BlockingKept]:
        """See `Runtime.keep_alive`."""
        kept = _BlockingKept()

        def run() -> None:
            if not kept.ended:
                kept.alarm = self._alarms.call_at(time.monotonic() + KEEP_ALIVE_PAUSE, run)
            # A paused one may be so for minutes: the others must not wait.
            if not kept.lock.acquire(blocking=False):
                return
            try:
                if not kept.ended and (kept.due is None or kept.due <= self._utcnow()):
                    kept.due = run_sync(action())
            except Exception:
                logger.exception("what keeps a lease alive failed; it is tried again")
            finally:
                kept.lock.release()

        kept.alarm = self._alarms.call_at(time.monotonic() + KEEP_ALIVE_PAUSE, run)
        try:
            yield kept
        finally:
            with kept.lock:  # waits for a run under way
                kept.ended = True
                kept.alarm.cancel()
