"""Words in a prompt that trigger a refusal or a failure, so that anybody can try them out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

_MODERATION_MESSAGE = "Input data may contain inappropriate content."
_INTERNAL_MESSAGE = "Internal server error, please try again later."

# (pattern, reason, message): the first match wins.
REFUSED = ((re.compile(r"\bforbidden\b", re.IGNORECASE), Reason.MODERATION, _MODERATION_MESSAGE),)
FAILING = (
    (re.compile(r"\[moderated\]", re.IGNORECASE), Reason.MODERATION, _MODERATION_MESSAGE),
    (re.compile(r"\[fail\]", re.IGNORECASE), Reason.INTERNAL, _INTERNAL_MESSAGE),
)


def refusal_for(prompt: str) -> Refusal | None:
    """Return why a submit with this prompt is refused; None if it is not."""
    return _first_match(REFUSED, prompt)


def failure_for(prompt: str) -> Refusal | None:
    """Return why a task with this prompt fails; None if it succeeds."""
    return _first_match(FAILING, prompt)


def _first_match(rows: Iterable[tuple[re.Pattern[str], Reason, str]], prompt: str) -> Refusal | None:
    return next((Refusal(reason, text) for pattern, reason, text in rows if pattern.search(prompt)), None)
