"""The body of an answer, up to a limit."""

from __future__ import annotations

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.transport.decoding import unreadable_body_error

__all__ = ["AnswerTooLargeError", "BodyCollector"]

_MAX_ANSWER_BYTES = 32 * 1024 * 1024
_MAX_LOOK_BYTES = 64 * 1024 * 1024
"""Some gateways put the video itself into the answer to a fetch, as a `data:` URI: 48 MB of video at most."""


class BodyCollector:
    """Collects the body of an answer, up to 32 MB, or 64 MB for a look at a task.

    Args:
        request: What is answered.
    """

    def __init__(self, request: WireRequest) -> None:
        self._request = request
        self._limit = _MAX_LOOK_BYTES if request.method == "GET" else _MAX_ANSWER_BYTES
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises:
            AnswerTooLargeError: there is too much of it.
            SubmissionUnconfirmedError: the same, for a paid request.
        """
        self._size += len(chunk)
        if self._size > self._limit:
            raise _too_large_error(self._request, self._limit)
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        """Return all of it."""
        return b"".join(self._chunks)


class AnswerTooLargeError(RequestError):
    """An answer was larger than its limit. For callers it is a `RequestError` like others."""


def _too_large_error(request: WireRequest, limit: int) -> RequestError:
    message = f"The answer is larger than {limit // 1024 // 1024} MB and was not read further."
    if request.paid:
        return unreadable_body_error(message, request)
    return AnswerTooLargeError(message, hint="Check base_url: this is not how the gateway answers.")
