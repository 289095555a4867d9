"""A finished video -> a file. Written beside its name and renamed, so that a name never holds half a video."""

from __future__ import annotations

import base64
import binascii
import os
import uuid
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urljoin

from langchain_nebula_video._retry import backoff
from langchain_nebula_video._runtime import Runtime, Stream
from langchain_nebula_video._urls import split_url
from langchain_nebula_video.errors import DownloadError, InvalidRequestError, RequestError
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.schema import Video

__all__ = ["check_target", "save", "target_path"]

_MAX_BYTES = 1024 * 1024 * 1024
_MAX_REDIRECTS = 5
_TOTAL_SECONDS = 1800.0
_STALL_SECONDS = 60.0
_ATTEMPTS = 3


def target_path(save_to: str | Path, video: Video) -> Path:
    """The file that a video is saved as: the very name if it ends in `.mp4`, else `<task id>.mp4` in the folder."""
    path = Path(save_to).expanduser()
    if path.suffix.lower() == ".mp4" and not path.is_dir():
        return path
    safe = "".join(char if char.isalnum() or char in "-_." else "_" for char in video.task_id).lstrip(".")[:100]
    return path / f"{safe or 'video'}.mp4"


def check_target(save_to: str | Path) -> None:
    """Find out before paying that a video could not be saved.

    Raises:
        InvalidRequestError: it could not.
    """
    try:
        out = Path(save_to).expanduser()
        folder = out.parent if out.suffix.lower() == ".mp4" and not out.is_dir() else out
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        fine = folder.is_dir() and os.access(folder, os.W_OK)
    except (OSError, ValueError, RuntimeError):
        folder, fine = Path(str(save_to)[:80]), False
    if not fine:
        raise InvalidRequestError(f"Nothing can be saved in {folder}.", hint="Name a folder, or an .mp4 file in one.")


async def save(runtime: Runtime, video: Video, save_to: str | Path) -> Video:
    """Write the video's bytes to a file and give back the video with its `path`.

    Raises:
        DownloadError: it did not work; the video is still where its URL says, until it expires.
    """
    try:
        path = target_path(save_to, video)
    except (OSError, RuntimeError, ValueError) as error:  # no such user's home, too long a name
        raise _failed(video, f"{save_to} is no path: {error}") from None
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await _write(runtime, video, path)
        except RequestError as error:
            passing = error.status_code is None or error.status_code >= 500 or error.status_code == 429
            if attempt < _ATTEMPTS and passing:
                await runtime.sleep(backoff(attempt, error))
                continue
            raise _failed(video, error.what) from None
        except (OSError, ValueError) as error:
            raise _failed(video, f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
        return video.model_copy(update={"path": str(path)})
    raise AssertionError("unreachable")


def _failed(video: Video, why: str) -> DownloadError:
    return DownloadError(
        f"The video was made, and saving it did not work: {why.rstrip('.')}.",
        url=video.url,
        video=video,
        task_id=video.task_id,
        hint=f"It can be downloaded again until {video.expires_at:%Y-%m-%d %H:%M} UTC.",
    )


async def _write(runtime: Runtime, video: Video, path: Path) -> None:
    part = path.with_name(f".{path.stem[:40]}-{uuid.uuid4().hex}.part")
    try:
        with await runtime.call(_open, part) as file:
            if video.url[:5].lower() == "data:":
                await runtime.call(file.write, _data(video.url))
            else:
                await _receive(runtime, video.url, file)
            await runtime.call(_flush, file)
        await runtime.call(_publish, part, path)
    finally:
        await runtime.call(part.unlink, missing_ok=True)


def _open(part: Path) -> BinaryIO:
    part.parent.mkdir(parents=True, exist_ok=True)
    return part.open("xb")


def _flush(part: BinaryIO) -> None:
    part.flush()
    os.fsync(part.fileno())


def _publish(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp":
        raise RequestError("what came is no MP4", status_code=200)
    part.replace(path)


async def _receive(runtime: Runtime, url: str, file: BinaryIO) -> None:
    for _ in range(_MAX_REDIRECTS):
        request = WireRequest("GET", url)
        async with runtime.stream(request, timeout=_TOTAL_SECONDS, stall=_STALL_SECONDS) as answer:
            if 300 <= answer.status < 400 and "location" in answer.headers:
                url = urljoin(url, answer.headers["location"])
                if split_url(url, ("https", "http")) is None:
                    raise RequestError("The address redirects to no web address.", status_code=answer.status)
                continue
            if answer.status != 200:
                raise RequestError(_REFUSED.get(answer.status, f"HTTP {answer.status}"), status_code=answer.status)
            await _copy(runtime, answer, file)
            return
    raise RequestError("The address redirects without end.", status_code=310)


_REFUSED = {
    403: "HTTP 403, the address has expired or its signature is wrong",
    404: "HTTP 404, it is not there",
}


async def _copy(runtime: Runtime, answer: Stream, file: BinaryIO) -> None:
    size = 0
    async for chunk in answer.chunks:
        size += len(chunk)
        if size > _MAX_BYTES:
            raise RequestError(f"it is larger than {_MAX_BYTES // 1024 // 1024} MB", status_code=413)
        await runtime.call(file.write, chunk)
    announced = answer.headers.get("content-length", "")
    if announced.isdigit() and int(announced) != size:
        raise RequestError(f"{size} of {announced} bytes came")


def _data(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    try:
        return base64.b64decode(body, validate=True) if head.lower().endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise RequestError("the gateway's data: URI is not valid base64", status_code=200) from None
