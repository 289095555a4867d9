"""The install hint for missing packages of the ``web`` extra."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = 'pages need their extra: pip install "langchain-nebula-video[web]"'


@contextmanager
def require_extra() -> Iterator[None]:
    """Turn a missing package into an `ImportError` with an install hint."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{HINT} ({error.name} is missing)"
        raise ImportError(message, name=error.name) from error
