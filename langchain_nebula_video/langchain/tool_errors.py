"""Errors as agents handle them: the language model reads the text, and no middleware repeats the call."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.exceptions import ModelError
from langchain_core.tools import ToolException
from pydantic import ValidationError

from langchain_nebula_video.catalog.offers import format_validation_error
from langchain_nebula_video.errors import (
    DownloadError,
    InvalidRequestError,
    NebulaVideoError,
    SubmissionUnconfirmedError,
    TaskTimeoutError,
)

__all__ = ["catch_failed_save", "describe_validation_error", "invalid_arguments", "translate_errors"]

# Hints for a language model. The hints of the original errors are for programs.
_HINT_CALL_AGAIN = "Call this tool again with the very same arguments to go on waiting: that costs nothing more."
_HINT_ASK_LATER = (
    "Call {tool} with task_id {task_id!r} to go on waiting: that costs nothing more. Never submit it again."
)
_HINT_UNCONFIRMED = "Do not ask for this video again; tell the user to look for it at the gateway."
_MAX_LENGTH = 60


def describe_validation_error(error: ValidationError) -> str:
    """The text for arguments that do not fit the schema, in the form of our other errors."""
    return str(invalid_arguments(error))


def invalid_arguments(error: ValidationError) -> InvalidRequestError:
    """The error for arguments that do not fit the schema."""
    problems = format_validation_error(error, describe_value=_describe_value)
    return InvalidRequestError(problems, hint="Correct the arguments and call again.")


def _describe_value(value: Any) -> str:
    """The start of a value. The model wrote the value itself, so it is not secret."""
    if not isinstance(value, str | int | float):
        return ""
    text = repr(value[:_MAX_LENGTH] if isinstance(value, str) else value)
    return f" (given: {text if len(text) <= _MAX_LENGTH else f'{text[:_MAX_LENGTH]}…'})"


@contextmanager
def translate_errors(asks_with: str | None = None) -> Iterator[None]:
    """Raise our errors as `ToolException` and as a `ModelError` that is not retryable.

    Args:
        asks_with: The name of the agent's tool that looks at a task; `None`: it has none.
    """
    try:
        yield
    except NebulaVideoError as error:
        if isinstance(error, TaskTimeoutError):
            error.hint = (
                _HINT_ASK_LATER.format(tool=asks_with, task_id=error.task_id) if asks_with else _HINT_CALL_AGAIN
            )
        elif isinstance(error, SubmissionUnconfirmedError):
            error.hint = _HINT_UNCONFIRMED
        elif isinstance(error, InvalidRequestError):
            error.hint = error.hint if error.agent_hint is None else error.agent_hint
        tool_error = _build_error(type(error), (str(error),), dict(error.__dict__))
        raise tool_error from None


@contextmanager
def catch_failed_save() -> Iterator[list[Any]]:
    """Suppress the error of a paid video that could not be saved: its URL works, so it is still a result.

    The list that is yielded then holds the video and the reason.
    """
    unsaved: list[Any] = []
    try:
        yield unsaved
    except DownloadError as error:
        if error.video is None:
            raise
        unsaved += [error.video, error.what]


@functools.cache
def _tool_error_class(kind: Any) -> type[NebulaVideoError]:
    """Return a subclass of an error class with two more bases.

    - `ToolException`: LangChain hands its text to the language model instead of ending the agent;
    - `ModelError`, not retryable: `ToolRetryMiddleware` does not repeat the call.
    """
    bases = (kind, ToolException, ModelError)
    return type(kind.__name__, bases, {"is_retryable": False, "__module__": __name__, "__reduce__": _reduce})


def _reduce(error: NebulaVideoError) -> tuple[Any, ...]:
    kind = next(base for base in type(error).__mro__[1:] if issubclass(base, NebulaVideoError))
    return _build_error, (kind, error.args, error.__dict__)


def _build_error(kind: type[NebulaVideoError], args: tuple[Any, ...], state: dict[str, Any]) -> NebulaVideoError:
    tool_error_class: Any = _tool_error_class
    error: NebulaVideoError = tool_error_class(kind)(state["what"])
    error.args = args  # the whole message: handle_tool_error=True shows the first argument
    error.__dict__.update(state)
    return error
