"""What the tools do, without a word of MCP: arguments in, facts out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.errors import InvalidRequestError, NebulaVideoError, TaskTimeoutError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS
from langchain_nebula_video.langchain.tool_errors import catch_failed_save, translate_errors
from langchain_nebula_video.langchain.tool_results import task_result, video_result
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.mcp import arguments
from langchain_nebula_video.mcp.consent import Ask
from langchain_nebula_video.mcp.files import image_name, video_uri
from langchain_nebula_video.mcp.progress import ProgressFeed
from langchain_nebula_video.mcp.settings import ServerSettings
from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.schema import Task, TaskStatus, Video, VideoRequest, dollars

__all__ = ["ANIMATE", "GET", "LIST", "QUOTE", "SUBMIT", "Answer", "VideoService"]

ANIMATE, SUBMIT, GET = "nebula_image_to_video", "nebula_submit_video", "nebula_get_video"
QUOTE, LIST = "nebula_quote_video", "nebula_list_videos"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answers."""

    facts: dict[str, Any]
    link: str | None = None
    """Where the video opens without the API key."""
    is_error: bool = False

    @property
    def text(self) -> str:
        """The facts as a language model reads them: an error as its sentences, the rest as JSON."""
        return str(self.facts["message"]) if self.is_error else json.dumps(self.facts, ensure_ascii=False)


class VideoService:
    """The tools of one server."""

    def __init__(self, options: LifecycleOptions, settings: ServerSettings) -> None:
        self.options = options
        self.settings = settings
        self.offer = options.offer()
        self.lifecycle = options.async_lifecycle()
        self.video_arguments = arguments.video_arguments(self.offer)
        self.quote_arguments = arguments.quote_schema(self.offer)

    # --- tools ---

    async def animate(self, given: Mapping[str, Any], ask: Ask, feed: ProgressFeed | None = None) -> Answer:
        """Make a video and wait for it. An identical call joins the first one's task."""
        async with nullcontext() if feed is None else feed.beating():
            request = await self._request(given)
            task = await self._agreed(request, ask)
            with catch_failed_save() as unsaved:
                try:
                    if task is None and self.settings.max_wait is None:
                        return self._video(await self.lifecycle.generate(request, on_progress=feed))
                    task = task or await self.lifecycle.submit(request)
                    return self._video(
                        await self.lifecycle.wait(task, timeout=self.settings.max_wait, on_progress=feed)
                    )
                except TaskTimeoutError as error:
                    if self.settings.max_wait is None or error.task is None:
                        raise
                    return self._running(error.task)
            return self._video(*unsaved)

    async def submit(self, given: Mapping[str, Any], ask: Ask, feed: ProgressFeed | None = None) -> Answer:  # noqa: ARG002 as animate
        """Start a video."""
        request = await self._request(given)
        task = await self._agreed(request, ask) or await self.lifecycle.submit(request)
        ready = self.offer.model.typical(task.duration)
        return self._task(task, ready_in_seconds=[round(ready[0]), round(ready[1])])

    async def get(self, given: Mapping[str, Any], ask: Ask, feed: ProgressFeed | None = None) -> Answer:  # noqa: ARG002 as animate
        """Look at a task, or wait for it."""
        parsed = arguments.parse(arguments.GetArguments, given)
        wait_seconds = parsed.get("wait_seconds", 0)
        task = await self.lifecycle.fetch(parsed["task_id"])
        done = task.status is TaskStatus.SUCCEEDED and task.url is not None
        if done and self.options.save_to is None:
            return self._video(_finished(task))
        if not done and (task.status.finished or not wait_seconds):
            return self._task(task)
        async with nullcontext() if feed is None else feed.beating():
            with catch_failed_save() as unsaved:
                try:
                    return self._video(await self.lifecycle.wait(task, timeout=wait_seconds or None, on_progress=feed))
                except TaskTimeoutError as error:
                    return self._running(error.task or task)
            return self._video(*unsaved)

    async def quote(self, given: Mapping[str, Any], ask: Ask, feed: ProgressFeed | None = None) -> Answer:  # noqa: ARG002 as animate
        """Tell a price, and what is left of the budget."""
        fields = arguments.parse(self.quote_arguments, given)
        cost = self.offer.quote(build_request(None, fields), self.options.current_group_ratio())
        facts = {"cost_usd": _amount(cost.usd), "seconds": cost.seconds, "basis": cost.basis}
        return Answer({**facts, "model": self.offer.model.name, **await self._budget_left()})

    async def list_videos(self, given: Mapping[str, Any], ask: Ask, feed: ProgressFeed | None = None) -> Answer:  # noqa: ARG002 as animate
        """List the journal's videos: all that are unfinished, and the newest others."""
        limit = arguments.parse(arguments.ListArguments, given).get("limit", 10)
        entries = await self._entries()
        unfinished = [entry for entry in entries if entry.unfinished or entry.task_id is None]
        others = [entry for entry in entries if entry not in unfinished][:limit]
        facts = {"unfinished": list(map(_entry_facts, unfinished)), "finished": list(map(_entry_facts, others))}
        return Answer({**facts, **await self._budget_left()})

    # --- resources ---

    async def saved_video(self, task_id: str) -> Path:
        """Return the file of a video that this journal knows.

        Raises:
            InvalidRequestError: there is none.
        """
        for entry in await self._entries():
            path = (entry.video or {}).get("path") if entry.task_id == task_id else None
            if path is not None and _is_file(path):
                return Path(path)
        raise InvalidRequestError(f"No file of task {task_id} is here.", hint=f"Call {LIST}.", task_id=task_id)

    async def _entries(self) -> list[Entry]:
        """Return the journal's entries of this account, newest first."""
        journal, account = self.options.journal, self.options.account_id()
        entries = await asyncio.to_thread(journal.entries, gateway=self.options.gateway, newest_first=True)
        return [entry for entry in entries if entry.account in {None, account}]

    # --- parts ---

    async def _request(self, given: Mapping[str, Any]) -> VideoRequest:
        fields = arguments.parse(self.video_arguments, given)
        for name in IMAGE_FIELDS:
            if name in fields:
                value = fields[name]
                fields[name] = [*map(self._image, value)] if isinstance(value, list) else self._image(value)
        return build_request(None, fields)

    def _image(self, given: str) -> str:
        """Return an image as the lifecycle reads it: an address, or the name of a file in the folder."""
        given = given.strip()
        remote = given[:5].lower() == "data:" or split_url(given, ("https", "http", "oss")) is not None
        if remote or self.options.image_folder is not None:
            return given if remote else image_name(given)
        raise InvalidRequestError(
            f"The image {given[:80]!r} is no https URL and no data: URI.",
            hint="Give one of these. Files can be named only if this server is started with --image-folder.",
        )

    async def _agreed(self, request: VideoRequest, ask: Ask) -> Task | None:
        """Ask whoever has to be asked; return the task that an identical call has paid for, if there is one.

        Nobody is asked about a video that is paid for, or that the budget refuses anyway.
        """
        order, task = await self.lifecycle.preview(request)
        if task is None:
            left = await self.lifecycle.budget_left()
            if left is None or order.cost.usd is None or order.cost.usd <= left:
                await ask(order)
        return task

    async def _budget_left(self) -> dict[str, float]:
        left = await self.lifecycle.budget_left()
        return {} if left is None else {"budget_left_usd": float(left)}

    def _video(self, video: Video, save_error: str | None = None) -> Answer:
        text, _ = video_result(video, save_error, url_in_content=True)
        facts = json.loads(text)
        link = facts.get("url")
        if video.path is not None and _is_file(video.path):
            facts["path"] = str(Path(video.path).absolute())  # a client knows nothing of this process's folder
            facts["resource"] = video_uri(video.task_id)
            link = link or facts["resource"]
        return Answer(facts, link)

    @staticmethod
    def _task(task: Task, **more: Any) -> Answer:
        return Answer(task_result(task, **more)[1])

    def _running(self, task: Task) -> Answer:
        note = f"The video is not ready yet. Call {GET} with this task_id and wait_seconds; do not start it again."
        return self._task(task, note=note)


