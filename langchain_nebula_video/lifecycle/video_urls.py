"""Where the video of a finished task is: at a URL of the answer, or on the gateway itself. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.protocols import TaskSnapshot, encode_segment
from langchain_nebula_video.schema import TaskStatus

__all__ = ["locate_video"]

_URL_HOURS = 24
"""How long a video is there, where no page says it: as long as the vendors' signed URLs, which lie behind it."""


def locate_video(snapshot: TaskSnapshot, task_id: str, gateway: Gateway, base_url: str, now: datetime) -> TaskSnapshot:
    """Return the snapshot with an absolute URL of its video.

    A gateway may give a path of its own. It may give nothing, and serve the video at a path that everybody knows.
    """
    url = snapshot.url
    if url is None and snapshot.status is TaskStatus.SUCCEEDED and gateway.content_path is not None:
        url = gateway.content_path.format(task_id=encode_segment(task_id))
    if url is None or url[:1] != "/":
        return snapshot
    hours = gateway.task_hours if gateway.task_hours is not None and math.isfinite(gateway.task_hours) else _URL_HOURS
    expires_at = snapshot.expires_at or (snapshot.finished_at or now) + timedelta(hours=hours)
    return replace(snapshot, url=_absolute_url(url, base_url), expires_at=expires_at)


def _absolute_url(path: str, base_url: str) -> str:
    """Return a path on the gateway as a URL. A gateway behind another path of its host may not know that path."""
    if path[:2] == "//":
        return f"{base_url.partition('//')[0]}{path}"
    scheme, slashes, rest = base_url.partition("://")
    host, slash, prefix = rest.partition("/")
    knows_prefix = slash and path.startswith(f"/{prefix}/")
    return f"{scheme}{slashes}{host}{path}" if knows_prefix else base_url + path
