"""A finished video -> a file: fetched in as many pieces as it takes, checked, and given its name when it is whole."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urljoin

from langchain_nebula_video._mp4 import flaw
from langchain_nebula_video._retry import backoff
from langchain_nebula_video._runtime import Runtime, Stream
from langchain_nebula_video._targets import check_target, is_there, target_of
from langchain_nebula_video._urls import split_url
from langchain_nebula_video.errors import DownloadError, InvalidRequestError, NebulaVideoError, RequestError
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.schema import Video

__all__ = ["check_target", "is_there", "save"]

_MAX_BYTES = 1024 * 1024 * 1024
_MAX_REDIRECTS = 5
_TOTAL_SECONDS = 1800.0
_STALL_SECONDS = 60.0
_ATTEMPTS = 3
"""How often in a row nothing new may come."""
_EXPIRED = frozenset({401, 403, 404, 410})
"""What storages answer to a signed address that is no longer good."""
_REFUSED = {
    403: "HTTP 403, the address has expired or its signature is wrong",
    404: "HTTP 404, it is not there",
}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Renew = Callable[[], Awaitable[Video]]


async def save(runtime: Runtime, video: Video, save_to: str | Path, renew: Renew | None = None) -> Video:
    """Write the video's bytes to their place and give back the video with its `path`.

    Args:
        runtime: All that may be waited for.
        video: What to save.
        save_to: See `_targets.target_of`.
        renew: Asks the gateway anew for the video, whose address may have expired.

    Raises:
        DownloadError: it did not work; the video is still where its URL says, until it expires.
    """
    try:
        target = await runtime.call(target_of, save_to, video)
    except (InvalidRequestError, OSError, RuntimeError, ValueError) as error:  # no such user's home, too long a name
        raise _failed(video, f"{save_to} is no place for it: {getattr(error, 'what', error)}") from None
    try:
        part = await runtime.call(target.begin)
        try:
            video = await _fetched(runtime, video, part, renew)
            name = await runtime.call(target.publish, part)
        finally:
            await runtime.call(part.unlink, missing_ok=True)
    except NebulaVideoError as error:
        raise error if isinstance(error, DownloadError) else _failed(video, error.what) from None
    except OSError as error:  # a full disk, a right that is missing
        raise _failed(video, f"{target} cannot be written: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 whatever a store's library raises
        raise _failed(video, f"{target}: {type(error).__name__}: {str(error)[:300]}") from None
    return video.model_copy(update={"path": name})


def _failed(video: Video, why: str, hint: str = "") -> DownloadError:
    return DownloadError(
        f"The video was made, and saving it did not work: {why.rstrip('.')}.",
        url=video.url,
        video=video,
        task_id=video.task_id,
        hint=f"{hint} It can be downloaded again until {video.expires_at:%Y-%m-%d %H:%M} UTC.".strip(),
    )


async def _fetched(runtime: Runtime, video: Video, part: Path, renew: Renew | None) -> Video:
    """The video's bytes in the part; the video, with a new address if the old one was no longer good."""
    if video.url[:5].lower() == "data:":
        await runtime.call(part.write_bytes, _data(video.url))
        if found := await runtime.call(flaw, part):
            raise RequestError(found, status_code=200)
        return video
    if renew is not None and video.expires_at <= runtime.utcnow():
        video, renew = await renew(), None
    with await runtime.call(_opened, part) as file:
        while True:
            try:
                await _download(runtime, video.url, part, file)
            except InvalidRequestError as error:
                raise _failed(video, error.what, error.hint) from None
            except RequestError as error:
                if renew is None or error.status_code not in _EXPIRED:
                    raise
                fresh, renew = await renew(), None
                if fresh.url == video.url:
                    raise
                video = fresh
            else:
                return video


