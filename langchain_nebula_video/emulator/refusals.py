"""Reasons for refusing a request, independent of any dialect. Each dialect maps them to its error codes."""

from __future__ import annotations

from enum import Enum, auto


class Reason(Enum):
    """What can be wrong with a request or a task."""

    MALFORMED = auto()
    MISSING_MODEL = auto()
    UNKNOWN_MODEL = auto()
    PARAMETER = auto()
    IMAGE_FORMAT = auto()
    IMAGE_SIZE = auto()
    AUDIO_FORMAT = auto()
    AUDIO_LENGTH = auto()
    DOWNLOAD = auto()
    MODERATION = auto()
    KEY = auto()
    QUOTA = auto()
    RATE = auto()
    NOT_ASYNC = auto()
    NOT_PENDING = auto()
    BODY_SIZE = auto()
    UNKNOWN_TASK = auto()
    INTERNAL = auto()


class Refusal(Exception):  # noqa: N818 - the vendors call it a refusal
    """Raised when a request is invalid. The dialect turns it into an error response or a failed task."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Store the reason and the message."""
        super().__init__(message)
        self.reason = reason
        self.message = message
