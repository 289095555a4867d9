"""What traces show of a generation: what it cost and what it was; never an image's bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_nebula_video.lifecycle.context import settled
from langchain_nebula_video.schema import Task, Video

__all__ = ["counting", "noted", "redacted", "shown"]

_LONG = 2000
_DATA_URI = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)?[^,]{0,200},", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{2000,}={0,2}")


def shown(value: Any) -> Any:
    """Image data as its type and size; anything else as it is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<image data, {_size(len(value))}>"
    if isinstance(value, str):
        if found := _DATA_URI.match(value):
            return f"<{found[1] or 'data'}, {_size(_decoded(len(value) - found.end()))}>"
        if len(value) >= _LONG and _BASE64.fullmatch(value):
            return f"<base64, {_size(_decoded(len(value)))}>"
    return value


def redacted(value: Any) -> Any:
    """A copy of an input in which image data is replaced, however deep it lies."""
    if isinstance(value, BaseMessage):
        return redacted(value.model_dump())
    if isinstance(value, Mapping):
        return {name: redacted(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool | bytes | bytearray | memoryview):
        return shown(value)
    if hasattr(value, "model_dump"):
        return redacted(value.model_dump())
    return f"<{type(value).__name__}>"  # a file, a picture, a path


def _decoded(characters: int) -> int:
    return characters * 3 // 4


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1000 else f"{count // 1000} kB"


@contextmanager
def counting() -> Iterator[None]:
    """Around a run, whose videos are to be noted inside."""
    token = settled.set(set())
    try:
        yield
    finally:
        settled.reset(token)


def noted(made: Task | Video) -> None:
    """Put a task's name on the LangSmith run around it, if there is one; and its cost, if it is this run's.

    A video is asked after in several runs, is replayed and repeated. It costs once: in the run that was the first to
    see it finished.

    https://docs.langchain.com/langsmith/log-llm-trace: `total_cost`, `ls_provider`, `ls_model_name`.
    """
    from langsmith.run_helpers import get_current_run_tree  # noqa: PLC0415 slow to import

    run = get_current_run_tree()
    if run is None:
        return
    usd = None if made.cost.usd is None else float(made.cost.usd)
    if usd is not None and made.task_id in (settled.get() or ()):
        run.set(usage_metadata={"total_cost": usd})
    run.add_metadata(
        {
            "ls_provider": made.gateway,
            "ls_model_name": made.model,
            "nebula_video_task_id": made.task_id,
            "nebula_video_cost_usd": usd,
            "nebula_video_cost_basis": made.cost.basis,
        }
    )
