"""The commands for a task that there is already: wait and status."""

# Typer reads the annotations, so they are evaluated here.
from functools import partial

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.bar import Bar
from langchain_nebula_video.cli.order import Access
from langchain_nebula_video.cli.voice import Voice, plain, tell_video, told_cost
from langchain_nebula_video.errors import TaskError
from langchain_nebula_video.schema import TaskStatus
from langchain_nebula_video.storage import check_target

__all__ = ["status", "wait"]


def wait(
    ctx: typer.Context,
    task_id: opt.TaskId,
    *,
    out: opt.Out = opt.HERE,
    model: opt.ModelName = opt.MODEL,
    gateway: opt.GatewayName = opt.GATEWAY,
    base_url: opt.BaseUrl = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    as_json: opt.AsJson = False,
) -> None:
    """Wait for a task that was submitted, here or elsewhere, and save its video. Costs nothing more."""
    voice = Voice(as_json=as_json)
    settings = {"timeout": timeout, "poll_interval": poll_interval, **(ctx.obj or {})}
    access = Access(gateway=gateway, model=model, base_url=base_url, out=out, settings=settings)
    with voice.reporting(resume=access.resume, interrupted=partial(_left, task_id)):
        check_target(out)
        bar = Bar(voice, status="looking")
        with access.client() as client, bar.shown():
            video = client.wait(task_id, on_progress=bar.told)
        tell_video(voice, video)


def status(
    ctx: typer.Context,
    task_id: opt.TaskId,
    *,
    model: opt.ModelName = opt.MODEL,
    gateway: opt.GatewayName = opt.GATEWAY,
    base_url: opt.BaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Look at a task once. Ends with 0 whatever its status is, as long as the gateway knows it."""
    voice = Voice(as_json=as_json)
    access = Access(gateway=gateway, model=model, base_url=base_url, settings=ctx.obj or {})
    with voice.reporting(resume=access.resume, interrupted=partial(_left, task_id)):
        with access.client() as client:
            task = client.fetch(task_id)
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
