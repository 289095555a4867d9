"""The Nebula gateway's dialect: its two routes, its checks, its words.

What the gateway itself finds wrong is answered as a plain error. What the model's vendor behind it
finds wrong arrives wrapped: the vendor's whole error, as JSON text, in the message of a
``fail_to_fetch_task``.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.clock import beijing
from langchain_nebula_video.emulator.enums import Dialect, Status
from langchain_nebula_video.emulator.refusals import Reason
from langchain_nebula_video.emulator.serving.storage import address

from .error_envelopes import Form, distributor, gateway_answer, refused, wrapped
from .nebula_request import read_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Answer
    from langchain_nebula_video.emulator.tasks import Task

SUBMIT_PATH = "/v1/video/generations"
QUERY_PATH = "/v1/video/generations/{task_id}"

FORMS: Mapping[Reason, Form] = {
    Reason.MALFORMED: Form(400, "invalid_request"),
    Reason.MISSING_MODEL: Form(400, "missing_model"),
    Reason.UNKNOWN_MODEL: Form(503, "model_not_found", distributor),
    Reason.PARAMETER: Form(400, "InvalidParameter", wrapped),
    Reason.IMAGE_FORMAT: Form(400, "InvalidParameter.ImageFormat", wrapped),
    Reason.IMAGE_SIZE: Form(400, "InvalidParameter.ImageSize", wrapped),
    Reason.AUDIO_FORMAT: Form(400, "InvalidParameter.AudioFormat", wrapped),
    Reason.DOWNLOAD: Form(400, "InvalidParameter.DataInspection", wrapped),
    Reason.MODERATION: Form(400, "InvalidParameter.DataInspection", wrapped),
    Reason.KEY: Form(401, "InvalidApiKey"),
    Reason.QUOTA: Form(403, "InsufficientQuota"),
    Reason.RATE: Form(429, "Throttling.RateLimit"),
    Reason.BODY_SIZE: Form(413, "read_request_body_failed"),
    Reason.UNKNOWN_TASK: Form(400, "task_not_exist"),
    Reason.INTERNAL: Form(500, "InternalError"),
}


async def submit(exchange: Exchange) -> Answer:
    """``POST /v1/video/generations``."""
    core = exchange.core
    account = core.accounts.authenticate(exchange.headers.get("authorization"))
    body = await exchange.body()
    # In a thread: it decodes the picture, and may fetch it.
    job = await asyncio.to_thread(read_job, body, core.files, lambda reason: FORMS[reason].code)
    task = core.engine.submit(account, job)
    exchange.entry.task_id = task.id
    return gateway_answer(exchange, _submitted(task))


async def query(exchange: Exchange) -> Answer:
    """``GET /v1/video/generations/{task_id}``."""
    core = exchange.core
    account = core.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = core.engine.find(exchange.path_params["task_id"], account, (Dialect.NEBULA,))
    status = exchange.shown_as or record.status
    described = {"task_id": task.id, "status": _WORDS[status], "format": "mp4"}
    return gateway_answer(exchange, described | _DETAILS[status](exchange, task, record))


def refuse(exchange: Exchange, refusal: Refusal) -> Answer:
    """A refusal as the gateway answers it."""
    return refused(exchange, refusal, FORMS)


def _submitted(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "status": "submitted",
        "format": "mp4",
        "metadata": {
            "model_price": _number(task.price),
            "requested_seconds": task.job.seconds,
            "billing_pending": True,
            "group_ratio": _number(task.group_ratio),
            "token_name": task.account.name,
            "output": {"task_id": task.id, "task_status": Status.PENDING},
            "request_id": str(uuid.uuid4()),
        },
    }


def _pending(_: Exchange, task: Task, __: TaskRecord) -> dict[str, Any]:
    return {
        "metadata": {
            "model_price": _number(task.price),
            "billing_pending": True,
            "output": {"task_status": Status.PENDING},
        }
    }


def _running(_: Exchange, __: Task, ___: TaskRecord) -> dict[str, Any]:
    return {"metadata": {"output": {"task_status": Status.RUNNING}}}


def _succeeded(exchange: Exchange, task: Task, record: TaskRecord) -> dict[str, Any]:
    url = address(exchange, record)
    return {
        "url": url,
        "metadata": {
            "model_price": _number(task.price),
            "billing_pending": False,
            "group_ratio": _number(task.group_ratio),
            "usage": {"video_count": 1, "duration": record.seconds, "resolution": record.resolution},
            "output": {
                "task_status": Status.SUCCEEDED,
                # As in the page's example: the address alone, which opens nothing.
                "video_url": url.partition("?")[0],
                "submit_time": beijing(record.accepted_at),
                "end_time": beijing(record.finished_at),
            },
            "request_id": str(uuid.uuid4()),
        },
    }


def _failed(_: Exchange, task: Task, __: TaskRecord) -> dict[str, Any]:
    problem = task.job.problem
    reason = {"code": problem.code, "message": problem.message} if problem else {}
    return {"metadata": {"output": {"task_status": Status.FAILED} | reason}}


_WORDS: Mapping[Status, str] = {
    Status.PENDING: "in_progress",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
_DETAILS: Mapping[Status, Callable[[Exchange, Task, TaskRecord], dict[str, Any]]] = {
    Status.PENDING: _pending,
    Status.RUNNING: _running,
    Status.SUCCEEDED: _succeeded,
    Status.FAILED: _failed,
    Status.CANCELED: _failed,
}


def _number(value: Decimal) -> int | float:
    """A number for JSON, whole ones without a point as on the page."""
    return int(value) if value == value.to_integral_value() else float(value)
