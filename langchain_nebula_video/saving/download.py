"""Downloads: a file fetched over as many connections as it takes, and checked."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, unquote_to_bytes, urljoin

from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.media.mp4 import find_mp4_defect
from langchain_nebula_video.media.urls import needs_key, split_url
from langchain_nebula_video.protocols import Reply, WireRequest, find_message, parse_retry_after
from langchain_nebula_video.transport import Runtime, Stream
from langchain_nebula_video.transport.retry import backoff

__all__ = ["FRESH_SECONDS", "KeepAlive", "OnBytes", "Source", "download", "write_data_uri"]

logger = logging.getLogger("langchain_nebula_video")

_MAX_BYTES = 1024 * 1024 * 1024
_MAX_REDIRECTS = 5
_TOTAL_SECONDS = 1800.0
_STALL_SECONDS = 60.0
_GATEWAY_STALL_SECONDS = 600.0
"""The same for a gateway that serves the video itself: it may fetch the whole file first, and give its first byte
then (LiteLLM 1.110.2, run on 2026-11-27; 600 s is also its own time-out)."""
_MAX_FAILURES = 3
"""Failures in a row without a new byte, after which the download ends."""
_REFUSED = {
    403: "HTTP 403, the address has expired or its signature is wrong",
    404: "HTTP 404, it is not there",
    407: "HTTP 407, the proxy wants a user and a password: HTTP_PROXY=http://USER:PASSWORD@HOST:PORT",
}
FRESH_SECONDS = 60.0
"""How long after the end of its task a file may not be there yet: storages copy, and a gateway writes its record."""
_NOT_YET = frozenset({202, 404, 425})
_PAGE = "a web page, perhaps the login page of a network or of a firewall"
_MAX_ERROR_BYTES = 16 * 1024
# LiteLLM: "Video is still processing (status: RUNNING)". new-api's controller/video_proxy.go: "not completed yet".
_STILL_PROCESSING = re.compile(
    r"still (being )?(process|generat|render)|not (yet )?(complete|ready|finish)", re.IGNORECASE
)
_MAX_VALIDATOR = 200
"""Characters."""
_URL_SAFE = str.maketrans("-_", "+/")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

KeepAlive = Callable[[], Awaitable[object]]
OnBytes = Callable[[int, int | None], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a video is fetched from."""

    url: str
    on_gateway: bool = False
    """Whether the gateway serves it itself, with the key."""
    fresh_seconds: float = 0.0
    """For how long it may not be there yet."""


async def download(
    runtime: Runtime, source: Source, part: Path, keep_alive: KeepAlive | None, on_bytes: OnBytes | None = None
) -> None:
    """Download an MP4 file into the part, over as many connections as it takes.

    Raises:
        InvalidRequestError: the host is not one that may be fetched from.
        RequestError: the file did not arrive, or is no complete MP4.
    """
    with await runtime.call(_open, part) as file:
        await _run_transfer(_Transfer(runtime, source, file, keep_alive, on_bytes), runtime, part)


async def _run_transfer(transfer: _Transfer, runtime: Runtime, part: Path) -> None:
    begun = runtime.now()
    end = begun + _TOTAL_SECONDS
    failures = furthest = early = 0
    while True:
        try:
            await transfer.resume(end)
            await runtime.call(_flush, transfer.file)
            defect = await runtime.call(find_mp4_defect, part)
            if defect is None:
                return
            transfer.validator = ""  # start again instead of resuming a defective file
            error = RequestError(f"{defect}, but {_PAGE}" if transfer.is_page else defect)
        except RequestError as fault:
            error = fault
        if transfer.may_appear(error, runtime.now() - begun):
            early += 1
            await runtime.sleep(backoff(early, error))
            continue
        failures = 1 if transfer.received > furthest else failures + 1
        furthest = max(furthest, transfer.received)
        transient = error.status_code is None or error.status_code >= 500 or error.status_code in {408, 429}
        if failures >= _MAX_FAILURES or not transient or runtime.now() >= end:
            raise error
        await runtime.sleep(backoff(failures, error))


