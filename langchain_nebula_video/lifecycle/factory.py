"""Options that create their own lifecycles: the base of clients, tool and runnable.

The lifecycle and the HTTP library are imported at first use, not when a tool is defined.
"""

from __future__ import annotations

import functools
import ssl
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from langchain_nebula_video.journal.forks import ForkLock
from langchain_nebula_video.lifecycle.options import Options

if TYPE_CHECKING:
    from langchain_nebula_video.lifecycle.lifecycle import Lifecycle
    from langchain_nebula_video.transport import Endpoint

__all__ = ["LifecycleOptions"]


class LifecycleOptions(Options):
    """Options, and a blocking and an async lifecycle with them.

    Copies share the journal and the connections. A pickle leaves out the key, the caller's HTTP clients, an
    `SSLContext` and the clock. After unpickling, the key is read from the environment.
    """

    # One lock for all copies and threads: two lifecycles would allow twice as many submits in flight.
    _creation_lock: ClassVar[ForkLock] = ForkLock(taken=False)
    _blocking: Any = PrivateAttr(default=None)
    _asynchronous: Any = PrivateAttr(default=None)

    def blocking_lifecycle(self) -> Lifecycle:
        """Return the lifecycle that blocks the calling thread."""
        from langchain_nebula_video.lifecycle.lifecycle import Lifecycle
        from langchain_nebula_video.transport import BlockingRuntime

        with self._creation_lock:
            if self._blocking is None or self._blocking.options is not self:  # a copy has its own options
                runtime = BlockingRuntime(_endpoint(self), client=self.http_client, clock=self.clock)
                self._blocking = Lifecycle(self, runtime)
            lifecycle: Lifecycle = self._blocking
        return lifecycle

    def run_blocking(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Run a method of the blocking lifecycle and return its result."""
        from langchain_nebula_video.transport import run_sync

        return run_sync(getattr(self.blocking_lifecycle(), method)(*args, **kwargs))

    def async_lifecycle(self) -> Lifecycle:
        """Return the lifecycle for event loops."""
        from langchain_nebula_video.lifecycle.lifecycle import Lifecycle
        from langchain_nebula_video.transport import AsyncRuntime

        with self._creation_lock:
            if self._asynchronous is None or self._asynchronous.options is not self:
                runtime = AsyncRuntime(_endpoint(self), client=self.http_async_client, clock=self.clock)
                self._asynchronous = Lifecycle(self, runtime)
            lifecycle: Lifecycle = self._asynchronous
        return lifecycle

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        verify = None if isinstance(self.verify, ssl.SSLContext) else self.verify
        not_pickled = {"verify": verify, "api_key": None, "http_client": None, "http_async_client": None, "clock": None}
        private = {"_blocking": None, "_asynchronous": None}
        return {
            **state,
            "__dict__": {**state["__dict__"], **not_pickled},
            "__pydantic_private__": {**(state["__pydantic_private__"] or {}), **private},
        }


def _endpoint(options: Options) -> Endpoint:
    from langchain_nebula_video.transport import Endpoint

    return Endpoint(
        options.resolve_base_url(),
        options.resolve_api_key(),
        _user_agent(),
        options.download_hosts,
        storage_hosts=options.gateway_row.storage_hosts,
        verify=options.verify,
        http2=options.http2,
    )


@functools.cache
def _user_agent() -> str:
    return f"langchain-nebula-video/{version('langchain-nebula-video')}"
