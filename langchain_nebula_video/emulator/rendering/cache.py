"""The cache of finished videos. A video is rendered at its first download."""

from __future__ import annotations

import asyncio
import collections
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .errors import RenderStopped

if TYPE_CHECKING:
    from concurrent.futures import Future

    from langchain_nebula_video.emulator.tasks import Task

    from .scene import Scene

_WORKERS = 2


class VideoCache:
    """Renders in worker threads, so that the server keeps answering."""

    def __init__(self, *, max_bytes: int = 256 * 1024 * 1024) -> None:
        """Create an empty cache of at most `max_bytes`."""
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._stored: collections.OrderedDict[Scene, bytes] = collections.OrderedDict()
        self._pending: dict[Scene, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._stop = threading.Event()

    async def for_task(self, task: Task) -> bytes:
        """Return a task's video. It is rendered once, and its bytes never change."""
        # Imported here because it needs PyAV, which is unnecessary without downloads.
        from .scene import scene_of  # noqa: PLC0415

        return await self.get(scene_of(task))

    async def get(self, scene: Scene) -> bytes:
        """Return the video of a scene.

        Raises:
            RenderStopped: `close` was called meanwhile.
        """
        with self._lock:
            video = self._stored.get(scene)
            if video is not None:
                self._stored.move_to_end(scene)
                return video
            pending = self._pending.get(scene) or self._start(scene)
        # The shield keeps rendering for other waiters if one is canceled.
        try:
            return await asyncio.shield(asyncio.wrap_future(pending))
        except asyncio.CancelledError:
            if pending.cancelled():
                raise RenderStopped from None
            raise

    def close(self) -> None:
        """Abort all rendering."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._stop.set()
            self._stop = threading.Event()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _start(self, scene: Scene) -> Future[bytes]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="nebula-emulator-render")
        self._pending[scene] = pending = self._pool.submit(self._render, scene, self._stop)
        pending.add_done_callback(lambda _: self._pending.pop(scene, None))
        return pending

    def _render(self, scene: Scene, stop: threading.Event) -> bytes:
        from .encoder import render  # noqa: PLC0415 - as above

        video = render(scene, stop)
        with self._lock:
            self._stored[scene] = video
            while len(self._stored) > 1 and sum(map(len, self._stored.values())) > self._max_bytes:
                self._stored.popitem(last=False)
        return video
