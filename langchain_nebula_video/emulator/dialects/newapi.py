"""A stock new-api gateway with a channel of Alibaba's: ``/newapi/v1/video/generations``.

Sources: QuantumNous/new-api, 2026-06 to 08: relay/channel/task/ali, relay/relay_task.go, controller/video_proxy.go; and
the server of 2026-08-08, run on 2026-11-27 with this emulator in Alibaba's place. The path is Nebula's too, so here it
has a prefix. `POST /v1/videos` is that of a version with plugins.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.billing import to_quota
from langchain_nebula_video.emulator.enums import Dialect, Region, Status
from langchain_nebula_video.emulator.refusals import Reason
from langchain_nebula_video.emulator.serving.storage import signed_url

from . import videos
from .dashscope_families import DASHSCOPE_MODELS
from .dashscope_models import TaskType
from .dashscope_request import read_task_spec
from .error_envelopes import ErrorFormat, distributor_error, gateway_response, refusal_response, wrapped_error
from .newapi_request import to_vendor
from .request_body import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.tasks import Task, TaskSpec

PREFIX = "/newapi"
# Its accounts have dollars, so the channel is one of the region with prices in dollars.
MODELS = DASHSCOPE_MODELS[Region.SINGAPORE]
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

ERROR_FORMATS: Mapping[Reason, ErrorFormat] = {
    Reason.MALFORMED: ErrorFormat(400, "invalid_request"),
    Reason.MISSING_MODEL: ErrorFormat(400, "", distributor_error),
    Reason.UNKNOWN_MODEL: ErrorFormat(503, "model_not_found", distributor_error),
    Reason.PARAMETER: ErrorFormat(400, "InvalidParameter", wrapped_error),
    Reason.IMAGE_FORMAT: ErrorFormat(400, "InvalidParameter.ImageFormat", wrapped_error),
    Reason.IMAGE_SIZE: ErrorFormat(400, "InvalidParameter.ImageSize", wrapped_error),
    Reason.AUDIO_FORMAT: ErrorFormat(400, "InvalidFile.Format", wrapped_error),
    Reason.AUDIO_LENGTH: ErrorFormat(400, "InvalidFile.Duration", wrapped_error),
    Reason.DOWNLOAD: ErrorFormat(400, "InvalidParameter.DataInspection", wrapped_error),
    Reason.MODERATION: ErrorFormat(400, "DataInspectionFailed", wrapped_error),
    Reason.KEY: ErrorFormat(401, "", distributor_error, "Invalid token"),
    Reason.QUOTA: ErrorFormat(403, "insufficient_user_quota"),
    Reason.RATE: ErrorFormat(429, "rate_limit_exceeded"),
    Reason.BODY_SIZE: ErrorFormat(413, "read_request_body_failed"),
    Reason.UNKNOWN_TASK: ErrorFormat(400, "task_not_exist", message="task_not_exist"),
    Reason.INTERNAL: ErrorFormat(500, "InternalError"),
}
_ROW_WORDS: Mapping[Status, str] = {
    Status.PENDING: "QUEUED",
    Status.RUNNING: "IN_PROGRESS",
    Status.SUCCEEDED: "SUCCESS",
    Status.FAILED: "FAILURE",
    Status.CANCELED: "FAILURE",
}
_VIDEO_WORDS: Mapping[Status, str] = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
_PROGRESS: Mapping[Status, int] = {Status.PENDING: 20, Status.RUNNING: 30}
# It looks at its tasks so often, and knows nothing of one before.
_LOOK_SECONDS = 15.0


def routes() -> list[tuple[str, str, str, Handler]]:
    """Return method, path, point and handler of each route."""
    return [
        ("POST", f"{PREFIX}/v1/video/generations", "submit", submit),
        ("GET", f"{PREFIX}/v1/video/generations/{{task_id}}", "query", query),
        ("POST", PREFIX + videos.SUBMIT_PATH, "submit", videos.submit),
        ("GET", PREFIX + videos.QUERY_PATH, "query", query_video),
    ]


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/video/generations``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    body = await exchange.body()
    # In a thread, because it decodes the image and may fetch it.
    spec = await asyncio.to_thread(_read_spec, exchange, body)
    task = state.engine.submit(account, spec)
    exchange.entry.task_id = task.id
    # The operator's price is that of the lowest resolution.
    ratio = float(task.price / min(task.spec.model.prices.values()))
    ratios = {f"resolution-{task.spec.resolution}": ratio, "seconds": task.spec.seconds}
    described = _describe(task, Status.PENDING) | {"task_id": task.id, "progress": 0}
    return gateway_response(exchange, described).with_headers(x_new_api_other_ratios=json.dumps(ratios))


async def query(exchange: Exchange) -> Response:
    """``GET /v1/video/generations/{task_id}``: the gateway's own row."""
    task, record, status = _find(exchange)
    unseen = status is Status.PENDING and exchange.state.clock.now() < task.accepted_at + _LOOK_SECONDS
    row = {
        "task_id": task.id,
        "platform": "17",
        "status": "NOT_START" if unseen else _ROW_WORDS[status],
        "fail_reason": _reason(task, status),
        "result_url": signed_url(exchange, record) if status is Status.SUCCEEDED else "",
        "submit_time": int(task.accepted_at),
        "start_time": 0 if status is Status.PENDING else int(record.started_at),
        "finish_time": 0 if status in _PROGRESS else int(record.finished_at),
        "progress": "0%" if unseen else f"{_PROGRESS.get(status, 100)}%",
        # It is taken when the task is accepted, and given back when it fails.
        "quota": to_quota(task.cost),
        "action": "generate",
        "properties": {
            "input": "",
            **dict.fromkeys(("upstream_model_name", "origin_model_name"), task.spec.model.name),
        },
        "data": _vendor_answer(exchange, task, record, status),
    }
    return gateway_response(exchange, {"code": "success", "message": "", "data": row})


