"""A finished video -> a file: fetched in as many pieces as it takes, checked, and given its name when it is whole."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, unquote_to_bytes, urljoin

from langchain_nebula_video.errors import DownloadError, InvalidRequestError, NebulaVideoError, RequestError
from langchain_nebula_video.media.mp4 import find_mp4_defect
from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.saving.targets import Target, anchored, check_target, is_there, scrubbed, target_of
from langchain_nebula_video.schema import Video
from langchain_nebula_video.transport import Runtime, Stream
from langchain_nebula_video.transport.retry import backoff

__all__ = ["anchored", "check_target", "is_there", "save"]

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
_LONGEST_MARK = 200
_URL_SAFE = str.maketrans("-_", "+/")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Renew = Callable[[], Awaitable[Video]]
Keep = Callable[[], Awaitable[object]]


async def save(
    runtime: Runtime, video: Video, save_to: str | Path, renew: Renew | None = None, keep: Keep | None = None
) -> Video:
    """Write the video's bytes to their place and give back the video with its `path`.

    Args:
        runtime: All that may be waited for.
        video: What to save.
        save_to: See `_targets.target_of`.
        renew: Asks the gateway anew for the video, whose address may have expired.
        keep: Called now and then: prolongs the lease on the video.

    Raises:
        DownloadError: it did not work; the video is still where its URL says, until it expires.
    """
    try:
        target = await runtime.call(target_of, save_to, video)
        video, name = await _saved(runtime, video, target, renew, keep)
    except DownloadError:
        raise
    except NebulaVideoError as error:
        raise _failed(video, error.what) from None
    except Exception as error:  # noqa: BLE001 a full disk, a right that is missing, whatever a store's library raises
        written = isinstance(error, OSError) and error.strerror
        told = f"cannot be written: {written}" if written else f"{type(error).__name__}: {str(error)[:300]}"
        raise _failed(video, scrubbed(f"{save_to} {told}", save_to)) from None
    return video.model_copy(update={"path": name})


async def _saved(
    runtime: Runtime, video: Video, target: Target, renew: Renew | None, keep: Keep | None
) -> tuple[Video, str]:
    part: Path | None = None
    try:
        part = await runtime.call(target.begin)
        video = await _fetched(runtime, video, part, renew, keep)
        return video, await runtime.call(target.publish, part)
    finally:
        if part is not None:
            await runtime.call(part.unlink, missing_ok=True)


def _failed(video: Video, why: str, hint: str = "") -> DownloadError:
    return DownloadError(
        f"The video was made, and saving it did not work: {why.rstrip('.')}.",
        url=video.url,
        video=video,
        task_id=video.task_id,
        hint=f"{hint} It can be downloaded again until {video.expires_at:%Y-%m-%d %H:%M} UTC.".strip(),
    )


async def _fetched(runtime: Runtime, video: Video, part: Path, renew: Renew | None, keep: Keep | None) -> Video:
    """The video's bytes in the part; the video, with a new address if the old one was no longer good."""
    with await runtime.call(_opened, part) as file:
        if video.url[:5].lower() == "data:":
            await runtime.call(file.write, _data(video.url))
            await runtime.call(_flush, file)
            if found := await runtime.call(find_mp4_defect, part):
                raise RequestError(found, status_code=200)
            return video
        if renew is not None and video.expires_at <= runtime.utcnow():
            video, renew = await _renewed(video, renew), None
        while True:
            try:
                await _download(runtime, video.url, part, file, keep)
            except InvalidRequestError as error:
                raise _failed(video, error.what, error.hint) from None
            except RequestError as error:
                if renew is None or error.status_code not in _EXPIRED:
                    raise
                fresh, renew = await _renewed(video, renew), None
                if fresh.url == video.url:
                    raise
                video = fresh
            else:
                return video


async def _renewed(video: Video, renew: Renew) -> Video:
    """The video as the gateway has it now; as it was, if that cannot be told: the old address may still be good."""
    try:
        fresh = await renew()
    except NebulaVideoError:
        return video
    return fresh if fresh.task_id == video.task_id else video


