"""Nebula's own table of tasks. The gateway answers from its rows, and charges for them."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .enums import Dialect, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .loop import Loop
    from .tasks import Task


class RowStatus(StrEnum):
    """The table's words (model/task.go, 2025-11)."""

    NOT_START = "NOT_START"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"

    @property
    def ended(self) -> bool:
        """Whether the loop leaves the row alone from now on."""
        return self in {RowStatus.SUCCESS, RowStatus.FAILURE}


class VendorEnd(StrEnum):
    """An end in the vendor's words that no task of the emulator comes to by itself."""

    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"


ROW_STATUSES: Mapping[Status, RowStatus] = {
    Status.PENDING: RowStatus.IN_PROGRESS,
    Status.RUNNING: RowStatus.IN_PROGRESS,
    Status.SUCCEEDED: RowStatus.SUCCESS,
    Status.FAILED: RowStatus.FAILURE,
    Status.CANCELED: RowStatus.FAILURE,
}
# What a failed row says (relay/channel/task/ali/adaptor.go, 2025-12). The vendor's words stand in the vendor's answer.
REASONS: Mapping[Status | VendorEnd, str] = {
    Status.FAILED: "任务执行失败",
    Status.CANCELED: "任务已取消",
    VendorEnd.CANCELED: "任务已取消",
    VendorEnd.UNKNOWN: "任务不存在或状态未知",
}
CHANNEL = 17
CHANNEL_GONE = f"Failed to get channel info, channel ID: {CHANNEL}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row at one moment."""

    status: RowStatus
    seen: Status | VendorEnd | None
    """What the vendor said at the newest visit; None before the first."""
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What went wrong with one row."""

    unwritten: bool = False
    """The database refused the row: the vendor makes the video and the gateway knows of nothing."""
    stuck: bool = False
    """The vendor's answers cannot be read from the first visit on."""
    end: VendorEnd | None = None
    """How the task ends instead."""
    gone_at: float | None = None
    """When its channel was deleted."""
    before: Row | None = None
    """The row at that moment."""


class Table:
    """The rows, as far as the loop has come; without a loop, the gateway knows of each change at once."""

    def __init__(self, loop: Loop | None = None) -> None:
        """Start without mishaps."""
        self.loop = loop
        self._lock = threading.Lock()
        self._mishaps: dict[str, Mishap] = {}

    def row_at(self, task: Task, now: float) -> Row | None:
        """Return the row of a task; None if there is none."""
        mishap = self._mishaps.get(task.id, _NO_MISHAP)
        # The other gateways at the same address have no loop.
        loop = self.loop if task.spec.dialect is Dialect.NEBULA else None
        visit = now if loop is None else loop.last_visit(now)
        if mishap.unwritten:
            return None
        if mishap.gone_at is not None and mishap.before is not None and not mishap.before.status.ended:
            gone = visit > mishap.gone_at
            return Row(RowStatus.FAILURE, mishap.before.seen, CHANNEL_GONE) if gone else mishap.before
        if loop is not None and visit <= task.accepted_at:
            return Row(RowStatus.NOT_START, None)
        status = task.status(visit)
        if mishap.stuck:
            return Row(RowStatus.IN_PROGRESS, Status.PENDING)
        if mishap.end is not None and ROW_STATUSES[status].ended:
            return Row(RowStatus.FAILURE, mishap.end, REASONS[mishap.end])
        return Row(ROW_STATUSES[status], status, REASONS.get(status, ""))

    def visit_of_end(self, task: Task) -> float:
        """Return when the gateway sees the task's end, as things stand."""
        # A visit at the very moment of the end sees it.
        return task.finished_at if self.loop is None else self.loop.next_visit(math.nextafter(task.finished_at, 0))

    def mark(self, task: Task, now: float, **mishap: bool | VendorEnd) -> None:
        """Let something go wrong with the row of a task; see `Mishap`.

        Args:
            task: The task.
            now: The time.
            **mishap: `unwritten=True`, `stuck=True`, `gone=True` or `end=`.
        """
        changes: dict[str, Any] = dict(mishap)
        if changes.pop("gone", False):
            changes |= {"gone_at": now, "before": self.row_at(task, now)}
        with self._lock:
            self._mishaps[task.id] = replace(self._mishaps.get(task.id, _NO_MISHAP), **changes)


_NO_MISHAP = Mishap()
