"""What a task is, by what is known of it: from the journal, from an answer, at its end. Pure; no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.errors import (
    Money,
    RequestError,
    TaskCanceledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
)
from langchain_nebula_video.gateways import Gateway
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.models import MODELS, price_cost
from langchain_nebula_video.protocols import Answer, Reply, hint_for, is_unknown_task
from langchain_nebula_video.schema import Cost, Task, TaskStatus, Video

__all__ = ["STATE", "about", "known", "merged", "no_url", "plain", "silent", "succeeded", "timed_out", "video_of"]

STATE = {
    TaskStatus.QUEUED: EntryState.SUBMITTED,
    TaskStatus.RUNNING: EntryState.RUNNING,
    TaskStatus.SUCCEEDED: EntryState.SUCCEEDED,
    TaskStatus.FAILED: EntryState.FAILED,
    TaskStatus.CANCELED: EntryState.CANCELED,
}


def known(
    task_id: str,
    entry: Entry | None,
    gateway: Gateway,
    default_model: str,
    group_ratio: Decimal,
    *,
    now: datetime,
) -> Task:
    """The task as the journal knows it; one that it does not know has no figures yet."""
    request: Mapping[str, Any] = entry.request if entry else {}
    model = entry.model if entry else default_model
    price = MODELS[model].prices.get(gateway.name, {}).get(request.get("resolution", ""))
    return Task(
        task_id=task_id,
        gateway=gateway.name,
        model=model,
        status=TaskStatus.RUNNING if entry and entry.state is EntryState.RUNNING else TaskStatus.QUEUED,
        key=entry.key if entry else None,
        cost=price_cost(price, request.get("duration"), gateway, group_ratio=group_ratio),
        duration=request.get("duration"),
        resolution=request.get("resolution"),
        prompt=request.get("prompt"),
        seed=request.get("seed"),
        submitted_at=entry.created_at if entry else now,
    )


def merged(task: Task, answer: Answer, gateway: Gateway, *, now: datetime) -> Task:
    """The task with what an answer says of it."""
    finished_at = None
    if answer.status.finished:
        # A finish before the submit or in the future means that the gateway's zone was guessed wrong.
        finished_at = min(max(answer.finished_at or now, task.submitted_at), now)
    learnt = {
        "progress": answer.progress,
        "url": answer.url,
        "expires_at": answer.expires_at,
        "code": answer.code,
        "reason": answer.reason,
        "actual_prompt": answer.actual_prompt,
        "request_id": answer.request_id,
    }
    if answer.status is TaskStatus.SUCCEEDED:
        learnt |= {"duration": answer.seconds, "resolution": answer.resolution}
    if answer.submitted_at and not task.raw:  # a task that another process submitted
        learnt["submitted_at"] = min(answer.submitted_at, now)
    return task.model_copy(
        update={
            **{name: value for name, value in learnt.items() if value is not None},
            "status": answer.status,
            "finished_at": finished_at,
            "cost": _cost(task, answer, gateway),
            "raw": answer.raw,
        }
    )


def _cost(task: Task, answer: Answer, gateway: Gateway) -> Cost:
    """The bill where the answer has its figures; else an estimate, which says that it is one.

    A failed task is not billed.
    """
    if answer.status in {TaskStatus.FAILED, TaskStatus.CANCELED}:
        return price_cost(Decimal(0), 0, gateway, billed=True)
    row = MODELS.get(task.model)
    table = row.prices.get(gateway.name, {}).get(answer.resolution or task.resolution or "") if row else None
    price = answer.price_per_second if answer.price_per_second is not None else table
    return price_cost(
        price,
        answer.seconds or task.duration,
        gateway,
        group_ratio=answer.group_ratio if answer.group_ratio is not None else task.cost.group_ratio,
        billed=answer.status is TaskStatus.SUCCEEDED and answer.billed and answer.price_per_second is not None,
    )


def video_of(task: Task) -> Video:
    """The video of a task that has succeeded and has its URL."""
    return Video.model_validate({name: getattr(task, name) for name in Video.model_fields if name != "path"})


def plain(video: Video) -> dict[str, Any]:
    """The video for the journal: without the raw answer, and without a `data:` URI's megabytes."""
    data: dict[str, Any] = video.model_dump(mode="json", exclude={"raw"})
    if video.url[:5].lower() == "data:":
        data["url"] = ""
    return data


# --- ends ---


def succeeded(task: Task) -> Task:
    """The finished task, if it has a video to show.

    Raises:
        TaskFailedError, TaskCanceledError: it has none.
    """
    why = ": ".join(part for part in (task.code, task.reason) if part) or "no reason given"
    if task.status is TaskStatus.FAILED:
        raise TaskFailedError(f"The task failed: {why.rstrip('.')}.", task=task, hint=hint_for(task.code, task.reason))
    if task.status is TaskStatus.CANCELED:
        raise TaskCanceledError(
            "The task was canceled.", task=task, hint="Submit it again as a new video, if it is still wanted."
        )
    return task


def no_url(task: Task) -> TaskFailedError:
    """The end of a task that is said to have succeeded, and whose video is nowhere."""
    return TaskFailedError(
        "The gateway reports success and gives no URL.",
        task=task,
        money=Money.MAYBE,
        hint=f"Ask again later with wait({task.task_id!r}); if it stays so, give the task id to the gateway's support.",
    )


def timed_out(task: Task, elapsed: float, fault: RequestError | None) -> TaskTimeoutError:
    """The end of the caller's patience; the task goes on."""
    last = f" The last look did not work: {fault.what}" if fault else ""
    return TaskTimeoutError(
        f"The task is still {task.status} after {elapsed:.0f} s.{last}",
        task=task,
        hint=f"Do not submit again: go on with wait({task.task_id!r}).",
    )


def silent(kind: type[RequestError], reply: Reply, what: str) -> RequestError:
    """An answer in which nothing is found that it should say."""
    return kind(
        f"The gateway answered HTTP {reply.status}, and the answer {what}.",
        status_code=reply.status,
        body=reply.body[:4000].decode("utf-8", "replace"),
        request_id=reply.headers.get("x-oneapi-request-id"),
    )


def about(error: RequestError, task: Task) -> Exception:
    """A failed look, told as what it means for the task: it is paid for and goes on."""
    if is_unknown_task(error):
        return TaskNotFoundError(f"The gateway does not know the task: {error.what}", task=task)
    error.task_id = task.task_id
    error.money = Money.RUNNING
    error.hint = f"{error.hint} Then go on with wait({task.task_id!r}); do not submit again.".strip()
    return error
