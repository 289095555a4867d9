"""From a submitted task to the saved video: poll it, save it, and record both in the journal."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from langchain_nebula_video.errors import JournalError, TaskFailedError, TaskNotFoundError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle import tasks
from langchain_nebula_video.lifecycle.cleanup import run_cleanup
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.lease import RELEASED, Lease
from langchain_nebula_video.lifecycle.looking import Looker
from langchain_nebula_video.lifecycle.polling import Poller
from langchain_nebula_video.lifecycle.progress import ProgressReporter
from langchain_nebula_video.lifecycle.publishing import add_bytes_hint
from langchain_nebula_video.lifecycle.recording import Recorder
from langchain_nebula_video.saving import targets
from langchain_nebula_video.saving.save import Origin, save
from langchain_nebula_video.schema import OnProgress, Task, Video

__all__ = ["Finisher"]

logger = logging.getLogger("langchain_nebula_video")


class Finisher:
    """Turns submitted tasks into videos, saved if the options say where."""

    def __init__(self, context: Context, looker: Looker, poller: Poller) -> None:
        self._context = context
        self._looker = looker
        self._poller = poller
        self._recorder = Recorder(context)

    async def finish(
        self, task: Task, entry: Entry | None, holder: str, deadline: float, on_progress: OnProgress | None
    ) -> Video:
        """Return the finished video, saved if `save_to` is set.

        If this fails, the entry is marked as abandoned. An interruption gets a note that names the task.

        Args:
            task: The submitted task.
            entry: Its journal entry; `None`: the journal does not know the task.
            holder: The name of this call in the journal.
            deadline: On the runtime's clock.
            on_progress: The caller's callback.
        """
        lease = Lease(self._context, entry, holder)
        reporter = self._reporter(task, on_progress)
        save_to = self._context.options.save_to
        task_id, gateway, reused = task.task_id, task.gateway, task.reused
        as_of_call = partial(tasks.as_of_call, reused=reused, image_notes=task.image_notes, image_name=task.image_name)
        try:
            with tasks.journal_errors_about(task_id):
                video = await self._journaled_video(entry)
                if video is None:
                    polling = self._poller.poll(task, entry, lease, deadline, reporter)
                    del task  # after its first look, nobody needs it as it was
                    video = tasks.task_to_video(await polling)
            # An error while saving has the video too.
            video = as_of_call(video)
            if save_to is not None and not await self._is_saved(video):
                with tasks.journal_errors_about(task_id, paid=True):
                    video = await self._save_once(video, entry, save_to, lease, deadline, reporter)
        except BaseException as error:
            if isinstance(error, TaskFailedError):
                add_bytes_hint(error, entry, self._context)
            if not isinstance(error, Exception):  # cancelled, or Ctrl-C
                error.add_note(f"Task {printable(task_id)} goes on at {gateway}. Go on with wait({task_id!r}).")
            if entry is not None and not isinstance(error, TaskNotFoundError):
                await run_cleanup(self._context.runtime, error, self._abandon(entry, lease))
            raise
        if entry is not None and (entry.abandoned or reused):  # its first caller may have given up meanwhile
            await self._take_over(entry)
        await lease.release()
        return as_of_call(video)

    async def download(
        self, video: Video, entry: Entry | None, save_to: str | Path, on_progress: OnProgress | None
    ) -> Video:
        """Save a video and record its path.

        Raises:
            DownloadError: it could not be saved; it is still at its URL.
        """
        return await self._save(video, entry, save_to, None, self._reporter(video, on_progress))

    def _reporter(self, known: Task | Video, on_progress: OnProgress | None) -> ProgressReporter:
        model = self._context.model(known.model)
        expected = partial(self._context.experience.usually_within, model, known.duration)
        return ProgressReporter(self._context.runtime, known.submitted_at, expected, on_progress)

    async def _save(
        self, video: Video, entry: Entry | None, save_to: str | Path, lease: Lease | None, reporter: ProgressReporter
    ) -> Video:
        """Save a video and record its path; a `lease` is renewed meanwhile and released with the record."""
        received = 0

        async def on_bytes(so_far: int, total: int | None) -> None:
            nonlocal received
            received = so_far
            await reporter.beat_saving(video, so_far, total)

        await reporter.report_saving(video, 0)
        renew_lease = lease.renew if lease is not None else None
        saved_video = await save(
            self._context.runtime, video, save_to, self._origin_of(video), renew_lease, on_bytes=on_bytes
        )
        await reporter.report_saving(saved_video, received, received)
        if entry is not None:
            released = RELEASED if lease is not None else {}
            saved = tasks.video_to_json(saved_video) | {"path": targets.absolute_name(str(saved_video.path))}
            with contextlib.suppress(KeyError):  # an old entry that a journal in memory has let go of meanwhile
                await self._context.update_entry(entry, video=saved, **released)
                if lease is not None:
                    lease.was_released()
        return saved_video

    async def _save_once(
        self,
        video: Video,
        entry: Entry | None,
        save_to: str | Path,
        lease: Lease,
        deadline: float,
        reporter: ProgressReporter,
    ) -> Video:
        """Save a video, unless another process that held the lease has saved it."""
        fresh = await lease.acquire(deadline, on_wait=partial(reporter.beat_saving, video, 0))
        known = await self._journaled_video(fresh) or video
        known = tasks.as_of_call(known, reused=video.reused, image_notes=video.image_notes, image_name=video.image_name)
        if await self._is_saved(known):
            return known
        if fresh is not None and fresh.state is not EntryState.SUCCEEDED:  # its holder died before it recorded that
            await self._recorder.record_success(fresh, video, lease)
        return await self._save(video, entry, save_to, None if fresh is None else lease, reporter)

    async def _take_over(self, entry: Entry) -> None:
        """Record that the entry is no longer abandoned. The video is there, so a failure does not matter much."""
        try:
            await self._context.update_entry(entry, abandoned=False)
        except JournalError as error:
            logger.warning("the journal entry of a finished video stays abandoned: %s", printable(error.what))

    async def _abandon(self, entry: Entry, lease: Lease) -> None:
        """Mark the entry, unless another call works on it: that one has not given up."""
        if await lease.renew():
            await self._context.update_entry(entry, abandoned=True)
            await lease.release()

    async def _is_saved(self, video: Video) -> bool:
        return video.path is not None and await self._context.runtime.call(
            targets.exists, video.path, self._context.options.save_to
        )

    def _origin_of(self, video: Video) -> Origin | None:
        """Return where the video comes from; `None`: not from this client's gateway."""
        gateway = self._context.gateway
        if video.gateway != gateway.name:
            return None
        return Origin(
            base_url=self._context.base_url, refresh=partial(self._refresh, video), renews_urls=gateway.renews_urls
        )

    async def _refresh(self, video: Video) -> Video:
        """Fetch the video again: its URL may have a new signature."""
        task = await self._looker.fetch(video.task_id)
        return tasks.task_to_video(task) if task.url is not None else video

    async def _journaled_video(self, entry: Entry | None) -> Video | None:
        """Return an entry's video if its file exists, or if its URL is valid."""
        if entry is None or entry.state is not EntryState.SUCCEEDED or entry.video is None:
            return None
        try:
            video = Video.model_validate(entry.video).model_copy(update={"key": entry.key})
        except ValidationError:  # a newer version may write it otherwise; the gateway still has it
            logger.info("the journal's video of task %s cannot be read; asking for it", printable(str(entry.task_id)))
            return None
        if await self._is_saved(video):
            return video
        return video if video.url and video.expires_at > self._context.runtime.utcnow() else None
