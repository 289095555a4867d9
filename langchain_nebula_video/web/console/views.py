"""What the console's templates show: one snapshot of an emulator."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator import Behaviour, Currency, Status
from langchain_nebula_video.emulator.faults.kinds import POINTS
from langchain_nebula_video.emulator.faults.nebula import ALL_KINDS
from langchain_nebula_video.web.charts import step_chart
from langchain_nebula_video.web.look import clock, money, seconds

from .presets import PRESETS, is_waiting, waiting
from .submitting import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_nebula_video.emulator import Bill, Emulator, TaskRecord
    from langchain_nebula_video.web.charts import Chart

MOST_TASKS = 40
MOST_LINES = 20
_SPEEDS = (1.0, 10.0, 50.0, 500.0)
_UNDER_WAY = (Status.PENDING, Status.RUNNING)
_WORDS = {
    Status.PENDING: "queued",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELED: "canceled",
}


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task, as its card shows it."""

    record: TaskRecord
    word: str
    percent: int | None
    """How much of its time is over; None once it has ended."""
    timing: str
    prompt: str
    request: str
    """The request's body as it was received, as JSON."""
    forwarded: str | None


def view_of(emulator: Emulator) -> dict[str, Any]:
    """Return what the templates show of an emulator now."""
    now, tasks, bill = emulator.clock.now(), emulator.tasks, emulator.bill
    faults, requests = emulator.faults.records(), emulator.requests
    counts = Counter(task.status for task in tasks)
    return {
        "now": now,
        "clock_runs": emulator.clock.running,
        "counts": {_WORDS[status]: counts[status] for status in Status},
        "under_way": sum(counts[status] for status in _UNDER_WAY),
        "tasks": [_task_view(task, now, emulator.without_keys) for task in tasks[: -MOST_TASKS - 1 : -1]],
        "all_tasks": len(tasks),
        "bill": bill,
        "lines": bill.lines[: -MOST_LINES - 1 : -1],
        "currencies": [each for each in Currency if bill.total(each) or each is Currency.USD],
        "accounts": emulator.accounts,
        "charts": _charts(tasks, bill, now),
        "requests": requests[: -MOST_LINES - 1 : -1],
        "all_requests": len(requests),
        "violations": emulator.violations,
        "faults": [record for record in faults if is_waiting(record)],
        "played": sum(record.played for record in faults),
        "switches": [(preset, bool(waiting(preset, faults))) for preset in PRESETS],
        "points": POINTS,
        "kinds": ALL_KINDS,
        "speed": emulator.speed,
        "speeds": sorted({*_SPEEDS, emulator.speed}),
        "behaviour": emulator.behaviour,
        "behaviours": Behaviour,
        "model": MODEL,
    }


def kind_view(name: str) -> dict[str, Any]:
    """Return what the form shows of a kind of fault: points, and parameters with defaults and choices.

    Raises:
        KeyError: There is no such kind.
    """
    kind = ALL_KINDS[name]
    defaults = {
        each: None if default is inspect.Parameter.empty else json.dumps(default)
        for each, default in kind.params.items()
    }
    params = [(each, default, kind.choices.get(each, ())) for each, default in defaults.items()]
    return {"points": kind.points, "all_points": POINTS, "params": params}


def _task_view(task: TaskRecord, now: float, without_keys: Callable[[str], str]) -> TaskView:
    ended = task.status not in _UNDER_WAY
    length = task.finished_at - task.accepted_at
    share = (now - task.accepted_at) / max(length, 1e-9)
    return TaskView(
        record=task,
        word=_WORDS[task.status],
        percent=None if ended else max(0, min(99, int(100 * share))),
        timing=f"took {seconds(length)}" if ended else f"{seconds(task.finished_at - now)} left",
        prompt=_prompt_of(task.request),
        request=_as_json(task.request, without_keys),
        forwarded=None if task.forwarded is None else _as_json(task.forwarded, without_keys),
    )


def _prompt_of(request: Any) -> str:
    """Return the prompt; DashScope's bodies have it one level down."""
    inputs = request.get("input")
    prompt = request.get("prompt") or (inputs.get("prompt") if isinstance(inputs, dict) else None)
    return str(prompt or "")


def _as_json(value: Any, without_keys: Callable[[str], str]) -> str:
    """Write a request as JSON. Keys leave it before, because JSON may write their characters in another way."""

    def cleaned(part: Any) -> Any:
        if isinstance(part, dict):
            return {without_keys(str(name)): cleaned(each) for name, each in part.items()}
        if isinstance(part, (list, tuple)):
            return [cleaned(each) for each in part]
        return without_keys(part) if isinstance(part, str) else part

    return json.dumps(cleaned(value), ensure_ascii=False, indent=2, default=str)


def _charts(tasks: Sequence[TaskRecord], bill: Bill, now: float) -> list[Chart]:
    """Draw until now; but once nothing is under way, not far beyond the last change."""
    if not tasks:
        return []
    first, last = tasks[0].accepted_at, max(task.finished_at for task in tasks)
    span = (first, min(now, last + (last - first) * 0.1))
    return [*_concurrency_chart(tasks, span), *_spend_charts(bill, span)]


def _spend_charts(bill: Bill, span: tuple[float, float]) -> list[Chart]:
    charts = []
    for currency in Currency:
        lines = sorted((line for line in bill.lines if line.currency is currency), key=lambda line: line.at)
        sums = accumulate(line.amount for line in lines)
        steps = [(line.at, float(total)) for line, total in zip(lines, sums, strict=True)]

        def as_money(value: float, currency: Currency = currency) -> str:
            return money(Decimal(f"{value:.4f}"), currency)

        chart = step_chart(
            f"spend-{currency.lower()}", f"Spend, {currency}", steps, span, value_text=as_money, time_text=clock
        )
        charts += [] if chart is None else [chart]
    return charts


def _concurrency_chart(tasks: Sequence[TaskRecord], span: tuple[float, float]) -> list[Chart]:
    """Draw how many tasks were under way: those that are accepted and have not ended."""
    changes = [(task.accepted_at, 1) for task in tasks]
    changes += [(task.finished_at, -1) for task in tasks if task.finished_at <= span[1]]
    changes.sort(key=lambda change: change[0])
    steps = list(zip((at for at, _ in changes), accumulate(float(by) for _, by in changes), strict=True))
    chart = step_chart(
        "under-way", "Tasks under way", steps, span, value_text=lambda value: f"{value:g}", time_text=clock, whole=True
    )
    return [] if chart is None else [chart]
