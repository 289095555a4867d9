"""What an answer says of a task: merged into the task, and recorded in the journal."""

from __future__ import annotations

import logging
from typing import Any

from langchain_nebula_video.errors import printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.context import Context, newly_succeeded
from langchain_nebula_video.lifecycle.lease import RELEASED, Lease, is_dead
from langchain_nebula_video.lifecycle.publishing import ImagePublisher
from langchain_nebula_video.media.urls import needs_key
from langchain_nebula_video.protocols import TaskSnapshot
from langchain_nebula_video.schema import Task, TaskStatus, Video

__all__ = ["Recorder"]

logger = logging.getLogger("langchain_nebula_video")


class Recorder:
    """Records the answers about the tasks of one client."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._publisher = ImagePublisher(context)
        self._rewriting_noted = False

    async def record(self, task: Task, entry: Entry | None, snapshot: TaskSnapshot, lease: Lease | None = None) -> Task:
        """Merge an answer into the task, record what changed in the journal, and take back images that were lent.

        While another call has the lease, only that one writes. A late write of this one could undo what it recorded.
        """
        fresh = await self._record(task, entry, snapshot, lease)
        if entry is not None and fresh.status.finished and fresh.status is not task.status:
            await self._publisher.remove(entry)
        return fresh

    async def _record(self, task: Task, entry: Entry | None, snapshot: TaskSnapshot, lease: Lease | None) -> Task:
        context = self._context
        if snapshot.unknown_status is not None:
            logger.info(
                "task %s has the undocumented status %r; polling goes on",
                printable(task.task_id),
                snapshot.unknown_status,
            )
        context.options.raise_group_ratio(snapshot.group_ratio)
        fresh = tasks.merge_snapshot(task, snapshot, context.gateway, context.pricing, context.runtime.utcnow())
        if fresh.url is not None:
            fresh = fresh.model_copy(update={"url_needs_key": needs_key(fresh.url, context.base_url)})
        if fresh.status is not task.status:
            logger.info("task %s: %s", printable(task.task_id), fresh.status)
        if entry is not None:
            self._note_rewriting(entry, fresh)
            await self._write(task, fresh, entry, lease)
        return fresh

    async def _write(self, task: Task, fresh: Task, entry: Entry, lease: Lease | None) -> None:
        """Write what changed between two sights of a task."""
        if fresh.status is TaskStatus.SUCCEEDED:
            if fresh.url is not None:
                last = self._context.options.save_to is None
                with tasks.journal_errors_about(fresh.task_id, paid=True):
                    await self.record_success(entry, tasks.task_to_video(fresh), lease, last=last)
            return
        dearer = (fresh.cost.usd or 0) > max(entry.reserved_usd, task.cost.usd or 0)
        if not dearer and (fresh.status is task.status or entry.state is tasks.ENTRY_STATES[fresh.status]):
            return

        def revise(now: Entry) -> dict[str, Any]:
            if now.state is EntryState.SUCCEEDED or self._is_held_elsewhere(now, lease):
                return {}
            raised = {"reserved_usd": fresh.cost.usd} if dearer else {}
            reason = fresh.reason if fresh.status.finished else fresh.warning
            return {"state": tasks.ENTRY_STATES[fresh.status], "reason": reason, **raised}

        await self._context.revise_entry(entry, fresh.task_id, revise)

    def _note_rewriting(self, entry: Entry, task: Task) -> None:
        """Log, once per client, that the gateway rewrote a prompt although nobody asked for it."""
        asked, made = (entry.request.get("prompt") or "").strip(), (task.actual_prompt or "").strip()
        # A long prompt may come back cut off.
        if self._rewriting_noted or not made or asked.startswith(made) or entry.request.get("smart_rewrite"):
            return
        self._rewriting_noted = True
        gateway = self._context.gateway
        if "smart_rewrite" in gateway.always_on:
            logger.info(
                "task %s: %s rewrote the prompt, as it always does: see actual_prompt",
                printable(task.task_id),
                gateway.name,
            )
        else:
            logger.warning(
                "task %s: %s rewrote the prompt, although smart_rewrite is off: see actual_prompt",
                printable(task.task_id),
                gateway.name,
            )

    async def record_success(self, entry: Entry, video: Video, lease: Lease | None, *, last: bool = False) -> None:
        """Record the video. Keep the path if it was saved meanwhile.

        Args:
            entry: The entry of its task.
            video: What was made.
            lease: This call's lease on the entry.
            last: Whether nothing follows that needs the lease: it is released with the record.
        """
        releases, newly = False, False

        def revise(now: Entry) -> dict[str, Any]:
            nonlocal releases, newly
            if self._is_held_elsewhere(now, lease):
                return {}
            newly = now.state is not EntryState.SUCCEEDED
            data = tasks.video_to_json(video) | {"path": (now.video or {}).get("path")}
            if not newly and now.video == data and now.billed_usd == video.cost.usd:
                return {}
            releases = last and lease is not None and now.holder == lease.holder
            released = RELEASED if releases else {}
            return {"state": EntryState.SUCCEEDED, "billed_usd": video.cost.usd, "video": data, **released}

        await self._context.revise_entry(entry, video.task_id, revise)
        if newly and (succeeded_ids := newly_succeeded.get()) is not None:
            succeeded_ids.add(video.task_id)
        if releases and lease is not None:
            lease.was_released()

    def _is_held_elsewhere(self, entry: Entry, lease: Lease | None) -> bool:
        """Whether another call that lives works on the entry."""
        held = entry.held_until is not None and entry.held_until > self._context.runtime.utcnow()
        own = None if lease is None else lease.holder
        return held and entry.holder not in {None, own} and not is_dead(entry.holder)
