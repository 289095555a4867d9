"""Nebula's API: its two routes and their responses.

The gateway reports errors of its own checks as plain errors. It wraps errors of the vendor behind
it: the vendor's error body becomes JSON text in the message of a ``fail_to_fetch_task``.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.clock import format_beijing_time
from langchain_nebula_video.emulator.enums import Dialect, Status
from langchain_nebula_video.emulator.refusals import Reason
from langchain_nebula_video.emulator.serving.storage import signed_url

from .error_envelopes import ErrorFormat, distributor_error, gateway_response, refusal_response, wrapped_error
from .nebula_request import read_task_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.tasks import Task

SUBMIT_PATH = "/v1/video/generations"
QUERY_PATH = "/v1/video/generations/{task_id}"

ERROR_FORMATS: Mapping[Reason, ErrorFormat] = {
    Reason.MALFORMED: ErrorFormat(400, "invalid_request"),
    Reason.MISSING_MODEL: ErrorFormat(400, "missing_model"),
    Reason.UNKNOWN_MODEL: ErrorFormat(503, "model_not_found", distributor_error),
    Reason.PARAMETER: ErrorFormat(400, "InvalidParameter", wrapped_error),
    Reason.IMAGE_FORMAT: ErrorFormat(400, "InvalidParameter.ImageFormat", wrapped_error),
    Reason.IMAGE_SIZE: ErrorFormat(400, "InvalidParameter.ImageSize", wrapped_error),
    Reason.AUDIO_FORMAT: ErrorFormat(400, "InvalidParameter.AudioFormat", wrapped_error),
    Reason.DOWNLOAD: ErrorFormat(400, "InvalidParameter.DataInspection", wrapped_error),
    Reason.MODERATION: ErrorFormat(400, "InvalidParameter.DataInspection", wrapped_error),
    Reason.KEY: ErrorFormat(401, "InvalidApiKey"),
    Reason.QUOTA: ErrorFormat(403, "InsufficientQuota"),
    Reason.RATE: ErrorFormat(429, "Throttling.RateLimit"),
    Reason.BODY_SIZE: ErrorFormat(413, "read_request_body_failed"),
    Reason.UNKNOWN_TASK: ErrorFormat(400, "task_not_exist"),
    Reason.INTERNAL: ErrorFormat(500, "InternalError"),
}


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/video/generations``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    key = state.accounts.find_key_of(exchange.headers.get("authorization"))
    body = await exchange.body()
    # In a thread, because it decodes the image and may fetch it.
    spec = await asyncio.to_thread(read_task_spec, body, state.files, lambda reason: ERROR_FORMATS[reason].code)
    task = state.engine.submit(account, spec, key)
    exchange.entry.task_id = task.id
    return gateway_response(exchange, _describe_submitted(task))


async def query(exchange: Exchange) -> Response:
    """``GET /v1/video/generations/{task_id}``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = state.engine.find(exchange.path_params["task_id"], account, (Dialect.NEBULA,))
    status = exchange.status_override or record.status
    described = {"task_id": task.id, "status": _STATUS_WORDS[status], "format": "mp4"}
    return gateway_response(exchange, described | _DETAILS[status](exchange, task, record))


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the gateway."""
    return refusal_response(exchange, refusal, ERROR_FORMATS)


def _describe_submitted(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "status": "submitted",
        "format": "mp4",
        "metadata": {
            "model_price": _json_number(task.price),
            "requested_seconds": task.spec.seconds,
            "billing_pending": True,
            "group_ratio": _json_number(task.group_ratio),
            "token_name": task.account.name,
            "output": {"task_id": task.id, "task_status": Status.PENDING},
            "request_id": str(uuid.uuid4()),
        },
    }


def _describe_pending(_: Exchange, task: Task, __: TaskRecord) -> dict[str, Any]:
    return {
        "metadata": {
            "model_price": _json_number(task.price),
            "billing_pending": True,
            "output": {"task_status": Status.PENDING},
        }
    }


def _describe_running(_: Exchange, __: Task, ___: TaskRecord) -> dict[str, Any]:
    return {"metadata": {"output": {"task_status": Status.RUNNING}}}


def _describe_succeeded(exchange: Exchange, task: Task, record: TaskRecord) -> dict[str, Any]:
    url = signed_url(exchange, record)
    return {
        "url": url,
        "metadata": {
            "model_price": _json_number(task.price),
            "billing_pending": False,
            "group_ratio": _json_number(task.group_ratio),
            "usage": {"video_count": 1, "duration": record.seconds, "resolution": record.resolution},
            "output": {
                "task_status": Status.SUCCEEDED,
                # The page's example shows the URL without its signature. Such a URL opens nothing.
                "video_url": url.partition("?")[0],
                "submit_time": format_beijing_time(record.accepted_at),
                "end_time": format_beijing_time(record.finished_at),
            },
            "request_id": str(uuid.uuid4()),
        },
    }


def _describe_failed(_: Exchange, task: Task, __: TaskRecord) -> dict[str, Any]:
    problem = task.spec.problem
    reason = {"code": problem.code, "message": problem.message} if problem else {}
    return {"metadata": {"output": {"task_status": Status.FAILED} | reason}}


_STATUS_WORDS: Mapping[Status, str] = {
    Status.PENDING: "in_progress",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
_DETAILS: Mapping[Status, Callable[[Exchange, Task, TaskRecord], dict[str, Any]]] = {
    Status.PENDING: _describe_pending,
    Status.RUNNING: _describe_running,
    Status.SUCCEEDED: _describe_succeeded,
    Status.FAILED: _describe_failed,
    Status.CANCELED: _describe_failed,
}


def _json_number(value: Decimal) -> int | float:
    """Return a JSON number. Whole numbers have no decimal point, as on the page."""
    return int(value) if value == value.to_integral_value() else float(value)
