"""The dialect of a gateway with Vidu models: it submits where Nebula does, and answers in other words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Dialect, Status
from langchain_nebula_video.emulator.refusals import Reason
from langchain_nebula_video.emulator.serving.storage import address

from .error_envelopes import Form, distributor, gateway_answer, refused, unknown_path
from .vidu_request import read_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Answer
    from langchain_nebula_video.emulator.tasks import Task

VIDEOS_PATH = "/v1/videos/{task_id}"

FORMS: Mapping[Reason, Form] = {
    Reason.MALFORMED: Form(400, "invalid_request"),
    Reason.MISSING_MODEL: Form(400, "missing_model"),
    Reason.UNKNOWN_MODEL: Form(503, "model_not_found", distributor),
    Reason.PARAMETER: Form(400, "invalid_request"),
    Reason.IMAGE_FORMAT: Form(400, "invalid_image"),
    Reason.IMAGE_SIZE: Form(400, "invalid_image"),
    Reason.DOWNLOAD: Form(400, "image_download_failed"),
    Reason.MODERATION: Form(400, "content_policy_violation"),
    Reason.KEY: Form(401, "", distributor, "Invalid token"),
    Reason.QUOTA: Form(403, "insufficient_user_quota"),
    Reason.RATE: Form(429, "rate_limit_exceeded"),
    Reason.BODY_SIZE: Form(413, "read_request_body_failed"),
    Reason.UNKNOWN_TASK: Form(400, "task_not_exist"),
    Reason.INTERNAL: Form(500, "generation_failed"),
}
_WORDS: Mapping[Status, str] = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}


async def submit(exchange: Exchange) -> Answer:
    """``POST /v1/video/generations`` with a Vidu model."""
    core = exchange.core
    account = core.accounts.authenticate(exchange.headers.get("authorization"))
    body = await exchange.body()
    # In a thread: it decodes the pictures, and may fetch them.
    job = await asyncio.to_thread(read_job, body, core.files, lambda reason: FORMS[reason].code)
    task = core.engine.submit(account, job)
    exchange.entry.task_id = task.id
    return gateway_answer(exchange, _job(task, Status.PENDING, 0))


async def query(exchange: Exchange) -> Answer:
    """``GET /v1/video/generations/{task_id}``, unless it is to be asked for elsewhere."""
    refusal = exchange.core.vidu_query_refusal
    return await videos(exchange) if refusal is None else unknown_path(exchange, refusal)


async def videos(exchange: Exchange) -> Answer:
    """``GET /v1/videos/{task_id}``."""
    core = exchange.core
    account = core.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = core.engine.find(exchange.path_params["task_id"], account, (Dialect.VIDU,))
    status = exchange.shown_as or record.status
    described = _job(task, status, _progress(record, status, core.clock.now()))
    return gateway_answer(exchange, described | {"error": None} | _outcome(exchange, task, record, status))


def refuse(exchange: Exchange, refusal: Refusal) -> Answer:
    """A refusal as this gateway answers it."""
    return refused(exchange, refusal, FORMS)


def _job(task: Task, status: Status, progress: int) -> dict[str, Any]:
    return {
        "id": task.id,
        "task_id": task.id,
        "object": "video.generation.job",
        "model": task.job.model.name,
        "status": _WORDS[status],
        "progress": progress,
        "created_at": int(task.accepted_at),
    }


def _progress(record: TaskRecord, status: Status, now: float) -> int:
    if status is Status.SUCCEEDED:
        return 100
    if status is Status.PENDING:
        return 0
    share = (now - record.started_at) / max(record.finished_at - record.started_at, 1e-6)
    return min(99, max(1, int(share * 100)))


def _outcome(exchange: Exchange, task: Task, record: TaskRecord, status: Status) -> dict[str, Any]:
    if status is Status.SUCCEEDED:
        url = address(exchange, record)
        return {"result": {"outputs": [url], "video_url": url}, "video_url": url}
    problem = task.job.problem
    if status is Status.FAILED and problem is not None:
        return {"error": {"code": problem.code, "message": problem.message}}
    return {}
