"""Validation of the arguments that callers pass to the lifecycle's methods."""

from __future__ import annotations

import functools
import inspect
import math
from pathlib import Path

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.errors import InvalidRequestError, Money
from langchain_nebula_video.protocols import MAX_TASK_ID
from langchain_nebula_video.schema import Task, Video, is_encodable

__all__ = ["check_download", "check_key", "check_progress", "check_task_id", "check_timeout"]


def check_key(key: object) -> None:
    """Check a key before anything is paid."""
    if key is not None and not (isinstance(key, str) and key and is_encodable(key)):
        raise InvalidRequestError(f"The key is {key!r}.", hint="A key is a text, not empty: key='order-17'.")


def check_timeout(timeout: float | None) -> None:
    """Check a timeout in seconds; `None` is the default."""
    if timeout is not None and not 0 < timeout < math.inf:
        raise InvalidRequestError(f"timeout is {timeout}.", hint="Give seconds, more than 0, or None.")


def check_progress(on_progress: object) -> None:
    """Refuse a coroutine function where it cannot be awaited, as far as that can be seen before the call."""
    while isinstance(on_progress, functools.partial):
        on_progress = on_progress.func
    if any(map(inspect.iscoroutinefunction, (on_progress, getattr(on_progress, "__call__", None)))):  # noqa: B004 inspected, not called
        raise InvalidRequestError(
            "on_progress is a coroutine function.", hint="Give a plain function; only async clients await it."
        )


def check_download(video: object, path: object) -> None:
    """Check the arguments of `download`."""
    if not isinstance(video, Video) or not isinstance(path, str | Path) or not str(path):
        raise InvalidRequestError("download takes a Video and a path.", hint="wait() and generate() give a Video.")


def check_task_id(task: object, gateway: Gateway) -> str:
    """Return the id of a task of this gateway."""
    if not isinstance(task, Task | str):
        raise InvalidRequestError(f"A {type(task).__name__} is no task.", hint="Give a Task, or its id as a text.")
    if isinstance(task, Task) and task.gateway != gateway.name:
        raise InvalidRequestError(
            f"The task is one of {task.gateway!r}, and this client speaks to {gateway.name!r}.",
            hint=f"Use a client with gateway={task.gateway!r}.",
            money=Money.RUNNING,
            task_id=task.task_id,
        )
    task_id = task.task_id if isinstance(task, Task) else task
    if not task_id.strip() or len(task_id) > MAX_TASK_ID or not is_encodable(task_id):
        raise InvalidRequestError("That is no task id.", hint="Give the id that the submit answered.")
    return task_id
