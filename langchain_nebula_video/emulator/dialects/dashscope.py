"""DashScope's API, served once for each region, and once by a gateway that passes the same API through.

The services differ in their path prefix, valid keys, models and error bodies.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.clock import format_beijing_time
from langchain_nebula_video.emulator.enums import Dialect, Region, Status
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.responses import json_response
from langchain_nebula_video.emulator.serving.storage import signed_url

from . import dashscope_list
from .dashscope_families import DASHSCOPE_MODELS
from .dashscope_models import TaskType, UsageFormat
from .dashscope_request import check_resolvable, model_of, read_task_spec
from .dashscope_uploads import RequestFiles, policy_response
from .error_envelopes import (
    ErrorFormat,
    distributor_error,
    gateway_response,
    native_error,
    plain_error,
    refusal_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.tasks import Task

    from .dashscope_models import Features

DAY = 86_400.0
QUERIES_PER_SECOND = 20
_ARREARS = "Access denied, please make sure your account is in good standing."
_SYNCHRONOUS = "current user api does not support synchronous calls"

NATIVE_ERRORS: Mapping[Reason, ErrorFormat] = {
    Reason.MALFORMED: ErrorFormat(400, "InvalidParameter", native_error),
    Reason.MISSING_MODEL: ErrorFormat(400, "InvalidParameter", native_error),
    Reason.UNKNOWN_MODEL: ErrorFormat(404, "ModelNotFound", native_error),
    Reason.PARAMETER: ErrorFormat(400, "InvalidParameter", native_error),
    Reason.IMAGE_FORMAT: ErrorFormat(400, "InvalidParameter.ImageFormat", native_error),
    Reason.IMAGE_SIZE: ErrorFormat(400, "InvalidParameter.ImageSize", native_error),
    Reason.AUDIO_FORMAT: ErrorFormat(400, "InvalidFile.Format", native_error),
    Reason.AUDIO_LENGTH: ErrorFormat(400, "InvalidFile.Duration", native_error),
    Reason.DOWNLOAD: ErrorFormat(400, "InvalidParameter.DataInspection", native_error),
    Reason.MODERATION: ErrorFormat(400, "DataInspectionFailed", native_error),
    Reason.KEY: ErrorFormat(401, "InvalidApiKey", native_error, "Invalid API-key provided."),
    Reason.QUOTA: ErrorFormat(400, "Arrearage", native_error, _ARREARS),
    Reason.RATE: ErrorFormat(429, "Throttling.RateQuota", native_error),
    Reason.NOT_ASYNC: ErrorFormat(403, "AccessDenied", native_error),
    Reason.NOT_PENDING: ErrorFormat(400, "UnsupportedOperation", native_error),
    Reason.BODY_SIZE: ErrorFormat(413, "InvalidParameter", native_error),
    Reason.UNKNOWN_TASK: ErrorFormat(400, "UnsupportedOperation", native_error),
    Reason.INTERNAL: ErrorFormat(500, "InternalError", native_error),
}
# The gateway's own checks have its own error bodies. Errors of the vendor behind it pass unchanged.
PASSTHROUGH_ERRORS: Mapping[Reason, ErrorFormat] = {
    **NATIVE_ERRORS,
    Reason.MALFORMED: ErrorFormat(400, "invalid_request", plain_error),
    Reason.MISSING_MODEL: ErrorFormat(400, "missing_model", plain_error),
    Reason.UNKNOWN_MODEL: ErrorFormat(503, "model_not_found", distributor_error),
    Reason.KEY: ErrorFormat(401, "", distributor_error, "Invalid token"),
    Reason.QUOTA: ErrorFormat(403, "insufficient_user_quota", plain_error),
    Reason.BODY_SIZE: ErrorFormat(413, "read_request_body_failed", plain_error),
    Reason.UNKNOWN_TASK: ErrorFormat(400, "task_not_exist", plain_error),
}


@dataclass(frozen=True, slots=True)
class DashscopeService:
    """One base path that serves the DashScope API."""

    prefix: str
    dialect: Dialect
    region: Region
    """The region whose models and prices apply."""
    key_region: Region | None
    """The region whose keys are valid; None for a gateway's keys."""
    error_formats: Mapping[Reason, ErrorFormat]

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """Return method, path, point and handler of each route."""
        base = self.prefix + "/api/v1"
        table: list[tuple[str, str, str, Handler]] = [
            ("POST", f"{base}/services/aigc/{TaskType.FIRST_FRAME.value}/video-synthesis", "submit", self.first_frame),
            (
                "POST",
                f"{base}/services/aigc/{TaskType.FIRST_AND_LAST_FRAME.value}/video-synthesis",
                "submit",
                self.first_and_last_frame,
            ),
            ("GET", base + "/tasks/{task_id}", "query", self.query),
            ("GET", base + "/tasks/{task_id}/", "query", self.query),
        ]
        own: list[tuple[str, str, str, Handler]] = [
            ("GET", base + "/tasks", "list", self.list_tasks),
            ("GET", base + "/tasks/", "list", self.list_tasks),
            ("POST", base + "/tasks/{task_id}/cancel", "cancel", self.cancel),
            ("POST", base + "/tasks/{task_id}/cancel/", "cancel", self.cancel),
            ("GET", base + "/uploads", "policy", self.policy),
            ("GET", base + "/uploads/", "policy", self.policy),
        ]
        # No gateway documents routes to list, cancel or upload.
        return table if self.key_region is None else table + own

    async def first_frame(self, exchange: Exchange) -> Response:
        """``POST /api/v1/services/aigc/video-generation/video-synthesis``."""
        return await self._submit(exchange, TaskType.FIRST_FRAME)

    async def first_and_last_frame(self, exchange: Exchange) -> Response:
        """``POST /api/v1/services/aigc/image2video/video-synthesis``."""
        return await self._submit(exchange, TaskType.FIRST_AND_LAST_FRAME)

    async def query(self, exchange: Exchange) -> Response:
        """``GET /api/v1/tasks/{task_id}``."""
        state, account = exchange.state, self._account(exchange)
        state.rate_limiter.check((account.name, "query"), QUERIES_PER_SECOND)
        task_id = exchange.path_params["task_id"]
        try:
            task, record = state.engine.find(task_id, account, (self.dialect,))
        except Refusal:
            # A gateway refuses tasks that it did not create.
            if self.key_region is None:
                raise
            return self._response(exchange, _unknown_task(task_id))
        if state.clock.now() >= record.accepted_at + DAY:
            return self._response(exchange, _unknown_task(task_id))
        return self._response(
            exchange, _describe(exchange, task, record, DASHSCOPE_MODELS[self.region][record.model].features)
        )

    async def list_tasks(self, exchange: Exchange) -> Response:
        """``GET /api/v1/tasks/``."""
        state, account = exchange.state, self._account(exchange)
        state.rate_limiter.check((account.name, "query"), QUERIES_PER_SECOND)
        return self._response(
            exchange,
            dashscope_list.list_page(
                exchange.query, state.engine.records(), account, state.clock.now(), state.dashscope_list_field
            ),
        )

    async def cancel(self, exchange: Exchange) -> Response:
        """``POST /api/v1/tasks/{task_id}/cancel``."""
        state, account = exchange.state, self._account(exchange)
        task, _ = state.engine.find(exchange.path_params["task_id"], account, (self.dialect,))
        state.engine.cancel(task)
        return self._response(exchange, {})

    async def policy(self, exchange: Exchange) -> Response:
        """``GET /api/v1/uploads?action=getPolicy&model=M``."""
        return policy_response(exchange, self._account(exchange), str(uuid.uuid4()))

    def refuse(self, exchange: Exchange, refusal: Refusal) -> Response:
        """Turn a refusal into an error response of this service."""
        if self.key_region is None:
            return refusal_response(exchange, refusal, self.error_formats)
        error_format = self.error_formats[refusal.reason]
        body = error_format.envelope(error_format.code, error_format.message or refusal.message, str(uuid.uuid4()))
        return json_response(body, error_format.status)

    async def _submit(self, exchange: Exchange, task_type: TaskType) -> Response:
        state, account = exchange.state, self._account(exchange)
        if exchange.headers.get("x-dashscope-async", "").lower() != "enable":
            raise Refusal(Reason.NOT_ASYNC, _SYNCHRONOUS)
        body = await exchange.body()
        models, name = DASHSCOPE_MODELS[self.region], model_of(body)
        if name in models:
            state.rate_limiter.check((account.name, name), models[name].features.submits_per_second)
        resolves_oss = exchange.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
        check_resolvable(body, resolved=resolves_oss and self.key_region is not None)

        def open_files(model: str) -> RequestFiles:
            return RequestFiles(state.files, state.uploads, account, model)

        # In a thread, because it decodes the image and may fetch it.
        spec = await asyncio.to_thread(
            read_task_spec,
            body,
            models,
            task_type,
            open_files,
            lambda reason: self.error_formats[reason].code,
            self.dialect,
        )
        task = state.engine.submit(account, spec)
        exchange.entry.task_id = task.id
        output = {"task_status": Status.PENDING, "task_id": task.id}
        return self._response(exchange, {"request_id": dashscope_list.submit_request_id(task.id), "output": output})

    def _account(self, exchange: Exchange) -> Account:
        return exchange.state.accounts.authenticate(exchange.headers.get("authorization"), self.key_region)

    def _response(self, exchange: Exchange, payload: Mapping[str, Any]) -> Response:
        with_request_id = {"request_id": str(uuid.uuid4()), **payload}
        return (
            json_response(with_request_id)
            if self.key_region is not None
            else gateway_response(exchange, with_request_id)
        )


