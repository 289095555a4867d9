"""What is said when the packages of the ``emulator`` extra are not installed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = 'the emulator needs its extra: pip install "langchain-nebula-video[emulator]"'


@contextmanager
def require_extra() -> Iterator[None]:
    """Turn a missing package into an `ImportError` that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{HINT} ({error.name} is missing)"
        raise ImportError(message, name=error.name) from error
