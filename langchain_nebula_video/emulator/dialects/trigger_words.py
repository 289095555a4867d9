"""Words in a prompt that make a task go wrong, so that anybody can try out what happens then."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

_MODERATION_MESSAGE = "Input data may contain inappropriate content."
_INTERNAL_MESSAGE = "Internal server error, please try again later."

# (pattern, what happens): read on submission, in this order.
REFUSED = ((re.compile(r"\bforbidden\b", re.IGNORECASE), Reason.MODERATION, _MODERATION_MESSAGE),)
FAILING = (
    (re.compile(r"\[moderated\]", re.IGNORECASE), Reason.MODERATION, _MODERATION_MESSAGE),
    (re.compile(r"\[fail\]", re.IGNORECASE), Reason.INTERNAL, _INTERNAL_MESSAGE),
)


def refusal_for(prompt: str) -> Refusal | None:
    """Why a prompt is refused when it is submitted."""
    return _first_match(REFUSED, prompt)


def failure_for(prompt: str) -> Refusal | None:
    """What a task with this prompt fails with, once it has been worked on."""
    return _first_match(FAILING, prompt)


def _first_match(rows: Iterable[tuple[re.Pattern[str], Reason, str]], prompt: str) -> Refusal | None:
    return next((Refusal(reason, text) for pattern, reason, text in rows if pattern.search(prompt)), None)
