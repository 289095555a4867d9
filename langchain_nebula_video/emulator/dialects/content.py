"""The finished video itself, served by the gateway: ``GET /v1/videos/{task_id}/content``, with the key.

OpenAI's path, as new-api (controller/video_proxy.go, 2026) and LiteLLM (1.110.2, run on 2026-11-27) took it over. As
at LiteLLM the whole file comes, whatever range is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Dialect
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.responses import Response
from langchain_nebula_video.emulator.table import RowStatus

from .error_envelopes import ErrorFormat, distributor_error, gateway_response, refusal_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange

CONTENT_PATH = "/v1/videos/{task_id}/content"
_DIALECTS = (Dialect.NEBULA, Dialect.VIDU, Dialect.NEWAPI, Dialect.VIDEOS)


def _video_error(_: str, message: str, __: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


ERROR_FORMATS: Mapping[Reason, ErrorFormat] = {
    Reason.KEY: ErrorFormat(401, "", distributor_error, "Invalid token"),
    Reason.UNKNOWN_TASK: ErrorFormat(404, "", _video_error, "Task not found"),
}


async def content(exchange: Exchange) -> Response:
    """``GET /v1/videos/{task_id}/content``."""
    state = exchange.state
    account = state.accounts.authenticate(exchange.headers.get("authorization"))
    task, record = state.engine.find(exchange.path_params["task_id"], account, _DIALECTS)
    exchange.dialect = task.spec.dialect
    row = state.table.row_at(task, state.clock.now())
    if row is None:
        raise Refusal(Reason.UNKNOWN_TASK, "task_not_exist")
    if row.status is not RowStatus.SUCCESS:
        message = f"Task is not completed yet, current status: {record.status}"
        return gateway_response(exchange, _video_error("", message, ""), 400)
    return Response(200, await state.video_cache.for_task(task), {"content-type": "video/mp4"})


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of this route."""
    return refusal_response(exchange, refusal, ERROR_FORMATS)
