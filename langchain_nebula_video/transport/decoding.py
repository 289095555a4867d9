"""Decoding of compressed answer bodies, in chunks of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from langchain_nebula_video.errors import RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import WireRequest

__all__ = ["BodyDecoder", "body_decoder", "unreadable_body_error"]

_CHUNK_BYTES = 64 * 1024
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib
_GZIP_MAGIC = 0x1F


class BodyDecoder:
    """Decompresses one body, gzip member by gzip member (RFC 1952, 2.2)."""

    def __init__(self, request: WireRequest, *, compressed: bool) -> None:
        self._request = request
        self._member: Any = zlib.decompressobj(_ANY_HEADER) if compressed else None

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """Yield what the next piece decompresses to, at most 64 KiB at a time."""
        if self._member is None:
            yield piece
            return
        try:
            while piece:
                if self._member.eof:
                    if piece[0] != _GZIP_MAGIC:  # not another member: zlib would only collect it in memory
                        raise unreadable_body_error("The answer is packed, and something else follows.", self._request)
                    self._member = zlib.decompressobj(_ANY_HEADER)
                if decompressed := self._member.decompress(piece, _CHUNK_BYTES):
                    yield decompressed
                piece = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise unreadable_body_error("The answer is packed, and broken.", self._request) from None

    def flush(self) -> None:
        """Check at the end of the body that it is complete."""
        if self._member is not None and not self._member.eof:
            raise unreadable_body_error("The answer is packed, and cut off.", self._request)


def body_decoder(response: Any, request: WireRequest) -> BodyDecoder:
    """Return the decoder for an answer's body. Requests ask for `identity`, but some servers compress all the same.

    Raises:
        RequestError: the encoding is unknown.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding in {"", "identity"} or response.is_stream_consumed:
        return BodyDecoder(request, compressed=False)
    if coding in {"gzip", "x-gzip", "deflate"}:
        return BodyDecoder(request, compressed=True)
    raise unreadable_body_error(f"The answer is packed with {coding[:40]!r}, which was not asked for.", request)


def unreadable_body_error(message: str, request: WireRequest) -> RequestError:
    """Return the error for a body that cannot be read. A paid request may have been accepted all the same."""
    if request.paid:
        return SubmissionUnconfirmedError(message)
    return RequestError(message, hint="Check base_url: this is not how the gateway answers.")
