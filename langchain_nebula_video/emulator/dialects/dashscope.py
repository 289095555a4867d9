"""DashScope's dialect: one set of routes at three doors.

Beijing and Singapore are the vendor's own; at the third a gateway passes the same words through.
The doors differ in the prefix of their paths, in whose keys they take, in which models they know,
and in what their errors look like.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.clock import beijing
from langchain_nebula_video.emulator.enums import Dialect, Region, Status
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.responses import json_answer
from langchain_nebula_video.emulator.serving.storage import address

from . import dashscope_list
from .dashscope_models import ROWS, Task, Usage
from .dashscope_request import check_resolvable, model_of, read_job
from .dashscope_uploads import Opened, policy_answer
from .error_envelopes import Form, distributor, gateway_answer, native, plain, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler
    from langchain_nebula_video.emulator.serving.responses import Answer
    from langchain_nebula_video.emulator.tasks import Task as EngineTask

DAY = 86_400.0
QUERIES_PER_SECOND = 20
_ARREARS = "Access denied, please make sure your account is in good standing."
_SYNCHRONOUS = "current user api does not support synchronous calls"

NATIVE: Mapping[Reason, Form] = {
    Reason.MALFORMED: Form(400, "InvalidParameter", native),
    Reason.MISSING_MODEL: Form(400, "InvalidParameter", native),
    Reason.UNKNOWN_MODEL: Form(404, "ModelNotFound", native),
    Reason.PARAMETER: Form(400, "InvalidParameter", native),
    Reason.IMAGE_FORMAT: Form(400, "InvalidParameter.ImageFormat", native),
    Reason.IMAGE_SIZE: Form(400, "InvalidParameter.ImageSize", native),
    Reason.AUDIO_FORMAT: Form(400, "InvalidFile.Format", native),
    Reason.AUDIO_LENGTH: Form(400, "InvalidFile.Duration", native),
    Reason.DOWNLOAD: Form(400, "InvalidParameter.DataInspection", native),
    Reason.MODERATION: Form(400, "DataInspectionFailed", native),
    Reason.KEY: Form(401, "InvalidApiKey", native, "Invalid API-key provided."),
    Reason.QUOTA: Form(400, "Arrearage", native, _ARREARS),
    Reason.RATE: Form(429, "Throttling.RateQuota", native),
    Reason.NOT_ASYNC: Form(403, "AccessDenied", native),
    Reason.NOT_PENDING: Form(400, "UnsupportedOperation", native),
    Reason.BODY_SIZE: Form(413, "InvalidParameter", native),
    Reason.UNKNOWN_TASK: Form(400, "UnsupportedOperation", native),
    Reason.INTERNAL: Form(500, "InternalError", native),
}
# What the gateway finds before it passes a request on has its own forms; the rest comes back as the vendor said it.
PASSED_THROUGH: Mapping[Reason, Form] = {
    **NATIVE,
    Reason.MALFORMED: Form(400, "invalid_request", plain),
    Reason.MISSING_MODEL: Form(400, "missing_model", plain),
    Reason.UNKNOWN_MODEL: Form(503, "model_not_found", distributor),
    Reason.KEY: Form(401, "", distributor, "Invalid token"),
    Reason.QUOTA: Form(403, "insufficient_user_quota", plain),
    Reason.BODY_SIZE: Form(413, "read_request_body_failed", plain),
    Reason.UNKNOWN_TASK: Form(400, "task_not_exist", plain),
}


@dataclass(frozen=True, slots=True)
class Door:
    """One of the places where DashScope is spoken."""

    prefix: str
    dialect: Dialect
    region: Region
    """Whose models and prices there are."""
    home: Region | None
    """Whose keys are good; None for a gateway's."""
    forms: Mapping[Reason, Form]

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """Method, path, point and handler of each route."""
        base = self.prefix + "/api/v1"
        table: list[tuple[str, str, str, Handler]] = [
            ("POST", f"{base}/services/aigc/{Task.FIRST_FRAME.value}/video-synthesis", "submit", self.first_frame),
            ("POST", f"{base}/services/aigc/{Task.FIRST_AND_LAST_FRAME.value}/video-synthesis", "submit", self.both),
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
        # No gateway documents a way to list, cancel or upload.
        return table if self.home is None else table + own

    async def first_frame(self, exchange: Exchange) -> Answer:
        """``POST /api/v1/services/aigc/video-generation/video-synthesis``."""
        return await self._submit(exchange, Task.FIRST_FRAME)

    async def both(self, exchange: Exchange) -> Answer:
        """``POST /api/v1/services/aigc/image2video/video-synthesis``."""
        return await self._submit(exchange, Task.FIRST_AND_LAST_FRAME)

    async def query(self, exchange: Exchange) -> Answer:
        """``GET /api/v1/tasks/{task_id}``."""
        core, account = exchange.core, self._account(exchange)
        core.rates.count((account.name, "query"), QUERIES_PER_SECOND)
        task_id = exchange.path_params["task_id"]
        try:
            task, record = core.engine.find(task_id, account, (self.dialect,))
        except Refusal:
            # A gateway knows its own tasks, and asks for no others.
            if self.home is None:
                raise
            return self._answer(exchange, _gone(task_id))
        if core.clock.now() >= record.accepted_at + DAY:
            return self._answer(exchange, _gone(task_id))
        return self._answer(exchange, _described(exchange, task, record, ROWS[self.region][record.model].usage))

    async def list_tasks(self, exchange: Exchange) -> Answer:
        """``GET /api/v1/tasks/``."""
        core, account = exchange.core, self._account(exchange)
        core.rates.count((account.name, "query"), QUERIES_PER_SECOND)
        return self._answer(
            exchange, dashscope_list.page(exchange.query, core.engine.records(), account, core.clock.now())
        )

    async def cancel(self, exchange: Exchange) -> Answer:
        """``POST /api/v1/tasks/{task_id}/cancel``."""
        core, account = exchange.core, self._account(exchange)
        task, _ = core.engine.find(exchange.path_params["task_id"], account, (self.dialect,))
        core.engine.cancel(task)
        return self._answer(exchange, {})

    async def policy(self, exchange: Exchange) -> Answer:
        """``GET /api/v1/uploads?action=getPolicy&model=M``."""
        return policy_answer(exchange, self._account(exchange), str(uuid.uuid4()))

    def refuse(self, exchange: Exchange, refusal: Refusal) -> Answer:
        """A refusal as it is answered here."""
        if self.home is None:
            return refused(exchange, refusal, self.forms)
        form = self.forms[refusal.reason]
        body = form.envelope(form.code, form.message or refusal.message, str(uuid.uuid4()))
        return json_answer(body, form.status)

    async def _submit(self, exchange: Exchange, kind: Task) -> Answer:
        core, account = exchange.core, self._account(exchange)
        if exchange.headers.get("x-dashscope-async", "").lower() != "enable":
            raise Refusal(Reason.NOT_ASYNC, _SYNCHRONOUS)
        body = await exchange.body()
        rows, name = ROWS[self.region], model_of(body)
        if name in rows:
            core.rates.count((account.name, name), rows[name].submits_per_second)
        resolved = exchange.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
        check_resolvable(body, resolved=resolved and self.home is not None)

        def opened(model: str) -> Opened:
            return Opened(core.files, core.uploads, account, model)

        # In a thread: it decodes the picture, and may fetch it.
        job = await asyncio.to_thread(
            read_job, body, rows, kind, opened, lambda reason: self.forms[reason].code, self.dialect
        )
        task = core.engine.submit(account, job)
        exchange.entry.task_id = task.id
        return self._answer(exchange, {"output": {"task_status": Status.PENDING, "task_id": task.id}})

    def _account(self, exchange: Exchange) -> Account:
        return exchange.core.accounts.authenticate(exchange.headers.get("authorization"), self.home)

    def _answer(self, exchange: Exchange, payload: Mapping[str, Any]) -> Answer:
        numbered = {"request_id": str(uuid.uuid4()), **payload}
        return json_answer(numbered) if self.home is not None else gateway_answer(exchange, numbered)


DOORS = (
    Door("", Dialect.DASHSCOPE, Region.BEIJING, Region.BEIJING, NATIVE),
    Door("/singapore", Dialect.DASHSCOPE, Region.SINGAPORE, Region.SINGAPORE, NATIVE),
    Door("/alibailian", Dialect.PASSTHROUGH, Region.BEIJING, None, PASSED_THROUGH),
)


def prefix_of(home: Region | None) -> str:
    """The prefix of the door that takes the keys of a region, or of a gateway."""
    return next(door.prefix for door in DOORS if door.home is home)


def _gone(task_id: str) -> dict[str, Any]:
    return {"output": {"task_id": task_id, "task_status": "UNKNOWN"}}


def _described(exchange: Exchange, task: EngineTask, record: TaskRecord, usage: Usage) -> dict[str, Any]:
    status = exchange.shown_as or record.status
    output: dict[str, Any] = {
        "task_id": task.id,
        "task_status": status,
        "submit_time": beijing(record.accepted_at),
    }
    if status not in {Status.PENDING, Status.CANCELED}:
        output["scheduled_time"] = beijing(record.started_at)
    if status not in {Status.PENDING, Status.RUNNING}:
        output["end_time"] = beijing(record.finished_at)
    if status is Status.FAILED and task.job.problem is not None:
        output |= {"code": task.job.problem.code, "message": task.job.problem.message}
    if status is not Status.SUCCEEDED:
        return {"output": output}
    prompts = {"orig_prompt": task.job.request["input"].get("prompt"), "actual_prompt": task.job.actual_prompt}
    output |= {name: text for name, text in prompts.items() if text is not None}
    output["video_url"] = address(exchange, record)
    return {"output": output, "usage": _USAGES[usage](record)}


_USAGES = {
    Usage.RESOLUTION: lambda record: {
        "duration": record.seconds,
        "video_count": 1,
        "SR": int(record.resolution.removesuffix("P")),
    },
    Usage.RATIO: lambda record: {
        "video_duration": record.seconds,
        "video_ratio": "standard",
        "video_count": 1,
    },
}