async def _download(runtime: Runtime, url: str, part: Path, file: BinaryIO) -> None:
    """Fetch until all of it is there, over as many connections as it takes."""
    coming = _Coming(runtime, url, file)
    end = runtime.now() + _TOTAL_SECONDS
    failures = furthest = 0
    while True:
        try:
            await coming.more(end - runtime.now())
            await runtime.call(_flush, file)
            found = await runtime.call(flaw, part)
            if found is None:
                return
            coming.mark = ""  # whatever it is, it is not gone on with
            error = RequestError(found)
        except RequestError as fault:
            error = fault
        failures = 1 if coming.received > furthest else failures + 1
        furthest = max(furthest, coming.received)
        passing = error.status_code is None or error.status_code >= 500 or error.status_code in {408, 429}
        if failures >= _ATTEMPTS or not passing or runtime.now() >= end:
            raise error
        await runtime.sleep(backoff(failures, error))


def _opened(part: Path) -> BinaryIO:
    return part.open("wb")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class _Coming:
    """A file that comes in pieces."""

    def __init__(self, runtime: Runtime, url: str, file: BinaryIO) -> None:
        self._runtime = runtime
        self._url = url
        self._file = file
        self.received = 0
        self.mark = ""
        """What tells that the file is still the same: its strong ETag, or its date (RFC 9110, 13.1.5)."""

    async def more(self, seconds: float) -> None:
        """Go on where the last connection broke off, if the server knows the file by its mark; else begin anew.

        Raises:
            RequestError: not all of it came.
        """
        wanted = {"Range": f"bytes={self.received}-", "If-Range": self.mark} if self.received and self.mark else {}
        url = self._url
        for _ in range(_MAX_REDIRECTS + 1):
            request = WireRequest("GET", url, headers=wanted)
            async with self._runtime.stream(request, timeout=max(seconds, 1.0), stall=_STALL_SECONDS) as answer:
                if 300 <= answer.status < 400 and "location" in answer.headers:
                    url = urljoin(url, answer.headers["location"])
                    if split_url(url, ("https", "http")) is None:
                        raise RequestError("The address redirects to no web address.", status_code=answer.status)
                    continue
                await self._take(answer, begins_at=self.received if wanted else 0)
                return
        raise RequestError("The address redirects without end.", status_code=310)

    async def _take(self, answer: Stream, *, begins_at: int) -> None:
        total = await self._begin(answer, begins_at)
        packed = answer.headers.get("content-encoding", "identity").lower() not in {"", "identity"}
        tag = answer.headers.get("etag", "")
        strong = tag if tag.startswith('"') else answer.headers.get("last-modified", "")
        self.mark = "" if packed else strong
        async for chunk in answer.chunks:
            if self.received + len(chunk) > _MAX_BYTES:
                raise RequestError(f"it is larger than {_MAX_BYTES // 1024 // 1024} MB", status_code=413)
            await self._runtime.call(self._file.write, chunk)
            self.received += len(chunk)
        if total is not None and not packed and total != self.received:
            raise RequestError(f"{self.received} of {total} bytes came")

    async def _begin(self, answer: Stream, begins_at: int) -> int | None:
        """Be where the answer begins; how long the whole is."""
        length = answer.headers.get("content-length", "")
        if answer.status == 200:
            await self._runtime.call(self._rewind)
            return int(length) if length.isdigit() else None
        part = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "")) if answer.status == 206 else None
        if part is not None and begins_at and int(part[1]) == begins_at:
            return int(part[2]) if part[2].isdigit() else None
        self.mark = ""
        if answer.status in {206, 416}:  # not the piece that was asked for
            raise RequestError("the storage gave another piece of the file than was asked for")
        raise RequestError(_REFUSED.get(answer.status, f"HTTP {answer.status}"), status_code=answer.status)

    def _rewind(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.received = 0


def _data(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    try:
        return base64.b64decode(body, validate=True) if head.lower().endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise RequestError("the gateway's data: URI is not valid base64", status_code=200) from None
