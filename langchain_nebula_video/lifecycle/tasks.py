"""Tasks from journal entries and answers, and the errors about them. Pure: no I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway
from langchain_nebula_video.catalog.offers import catalog_name
from langchain_nebula_video.errors import (
    JournalError,
    Money,
    RefusedError,
    RequestError,
    TaskCanceledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
)
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.costs import Pricing
from langchain_nebula_video.protocols import (
    TASK_STATUS_UNKNOWN,
    Reply,
    TaskSnapshot,
    find_request_id,
    hint_for,
    is_unknown_task,
)
from langchain_nebula_video.schema import Cost, Task, TaskStatus, Video, dollars

__all__ = [
    "ENTRY_STATES",
    "IN_DOUBT_NOTE",
    "amount_at_risk",
    "as_of_call",
    "journal_errors_about",
    "journal_errors_cost",
    "merge_snapshot",
    "missing_data_error",
    "no_url_error",
    "outcome",
    "raise_for_failure",
    "task_error",
    "task_from_entry",
    "task_to_video",
    "timeout_error",
    "too_large_error",
    "video_to_json",
    "with_entry_status",
]

IN_DOUBT_NOTE = "The submit was under way: money may have been spent. Its journal entry is unconfirmed."
"""The note on an exception that interrupts an unconfirmed submit."""

ENTRY_STATES = {
    TaskStatus.QUEUED: EntryState.SUBMITTED,
    TaskStatus.RUNNING: EntryState.RUNNING,
    TaskStatus.SUCCEEDED: EntryState.SUCCEEDED,
    TaskStatus.FAILED: EntryState.FAILED,
    TaskStatus.CANCELED: EntryState.CANCELED,
}
_VENDOR_HOURS = 24
"""How long Alibaba answers for a task: its page, 2025-12."""
_STATUSES = {state: status for status, state in ENTRY_STATES.items()}


def task_from_entry(task_id: str, entry: Entry | None, gateway: Gateway, model: str, cost: Cost, now: datetime) -> Task:
    """Return the task as the journal knows it. Without an entry it has no figures yet.

    Args:
        task_id: The gateway's id.
        entry: Its journal entry.
        gateway: The row of its gateway.
        model: Its model; `""`: unknown.
        cost: What is known of its cost.
        now: The present, in UTC.
    """
    request: Mapping[str, Any] = entry.request if entry else {}
    under_way = entry is not None and entry.state in {EntryState.SUBMITTED, EntryState.RUNNING}
    return Task(
        task_id=task_id,
        gateway=gateway.name,
        model=model,
        status=TaskStatus.RUNNING if entry and entry.state is EntryState.RUNNING else TaskStatus.QUEUED,
        key=entry.key if entry else None,
        cost=cost,
        duration=request.get("duration"),
        resolution=request.get("resolution"),
        prompt=request.get("prompt"),
        seed=request.get("seed"),
        submitted_at=entry.created_at if entry else now,
        warning=entry.reason if entry and under_way else None,
    )


def with_entry_status(task: Task, entry: Entry | None) -> Task:
    """Return the task with the status of its entry, final ones included."""
    status = _STATUSES.get(entry.state) if entry else None
    return task if status is None else task.model_copy(update={"status": status})


def merge_snapshot(task: Task, snapshot: TaskSnapshot, gateway: Gateway, pricing: Pricing, now: datetime) -> Task:
    """Return the task with what an answer says about it."""
    finished_at = None
    if snapshot.status.finished:
        # If it is before the submit or in the future, the gateway's time zone was guessed wrong.
        finished_at = min(max(snapshot.finished_at or now, task.submitted_at), now)
    updates = {
        "progress": snapshot.progress,
        "url": snapshot.url,
        "expires_at": snapshot.expires_at,
        "code": snapshot.code,
        "reason": snapshot.reason,
        "actual_prompt": snapshot.actual_prompt,
        "request_id": snapshot.request_id,
    }
    if snapshot.status is TaskStatus.SUCCEEDED:
        updates |= {"duration": _plain_seconds(snapshot.seconds), "resolution": snapshot.resolution}
    if task.prompt is None:
        updates["prompt"] = snapshot.prompt
    if not task.model and snapshot.model:
        updates["model"] = catalog_name(snapshot.model, gateway)
        task = task.model_copy(update={"model": updates["model"]})
    if snapshot.submitted_at and not task.raw:  # a task that another process submitted
        updates["submitted_at"] = min(snapshot.submitted_at, now)
    return task.model_copy(
        update={
            **{name: value for name, value in updates.items() if value is not None},
            "status": snapshot.status,
            "finished_at": finished_at,
            "cost": pricing.cost_of_answer(task, snapshot),
            "raw": snapshot.raw,
        }
    )


def _plain_seconds(seconds: Decimal | None) -> int | float | None:
    """Return seconds as JSON writes them best: 5, and 5.04."""
    if seconds is None:
        return None
    return int(seconds) if seconds == seconds.to_integral_value() else float(seconds)


def task_to_video(task: Task) -> Video:
    """Return the video of a succeeded task with a URL."""
    return Video.model_validate({name: getattr(task, name) for name in Video.model_fields if name != "path"})


def as_of_call(video: Video, *, reused: bool, image_notes: tuple[str, ...], image_name: str | None) -> Video:
    """Return the video with what this call alone knows: notes on its images, and their name if the journal lacks it.

    Whoever looked at the task without the request, such as `reconcile`, could not write the name down.
    """
    return video.model_copy(
        update={
            "reused": reused or video.reused,
            "image_notes": image_notes,
            "image_name": video.image_name or image_name,
        }
    )


def video_to_json(video: Video) -> dict[str, Any]:
    """Return the video for the journal, without the raw answer and without the content of a `data:` URI.

    Nor does it say what is true of a call, and not of the video: `reused`, `image_notes`.
    """
    data: dict[str, Any] = video.model_dump(mode="json", exclude={"raw", "reused", "image_notes"})
    if video.url[:5].lower() == "data:":
        data["url"] = ""
    return data


def amount_at_risk(entry: Entry) -> str:
    """Return what an unconfirmed submit may have spent, as text."""
    return dollars(entry.reserved_usd) if entry.reserved_usd else "money"


# --- errors ---


def raise_for_failure(task: Task) -> Task:
    """Return a succeeded task.

    Raises:
        TaskFailedError, TaskCanceledError: it has no video.
    """
    why = ": ".join(part for part in (task.code, task.reason) if part) or "no reason given"
    if task.status is TaskStatus.FAILED:
        raise TaskFailedError(f"The task failed: {why.rstrip('.')}.", task=task, hint=hint_for(task.code, task.reason))
    if task.status is TaskStatus.CANCELED:
        raise TaskCanceledError(
            "The task was canceled.", task=task, hint="Submit it again as a new video, if it is still wanted."
        )
    return task


def no_url_error(task: Task) -> TaskFailedError:
    """The error for a task that succeeded without a URL."""
    return TaskFailedError(
        "The gateway reports success and gives no URL.",
        task=task,
        money=Money.SPENT,
        hint=f"The video is made. Ask again later with wait({task.task_id!r}); if it stays so, take it from the "
        "gateway's console, or give the task id to its support.",
    )


def timeout_error(task: Task, elapsed: float, fault: RequestError | None) -> TaskTimeoutError:
    """The error at the caller's deadline. The task goes on."""
    last = f" The last look did not work: {fault.what}" if fault else ""
    hint = f"Do not submit again: go on with wait({task.task_id!r})."
    if isinstance(fault, RefusedError) and fault.hint:  # something else has to be mended first
        hint = f"{fault.hint} Then go on with wait({task.task_id!r}); do not submit again."
    return TaskTimeoutError(f"The task is still {task.status} after {elapsed:.0f} s.{last}", task=task, hint=hint)


