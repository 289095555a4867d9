"""The commands on one existing task: `wait`, `status` and `cancel`."""

# Typer reads the annotations, so they are evaluated here.
from functools import partial

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.output import NEEDS_KEY, Output, as_dict, describe_cost, print_video
from langchain_nebula_video.cli.progress_bar import TaskProgressBar
from langchain_nebula_video.errors import TaskError, printable
from langchain_nebula_video.saving.targets import check_target
from langchain_nebula_video.schema import Task, TaskStatus

__all__ = ["cancel", "status", "wait"]


@opt.flatten_groups
def wait(
    ctx: typer.Context,
    task_id: opt.TaskId,
    target: opt.GatewayOptions,
    *,
    out: opt.Out = opt.DEFAULT_OUT,
    download_host: opt.DownloadHosts = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    as_json: opt.AsJson = False,
) -> None:
    """Wait for a task that was submitted, here or elsewhere, and save its video. Costs nothing more."""
    output = Output(as_json=as_json)
    settings = {"timeout": timeout, "poll_interval": poll_interval, **(ctx.obj or {})}
    factory = ClientFactory(target=target, out=out, download_hosts=download_host, settings=settings)
    with output.report_errors(resume=factory.resume_command, interrupted=partial(_interrupted_unchanged, task_id)):
        check_target(out)
        bar = TaskProgressBar(output, status="looking")
        with factory.client() as client, bar.show():
            video = client.wait(task_id, on_progress=bar.on_progress)
        print_video(output, video)


@opt.flatten_groups
def status(ctx: typer.Context, task_id: opt.TaskId, target: opt.GatewayOptions, *, as_json: opt.AsJson = False) -> None:
    """Show a task's status. The exit code is 0 for every status, as long as the gateway knows the task."""
    output = Output(as_json=as_json)
    factory = ClientFactory(target=target, settings=ctx.obj or {})
    with output.report_errors(resume=factory.resume_command, interrupted=partial(_interrupted_unchanged, task_id)):
        with factory.client() as client:
            task = client.fetch(task_id)
        _print_task(output, task, factory)


@opt.flatten_groups
def cancel(ctx: typer.Context, task_id: opt.TaskId, target: opt.GatewayOptions, *, as_json: opt.AsJson = False) -> None:
    """Cancel a task that still waits in the queue. Only DashScope itself supports this."""
    output = Output(as_json=as_json)
    factory = ClientFactory(target=target, settings=ctx.obj or {})
    with output.report_errors(resume=factory.resume_command, interrupted=partial(_interrupted_cancel, task_id)):
        with factory.client() as client:
            task = client.cancel(task_id)
        _print_task(output, task, factory)


def _print_task(output: Output, task: Task, factory: ClientFactory) -> None:
    """Print a task, and the command that continues it."""
    fields: dict[str, object] = {
        "Task": task.task_id,
        "Status": task.status,
        "Prompt": task.prompt,
        "Why": ": ".join(part for part in (task.code, task.reason) if part) or None,
        "Progress": None if task.progress is None else f"{task.progress:.0%}",
        "Cost": describe_cost(task.cost),
        "Warning": task.warning,
        "URL": task.url,
        "Opens": NEEDS_KEY if task.url_needs_key else None,
        "Works until": task.expires_at and f"{task.expires_at:%Y-%m-%d %H:%M} UTC",
    }
    output.print_result(as_dict(task), fields)
    if task.status not in {TaskStatus.FAILED, TaskStatus.CANCELED}:
        output.print_message(f"To save its video: {printable(factory.resume_command(task.task_id))}", no_wrap=True)


def _interrupted_unchanged(task_id: str) -> TaskError:
    return TaskError(f"Interrupted. Nothing has changed for task {task_id}.", task_id=task_id)


def _interrupted_cancel(task_id: str) -> TaskError:
    return TaskError(f"Interrupted. Task {task_id} may be canceled or not.", task_id=task_id)