SERVICES = (
    DashscopeService("", Dialect.DASHSCOPE, Region.BEIJING, Region.BEIJING, NATIVE_ERRORS),
    DashscopeService("/singapore", Dialect.DASHSCOPE, Region.SINGAPORE, Region.SINGAPORE, NATIVE_ERRORS),
    DashscopeService("/virginia", Dialect.DASHSCOPE, Region.VIRGINIA, Region.VIRGINIA, NATIVE_ERRORS),
    DashscopeService("/frankfurt", Dialect.DASHSCOPE, Region.FRANKFURT, Region.FRANKFURT, NATIVE_ERRORS),
    DashscopeService("/hongkong", Dialect.DASHSCOPE, Region.HONG_KONG, Region.HONG_KONG, NATIVE_ERRORS),
    DashscopeService("/alibailian", Dialect.PASSTHROUGH, Region.BEIJING, None, PASSTHROUGH_ERRORS),
)


def prefix_for(key_region: Region | None) -> str:
    """Return the path prefix of the service for keys of a region, or for a gateway's keys (None)."""
    return next(service.prefix for service in SERVICES if service.key_region is key_region)


def _unknown_task(task_id: str) -> dict[str, Any]:
    return {"output": {"task_id": task_id, "task_status": "UNKNOWN"}}


