"""The API of UniAll: it shares the submit path with Nebula but has other models and other responses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Dialect, Status
from langchain_nebula_video.emulator.refusals import Reason
from langchain_nebula_video.emulator.serving.storage import signed_url

from .error_envelopes import ErrorFormat, distributor_error, gateway_response, refusal_response, unknown_path_response
from .uniall_models import UNIALL_MODELS
from .uniall_request import read_task_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.tasks import Task

VIDEOS_PATH = "/v1/videos/{task_id}"
# The pages on Happy Horse disagree about the paths: these are the second ones.
OTHER_SUBMIT_PATH = "/v1/videos/generations"
OTHER_QUERY_PATH = "/v1/videos/generations/{task_id}"

ERROR_FORMATS: Mapping[Reason, ErrorFormat] = {
    Reason.MALFORMED: ErrorFormat(400, "invalid_request"),
    Reason.MISSING_MODEL: ErrorFormat(400, "missing_model"),
    Reason.UNKNOWN_MODEL: ErrorFormat(503, "model_not_found", distributor_error),
    Reason.PARAMETER: ErrorFormat(400, "invalid_request"),
    Reason.IMAGE_FORMAT: ErrorFormat(400, "invalid_image"),
    Reason.IMAGE_SIZE: ErrorFormat(400, "invalid_image"),
    Reason.DOWNLOAD: ErrorFormat(400, "image_download_failed"),
    Reason.MODERATION: ErrorFormat(400, "content_policy_violation"),
    Reason.KEY: ErrorFormat(401, "", distributor_error, "Invalid token"),
    Reason.QUOTA: ErrorFormat(403, "insufficient_user_quota"),
    Reason.RATE: ErrorFormat(429, "rate_limit_exceeded"),
    Reason.BODY_SIZE: ErrorFormat(413, "read_request_body_failed"),
    Reason.UNKNOWN_TASK: ErrorFormat(400, "task_not_exist"),
    Reason.INTERNAL: ErrorFormat(500, "generation_failed"),
}
_STATUS_WORDS: Mapping[Status, str] = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/video/generations`` with one of these models, and ``POST /v1/videos/generations``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    body = await exchange.body()
    # In a thread, because it decodes the images and may fetch them.
    spec = await asyncio.to_thread(read_task_spec, body, state.files, lambda reason: ERROR_FORMATS[reason].code)
    task = state.engine.submit(account, spec)
    exchange.entry.task_id = task.id
    return gateway_response(exchange, _describe(task, Status.PENDING, 0))


async def query(exchange: Exchange) -> Response:
    """``GET /v1/video/generations/{task_id}``, unless `Emulator.vidu_query_refusal` moves it elsewhere.

    Only the page on Vidu names this path.
    """
    refusal = exchange.state.vidu_query_refusal
    task, _ = exchange.state.engine.find(exchange.path_params["task_id"], dialects=(Dialect.VIDU,))
    if not UNIALL_MODELS[task.spec.model.name].query_at_submit_path:
        refusal = 404
    return await videos(exchange) if refusal is None else unknown_path_response(exchange, refusal)


async def videos(exchange: Exchange) -> Response:
    """``GET /v1/videos/{task_id}`` and ``GET /v1/videos/generations/{task_id}``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = state.engine.find(exchange.path_params["task_id"], account, (Dialect.VIDU,))
    status = exchange.status_override or record.status
    described = _describe(task, status, _progress_percent(record, status, state.clock.now()))
    return gateway_response(exchange, described | {"error": None} | _describe_outcome(exchange, task, record, status))


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of this gateway."""
    return refusal_response(exchange, refusal, ERROR_FORMATS)


def _describe(task: Task, status: Status, progress: int) -> dict[str, Any]:
    return {
        "id": task.id,
        "task_id": task.id,
        "object": "video.generation.job",
        "model": task.spec.model.name,
        "status": _STATUS_WORDS[status],
        "progress": progress,
        "created_at": int(task.accepted_at),
    }


def _progress_percent(record: TaskRecord, status: Status, now: float) -> int:
    if status is Status.SUCCEEDED:
        return 100
    if status is Status.PENDING:
        return 0
    share = (now - record.started_at) / max(record.finished_at - record.started_at, 1e-6)
    return min(99, max(1, int(share * 100)))


def _describe_outcome(exchange: Exchange, task: Task, record: TaskRecord, status: Status) -> dict[str, Any]:
    if status is Status.SUCCEEDED:
        url = signed_url(exchange, record)
        told = {"result": {"outputs": [url], "video_url": url}, "video_url": url}
        # Not the length of the video: how long the task took.
        return told | {"duration": round(record.finished_at - record.accepted_at), "thumbnail_url": None}
    problem = task.spec.problem
    if status is Status.FAILED and problem is not None:
        return {"error": {"code": problem.code, "message": problem.message}}
    return {}