def _open(part: Path) -> BinaryIO:
    return part.open("wb")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class _Transfer:
    """A download that can continue on another connection."""

    def __init__(
        self,
        runtime: Runtime,
        source: Source,
        file: BinaryIO,
        keep_alive: KeepAlive | None,
        on_bytes: OnBytes | None,
    ) -> None:
        self._runtime = runtime
        self._source = source
        self.file = file
        self._keep_alive = keep_alive
        self._on_bytes = on_bytes
        self._total: int | None = None
        self.received = 0
        self.validator = ""
        """Identifies this version of the file: its strong ETag, or its date (RFC 9110, 13.1.5)."""
        self.is_page = False
        """Whether the last answer was HTML."""

    async def resume(self, end: float) -> None:
        """Continue where the last connection ended if the validator still matches. Otherwise start again.

        Raises:
            RequestError: the file is not complete.
        """
        # Gateways ignore a range, or answer it wrongly: LiteLLM gives all bytes (1.110.2, run on 2026-11-27).
        ranged = bool(self.received and self.validator and not self._source.on_gateway)
        headers = {"Range": f"bytes={self.received}-", "If-Range": self.validator} if ranged else {}
        url, with_key = self._source.url, self._source.on_gateway
        for _ in range(_MAX_REDIRECTS + 1):
            if split_url(url, ("https", "http")) is None:
                raise RequestError("What the gateway names is no web address.", status_code=400)
            request = WireRequest("GET", url, headers=headers, with_key=with_key)
            seconds = max(end - self._runtime.now(), 1.0)
            stall = _GATEWAY_STALL_SECONDS if with_key else _STALL_SECONDS
            async with self._kept_alive(), self._runtime.stream(request, timeout=seconds, stall=stall) as answer:
                if 300 <= answer.status < 400 and "location" in answer.headers:
                    target = _redirect_target(url, answer)
                    with_key = with_key and needs_key(target, url)  # once it has led away, the key stays here
                    url = target
                    continue
                await self._read_body(answer, ranged=ranged)
                return
        raise RequestError("The address redirects without end.", status_code=310)

    def may_appear(self, error: RequestError, elapsed: float) -> bool:
        """Whether the file is not there yet and may still appear; `elapsed` seconds after the download began."""
        if isinstance(error, _StillProcessingError):
            return elapsed < FRESH_SECONDS
        return error.status_code in _NOT_YET and elapsed < self._source.fresh_seconds

    @asynccontextmanager
    async def _kept_alive(self) -> AsyncGenerator[None]:
        """Keep the lease in the background where the first byte may take long; else each piece keeps it."""
        if self._keep_alive is None or not self._source.on_gateway:
            yield
            return
        async with self._runtime.keep_alive(self._renew):
            yield

    async def _renew(self) -> None:
        """Renew the lease. A journal that fails meanwhile is noticed when the video is recorded."""
        try:
            await self._keep_alive()  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 whatever a journal raises
            logger.debug("the lease of a download was not renewed: %s", error)

    async def _read_body(self, answer: Stream, *, ranged: bool) -> None:
        validator = _validator(answer)
        self.is_page = answer.headers.get("content-type", "").lower().startswith("text/html")
        await self._seek(answer, validator, ranged=ranged)
        encoded = answer.headers.get("content-encoding", "identity").lower() not in {"", "identity"}
        self.validator = "" if encoded else validator
        async for chunk in answer.chunks:
            if self.received + len(chunk) > _MAX_BYTES:
                raise RequestError(f"it is larger than {_MAX_BYTES // 1024 // 1024} MB", status_code=413)
            await self._runtime.call(self.file.write, chunk)
            self.received += len(chunk)
            if self._keep_alive is not None and not self._source.on_gateway:
                await self._keep_alive()
            if self._on_bytes is not None:
                await self._on_bytes(self.received, self._total)
        if self._total not in {None, self.received} and not encoded:
            raise RequestError(f"{self.received} of {self._total} bytes came")

    async def _seek(self, answer: Stream, validator: str, *, ranged: bool) -> None:
        """Set the file's position to where the answer begins, and the total length."""
        length = answer.headers.get("content-length", "")
        part = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "")) if answer.status == 206 else None
        begins_at, total = (int(part[1]), int(part[2]) if part[2].isdigit() else None) if part else (-1, None)
        if answer.status == 200 or (begins_at == 0 and not ranged):
            await self._runtime.call(self._rewind)
            self._total = total if part else int(length) if length.isdigit() else None
            return
        # Not every server that supports ranges checks If-Range, so the answer's own validator and length are compared.
        same = validator in {"", self.validator} and total in {None, self._total}
        if ranged and begins_at == self.received and same:
            return
        self.validator = ""
        if ranged and answer.status < 500:
            raise RequestError("the storage gave something else than the rest of the file")
        if self._source.on_gateway:
            error = await _gateway_error(answer)
        else:
            error = RequestError(_REFUSED.get(answer.status, f"HTTP {answer.status}"), status_code=answer.status)
        error.retry_after = parse_retry_after(Reply(answer.status, answer.headers, b"", self._runtime.utcnow()))
        raise error

    def _rewind(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.received = 0


class _StillProcessingError(RequestError):
    """The gateway says that the video is not finished."""


async def _gateway_error(answer: Stream) -> RequestError:
    """Return the error for the answer of a gateway that does not give the video, in its own words."""
    body = bytearray()
    async for chunk in answer.chunks:
        body += chunk
        if len(body) > _MAX_ERROR_BYTES:
            break
    message = find_message(answer.redact(bytes(body)))
    kind = _StillProcessingError if answer.status < 500 and _STILL_PROCESSING.search(message or "") else RequestError
    why = f": {message.strip().rstrip('.')[:300]}" if message else ""
    return kind(f"the gateway answered HTTP {answer.status}{why}", status_code=answer.status)


def _redirect_target(url: str, answer: Stream) -> str:
    """Return the URL of a redirect, which never leads from https to http."""
    target = urljoin(url, answer.headers["location"])
    if split_url(target, ("https", "http")) is None:
        raise RequestError("The address redirects to no web address.", status_code=answer.status)
    if url[:6].lower() == "https:" and target[:5].lower() != "https":
        raise RequestError("The address redirects from https to http.", status_code=answer.status)
    return target


def _validator(answer: Stream) -> str:
    """Return the strong ETag, or without any ETag the date, if the file is a minute old (RFC 9110, 8.8.2.2)."""
    tag, date = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    if tag:
        return tag if tag[0] == '"' and tag.isascii() and len(tag) <= _MAX_VALIDATOR else ""
    try:
        age = parsedate_to_datetime(answer.headers.get("date", "")) - parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return ""
    return date if age >= timedelta(minutes=1) and len(date) <= _MAX_VALIDATOR else ""


async def write_data_uri(runtime: Runtime, uri: str, part: Path, on_bytes: OnBytes | None = None) -> None:
    """Write the content of a data: URI to the part.

    Raises:
        RequestError: the URI is not valid, or its content is no complete MP4.
    """
    with await runtime.call(_open, part) as file:
        data = _decode_data_uri(uri)
        await runtime.call(file.write, data)
        await runtime.call(_flush, file)
    if defect := await runtime.call(find_mp4_defect, part):
        raise RequestError(defect, status_code=200)
    if on_bytes is not None:
        await on_bytes(len(data), len(data))


def _decode_data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    try:
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(body)
        plain = "".join(unquote(body).split()).translate(_URL_SAFE).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("the gateway's data: URI is not valid base64", status_code=200) from None