def too_large_error(error: RequestError, task: Task) -> RequestError:
    """The error for a task whose answers are too large to read, again and again."""
    return RequestError(
        f"{error.what} It was so again and again: it probably holds the video itself.",
        money=Money.RUNNING,
        task_id=task.task_id,
        hint="Take the video from the gateway's console, or ask its support for an answer with a link; do not submit "
        "again.",
    )


def missing_data_error(kind: type[RequestError], reply: Reply, what: str) -> RequestError:
    """The error for an answer that lacks what it should contain; `what` ends the sentence."""
    return kind(
        f"The gateway answered HTTP {reply.status}, and the answer {what}.",
        status_code=reply.status,
        body=reply.body[:4000].decode("utf-8", "replace"),
        request_id=find_request_id(reply),
    )


_OUTCOMES = {
    TaskStatus.SUCCEEDED: (Money.SPENT, "It has succeeded: wait({!r}) gives its video."),
    TaskStatus.FAILED: (Money.FREE, "It has failed: there is nothing left to do for it."),
    TaskStatus.CANCELED: (Money.FREE, "It is canceled: there is nothing left to do for it."),
}


def outcome(task: Task) -> tuple[Money, str] | None:
    """Return what a finished task means for the account, and a hint; `None`: the task goes on."""
    if task.status not in _OUTCOMES:
        return None
    money, hint = _OUTCOMES[task.status]
    return money, hint.format(task.task_id)


