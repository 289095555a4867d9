"""Saving a finished video: download, check, and give the file its name when it is complete."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

from langchain_nebula_video.errors import DownloadError, InvalidRequestError, NebulaVideoError, RequestError
from langchain_nebula_video.saving.download import KeepAlive, download, write_data_uri
from langchain_nebula_video.saving.secrets import redact
from langchain_nebula_video.saving.targets import Target, make_target
from langchain_nebula_video.saving.trial import forget_trial
from langchain_nebula_video.schema import Video
from langchain_nebula_video.transport import Runtime

__all__ = ["save"]

_EXPIRED = frozenset({401, 403, 404, 410})
"""What storage servers answer to a signed URL that has expired."""

RefreshVideo = Callable[[], Awaitable[Video]]


async def save(
    runtime: Runtime,
    video: Video,
    save_to: str | Path,
    refresh: RefreshVideo | None = None,
    keep_alive: KeepAlive | None = None,
) -> Video:
    """Save a video, and return it with its `path`.

    Args:
        runtime: Does all the waiting.
        video: The video to save.
        save_to: See `make_target`.
        refresh: Fetches the video from the gateway again, because its URL may have expired.
        keep_alive: Called for each chunk; it renews the lease on the video.

    Raises:
        DownloadError: the video was not saved. Its URL still works until it expires.
    """
    try:
        target = await runtime.call(make_target, save_to, video)
        video, name = await _save_to_target(runtime, video, target, refresh, keep_alive)
    except DownloadError:
        raise
    except NebulaVideoError as error:
        raise _save_error(video, error.what) from None
    except Exception as error:  # noqa: BLE001 a full disk, a missing permission, anything that a store's package raises
        forget_trial(save_to)
        written = isinstance(error, OSError) and error.strerror
        reason = f"cannot be written: {written}" if written else f"{type(error).__name__}: {str(error)[:300]}"
        raise _save_error(video, redact(f"{save_to} {reason}", save_to)) from None
    return video.model_copy(update={"path": name})


async def _save_to_target(
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
        hint=f"{hint} {_how_to_finish(video)}".strip(),
    )


def _how_to_finish(video: Video) -> str:
    gateway = "" if video.gateway == "nebula" else f" --gateway {video.gateway}"
    command = f"nebula-video wait {shlex.quote(video.task_id)}{gateway} --out PATH"
    url = "" if video.url[:5].lower() == "data:" else f" Its URL: {video.url}"
    return (
        f"It can be downloaded again until {video.expires_at:%Y-%m-%d %H:%M} UTC: "
        f"client.download(error.video, path), or {command}.{url}"
    )


async def _fetch(
    runtime: Runtime, video: Video, part: Path, refresh: RefreshVideo | None, keep_alive: KeepAlive | None
) -> Video:
    """Download into the part. Returns the video, with a new URL if the old one had expired."""
    if video.url[:5].lower() == "data:":
        await write_data_uri(runtime, video.url, part)
        return video
    if refresh is not None and video.expires_at <= runtime.utcnow():
        video, refresh = await _refresh(video, refresh), None
    while True:
        try:
            await download(runtime, video.url, part, keep_alive)
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
    """Return the video as the gateway shows it now. If the gateway gives an error, the old URL may still work."""
    try:
        fresh = await refresh()
    except NebulaVideoError:
        return video
    return fresh if fresh.task_id == video.task_id else video
