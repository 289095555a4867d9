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
from langchain_nebula_video.saving.targets import Target, absolute_name, check_target, exists, make_target, redact
from langchain_nebula_video.schema import Video
from langchain_nebula_video.transport import Runtime, Stream
from langchain_nebula_video.transport.retry import backoff

__all__ = ["absolute_name", "check_target", "exists", "save"]

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
_MAX_VALIDATOR = 200
_URL_SAFE = str.maketrans("-_", "+/")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

RefreshVideo = Callable[[], Awaitable[Video]]
KeepAlive = Callable[[], Awaitable[object]]


async def save(
    runtime: Runtime,
    video: Video,
    save_to: str | Path,
    refresh: RefreshVideo | None = None,
    keep_alive: KeepAlive | None = None,
) -> Video:
    """Write the video's bytes to their place and give back the video with its `path`.

    Args:
        runtime: All that may be waited for.
        video: What to save.
        save_to: See `_targets.target_of`.
        refresh: Asks the gateway anew for the video, whose address may have expired.
        keep_alive: Called now and then: prolongs the lease on the video.

    Raises:
        DownloadError: it did not work; the video is still where its URL says, until it expires.
    """
    try:
        target = await runtime.call(make_target, save_to, video)
        video, name = await _save_to(runtime, video, target, refresh, keep_alive)
    except DownloadError:
        raise
    except NebulaVideoError as error:
        raise _save_error(video, error.what) from None
    except Exception as error:  # noqa: BLE001 a full disk, a right that is missing, whatever a store's library raises
        written = isinstance(error, OSError) and error.strerror
        told = f"cannot be written: {written}" if written else f"{type(error).__name__}: {str(error)[:300]}"
        raise _save_error(video, redact(f"{save_to} {told}", save_to)) from None
    return video.model_copy(update={"path": name})


async def _save_to(
    runtime: Runtime, video: Video, target: Target, refresh: RefreshVideo | None, keep_alive: KeepAlive | None
) -> tuple[Video, str]:
    part: Path | None = None
    try:
        part = await runtime.call(target.begin)
        video = await _fetch(runtime, video, part, refresh, keep_alive)
        return video, await runtime.call(target.publish, part)
    finally:
        if part is not None:
            await runtime.call(part.unlink, missing_ok=True)


def _save_error(video: Video, why: str, hint: str = "") -> DownloadError:
    return DownloadError(
        f"The video was made, and saving it did not work: {why.rstrip('.')}.",
        url=video.url,
        video=video,
        task_id=video.task_id,
        hint=f"{hint} It can be downloaded again until {video.expires_at:%Y-%m-%d %H:%M} UTC.".strip(),
    )


async def _fetch(
    runtime: Runtime, video: Video, part: Path, refresh: RefreshVideo | None, keep_alive: KeepAlive | None
) -> Video:
    """The video's bytes in the part; the video, with a new address if the old one was no longer good."""
    with await runtime.call(_open, part) as file:
        if video.url[:5].lower() == "data:":
            await runtime.call(file.write, _decode_data_uri(video.url))
            await runtime.call(_flush, file)
            if found := await runtime.call(find_mp4_defect, part):
                raise RequestError(found, status_code=200)
            return video
        if refresh is not None and video.expires_at <= runtime.utcnow():
            video, refresh = await _refresh(video, refresh), None
        while True:
            try:
                await _download(runtime, video.url, part, file, keep_alive)
            except InvalidRequestError as error:
                raise _save_error(video, error.what, error.hint) from None
            except RequestError as error:
                if refresh is None or error.status_code not in _EXPIRED:
                    raise
                fresh, refresh = await _refresh(video, refresh), None
                if fresh.url == video.url:
                    raise
                video = fresh
            else:
                return video


async def _refresh(video: Video, refresh: RefreshVideo) -> Video:
    """The video as the gateway has it now; as it was, if that cannot be told: the old address may still be good."""
    try:
        fresh = await refresh()
    except NebulaVideoError:
        return video
    return fresh if fresh.task_id == video.task_id else video


async def _download(runtime: Runtime, url: str, part: Path, file: BinaryIO, keep_alive: KeepAlive | None) -> None:
    """Fetch until all of it is there, over as many connections as it takes."""
    download = _Download(runtime, url, file, keep_alive)
    end = runtime.now() + _TOTAL_SECONDS
    failures = furthest = 0
    while True:
        try:
            await download.resume(end)
            await runtime.call(_flush, file)
            found = await runtime.call(find_mp4_defect, part)
            if found is None:
                return
            download.validator = ""  # whatever it is, it is not gone on with
            error = RequestError(found)
        except RequestError as fault:
            error = fault
        failures = 1 if download.received > furthest else failures + 1
        furthest = max(furthest, download.received)
        passing = error.status_code is None or error.status_code >= 500 or error.status_code in {408, 429}
        if failures >= _ATTEMPTS or not passing or runtime.now() >= end:
            raise error
        await runtime.sleep(backoff(failures, error))


