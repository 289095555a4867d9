"""Options that open the doors to the lifecycle themselves: what clients, tool and runnable are made of.

The lifecycle and its HTTP library are imported when a door is first opened, not when a tool is defined.
"""

from __future__ import annotations

import functools
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from langchain_nebula_video.lifecycle.options import Options

if TYPE_CHECKING:
    from langchain_nebula_video.lifecycle.lifecycle import Lifecycle
    from langchain_nebula_video.transport import Endpoint

__all__ = ["LifecycleOptions"]


class LifecycleOptions(Options):
    """Options, and the lifecycles that they make.

    Copies share journal and connections. A pickle leaves the key and the caller's clients behind; the key
    is read from the environment again where it is unpickled.
    """

    # One for all copies and threads: two lifecycles at once would be twice as many submits under way as promised.
    _creation_lock: ClassVar[threading.Lock] = threading.Lock()
    _blocking: Any = PrivateAttr(default=None)
    _asynchronous: Any = PrivateAttr(default=None)

    def blocking_lifecycle(self) -> Lifecycle:
        """The lifecycle that holds the calling thread."""
        from langchain_nebula_video.lifecycle.lifecycle import Lifecycle
        from langchain_nebula_video.transport import BlockingRuntime

        with self._creation_lock:
            if self._blocking is None or self._blocking.options is not self:  # a copy has its own options
                runtime = BlockingRuntime(_endpoint(self), client=self.http_client, clock=self.clock)
                self._blocking = Lifecycle(self, runtime)
            lifecycle: Lifecycle = self._blocking
        return lifecycle

    def run_blocking(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A verb of the blocking lifecycle, run to its end."""
        from langchain_nebula_video.transport import run_sync

        return run_sync(getattr(self.blocking_lifecycle(), method)(*args, **kwargs))

    def async_lifecycle(self) -> Lifecycle:
        """The lifecycle of event loops."""
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
        not_pickled = {"api_key": None, "http_client": None, "http_async_client": None, "clock": None}
        private = {"_blocking": None, "_asynchronous": None}
        return {
            **state,
            "__dict__": {**state["__dict__"], **not_pickled},
            "__pydantic_private__": {**(state["__pydantic_private__"] or {}), **private},
        }


def _endpoint(options: Options) -> Endpoint:
    from langchain_nebula_video.transport import Endpoint

    return Endpoint(options.resolve_base_url(), options.resolve_api_key(), _user_agent(), options.download_hosts)


@functools.cache
def _user_agent() -> str:
    return f"langchain-nebula-video/{version('langchain-nebula-video')}"
