"""What Nebula's console and log tell of an account: its tasks and its charges, counted in quota."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.billing import to_quota
from langchain_nebula_video.emulator.enums import Dialect
from langchain_nebula_video.emulator.serving.storage import signed_url
from langchain_nebula_video.emulator.table import CHANNEL, RowStatus

from .nebula_source_answers import vendor_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.bill import BillLine
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.table import Row
    from langchain_nebula_video.emulator.tasks import Task

# Alibaba's number among the gateway's kinds of channel, and what the gateway calls every video task.
PLATFORM, ACTION = "17", "generate"
_PROGRESS: Mapping[RowStatus, str] = {
    RowStatus.NOT_START: "0%",
    RowStatus.IN_PROGRESS: "30%",
    RowStatus.SUCCESS: "100%",
    RowStatus.FAILURE: "100%",
}
CONSUMED = 2
"""The type of a log row that is a charge."""


def group_of(account: Account) -> str:
    """Return the name of an account's group. A group is a ratio."""
    return "default" if account.group_ratio == 1 else f"ratio-{account.group_ratio.normalize():f}"


def charges_of(exchange: Exchange, account: Account) -> list[BillLine]:
    """Return the account's charges for Nebula's tasks."""
    lines = exchange.state.engine.bill().lines
    return [line for line in lines if line.account == account.name and line.dialect is Dialect.NEBULA]


def log_rows(exchange: Exchange, account: Account) -> list[dict[str, Any]]:
    """Return the account's log: one row for each charge, in order."""
    tasks = {task.id: task for task in exchange.state.engine.tasks_of(account, Dialect.NEBULA)}
    return [
        _log_row(number, line, tasks[line.task_id], float(exchange.state.site_discount))
        for number, line in enumerate(charges_of(exchange, account), start=1)
    ]


def task_rows(exchange: Exchange, account: Account) -> list[dict[str, Any]]:
    """Return the account's rows in the table of tasks, in order."""
    state = exchange.state
    tasks, now = state.engine.tasks_of(account, Dialect.NEBULA), state.clock.now()
    rows = ((number, task, state.table.row_at(task, now)) for number, task in enumerate(tasks, start=1))
    return [_task_row(exchange, number, task, row) for number, task, row in rows if row is not None]


def _log_row(number: int, line: BillLine, task: Task, discount: float) -> dict[str, Any]:
    account = task.account
    quota, resolution = to_quota(line.amount), line.resolution.lower()
    key_name, key_number = (task.key.name, task.key.number) if task.key else (account.name, 0)
    other = {
        "task_id": line.task_id,
        "model_name": line.model,
        "token_name": key_name,
        "token_id": key_number,
        "video_seconds": line.seconds,
        "video_resolution": resolution,
        "video_price_per_second": float(line.price),
        "group_ratio": float(line.group_ratio),
        "oem_user_discount": discount,
        "actual_quota": quota,
        "billing_type": "per_second_per_resolution",
        "platform": PLATFORM,
        "action": ACTION,
        "video_task": True,
    }
    return {
        "id": number,
        "user_id": account.number,
        "created_at": int(line.at),
        "type": CONSUMED,
        "content": f"wan2.5视频任务完成，实际生成 {line.seconds} 秒（分辨率{resolution}），扣费 quota: {quota}",
        "username": account.name,
        "token_name": key_name,
        "model_name": line.model,
        "quota": quota,
        "prompt_tokens": 0,
        "completion_tokens": line.seconds,
        "use_time": int(task.finished_at - task.started_at),
        "is_stream": False,
        "channel": CHANNEL,
        "channel_name": "",
        "token_id": key_number,
        "group": group_of(account),
        "ip": "",
        "other": json.dumps(other, ensure_ascii=False, separators=(",", ":")),
    }


def _task_row(exchange: Exchange, number: int, task: Task, row: Row) -> dict[str, Any]:
    state = exchange.state
    record = task.record(state.clock.now())
    return {
        "id": number,
        "created_at": int(task.accepted_at),
        "updated_at": int(task.accepted_at),
        "task_id": task.id,
        "platform": PLATFORM,
        "user_id": task.account.number,
        "channel_id": 0,
        "quota": 0,
        "action": ACTION,
        "status": row.status,
        # A finished row has the video's address there.
        "fail_reason": signed_url(exchange, record) if row.status is RowStatus.SUCCESS else row.reason,
        "submit_time": int(task.accepted_at),
        "start_time": 0 if row.status is RowStatus.NOT_START else int(task.started_at),
        "finish_time": int(state.table.visit_of_end(task)) if row.status.ended else 0,
        "progress": _PROGRESS[row.status],
        "properties": {"input": ""},
        "data": vendor_answer(exchange, task, record, row),
        "model_name": task.spec.model.name,
        "api_key": task.key.name if task.key else "",
    }
