"""The forms that errors come in, each used by more than one dialect."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.serving.responses import json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.refusals import Reason, Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Answer


def plain(code: str, message: str, _: str) -> dict[str, Any]:
    """What a gateway finds wrong itself."""
    return {"code": code, "message": message, "data": None}


def wrapped(code: str, message: str, request_id: str) -> dict[str, Any]:
    """What the vendor behind a gateway finds wrong: its whole error, as JSON text in a message."""
    upstream = native(code, message, str(uuid.uuid4()))
    return plain("fail_to_fetch_task", json.dumps(upstream, ensure_ascii=False, separators=(",", ":")), request_id)


def distributor(code: str, message: str, request_id: str) -> dict[str, Any]:
    """What the part of a gateway finds wrong that looks at keys and chooses channels."""
    text = f"{message} (request id: {request_id})"
    return {"error": {"message": text, "type": "new_api_error", "code": code}}


def native(code: str, message: str, request_id: str) -> dict[str, Any]:
    """DashScope's own."""
    return {"request_id": request_id, "code": code, "message": message}


@dataclass(frozen=True, slots=True)
class Form:
    """How one dialect puts a reason into an answer."""

    status: int
    code: str
    envelope: Callable[[str, str, str], dict[str, Any]] = plain
    message: str | None = None
    """What is said instead of the refusal's own words."""


def gateway_answer(exchange: Exchange, payload: Mapping[str, Any], status: int = 200) -> Answer:
    """A gateway's answer: it numbers each in a header."""
    return json_answer(payload, status).with_headers(x_oneapi_request_id=exchange.request_id)


def refused(exchange: Exchange, refusal: Refusal, forms: Mapping[Reason, Form]) -> Answer:
    """A refusal as a gateway answers it."""
    form = forms[refusal.reason]
    body = form.envelope(form.code, form.message or refusal.message, exchange.request_id)
    return gateway_answer(exchange, body, form.status)


def unknown_path(exchange: Exchange, status: int = 404) -> Answer:
    """A gateway's answer to a path that is not its own."""
    message = f"Invalid URL ({exchange.scope['method']} {exchange.path})"
    error = {"message": message, "type": "invalid_request_error", "param": "", "code": ""}
    return gateway_answer(exchange, {"error": error}, status)