def _describe(exchange: Exchange, task: Task, record: TaskRecord, features: Features) -> dict[str, Any]:
    status = exchange.status_override or record.status
    output: dict[str, Any] = {
        "task_id": task.id,
        "task_status": status,
        "submit_time": format_beijing_time(record.accepted_at),
    }
    if status not in {Status.PENDING, Status.CANCELED}:
        output["scheduled_time"] = format_beijing_time(record.started_at)
    if status not in {Status.PENDING, Status.RUNNING}:
        output["end_time"] = format_beijing_time(record.finished_at)
    if status is Status.FAILED and task.spec.problem is not None:
        output |= {"code": task.spec.problem.code, "message": task.spec.problem.message}
    if status is not Status.SUCCEEDED:
        return {"output": output}
    prompts = {"orig_prompt": task.spec.request["input"].get("prompt"), "actual_prompt": task.spec.actual_prompt}
    output |= {name: text for name, text in prompts.items() if text is not None}
    output["video_url"] = signed_url(exchange, record)
    return {"output": output, "usage": USAGE_WRITERS[features.usage](task, record)}


def _resolution_usage(_: Task, record: TaskRecord) -> dict[str, Any]:
    return {"duration": record.seconds, "video_count": 1, "SR": int(record.resolution.removesuffix("P"))}


def _ratio_usage(_: Task, record: TaskRecord) -> dict[str, Any]:
    return {"video_duration": record.seconds, "video_ratio": "standard", "video_count": 1}


def _output_usage(task: Task, record: TaskRecord) -> dict[str, Any]:
    return {
        # Billed are the seconds of input and output. Java's SDK reads a fraction, new-api whole numbers alone.
        "duration": record.seconds,
        "input_video_duration": 0,
        "output_video_duration": record.seconds,
        "video_count": 1,
        "SR": int(record.resolution.removesuffix("P")),
        "fps": task.spec.model.frame_rate,
        "audio": task.spec.has_sound,
    }


USAGE_WRITERS: Mapping[UsageFormat, Callable[[Task, TaskRecord], dict[str, Any]]] = {
    UsageFormat.RESOLUTION: _resolution_usage,
    UsageFormat.RATIO: _ratio_usage,
    UsageFormat.OUTPUT: _output_usage,
}
