"""Words in a prompt that make a task go wrong, so that anybody can try out what happens then."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

_INSPECTION = "Input data may contain inappropriate content."
_BROKEN = "Internal server error, please try again later."

# (pattern, what happens): read on submission, in this order.
REFUSED = ((re.compile(r"\bforbidden\b", re.IGNORECASE), Reason.MODERATION, _INSPECTION),)
FAILING = (
    (re.compile(r"\[moderated\]", re.IGNORECASE), Reason.MODERATION, _INSPECTION),
    (re.compile(r"\[fail\]", re.IGNORECASE), Reason.INTERNAL, _BROKEN),
)


def refusal_of(prompt: str) -> Refusal | None:
    """Why a prompt is refused when it is submitted."""
    return _first(REFUSED, prompt)


def failure_of(prompt: str) -> Refusal | None:
    """What a task with this prompt fails with, once it has been worked on."""
    return _first(FAILING, prompt)


def _first(rows: Iterable[tuple[re.Pattern[str], Reason, str]], prompt: str) -> Refusal | None:
    return next((Refusal(reason, text) for pattern, reason, text in rows if pattern.search(prompt)), None)
