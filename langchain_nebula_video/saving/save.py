"""Saving a finished video: download, check, and give the file its name when it is complete."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from langchain_nebula_video.errors import (
    DownloadError,
    InvalidRequestError,
    NebulaVideoError,
    NotSentError,
    RequestError,
)
from langchain_nebula_video.media.urls import needs_key
from langchain_nebula_video.saving.download import FRESH_SECONDS, KeepAlive, OnBytes, Source, download, write_data_uri
from langchain_nebula_video.saving.secrets import redact
from langchain_nebula_video.saving.targets import Target, make_target
from langchain_nebula_video.saving.trial import forget_trial
from langchain_nebula_video.schema import Video
from langchain_nebula_video.transport import Runtime

__all__ = ["Origin", "save"]

_MAX_WORDS = 500
"""Characters of what a store says."""
_EXPIRED = frozenset({401, 403, 404, 410})
"""What storage servers answer to a signed URL that has expired."""

RefreshVideo = Callable[[], Awaitable[Video]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The gateway that made the video."""

    base_url: str
    refresh: RefreshVideo
    """Fetches the video again: its URL may have a new signature."""
    renews_urls: bool
    """Whether that may be so after the URL has expired."""


async def save(
    runtime: Runtime,
    video: Video,
    save_to: str | Path,
    origin: Origin | None = None,
    keep_alive: KeepAlive | None = None,
    *,
    on_bytes: OnBytes | None = None,
) -> Video:
    """Save a video, and return it with its `path`.

    Args:
        runtime: Does all the waiting.
        video: The video to save.
        save_to: See `make_target`.
        origin: Its gateway; `None`: it is another one's, which cannot be asked and gets no key.
        keep_alive: Called for each chunk; it renews the lease on the video.
        on_bytes: Called for each chunk with the number of bytes so far, and of all if that is known.

    Raises:
        DownloadError: the video was not saved. Its URL still works until it expires.
    """
    try:
        target = await runtime.call(make_target, save_to, video)
        fetch = partial(_fetch, runtime, video, origin=origin, keep_alive=keep_alive, on_bytes=on_bytes)
        video, name = await _save_to_target(runtime, target, fetch)
    except DownloadError:
        raise
    except NebulaVideoError as error:
        told = isinstance(error, NotSentError) and error.hint != NotSentError.default_hint
        raise _save_error(runtime, video, error.what, error.hint if told else "") from None
    except Exception as error:  # noqa: BLE001 a full disk, a missing permission, anything that a store's package raises
        forget_trial(save_to)
        written = isinstance(error, OSError) and error.strerror
        reason = f"cannot be written: {written}" if written else f"{type(error).__name__}: {error}"
        raise _save_error(runtime, video, redact(f"{save_to} {reason}", save_to)[:_MAX_WORDS]) from None
    return video.model_copy(update={"path": name})


async def _save_to_target(
    runtime: Runtime, target: Target, fetch: Callable[[Path], Awaitable[Video]]
) -> tuple[Video, str]:
    part: Path | None = None
    try:
        part = await runtime.call(target.begin)
        video = await fetch(part)
        return video, await runtime.call(target.publish, part)
    finally:
        if part is not None:
            await runtime.call(part.unlink, missing_ok=True)


def _save_error(runtime: Runtime, video: Video, why: str, hint: str = "") -> DownloadError:
    return DownloadError(
        f"The video was made, and saving it did not work: {why.rstrip('.')}.",
        url=video.url,
        video=video,
        task_id=video.task_id,
        hint=f"{hint} {_how_to_finish(video, runtime.utcnow())}".strip(),
    )


def _how_to_finish(video: Video, now: datetime) -> str:
    if video.expires_at <= now and video.url[:5].lower() != "data:":
        return (
            f"Its address expired on {video.expires_at:%Y-%m-%d %H:%M} UTC, and no other is known. If you have no "
            f"copy, ask the gateway's support for the file of task {video.task_id}."
        )
    gateway = "" if video.gateway == "nebula" else f" --gateway {video.gateway}"
    command = f"nebula-video wait {shlex.quote(video.task_id)}{gateway} --out PATH"
    key = ", which opens with your key only" if video.url_needs_key else ""
    url = "" if video.url[:5].lower() == "data:" else f" Its URL{key}: {video.url}"
    return (
        f"It can be downloaded again until {video.expires_at:%Y-%m-%d %H:%M} UTC: "
        f"client.download(error.video, path), or {command}.{url}"
    )


async def _fetch(
    runtime: Runtime,
    video: Video,
    part: Path,
    *,
    origin: Origin | None,
    keep_alive: KeepAlive | None,
    on_bytes: OnBytes | None,
) -> Video:
    """Download into the part. Returns the video, with a new URL if the old one had expired."""
    if video.url[:5].lower() == "data:":
        await write_data_uri(runtime, video.url, part, on_bytes)
        return video
    refresh = None if origin is None else origin.refresh
    moved = origin is not None and video.url_needs_key and not needs_key(video.url, origin.base_url)
    if origin is not None and (moved or video.expires_at <= runtime.utcnow()):
        video = await _refresh(video, origin.refresh) if moved or origin.renews_urls or not video.url else video
        refresh = None
    while True:
        age = (runtime.utcnow() - video.finished_at).total_seconds()
        source = Source(
            url=video.url,
            on_gateway=origin is not None and needs_key(video.url, origin.base_url),
            fresh_seconds=FRESH_SECONDS - age,
        )
        try:
            await download(runtime, source, part, keep_alive, on_bytes)
        except InvalidRequestError as error:
            raise _save_error(runtime, video, error.what, error.hint) from None
        except RequestError as error:
            if refresh is None or not (source.on_gateway or error.status_code in _EXPIRED):
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
