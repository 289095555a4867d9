"""What traces contain: the cost, the model and the task of a video, and never an image's bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_nebula_video.lifecycle.context import newly_succeeded
from langchain_nebula_video.schema import Task, Video

__all__ = ["annotate_run", "redact", "redact_value", "track_costs"]

_MIN_BASE64 = 2000
_DATA_URI = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)?[^,]{0,200},", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{2000,}={0,2}")


def redact_value(value: Any) -> Any:
    """Replace image data with its type and size. Return any other value unchanged."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<image data, {_format_size(len(value))}>"
    if isinstance(value, str):
        if found := _DATA_URI.match(value):
            return f"<{found[1] or 'data'}, {_format_size(_decoded_size(len(value) - found.end()))}>"
        if len(value) >= _MIN_BASE64 and _BASE64.fullmatch(value):
            return f"<base64, {_format_size(_decoded_size(len(value)))}>"
    return value


def redact(value: Any) -> Any:
    """Return a copy of an input with image data replaced at every depth."""
    if isinstance(value, BaseMessage):
        return redact(value.model_dump())
    if isinstance(value, Mapping):
        return {name: redact(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool | bytes | bytearray | memoryview):
        return redact_value(value)
    if hasattr(value, "model_dump"):
        return redact(value.model_dump())
    return f"<{type(value).__name__}>"  # an open file, a PIL image or a path


def _decoded_size(characters: int) -> int:
    return characters * 3 // 4


def _format_size(count: int) -> str:
    return f"{count} bytes" if count < 1000 else f"{count // 1000} kB"


@contextmanager
def track_costs() -> Iterator[None]:
    """Collect the tasks that succeed inside, so that `annotate_run` counts each cost once."""
    token = newly_succeeded.set(set())
    try:
        yield
    finally:
        newly_succeeded.reset(token)


def annotate_run(result: Task | Video) -> None:
    """Add task, model and cost to the current LangSmith run, if there is one.

    Several runs may see the same video: it is fetched again, replayed or repeated. Only the first run that sees it
    finished gets `total_cost`, so that sums are right.

    Source: https://docs.langchain.com/langsmith/log-llm-trace for `total_cost`, `ls_provider`, `ls_model_name`.
    """
    from langsmith.run_helpers import get_current_run_tree  # noqa: PLC0415 slow to import

    run = get_current_run_tree()
    if run is None:
        return
    usd = None if result.cost.usd is None else float(result.cost.usd)
    if usd is not None and result.task_id in (newly_succeeded.get() or ()):
        run.set(usage_metadata={"total_cost": usd})
    run.add_metadata(
        {
            "ls_provider": result.gateway,
            "ls_model_name": result.model,
            "nebula_video_task_id": result.task_id,
            "nebula_video_cost_usd": usd,
            "nebula_video_cost_basis": result.cost.basis,
        }
    )
