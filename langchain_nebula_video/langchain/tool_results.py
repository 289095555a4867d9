"""What a tool returns: JSON text for the language model, and the same as a dict for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages.content import create_video_block

from langchain_nebula_video.errors import printable
from langchain_nebula_video.schema import Task, TaskStatus, Video

__all__ = ["ToolResult", "task_result", "to_json", "video_result"]

ToolResult = tuple[str, dict[str, Any]]
"""Content and artifact."""


def video_result(video: Video, save_error: str | None = None, *, url_in_content: bool) -> ToolResult:
    """A finished video.

    Args:
        video: What was made.
        save_error: Why it could not be saved.
        url_in_content: Whether the language model reads the URL. A `data:` URL is left out always: it is the file.
            So is one that opens with the key only: the model would give a user a link that is dead.
    """
    facts: dict[str, Any] = {
        "status": "succeeded",
        "url": video.url,
        "cost_usd": None if video.cost.usd is None else float(video.cost.usd),
        "duration": video.duration,
        "resolution": video.resolution,
        "model": video.model,
        "task_id": video.task_id,
        "expires_at": video.expires_at.isoformat(timespec="seconds"),
    }
    if video.path is not None:
        facts["path"] = video.path
    if save_error is not None:
        facts["save_error"] = save_error
    if video.image_notes:
        facts["image_notes"] = list(video.image_notes)
    if video.warning is not None:
        facts["warning"] = video.warning
    if video.reused:
        facts |= _reused_facts(video)
    if video.url_needs_key:
        facts |= _no_link_facts(video)
    embedded = video.url[:5].lower() == "data:"
    left_out = {"url"} if embedded or video.url_needs_key or not url_in_content else set()
    content = {name: value for name, value in facts.items() if name not in left_out}
    return to_json(content), {**facts, "video": _video_block(video.url, embedded=embedded)}


def task_result(task: Task, **more: Any) -> ToolResult:
    """A task without a video: unfinished, failed or canceled."""
    free = task.status in {TaskStatus.FAILED, TaskStatus.CANCELED}
    facts: dict[str, Any] = {
        "status": task.status.value,
        "task_id": task.task_id,
        "model": task.model,
        "cost_usd": 0.0 if free else None if task.cost.usd is None else float(task.cost.usd),
        "progress": task.progress,
        "reason": ": ".join(part for part in (task.code, task.reason) if part) or None,
        "image_notes": list(task.image_notes) or None,
        "warning": task.warning,
        **more,
    }
    if task.reused:
        facts |= _reused_facts(task)
    facts = {name: value for name, value in facts.items() if value is not None}
    return to_json(facts), facts


def _no_link_facts(video: Video) -> dict[str, Any]:
    where = (
        "The file is at path."
        if video.path is not None
        else f"Whoever runs this program can save it: with save_to=…, or nebula-video wait {printable(video.task_id)} "
        "--out PATH."
    )
    return {"no_link": f"The video is on the gateway and opens with its API key only, so there is no link. {where}"}


def _reused_facts(result: Task | Video) -> dict[str, Any]:
    return {
        "reused": True,
        "note": f"This is task {printable(result.task_id)} of an earlier identical request; nothing was paid again. "
        "For another take, call again with another seed.",
    }


def to_json(facts: Mapping[str, Any]) -> str:
    """Compact text for a language model, with non-ASCII characters unescaped."""
    return json.dumps(facts, ensure_ascii=False)


def _video_block(url: str, *, embedded: bool) -> dict[str, Any]:
    if embedded:
        return dict(create_video_block(base64=url.partition(",")[2], mime_type="video/mp4"))
    return dict(create_video_block(url=url, mime_type="video/mp4"))