async def _download(runtime: Runtime, url: str, part: Path, file: BinaryIO, keep: Keep | None) -> None:
    """Fetch until all of it is there, over as many connections as it takes."""
    coming = _Coming(runtime, url, file, keep)
    end = runtime.now() + _TOTAL_SECONDS
    failures = furthest = 0
    while True:
        try:
            await coming.more(end)
            await runtime.call(_flush, file)
            found = await runtime.call(find_mp4_defect, part)
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

    def __init__(self, runtime: Runtime, url: str, file: BinaryIO, keep: Keep | None) -> None:
        self._runtime = runtime
        self._url = url
        self._file = file
        self._keep = keep
        self._total: int | None = None
        self.received = 0
        self.mark = ""
        """What tells that the file is still the same: its strong ETag, or its date (RFC 9110, 13.1.5)."""

    async def more(self, end: float) -> None:
        """Go on where the last connection broke off, if the server knows the file by its mark; else begin anew.

        Raises:
            RequestError: not all of it came.
        """
        wanted = {"Range": f"bytes={self.received}-", "If-Range": self.mark} if self.received and self.mark else {}
        url = self._url
        for _ in range(_MAX_REDIRECTS + 1):
            if split_url(url, ("https", "http")) is None:
                raise RequestError("What the gateway names is no web address.", status_code=400)
            request = WireRequest("GET", url, headers=wanted)
            seconds = max(end - self._runtime.now(), 1.0)
            async with self._runtime.stream(request, timeout=seconds, stall=_STALL_SECONDS) as answer:
                if 300 <= answer.status < 400 and "location" in answer.headers:
                    url = _next(url, answer)
                    continue
                await self._take(answer, wanted=bool(wanted))
                return
        raise RequestError("The address redirects without end.", status_code=310)

    async def _take(self, answer: Stream, *, wanted: bool) -> None:
        mark = _mark_of(answer)
        await self._begin(answer, mark, wanted=wanted)
        packed = answer.headers.get("content-encoding", "identity").lower() not in {"", "identity"}
        self.mark = "" if packed else mark
        async for chunk in answer.chunks:
            if self.received + len(chunk) > _MAX_BYTES:
                raise RequestError(f"it is larger than {_MAX_BYTES // 1024 // 1024} MB", status_code=413)
            await self._runtime.call(self._file.write, chunk)
            self.received += len(chunk)
            if self._keep is not None:
                await self._keep()
        if self._total not in {None, self.received} and not packed:
            raise RequestError(f"{self.received} of {self._total} bytes came")

    async def _begin(self, answer: Stream, mark: str, *, wanted: bool) -> None:
        """Be where the answer begins, and know how long the whole is."""
        length = answer.headers.get("content-length", "")
        part = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "")) if answer.status == 206 else None
        begins_at, total = (int(part[1]), int(part[2]) if part[2].isdigit() else None) if part else (-1, None)
        if answer.status == 200 or (begins_at == 0 and not wanted):
            await self._runtime.call(self._rewind)
            self._total = total if part else int(length) if length.isdigit() else None
            return
        # Not every server that knows ranges looks at the mark: what goes on must be of the very same file.
        same = mark in {"", self.mark} and total in {None, self._total}
        if wanted and begins_at == self.received and same:
            return
        self.mark = ""
        if wanted and answer.status < 500:
            raise RequestError("the storage gave something else than the rest of the file")
        raise RequestError(_REFUSED.get(answer.status, f"HTTP {answer.status}"), status_code=answer.status)

    def _rewind(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.received = 0


def _next(url: str, answer: Stream) -> str:
    """Where a redirect leads to; never from https to what anybody on the way can read."""
    to = urljoin(url, answer.headers["location"])
    if split_url(to, ("https", "http")) is None:
        raise RequestError("The address redirects to no web address.", status_code=answer.status)
    if url[:6].lower() == "https:" and to[:5].lower() != "https":
        raise RequestError("The address redirects from https to http.", status_code=answer.status)
    return to


def _mark_of(answer: Stream) -> str:
    """The strong ETag; without any ETag the date, if the file was a minute old then (RFC 9110, 8.8.2.2)."""
    tag, date = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    if tag:
        return tag if tag[0] == '"' and tag.isascii() and len(tag) <= _LONGEST_MARK else ""
    try:
        age = parsedate_to_datetime(answer.headers.get("date", "")) - parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return ""
    return date if age >= timedelta(minutes=1) and len(date) <= _LONGEST_MARK else ""


def _data(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    try:
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(body)
        plain = "".join(unquote(body).split()).translate(_URL_SAFE).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("the gateway's data: URI is not valid base64", status_code=200) from None
