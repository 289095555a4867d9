"""Which call is a replay of which: the keys under which LangChain's repetitions do not pay again."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from typing import Any

from langchain_core.runnables import RunnableConfig

__all__ = ["Attempts", "thread_key"]

_REMEMBERED = 1000


def thread_key(config: RunnableConfig | None, call_id: str | None) -> str | None:
    """Thread id and tool call id; without a thread nothing is ever replayed, and call ids may repeat."""
    thread_id = ((config or {}).get("configurable") or {}).get("thread_id")
    return f"{thread_id}:{call_id}" if thread_id and call_id else None


class Attempts:
    """Keys for what `with_retry` repeats.

    `with_retry` runs each attempt under one run of its own, and marks all but the first with a tag
    `retry:attempt:N`. So an attempt that has the tag takes the key that the attempt before it, under the same
    run, was given: what may have been paid for is gone on with, and not paid again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[Any, str] = OrderedDict()

    def __reduce__(self) -> tuple[type[Attempts], tuple[()]]:
        return Attempts, ()  # runs end with their process

    def key(self, run_manager: Any) -> str | None:
        """The key of a call, from its run; `None` if nothing stands above it that could repeat it."""
        above = getattr(run_manager, "parent_run_id", None)
        if above is None:
            return None
        repeated = any(str(tag).startswith("retry:attempt:") for tag in run_manager.tags or ())
        with self._lock:
            key = self._keys.get(above) if repeated else None
            self._keys[above] = key = key or f"run:{uuid.uuid4().hex}"
            self._keys.move_to_end(above)
            while len(self._keys) > _REMEMBERED:
                self._keys.popitem(last=False)
        return key