def task_error(error: RequestError, task: Task) -> Exception:
    """The error for a failed request about a task. The task is paid for and goes on, unless it has ended.

    Args:
        error: The error of the request.
        task: The task as last seen.
    """
    if is_unknown_task(error):
        return TaskNotFoundError(
            f"The gateway does not know the task: {error.what}", task=task, hint=_not_found_hint(task, error.code)
        )
    error.task_id = task.task_id
    end = outcome(task)
    if end is not None:
        error.money, error.hint = end
        return error
    error.money = Money.RUNNING
    error.hint = f"{error.hint} Then go on with wait({task.task_id!r}); do not submit again.".strip()
    return error


class _JournalErrors:
    """Lets a `JournalError` say what is known here. No generator, which is larger: each task that waits is in one."""

    __slots__ = ("_always", "_money", "_task_id")

    def __init__(self, money: Money, task_id: str | None, *, always: bool) -> None:
        self._money = money
        self._task_id = task_id
        self._always = always

    def __enter__(self) -> None:
        """Nothing is done before an error."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, JournalError):
            return
        if self._always or error.money in {Money.NOT_SENT, Money.REFUSED, Money.LOOKED}:
            error.money = self._money
        if self._task_id is None:
            return
        error.task_id = error.task_id or self._task_id
        call = f"wait({error.task_id!r})"
        if call not in error.hint:
            error.hint = f"{error.hint} The task is not lost: go on with {call}, do not submit again.".strip()


def journal_errors_about(task_id: str, *, paid: bool = False) -> AbstractContextManager[None]:
    """Let a `JournalError` inside say that a task goes on, and name it. The journal does not know that there is one.

    Args:
        task_id: The task.
        paid: Whether it has succeeded, and so is paid for.
    """
    return _JournalErrors(Money.SPENT if paid else Money.RUNNING, task_id, always=paid)


def journal_errors_cost(money: Money) -> AbstractContextManager[None]:
    """Let a `JournalError` inside say what is known of the money, if it claims that nothing or only a look was sent."""
    return _JournalErrors(money, None, always=False)


def _not_found_hint(task: Task, code: str | None) -> str | None:
    """Return a hint with the retention time of tasks, if the gateway documents one. `code`: the gateway's."""
    row = GATEWAYS.get(task.gateway)
    if row is None or row.task_hours is None:
        return None
    if math.isinf(row.task_hours):
        if code == TASK_STATUS_UNKNOWN:  # the vendor's word; the gateway itself knows the task
            return f"The vendor behind the gateway has forgotten it, as after {_VENDOR_HOURS} hours: submit it again."
        return "Check the task id, the gateway and the account: this gateway keeps its tasks."
    return f"Check the task id, the gateway and the account; a task older than {row.task_hours} hours is gone."