def _open(part: Path) -> BinaryIO:
    return part.open("wb")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class _Download:
    """A file that comes in pieces."""

    def __init__(self, runtime: Runtime, url: str, file: BinaryIO, keep_alive: KeepAlive | None) -> None:
        self._runtime = runtime
        self._url = url
        self._file = file
        self._keep_alive = keep_alive
        self._total: int | None = None
        self.received = 0
        self.validator = ""
        """What tells that the file is still the same: its strong ETag, or its date (RFC 9110, 13.1.5)."""

    async def resume(self, end: float) -> None:
        """Go on where the last connection broke off, if the server knows the file by its mark; else begin anew.

        Raises:
            RequestError: not all of it came.
        """
        ranged = (
            {"Range": f"bytes={self.received}-", "If-Range": self.validator} if self.received and self.validator else {}
        )
        url = self._url
        for _ in range(_MAX_REDIRECTS + 1):
            if split_url(url, ("https", "http")) is None:
                raise RequestError("What the gateway names is no web address.", status_code=400)
            request = WireRequest("GET", url, headers=ranged)
            seconds = max(end - self._runtime.now(), 1.0)
            async with self._runtime.stream(request, timeout=seconds, stall=_STALL_SECONDS) as answer:
                if 300 <= answer.status < 400 and "location" in answer.headers:
                    url = _redirect_target(url, answer)
                    continue
                await self._read_body(answer, ranged=bool(ranged))
                return
        raise RequestError("The address redirects without end.", status_code=310)

    async def _read_body(self, answer: Stream, *, ranged: bool) -> None:
        validator = _validator(answer)
        await self._position(answer, validator, ranged=ranged)
        packed = answer.headers.get("content-encoding", "identity").lower() not in {"", "identity"}
        self.validator = "" if packed else validator
        async for chunk in answer.chunks:
            if self.received + len(chunk) > _MAX_BYTES:
                raise RequestError(f"it is larger than {_MAX_BYTES // 1024 // 1024} MB", status_code=413)
            await self._runtime.call(self._file.write, chunk)
            self.received += len(chunk)
            if self._keep_alive is not None:
                await self._keep_alive()
        if self._total not in {None, self.received} and not packed:
            raise RequestError(f"{self.received} of {self._total} bytes came")

    async def _position(self, answer: Stream, validator: str, *, ranged: bool) -> None:
        """Be where the answer begins, and know how long the whole is."""
        length = answer.headers.get("content-length", "")
        part = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "")) if answer.status == 206 else None
        begins_at, total = (int(part[1]), int(part[2]) if part[2].isdigit() else None) if part else (-1, None)
        if answer.status == 200 or (begins_at == 0 and not ranged):
            await self._runtime.call(self._rewind)
            self._total = total if part else int(length) if length.isdigit() else None
            return
        # Not every server that knows ranges looks at the mark: what goes on must be of the very same file.
        same = validator in {"", self.validator} and total in {None, self._total}
        if ranged and begins_at == self.received and same:
            return
        self.validator = ""
        if ranged and answer.status < 500:
            raise RequestError("the storage gave something else than the rest of the file")
        raise RequestError(_REFUSED.get(answer.status, f"HTTP {answer.status}"), status_code=answer.status)

    def _rewind(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.received = 0


def _redirect_target(url: str, answer: Stream) -> str:
    """Where a redirect leads to; never from https to what anybody on the way can read."""
    to = urljoin(url, answer.headers["location"])
    if split_url(to, ("https", "http")) is None:
        raise RequestError("The address redirects to no web address.", status_code=answer.status)
    if url[:6].lower() == "https:" and to[:5].lower() != "https":
        raise RequestError("The address redirects from https to http.", status_code=answer.status)
    return to


def _validator(answer: Stream) -> str:
    """The strong ETag; without any ETag the date, if the file was a minute old then (RFC 9110, 8.8.2.2)."""
    tag, date = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    if tag:
        return tag if tag[0] == '"' and tag.isascii() and len(tag) <= _MAX_VALIDATOR else ""
    try:
        age = parsedate_to_datetime(answer.headers.get("date", "")) - parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return ""
    return date if age >= timedelta(minutes=1) and len(date) <= _MAX_VALIDATOR else ""


def _decode_data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    try:
        if not head.lower().endswith(";base64"):
            return unquote_to_bytes(body)
        plain = "".join(unquote(body).split()).translate(_URL_SAFE).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("the gateway's data: URI is not valid base64", status_code=200) from None
