"""Nebula's API as its published code answers, 2025-12; `nebula` plays the vendor's page.

A submit is checked as the code does, rewritten for Alibaba as the code does, and then read by the emulator's own
DashScope. So Alibaba's defaults apply to whatever the rewriting drops.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.enums import Behaviour, Dialect, Region
from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.responses import html_response
from langchain_nebula_video.emulator.table import ROW_STATUSES, Row, RowStatus

from . import media, nebula_source_answers
from .dashscope import NATIVE_ERRORS, SERVICES
from .dashscope_families import DASHSCOPE_MODELS
from .dashscope_models import TaskType
from .dashscope_request import check_resolvable, read_task_spec
from .error_envelopes import gateway_response
from .nebula_keys import authenticate, check_model
from .nebula_models import NEBULA_MODELS
from .nebula_refusals import NebulaRefusal, error_response
from .nebula_source_request import check_channel, read_model, read_request

if TYPE_CHECKING:
    from langchain_nebula_video.emulator.files import InputFile
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.serving.state import State
    from langchain_nebula_video.emulator.tasks import TaskSpec

    from .nebula_source_request import SourceRequest

_VENDOR = SERVICES[0]
"""The gateway has one account at Alibaba in Beijing for all of its users."""
_UNREADABLE = Refusal(Reason.DOWNLOAD, "Unable to download the media resource during the data inspection process.")


async def submit(exchange: Exchange) -> Response:
    """``POST /v1/video/generations``."""
    state, key = exchange.state, authenticate(exchange)
    model, payload = await read_model(exchange)
    check_model(key, model)
    check_channel(model)
    request = read_request(payload)
    try:
        state.engine.check_balance(key.account, Dialect.NEBULA, NEBULA_MODELS[model])
    except Refusal:
        raise NebulaRefusal("quota_not_enough") from None
    forwarded = request.forwarded()
    try:
        task = state.engine.submit(key.account, await _ask_vendor(state, request, forwarded), key)
    except Refusal as refusal:
        raise _passed_on(exchange, refusal) from None
    exchange.entry.task_id = task.id
    return gateway_response(exchange, nebula_source_answers.describe_submitted(task))


async def query(exchange: Exchange) -> Response:
    """``GET /v1/video/generations/{task_id}`` and ``/v1/videos/{task_id}``: the row. The older code charges, too."""
    state, key = exchange.state, authenticate(exchange)
    check_model(key, "")
    try:
        task, record = state.engine.find(exchange.path_params["task_id"], key.account, (Dialect.NEBULA,))
    except Refusal:
        raise NebulaRefusal("task_not_exist") from None
    row = state.table.row_at(task, state.clock.now())
    if row is None:
        raise NebulaRefusal("task_not_exist")
    if exchange.status_override is not None:
        row = Row(ROW_STATUSES[exchange.status_override], exchange.status_override)
    if state.behaviour is Behaviour.OLDER_SOURCE:
        if row.status is RowStatus.SUCCESS:
            state.engine.charge(task)
        return gateway_response(exchange, nebula_source_answers.describe_older(exchange, task, record, row))
    return gateway_response(exchange, nebula_source_answers.describe(exchange, task, record, row))


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the gateway."""
    if isinstance(refusal, NebulaRefusal):
        return error_response(exchange, refusal)
    # The only other one is for a body beyond any use. The code takes it, and the proxy in front does not.
    return html_response("413 Request Entity Too Large", 413)


async def _ask_vendor(state: State, request: SourceRequest, forwarded: dict[str, Any]) -> TaskSpec:
    """Return the task that Alibaba makes of the rewritten body.

    Raises:
        Refusal: It refuses.
    """
    body = json.dumps(forwarded).encode()
    check_resolvable(body, resolved=False)
    image = forwarded["input"].get("img_url", "")
    if image and not media.is_url(image):
        # Alibaba documents addresses and whole data URIs alone, not the bare base64 that the gateway sends.
        if not state.bytes_accepted:
            raise _UNREADABLE
        understood = forwarded | {"input": forwarded["input"] | {"img_url": f"data:image/jpeg;base64,{image}"}}
        body = json.dumps(understood).encode()
    # In a thread, because it decodes the image and may fetch it.
    spec = await asyncio.to_thread(
        read_task_spec,
        body,
        DASHSCOPE_MODELS[Region.BEIJING],
        TaskType.FIRST_FRAME,
        lambda _: state.files,
        lambda reason: NATIVE_ERRORS[reason].code,
        Dialect.NEBULA,
    )
    return replace(
        spec,
        # The gateway has its own prices, and takes as long as its page says.
        model=NEBULA_MODELS[spec.model.name],
        resolution=spec.resolution.lower(),
        request=request.recorded(spec.image),
        forwarded=_recorded(forwarded, spec.image),
    )


def _recorded(forwarded: dict[str, Any], image: InputFile | None) -> dict[str, Any]:
    """Return a rewritten body for the records, without the image itself."""
    inputs = forwarded["input"]
    if image is None or media.is_url(inputs["img_url"]):
        return forwarded
    return forwarded | {"input": inputs | {"img_url": f"sha256:{image.digest}"}}


def _passed_on(exchange: Exchange, refusal: Refusal) -> NebulaRefusal:
    """Return the gateway's error for a refusal of Alibaba's."""
    answer = _VENDOR.refuse(exchange, refusal)
    if answer.status == 429:
        return NebulaRefusal("saturated")
    return NebulaRefusal("vendor_refused", answer.body.decode(), answer.status)
