"""The rows of Nebula's own table of tasks, as its console and its answers show them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.enums import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.tasks import Task


class RowStatus(StrEnum):
    """The words of the table (model/task.go, 2025-11)."""

    NOT_START = "NOT_START"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


ROW_STATUSES: Mapping[Status, RowStatus] = {
    Status.PENDING: RowStatus.IN_PROGRESS,
    Status.RUNNING: RowStatus.IN_PROGRESS,
    Status.SUCCEEDED: RowStatus.SUCCESS,
    Status.FAILED: RowStatus.FAILURE,
    Status.CANCELED: RowStatus.FAILURE,
}
PROGRESS: Mapping[RowStatus, str] = {
    RowStatus.NOT_START: "0%",
    RowStatus.IN_PROGRESS: "30%",
    RowStatus.SUCCESS: "100%",
    RowStatus.FAILURE: "100%",
}
NO_REASON = "任务执行失败"
"""What a failed row says. The vendor's own words stand in the vendor's answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row at one moment."""

    status: RowStatus
    reason: str = ""
    """Why it failed."""


def row_at(task: Task, now: float) -> Row:
    """Return the row of a task if the gateway knows of each change at once."""
    status = ROW_STATUSES[task.status(now)]
    return Row(status, NO_REASON if status is RowStatus.FAILURE else "")
