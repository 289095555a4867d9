"""Places: how many requests of one kind are under way at once. Whoever came first gets the next free one.

A free place goes to the first waiter itself. Python's semaphores would let a newcomer take it, and so one that comes
again and again could starve the others.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque

from langchain_nebula_video.transport.runtime import WAIT_BEAT, OnWait

__all__ = ["AsyncPlaces", "BlockingPlaces"]


class AsyncPlaces:
    """Numbered places of one event loop.

    The place that was free for the shortest time is taken first. So few are in use while there is little to do, and
    whatever belongs to a place, such as its connection, stays warm.
    """

    def __init__(self, size: int) -> None:
        self._free = deque(reversed(range(size)))
        self._free_since = [0.0] * size
        self._moved_at = -math.inf
        self._waiters: deque[asyncio.Future[int]] = deque()

    async def acquire(self) -> int:
        """Wait for a place and return its number."""
        place = self._take()
        if isinstance(place, int):
            return place
        try:
            return await place
        except BaseException:
            self._leave(place)
            raise

    async def acquire_in_line(self, patience: float, on_wait: OnWait | None = None) -> int:
        """Wait for a place for as long as the line moves.

        `on_wait` is called every few seconds.

        Raises:
            TimeoutError: for so many seconds no place was given back, to whomever.
        """
        place = self._take()
        if isinstance(place, int):
            return place
        clock = asyncio.get_running_loop().time
        joined = clock()
        try:
            while not place.done() and (left := max(joined, self._moved_at) + patience - clock()) > 0:
                await asyncio.wait([place], timeout=left if on_wait is None else min(left, WAIT_BEAT))
                if on_wait is not None and not place.done():
                    await on_wait()
        except BaseException:
            self._leave(place)
            raise
        if place.done():
            return place.result()
        self._leave(place)
        raise TimeoutError

    def _take(self) -> int | asyncio.Future[int]:
        """Return a free place, or join the line."""
        if self._free and not self._waiters:
            return self._free.pop()
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _leave(self, waiter: asyncio.Future[int]) -> None:
        """Leave the line. A place that came at the last moment is passed on."""
        if not waiter.cancel() and not waiter.cancelled():
            self.release(waiter.result())

    def release(self, place: int) -> None:
        """Give a place back."""
        self._moved_at = asyncio.get_running_loop().time()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(place)
                return
        self._free_since[place] = time.monotonic()
        self._free.append(place)

    def free_for(self, seconds: float) -> list[int]:
        """Return the places that nobody has used for so long."""
        before = time.monotonic() - seconds
        return [place for place in self._free if self._free_since[place] < before]


class BlockingPlaces:
    """Places of the threads of one process."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._free = size
        self._moved_at = -math.inf
        self._waiters: deque[threading.Event] = deque()

    def acquire(self, timeout: float) -> bool:
        """Wait for a place; whether there was one in time."""
        turn = self._join()
        try:
            return turn is None or turn.wait(timeout) or not self._leave(turn)
        except BaseException:
            self._give_up(turn)
            raise

    async def acquire_in_line(self, patience: float, on_wait: OnWait | None = None) -> bool:
        """Wait for a place for as long as the line moves; see `AsyncPlaces.acquire_in_line`. It never suspends."""
        turn, joined = self._join(), time.monotonic()
        if turn is None:
            return True
        try:
            while (left := max(joined, self._moved_at) + patience - time.monotonic()) > 0:
                if turn.wait(left if on_wait is None else min(left, WAIT_BEAT)):
                    return True
                if on_wait is not None:
                    await on_wait()
        except BaseException:
            self._give_up(turn)
            raise
        return not self._leave(turn)

    def _join(self) -> threading.Event | None:
        """Join the line; `None`: there is none, and the caller has a place."""
        with self._lock:
            if self._free and not self._waiters:
                self._free -= 1
                return None
            turn = threading.Event()
            self._waiters.append(turn)
            return turn

    def _give_up(self, turn: threading.Event | None) -> None:
        """Leave the line. A place that came at the last moment is passed on."""
        if turn is None or not self._leave(turn):
            self.release()

    def _leave(self, turn: threading.Event) -> bool:
        """Stop waiting; `False`: a place came at the last moment, and is the caller's."""
        with self._lock:
            if turn.is_set():
                return False
            self._waiters.remove(turn)
            return True

    def release(self) -> None:
        """Give a place back."""
        with self._lock:
            self._moved_at = time.monotonic()
            if self._waiters:
                self._waiters.popleft().set()
            else:
                self._free += 1
