"""The nearest right name to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "nearest_name"]


def nearest_name(wrong: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like a wrong one; `None`: none is like it.

    A name that begins with the wrong one, or has it as a part between underscores or hyphens, is like it too:
    `negative` for `negative_prompt`.
    """
    known = {name.lower(): name for name in names}
    asked = wrong.lower()
    close = get_close_matches(asked, known, n=1, cutoff=0.6)
    parts = [name for name in known if len(asked) > 2 and asked in name.replace("-", "_").split("_")]
    begun = [name for name in known if len(asked) > 2 and name.startswith(asked)]
    found = next(iter([*begun, *close, *parts]), None)
    return None if found is None else known[found]


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """Return the question for the nearest name, with a blank before it; an empty text if there is none."""
    found = nearest_name(wrong, names)
    return "" if found is None else f" Did you mean {found}?"
