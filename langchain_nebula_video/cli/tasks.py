"""The commands for a task that there is already: wait, status and cancel."""

# Typer reads the annotations, so they are evaluated here.
from functools import partial

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.output import Voice, plain, tell_video, told_cost
from langchain_nebula_video.cli.prepare import Access
from langchain_nebula_video.cli.progress_bar import Bar
from langchain_nebula_video.errors import TaskError
from langchain_nebula_video.saving.storage import check_target
from langchain_nebula_video.schema import Task, TaskStatus

__all__ = ["cancel", "status", "wait"]


@opt.spread
def wait(
    ctx: typer.Context,
    task_id: opt.TaskId,
    place: opt.Place,
    *,
    out: opt.Out = opt.HERE,
    download_host: opt.DownloadHosts = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    as_json: opt.AsJson = False,
) -> None:
    """Wait for a task that was submitted, here or elsewhere, and save its video. Costs nothing more."""
    voice = Voice(as_json=as_json)
    settings = {"timeout": timeout, "poll_interval": poll_interval, **(ctx.obj or {})}
    access = Access(place=place, out=out, download_hosts=download_host, settings=settings)
    with voice.reporting(resume=access.resume, interrupted=partial(_left, task_id)):
        check_target(out)
        bar = Bar(voice, status="looking")
        with access.client() as client, bar.shown():
            video = client.wait(task_id, on_progress=bar.told)
        tell_video(voice, video)


@opt.spread
def status(ctx: typer.Context, task_id: opt.TaskId, place: opt.Place, *, as_json: opt.AsJson = False) -> None:
    """Look at a task once. Ends with 0 whatever its status is, as long as the gateway knows it."""
    voice = Voice(as_json=as_json)
    access = Access(place=place, settings=ctx.obj or {})
    with voice.reporting(resume=access.resume, interrupted=partial(_left, task_id)):
        with access.client() as client:
            task = client.fetch(task_id)
        _tell(voice, task, access)


@opt.spread
def cancel(ctx: typer.Context, task_id: opt.TaskId, place: opt.Place, *, as_json: opt.AsJson = False) -> None:
    """Take back a task that still waits in the queue. Only DashScope itself can."""
    voice = Voice(as_json=as_json)
    access = Access(place=place, settings=ctx.obj or {})
    with voice.reporting(resume=access.resume, interrupted=partial(_in_doubt, task_id)):
        with access.client() as client:
            task = client.cancel(task_id)
        _tell(voice, task, access)


def _tell(voice: Voice, task: Task, access: Access) -> None:
    """A task as it was seen, and how to go on."""
    told: dict[str, object] = {
        "Task": task.task_id,
        "Status": task.status,
        "Why": ": ".join(part for part in (task.code, task.reason) if part) or None,
        "Progress": None if task.progress is None else f"{task.progress:.0%}",
        "Cost": told_cost(task.cost),
        "URL": task.url,
        "Works until": task.expires_at and f"{task.expires_at:%Y-%m-%d %H:%M} UTC",
    }
    voice.answer(plain(task), told)
    if task.status not in {TaskStatus.FAILED, TaskStatus.CANCELED}:
        voice.say(f"To save its video: {access.resume(task.task_id)}", whole=True)


def _left(task_id: str) -> TaskError:
    return TaskError(f"Interrupted. Nothing has changed for task {task_id}.", task_id=task_id)


def _in_doubt(task_id: str) -> TaskError:
    return TaskError(f"Interrupted. Task {task_id} may be canceled or not.", task_id=task_id)
