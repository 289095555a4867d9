"""A video for these tests, and how a client saves one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from langchain_nebula_video import Video, quote
from langchain_nebula_video.saving.targets import make_target

__all__ = ["VIDEO", "save"]

_WHEN = datetime(2026, 3, 1, 14, 25, 30, tzinfo=UTC)
VIDEO = Video(
    task_id="task-1",
    gateway="nebula",
    model="wan2.5-i2v-preview",
    cost=quote(prompt="The cat blinks", image="https://example.com/cat.jpg"),
    submitted_at=_WHEN,
    finished_at=_WHEN,
    expires_at=_WHEN,
    url="https://example.com/v.mp4",
)


def save(save_to: str | Path, content: bytes, video: Video = VIDEO) -> str:
    """Save a video as a client does once it has downloaded it, and return the path that is told."""
    target = make_target(save_to, video)
    part = target.begin()
    try:
        part.write_bytes(content)
        return target.publish(part)
    finally:
        part.unlink(missing_ok=True)
