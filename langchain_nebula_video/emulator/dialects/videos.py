"""A server of OpenAI's ``/v1/videos``: ``/videos/v1/videos``.

OpenAI's own service ended in 2026-09. LiteLLM 1.110.2, new-api with plugins, SGLang and vLLM-Omni took its paths and
words over, 2026: a finished task names no URL, and the video is under ``/content``, for the key. The path of a query
is one of Nebula's port too, so here it has a prefix.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Dialect, Region, Status
from langchain_nebula_video.emulator.models import Model
from langchain_nebula_video.emulator.refusals import Reason, Refusal

from .dashscope_families import DASHSCOPE_MODELS
from .dashscope_models import DashscopeModel, Features, TaskType
from .dashscope_request import read_task_spec
from .error_envelopes import ErrorFormat, gateway_response, refusal_response
from .videos_request import read_submit, to_vendor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.tasks import Task, TaskSpec

PREFIX = "/videos"
SUBMIT_PATH = "/v1/videos"
QUERY_PATH = "/v1/videos/{task_id}"
_TIERS = ("480P", "720P")
# A model with open weights, as a server of one's own serves it: nothing is billed.
OPEN_MODEL = DashscopeModel(
    model=Model(
        name="Wan-AI/Wan2.2-I2V-A14B-Diffusers",
        frame_rate=16,
        prices=dict.fromkeys(_TIERS, Decimal(0)),
        default_resolution="720P",
        processing_time=dict.fromkeys(range(1, 6), (60.0, 600.0)),
        default_seconds=4,
    ),
    features=Features(prompt_limit=10_000, rewrites=False),
)
MODELS: Mapping[str, DashscopeModel] = {**DASHSCOPE_MODELS[Region.SINGAPORE], OPEN_MODEL.model.name: OPEN_MODEL}


def _video_error(code: str, message: str, _: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


ERROR_FORMATS: Mapping[Reason, ErrorFormat] = {
    Reason.MALFORMED: ErrorFormat(400, "invalid_request", _video_error),
    Reason.MISSING_MODEL: ErrorFormat(400, "missing_model", _video_error),
    Reason.UNKNOWN_MODEL: ErrorFormat(404, "model_not_found", _video_error),
    Reason.PARAMETER: ErrorFormat(400, "InvalidParameter", _video_error),
    Reason.IMAGE_FORMAT: ErrorFormat(400, "InvalidParameter.ImageFormat", _video_error),
    Reason.IMAGE_SIZE: ErrorFormat(400, "InvalidParameter.ImageSize", _video_error),
    Reason.AUDIO_FORMAT: ErrorFormat(400, "InvalidFile.Format", _video_error),
    Reason.AUDIO_LENGTH: ErrorFormat(400, "InvalidFile.Duration", _video_error),
    Reason.DOWNLOAD: ErrorFormat(400, "InvalidParameter.DataInspection", _video_error),
    Reason.MODERATION: ErrorFormat(400, "content_policy_violation", _video_error),
    Reason.KEY: ErrorFormat(401, "invalid_api_key", _video_error, "Incorrect API key provided."),
    Reason.QUOTA: ErrorFormat(429, "insufficient_quota", _video_error),
    Reason.RATE: ErrorFormat(429, "rate_limit_exceeded", _video_error),
    Reason.BODY_SIZE: ErrorFormat(413, "request_too_large", _video_error),
    Reason.UNKNOWN_TASK: ErrorFormat(404, "not_found", _video_error, "Video not found"),
    Reason.INTERNAL: ErrorFormat(500, "generation_failed", _video_error),
}
_WORDS: Mapping[Status, str] = {
    Status.PENDING: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "cancelled",
}
_PROGRESS: Mapping[Status, int] = {Status.PENDING: 0, Status.RUNNING: 50}


def routes() -> list[tuple[str, str, str, Handler]]:
    """Return method, path, point and handler of each route."""
    return [("POST", PREFIX + SUBMIT_PATH, "submit", submit), ("GET", PREFIX + QUERY_PATH, "query", query)]


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/videos``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    fields = read_submit(exchange.headers.get("content-type", ""), await exchange.body())
    # In a thread, because it decodes the image and may fetch it.
    spec = await asyncio.to_thread(_read_spec, exchange, fields)
    task = state.engine.submit(account, spec)
    exchange.entry.task_id = task.id
    return gateway_response(exchange, _describe(task, None, Status.PENDING))


async def query(exchange: Exchange) -> Response:
    """``GET /v1/videos/{task_id}``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = state.engine.find(exchange.path_params["task_id"], account, (Dialect.VIDEOS,))
    return gateway_response(exchange, _describe(task, record, exchange.status_override or record.status))


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the server."""
    return refusal_response(exchange, refusal, ERROR_FORMATS)


def _read_spec(exchange: Exchange, fields: Mapping[str, Any]) -> TaskSpec:
    """Return the task of a submit; blocks while files are fetched."""
    offer = MODELS.get(str(fields.get("model")))
    if fields.get("prompt") is None:
        raise Refusal(Reason.MALFORMED, "Missing required parameter: 'prompt'.")
    vendor = to_vendor(fields, takes_media=offer is not None and bool(offer.features.media))
    spec = read_task_spec(
        json.dumps(vendor).encode(),
        MODELS,
        TaskType.FIRST_FRAME,
        lambda _: exchange.state.files,
        lambda reason: ERROR_FORMATS[reason].code,
        Dialect.VIDEOS,
    )
    return replace(spec, new_id=_new_id)


def _new_id() -> str:
    return f"video_{uuid.uuid4().hex}"


def _describe(task: Task, record: TaskRecord | None, status: Status) -> dict[str, Any]:
    problem = task.spec.problem if status is Status.FAILED else None
    ended = record is not None and status not in _PROGRESS
    return {
        "id": task.id,
        "object": "video",
        "model": task.spec.model.name,
        "status": _WORDS[status],
        "progress": _PROGRESS.get(status, 100),
        "created_at": int(task.accepted_at),
        "completed_at": int(record.finished_at) if ended and record is not None else None,
        "seconds": str(task.spec.seconds),
        "size": None,
        "error": {"code": problem.code, "message": problem.message} if problem else None,
        "usage": {"duration_seconds": task.spec.seconds, "video_resolution": task.spec.resolution.lower()},
    }
