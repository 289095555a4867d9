"""DashScope's list of an account's tasks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.clock import BEIJING
from langchain_nebula_video.emulator.enums import Region
from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.records import TaskRecord

DAY = 86_400.0
DEFAULT_SIZE = 10
MAX_SIZE = 100
_REGIONS: Mapping[Region | None, str] = {
    Region.BEIJING: "cn-beijing",
    Region.SINGAPORE: "ap-southeast-1",
    Region.VIRGINIA: "us-east-1",
    Region.FRANKFURT: "eu-central-1",
    Region.HONG_KONG: "cn-hongkong",
}
_TIME_FORMAT = "%Y%m%d%H%M%S"


def submit_request_id(task_id: str) -> str:
    """Return the request id of a task's submit: its answer has it, and so has the list."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, task_id))


def list_page(
    query: Mapping[str, str], records: Iterable[TaskRecord], account: Account, now: float, field: str = "data"
) -> dict[str, Any]:
    """Return one page of the list, newest task first, under the name of `field`.

    Raises:
        Refusal: A filter is invalid, or the time window is longer than a day.
    """
    begin, end = _window(query, now)
    number, size = _positive_integer(query, "page_no", 1), _positive_integer(query, "page_size", DEFAULT_SIZE)
    if size > MAX_SIZE:
        raise Refusal(Reason.PARAMETER, f"page_size must not exceed {MAX_SIZE}")
    matching = [
        record
        for record in reversed(tuple(records))
        if record.account == account.name
        and begin <= record.accepted_at <= end
        and query.get("model_name") in {None, "", record.model}
        and query.get("status") in {None, "", record.status}
    ]
    return {
        "total": len(matching),
        "total_page": -(-len(matching) // size),
        "page_no": number,
        "page_size": size,
        field: [_listed(record, account, now) for record in matching[(number - 1) * size : number * size]],
    }


def _window(query: Mapping[str, str], now: float) -> tuple[float, float]:
    """Return start and end of the time window. A missing one is a day from the other."""
    start, end = _time_of(query, "start_time"), _time_of(query, "end_time")
    if end is None:
        end = now if start is None else start + DAY
    if start is None:
        start = end - DAY
    if not 0 <= end - start <= DAY:
        raise Refusal(Reason.PARAMETER, "start_time and end_time must be in order and at most 24 hours apart")
    return start, end


def _time_of(query: Mapping[str, str], name: str) -> float | None:
    if not query.get(name):
        return None
    try:
        return datetime.strptime(query[name], _TIME_FORMAT).replace(tzinfo=BEIJING).timestamp()
    except ValueError as error:
        raise Refusal(Reason.PARAMETER, f"{name} must be written as YYYYMMDDhhmmss") from error


def _positive_integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise Refusal(Reason.PARAMETER, f"{name} must be a whole number from 1")
    return int(text)


def _listed(record: TaskRecord, account: Account, now: float) -> dict[str, Any]:
    """Return the list entry of a task, without its prompt and video."""
    row = {
        "task_id": record.id,
        "status": record.status,
        "model_name": record.model,
        "region": _REGIONS.get(account.region),
        "request_id": submit_request_id(record.id),
        "gmt_create": int(record.accepted_at * 1000),
    }
    times = {"start_time": record.started_at, "end_time": record.finished_at}
    return row | {name: int(at * 1000) for name, at in times.items() if at <= now}