async def query_video(exchange: Exchange) -> Response:
    """``GET /v1/videos/{task_id}``: the same in OpenAI's shape. Of a plugin's task it names no address."""
    account = exchange.state.accounts.authenticate(exchange.headers.get("authorization"))
    task, _ = exchange.state.engine.find(exchange.path_params["task_id"], account, (Dialect.NEWAPI, Dialect.VIDEOS))
    exchange.dialect = task.spec.dialect
    if task.spec.dialect is Dialect.VIDEOS:
        return await videos.query(exchange)
    task, record, status = _find(exchange)
    described = _describe(task, status)
    # That is when its row was changed last, whatever the status.
    described["completed_at"] = int(task.accepted_at if status in _PROGRESS else record.finished_at)
    described["metadata"] = {"url": signed_url(exchange, record) if status is Status.SUCCEEDED else ""}
    if status is Status.FAILED and task.spec.problem is not None:
        described["error"] = {"code": task.spec.problem.code, "message": task.spec.problem.message}
    return gateway_response(exchange, described)


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the gateway."""
    return refusal_response(exchange, refusal, ERROR_FORMATS)


def _read_spec(exchange: Exchange, body: bytes) -> TaskSpec:
    """Return the task of a body, as Alibaba reads what the gateway makes of it; blocks while files are fetched."""
    payload = read_object(body)
    vendor = to_vendor(payload)
    spec = read_task_spec(
        json.dumps(vendor).encode(),
        MODELS,
        TaskType.FIRST_FRAME,
        lambda _: exchange.state.files,
        lambda reason: ERROR_FORMATS[reason].code,
        Dialect.NEWAPI,
    )
    return replace(spec, new_id=_new_id)


def _new_id() -> str:
    return "task_" + "".join(secrets.choice(_ALPHABET) for _ in range(32))


def _find(exchange: Exchange) -> tuple[Task, TaskRecord, Status]:
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = state.engine.find(exchange.path_params["task_id"], account, (Dialect.NEWAPI,))
    return task, record, exchange.status_override or record.status


def _describe(task: Task, status: Status) -> dict[str, Any]:
    return {
        "id": task.id,
        "object": "video",
        "model": task.spec.model.name,
        "status": _VIDEO_WORDS[status],
        "progress": _PROGRESS.get(status, 100),
        "created_at": int(task.accepted_at),
    }


def _reason(task: Task, status: Status) -> str:
    problem = task.spec.problem
    if status is not Status.FAILED or problem is None:
        return ""
    return f"task failed, code: {problem.code} , message: {problem.message}"


def _vendor_answer(exchange: Exchange, task: Task, record: TaskRecord, status: Status) -> dict[str, Any]:
    """Return Alibaba's newest answer, which the row keeps."""
    vendor_id = str(uuid.uuid5(uuid.NAMESPACE_OID, task.id))
    output: dict[str, Any] = {"task_id": vendor_id, "task_status": status}
    if status is Status.FAILED and task.spec.problem is not None:
        output |= {"code": task.spec.problem.code, "message": task.spec.problem.message}
    if status is not Status.SUCCEEDED:
        return {"request_id": str(uuid.uuid4()), "output": output}
    prompts = {"orig_prompt": task.spec.prompt, "actual_prompt": task.spec.actual_prompt}
    output |= {name: text for name, text in prompts.items() if text is not None}
    output["video_url"] = signed_url(exchange, record)
    usage = {"duration": record.seconds, "SR": int(record.resolution.removesuffix("P")), "video_count": 1}
    return {"request_id": str(uuid.uuid4()), "output": output, "usage": usage}
