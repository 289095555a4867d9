"""The clock of objects that are made without one: the machine's, unless tests have put theirs in its place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_nebula_video.transport import Clock

__all__ = ["default_clock", "replaced_default_clock"]

_replacements: list[Clock] = []


def default_clock() -> Clock | None:
    """Return the clock that was put in place of the machine's, if one was."""
    return _replacements[-1] if _replacements else None


@contextmanager
def replaced_default_clock(clock: Clock) -> Iterator[None]:
    """Give this clock to the objects that are made inside without one, in any thread."""
    _replacements.append(clock)
    try:
        yield
    finally:
        _replacements.remove(clock)
