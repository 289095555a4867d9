"""The picture and the video of a task, for whoever looks at the emulator itself: neither logged nor faulty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.enums import Status
from langchain_nebula_video.emulator.refusals import Refusal
from langchain_nebula_video.emulator.rendering.errors import RenderStopped
from langchain_nebula_video.emulator.rendering.scene import scene_of

if TYPE_CHECKING:
    from .state import State


def picture_of(state: State, task_id: str) -> bytes | None:
    """Return the image file that a task's video begins with; None without such a task or image."""
    try:
        return scene_of(state.engine.find(task_id)[0]).first_frame
    except (Refusal, ValueError):
        return None


async def video_of(state: State, task_id: str) -> bytes | None:
    """Return a task's MP4 file; None without such a task, or unless it has succeeded."""
    try:
        task, record = state.engine.find(task_id)
        return await state.video_cache.for_task(task) if record.status is Status.SUCCEEDED else None
    except (Refusal, RenderStopped):
        return None