def error_answer(error: NebulaVideoError) -> Answer:
    """Return an error as the answer of a tool."""
    try:
        with translate_errors(GET):
            raise error
    except NebulaVideoError as translated:
        facts = {"error": type(error).__name__, "message": str(translated), "spent": error.spent}
        return Answer({**facts, **({"task_id": error.task_id} if error.task_id else {})}, is_error=True)


def _finished(task: Task) -> Video:
    shared = set(Video.model_fields) & set(Task.model_fields)
    return Video(**{name: getattr(task, name) for name in shared})


def _is_file(path: str) -> bool:
    return "://" not in path and Path(path).is_file()


def _amount(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)


def _entry_facts(entry: Entry) -> dict[str, Any]:
    """Return an entry as a language model reads it. A URL that needs the key, or has expired, is left out."""
    video: Mapping[str, Any] = entry.video or {}
    facts = {
        "status": entry.state.value,
        "task_id": entry.task_id,
        "created_at": entry.created_at.isoformat(timespec="seconds"),
        "model": entry.model,
        "prompt": entry.request.get("prompt"),
        "duration": entry.request.get("duration"),
        "resolution": entry.request.get("resolution"),
        "cost": dollars(entry.spent_usd),
        "path": video.get("path"),
        "reason": entry.reason,
    }
    expires_at = video.get("expires_at")
    url = video.get("url")
    if url and url[:5] != "data:" and not video.get("url_needs_key") and not _is_over(expires_at):
        facts |= {"url": url, "expires_at": expires_at}
    return {name: value for name, value in facts.items() if value is not None}


def _is_over(expires_at: str | None) -> bool:
    try:
        return expires_at is not None and datetime.fromisoformat(expires_at) <= datetime.now(UTC)
    except ValueError:
        return False
