"""The Nebula gateway's dialect: its two routes, its checks, its words.

What the gateway itself finds wrong is answered as a plain error. What the model's vendor behind it
finds wrong arrives wrapped: the vendor's whole error, as JSON text, in the message of a
``fail_to_fetch_task``.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from .answers import json_answer
from .nebula_request import read_job
from .records import Status
from .refusals import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from .answers import Answer
    from .engine import Task
    from .exchange import Exchange
    from .records import TaskRecord
    from .refusals import Refusal

SUBMIT_PATH = "/v1/video/generations"
QUERY_PATH = "/v1/video/generations/{task_id}"

# The page states no zone; the vendor behind the gateway is in Beijing.
BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class _Form:
    """How a reason is put into an answer."""

    status: int
    code: str
    envelope: Literal["plain", "wrapped", "distributor"] = "plain"


FORMS: Mapping[Reason, _Form] = {
    Reason.MALFORMED: _Form(400, "invalid_request"),
    Reason.MISSING_MODEL: _Form(400, "missing_model"),
    Reason.UNKNOWN_MODEL: _Form(503, "model_not_found", "distributor"),
    Reason.PARAMETER: _Form(400, "InvalidParameter", "wrapped"),
    Reason.IMAGE_FORMAT: _Form(400, "InvalidParameter.ImageFormat", "wrapped"),
    Reason.IMAGE_SIZE: _Form(400, "InvalidParameter.ImageSize", "wrapped"),
    Reason.AUDIO_FORMAT: _Form(400, "InvalidParameter.AudioFormat", "wrapped"),
    Reason.DOWNLOAD: _Form(400, "InvalidParameter.DataInspection", "wrapped"),
    Reason.MODERATION: _Form(400, "InvalidParameter.DataInspection", "wrapped"),
    Reason.KEY: _Form(401, "InvalidApiKey"),
    Reason.QUOTA: _Form(403, "InsufficientQuota"),
    Reason.RATE: _Form(429, "Throttling.RateLimit"),
    Reason.BODY_SIZE: _Form(413, "read_request_body_failed"),
    Reason.UNKNOWN_TASK: _Form(400, "task_not_exist"),
    Reason.INTERNAL: _Form(500, "InternalError"),
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
    return _answer(exchange, _submitted(task))


async def query(exchange: Exchange) -> Answer:
    """``GET /v1/video/generations/{task_id}``."""
    core = exchange.core
    account = core.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = core.engine.find(exchange.path_params["task_id"], account)
    status = exchange.shown_as or record.status
    described = {"task_id": task.id, "status": _WORDS[status], "format": "mp4"}
    return _answer(exchange, described | _DETAILS[status](exchange, task, record))


def refuse(exchange: Exchange, refusal: Refusal) -> Answer:
    """A refusal as the gateway answers it."""
    form = FORMS[refusal.reason]
    envelope = _ENVELOPES[form.envelope]
    return _answer(exchange, envelope(form.code, refusal.message, exchange.request_id), form.status)


def unknown_path(exchange: Exchange) -> Answer:
    """The answer to a path that is not the gateway's."""
    message = f"Invalid URL ({exchange.scope['method']} {exchange.path})"
    error = {"message": message, "type": "invalid_request_error", "param": "", "code": ""}
    return _answer(exchange, {"error": error}, 404)


def video_path(task_id: str) -> str:
    """Where a task's video is."""
    return f"/results/{task_id}.mp4"


def _answer(exchange: Exchange, payload: Mapping[str, Any], status: int = 200) -> Answer:
    return json_answer(payload, status).with_headers(x_oneapi_request_id=exchange.request_id)


def _plain(code: str, message: str, _: str) -> dict[str, Any]:
    return {"code": code, "message": message, "data": None}


def _wrapped(code: str, message: str, request_id: str) -> dict[str, Any]:
    upstream = {"request_id": str(uuid.uuid4()), "code": code, "message": message}
    return _plain("fail_to_fetch_task", json.dumps(upstream, ensure_ascii=False, separators=(",", ":")), request_id)


def _distributor(code: str, message: str, request_id: str) -> dict[str, Any]:
    text = f"{message} (request id: {request_id})"
    return {"error": {"message": text, "type": "new_api_error", "code": code}}


_ENVELOPES = {"plain": _plain, "wrapped": _wrapped, "distributor": _distributor}


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
    core, path = exchange.core, video_path(task.id)
    address = exchange.origin + path
    expires = int(record.finished_at + core.url_lifetime)
    return {
        "url": f"{address}?{core.signer.query(path, expires)}",
        "metadata": {
            "model_price": _number(task.price),
            "billing_pending": False,
            "group_ratio": _number(task.group_ratio),
            "usage": {"video_count": 1, "duration": record.seconds, "resolution": record.resolution},
            "output": {
                "task_status": Status.SUCCEEDED,
                # As in the page's example: the address alone, which opens nothing.
                "video_url": address,
                "submit_time": _beijing(record.accepted_at),
                "end_time": _beijing(record.finished_at),
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
}
_DETAILS: Mapping[Status, Callable[[Exchange, Task, TaskRecord], dict[str, Any]]] = {
    Status.PENDING: _pending,
    Status.RUNNING: _running,
    Status.SUCCEEDED: _succeeded,
    Status.FAILED: _failed,
}


def _number(value: Decimal) -> int | float:
    """A number for JSON, whole ones without a point as on the page."""
    return int(value) if value == value.to_integral_value() else float(value)


def _beijing(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC).astimezone(BEIJING)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
