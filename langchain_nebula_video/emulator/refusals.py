"""Why something is refused, in no dialect's words; each dialect has a table from these to its own."""

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


class Refusal(Exception):  # noqa: N818 - the word of the vendors' world: a request is refused
    """Raised where something is found wrong; turned into an answer, or a failed task, by the dialect."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Say why, and in which words."""
        super().__init__(message)
        self.reason = reason
        self.message = message
