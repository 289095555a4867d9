"""Decoding of compressed answer bodies, in chunks of bounded size.

Requests ask for `identity`, but some servers compress all the same.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from langchain_nebula_video.errors import RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import WireRequest

__all__ = ["BodyDecoder", "body_decoder", "unreadable_body_error"]

_CHUNK_BYTES = 64 * 1024
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib
_GZIP_MAGIC = 0x1F
_ZLIB_METHOD = 8  # the low half of the first byte of zlib's header (RFC 1950)
_MAX_WINDOW_LOG = 23  # 8 MB: more is not for HTTP (RFC 9659)


class _BrokenError(Exception):
    """A body is not what its encoding says."""


class _Decompressor(Protocol):
    """Decompresses one body."""

    def decompress(self, piece: bytes) -> Iterator[bytes]:
        """Yield what the next piece decompresses to, at most 64 KiB at a time."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the body has ended."""
        ...


class _Zlib:
    """gzip, member by member (RFC 1952, 2.2), and deflate, with zlib's header or, as some servers send it, without."""

    def __init__(self) -> None:
        self._member: Any = None

    @property
    def complete(self) -> bool:
        return bool(self._member and self._member.eof)

    def decompress(self, piece: bytes) -> Iterator[bytes]:
        decompressed = b""
        try:
            # After a full chunk there may be more, although all of the input is used up.
            while piece or (len(decompressed) == _CHUNK_BYTES and not self.complete):
                if self._member is None:
                    raw = piece[0] != _GZIP_MAGIC and piece[0] & 0xF != _ZLIB_METHOD
                    self._member = zlib.decompressobj(-zlib.MAX_WBITS if raw else _ANY_HEADER)
                elif self._member.eof:
                    if piece[0] != _GZIP_MAGIC:  # not another member: zlib would only collect it in memory
                        raise _BrokenError("something else follows")
                    self._member = zlib.decompressobj(_ANY_HEADER)
                if decompressed := self._member.decompress(piece, _CHUNK_BYTES):
                    yield decompressed
                piece = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise _BrokenError("broken") from None


class _Brotli:
    """Brotli (RFC 7932)."""

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("brotli")
        self._stream = self._library.Decompressor()

    @property
    def complete(self) -> bool:
        return bool(self._stream.is_finished())

    def decompress(self, piece: bytes) -> Iterator[bytes]:
        try:
            while decompressed := self._stream.process(piece, output_buffer_limit=_CHUNK_BYTES):
                yield decompressed
                if self._stream.is_finished():
                    return
                piece = b""  # `can_accept_more_data` is true although there is more to come (brotli 1.2.1)
        except self._library.error:
            raise _BrokenError("broken") from None


class _Zstandard:
    """Zstandard, frame by frame (RFC 8878, 3)."""

    def __init__(self) -> None:
        self._library: Any = importlib.import_module(_ZSTD)
        self._frame: Any = None

    @property
    def complete(self) -> bool:
        return bool(self._frame and self._frame.eof)

    def decompress(self, piece: bytes) -> Iterator[bytes]:
        try:
            while piece or not (self._frame is None or self._frame.eof or self._frame.needs_input):
                if self._frame is None or self._frame.eof:
                    limit = {self._library.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
                    self._frame = self._library.ZstdDecompressor(options=limit)
                if decompressed := self._frame.decompress(piece, _CHUNK_BYTES):
                    yield decompressed
                piece = self._frame.unused_data if self._frame.eof else b""
        except self._library.ZstdError:
            raise _BrokenError("broken") from None


_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": _Zlib,
    "x-gzip": _Zlib,
    "deflate": _Zlib,
    "br": _Brotli,
    "zstd": _Zstandard,
}
_EXTRA = 'To read it, run: pip install "langchain-nebula-video[compression]"'


class BodyDecoder:
    """Decompresses one body."""

    def __init__(self, request: WireRequest, decompressor: _Decompressor | None) -> None:
        self._request = request
        self._decompressor = decompressor
        self._begun = False

    def decode(self, piece: bytes) -> Iterator[bytes]:
        """Yield what the next piece decompresses to, at most 64 KiB at a time."""
        if self._decompressor is None:
            yield piece
            return
        self._begun = True
        try:
            yield from self._decompressor.decompress(piece)
        except _BrokenError as error:
            fault = str(error)
        else:
            return
        raise unreadable_body_error(f"The answer is packed, and {fault}.", self._request)

    def flush(self) -> None:
        """Check at the end of the body that it is complete. Some servers name an encoding without a body."""
        if self._begun and self._decompressor is not None and not self._decompressor.complete:
            raise unreadable_body_error("The answer is packed, and cut off.", self._request)


def body_decoder(coding: str | None, request: WireRequest) -> BodyDecoder:
    """Return the decoder for an answer's body.

    Args:
        coding: The header `Content-Encoding`; `None`: there is none.
        request: What was answered.

    Raises:
        RequestError: the encoding is unknown, or its package is missing.
    """
    coding = (coding or "").strip().lower()
    if coding in {"", "identity"}:
        return BodyDecoder(request, None)
    hint = ""
    if coding in _DECOMPRESSORS:
        try:
            return BodyDecoder(request, _DECOMPRESSORS[coding]())
        except ImportError:
            hint = _EXTRA
    raise unreadable_body_error(f"The answer is packed with {coding[:40]!r}, which was not asked for.", request, hint)


def unreadable_body_error(message: str, request: WireRequest, hint: str = "") -> RequestError:
    """Return the error for a body that cannot be read. A paid request may have been accepted all the same."""
    if request.paid:
        return SubmissionUnconfirmedError(message, hint=f"{SubmissionUnconfirmedError.default_hint} {hint}".strip())
    return RequestError(message, hint=hint or "Check base_url: this is not how the gateway answers.")
