"""The bodies of Nebula's answers, as its code builds them (relay/relay_task.go and dto/video.go, 2025-12)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.billing import to_quota
from langchain_nebula_video.emulator.clock import format_beijing_time
from langchain_nebula_video.emulator.enums import Status
from langchain_nebula_video.emulator.serving.storage import signed_url
from langchain_nebula_video.emulator.table import RowStatus

from .dashscope_list import submit_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.table import Row
    from langchain_nebula_video.emulator.tasks import Task

_STATUS_WORDS: Mapping[RowStatus, str] = {
    RowStatus.NOT_START: "unknown",
    RowStatus.IN_PROGRESS: "in_progress",
    RowStatus.SUCCESS: "succeeded",
    RowStatus.FAILURE: "failed",
}
_NOTED_SECONDS = 4
"""What every row notes as the seconds that were asked for, because nobody tells it."""
_NOTED_RESOLUTION = "720p"
_FAILED_CODE = 400


def describe_submitted(task: Task) -> dict[str, Any]:
    """Return the answer to an accepted submit: the vendor's, with the task's id and a status beside it."""
    return {
        "status_code": 0,
        "request_id": submit_request_id(task.id),
        "code": "",
        "message": "",
        "output": {"task_id": task.id},
        "task_id": task.id,
        "status": "submitted",
    }


def describe(exchange: Exchange, task: Task, record: TaskRecord, row: Row) -> dict[str, Any]:
    """Return the answer to a look."""
    metadata = _metadata(exchange, task, record, row)
    url = metadata["output"].get("video_url", "") if row.status is RowStatus.SUCCESS else ""
    return _frame(task, row, url) | {"metadata": metadata}


def describe_older(exchange: Exchange, task: Task, record: TaskRecord, row: Row) -> dict[str, Any]:
    """Return the answer of the older code. It tells nothing before success, and then everything it has noted.

    It does not know where Alibaba has the address, which therefore stands in the vendor's part alone.
    """
    answer = _frame(task, row, "")
    if row.status is not RowStatus.SUCCESS:
        return answer
    noted = {
        "model_price": float(task.spec.model.prices[_NOTED_RESOLUTION] * exchange.state.site_discount),
        "group_ratio": float(task.group_ratio),
        "billing_pending": True,
        "billing_processed": True,
        "actual_quota": to_quota(task.cost),
        "token_id": task.key.number if task.key else 0,
    }
    return answer | {"metadata": _metadata(exchange, task, record, row) | noted}


def vendor_answer(exchange: Exchange, task: Task, record: TaskRecord, row: Row) -> dict[str, Any]:
    """Return what the row keeps of the vendor: its answer at the newest visit, before the first that to the submit."""
    if row.seen is None:
        output: dict[str, Any] = {"task_id": task.id, "task_status": Status.PENDING}
        return {"request_id": submit_request_id(task.id), "output": output}
    if row.seen == "UNKNOWN":
        return {"request_id": str(uuid.uuid4()), "output": {"task_id": task.id, "task_status": "UNKNOWN"}}
    output = {
        "task_id": task.id,
        "task_status": row.seen,
        "submit_time": format_beijing_time(record.accepted_at),
    }
    if row.seen != Status.PENDING:
        output["scheduled_time"] = format_beijing_time(record.started_at)
    if row.seen not in {Status.PENDING, Status.RUNNING}:
        output["end_time"] = format_beijing_time(record.finished_at)
    if row.seen == Status.FAILED and task.spec.problem is not None:
        output |= {"code": task.spec.problem.code, "message": task.spec.problem.message}
    if row.seen != Status.SUCCEEDED:
        return {"request_id": str(uuid.uuid4()), "output": output}
    rewritten = {} if task.spec.actual_prompt is None else {"actual_prompt": task.spec.actual_prompt}
    output |= {"orig_prompt": task.spec.prompt, **rewritten, "video_url": signed_url(exchange, record)}
    lines = int(record.resolution.removesuffix("p"))
    usage = {"duration": record.seconds, "SR": lines, "video_count": 1}
    return {"request_id": str(uuid.uuid4()), "output": output, "usage": usage}


def _frame(task: Task, row: Row, url: str) -> dict[str, Any]:
    answer = {"task_id": task.id, "status": _STATUS_WORDS[row.status], "url": url, "format": "mp4"}
    failed = {"error": {"code": _FAILED_CODE, "message": row.reason}} if row.status is RowStatus.FAILURE else {}
    return answer | failed


def _metadata(exchange: Exchange, task: Task, record: TaskRecord, row: Row) -> dict[str, Any]:
    asked_for_sound = bool(task.spec.request.get("generate_audio"))
    name = task.key.name if task.key else task.account.name
    noted = {"requested_seconds": _NOTED_SECONDS, "token_name": name, "generateAudio": asked_for_sound}
    if row.seen is None:
        noted |= {
            "model_name": record.model,
            "video_price_per_second": float(task.spec.model.prices[_NOTED_RESOLUTION] * exchange.state.site_discount),
            "durationSeconds": _NOTED_SECONDS,
            "generate_audio": asked_for_sound,
        }
    return vendor_answer(exchange, task, record, row) | noted
