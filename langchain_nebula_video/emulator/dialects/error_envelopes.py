"""Error bodies that more than one dialect uses."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.serving.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.refusals import Reason, Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response


def plain_error(code: str, message: str, _: str) -> dict[str, Any]:
    """An error of the gateway's own checks."""
    return {"code": code, "message": message, "data": None}


def wrapped_error(code: str, message: str, request_id: str) -> dict[str, Any]:
    """An error of the vendor behind a gateway: the vendor's error body, as JSON text in the message."""
    upstream = native_error(code, message, str(uuid.uuid4()))
    return plain_error(
        "fail_to_fetch_task", json.dumps(upstream, ensure_ascii=False, separators=(",", ":")), request_id
    )


def distributor_error(code: str, message: str, request_id: str) -> dict[str, Any]:
    """An error of the part of a gateway that checks keys and chooses channels."""
    return _error_object(code, message, request_id, "new_api_error")


def nebula_error(code: str, message: str, request_id: str) -> dict[str, Any]:
    """The same on Nebula, whose code has another type (middleware/utils.go, 2025-12)."""
    return _error_object(code, message, request_id, "nebula_api_error")


def _error_object(code: str, message: str, request_id: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": f"{message} (request id: {request_id})", "type": kind, "code": code}}


def native_error(code: str, message: str, request_id: str) -> dict[str, Any]:
    """DashScope's own error."""
    return {"request_id": request_id, "code": code, "message": message}


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How one dialect reports one reason."""

    status: int
    code: str
    envelope: Callable[[str, str, str], dict[str, Any]] = plain_error
    message: str | None = None
    """Replaces the refusal's message."""


def gateway_response(exchange: Exchange, payload: Mapping[str, Any], status: int = 200) -> Response:
    """Return a gateway's response, with the request id in a header."""
    return json_response(payload, status).with_headers(x_oneapi_request_id=exchange.request_id)


def refusal_response(exchange: Exchange, refusal: Refusal, error_formats: Mapping[Reason, ErrorFormat]) -> Response:
    """Turn a refusal into a gateway's error response."""
    error_format = error_formats[refusal.reason]
    body = error_format.envelope(error_format.code, error_format.message or refusal.message, exchange.request_id)
    return gateway_response(exchange, body, error_format.status)


def unknown_path_response(exchange: Exchange, status: int = 404) -> Response:
    """Return a gateway's response to an unknown path."""
    message = f"Invalid URL ({exchange.scope['method']} {exchange.path})"
    error = {"message": message, "type": "invalid_request_error", "param": "", "code": ""}
    return gateway_response(exchange, {"error": error}, status)
