"""The judge: what the emulator accepted and billed, compared with the journals and with what the callers received."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video.emulator import Emulator, TaskRecord
from langchain_nebula_video.journal import Entry, EntryState

CNY_PER_USD = Decimal("7.2")
_MAX_EVIDENCE = 5
_RESULT = re.compile(r"/results/([\w-]+)\.mp4")
_NAME = re.compile(r"[?]key=([\w.-]+)")
_SPENT_STATES = {EntryState.SUBMITTED, EntryState.RUNNING, EntryState.SUCCEEDED}


@dataclass(frozen=True)
class Delivery:
    """A video that a caller received: whose it should be, and which task's video it is."""

    name: str
    task_id: str

    @classmethod
    def of(cls, name: str, url: str | None) -> Delivery:
        """Return the delivery of the video at a URL. The URL leads to one task's video, whatever else was said."""
        found = _RESULT.search(url or "")
        return cls(name, found.group(1) if found else "")

    def line(self) -> str:
        """Return the line that a process writes for it; see `read_deliveries`."""
        return f"GOT {self.name} {self.task_id}\n"


@dataclass
class Figures:
    """The result of a run. The first five have to be 0."""

    keys_billed_twice: int = 0
    billed_without_a_row: int = 0
    paid_and_not_saved: int = 0
    over_budget_usd: Decimal = Decimal(0)
    given_to_the_wrong_caller: int = 0
    generations: int = 0
    tasks: int = 0
    deliveries: int = 0
    billed_usd: Decimal = Decimal(0)
    budget_usd: Decimal = Decimal(0)
    states: collections.Counter[str] = field(default_factory=collections.Counter)
    disturbances: collections.Counter[str] = field(default_factory=collections.Counter)
    peak_submits: int = 0
    seconds: float = 0.0
    evidence: list[str] = field(default_factory=list)
    """The first findings, in words: the emulator's ledger for each."""

    @property
    def zeros(self) -> tuple[int, int, int, Decimal, int]:
        """The five figures that have to be 0."""
        return (
            self.keys_billed_twice,
            self.billed_without_a_row,
            self.paid_and_not_saved,
            self.over_budget_usd,
            self.given_to_the_wrong_caller,
        )

    def add(self, other: Figures) -> None:
        """Add the figures of another part of the run. The peak is the higher one."""
        for name, value in vars(other).items():
            own = getattr(self, name)
            setattr(self, name, max(own, value) if name == "peak_submits" else own + value)
        del self.evidence[_MAX_EVIDENCE:]

    def found(self, text: str) -> None:
        """Keep a finding in words."""
        if len(self.evidence) < _MAX_EVIDENCE:
            self.evidence.append(text)

    def __str__(self) -> str:
        return json.dumps(self.as_json(), ensure_ascii=False)

    def as_json(self) -> dict[str, Any]:
        """Return plain data, without what is empty."""
        plain: dict[str, Any] = {
            name: str(value) if isinstance(value, Decimal) else value for name, value in vars(self).items()
        }
        for name in ("states", "disturbances"):
            plain[name] = dict(sorted(plain[name].items()))
        plain["seconds"] = round(self.seconds, 1)
        return {name: value for name, value in plain.items() if value not in ({}, [])}


class Ledger:
    """The emulator's own record of a run.

    Each request carries a name in its picture's address (see `named`). Requests with the same name ask for the same
    video, so a name may be billed once.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.tasks = {task.id: task for task in emulator.tasks}
        self.billed = [self.tasks[line.task_id] for line in emulator.bill.lines]
        self.usd = emulator.bill.usd + emulator.bill.cny / CNY_PER_USD
        self.peak_submits = emulator.peaks.submits
        self.faults = collections.Counter[str]()
        for fault in emulator.faults.records():
            self.faults[f"fault_{fault.point}_{fault.kind}"] += fault.played

    def judge(
        self,
        rows: Collection[Entry],
        deliveries: Iterable[Delivery],
        *,
        videos: Path | None = None,
        budget: Decimal | None = None,
    ) -> Figures:
        """Return the figures of a run with one journal, or with several whose rows are put together.

        Args:
            rows: What the journals hold at the end. A row's key, if it is a name, says whose the row is.
            deliveries: What the callers received.
            videos: Where the videos had to be saved; `None`: they were not to be saved.
            budget: What all tasks together might cost, in US dollars.
        """
        figures = Figures(tasks=len(self.tasks), billed_usd=self.usd.quantize(Decimal("0.0001")))
        figures.peak_submits = self.peak_submits
        figures.disturbances += self.faults
        figures.states.update(row.state.value for row in rows)
        self._judge_names(figures)
        self._judge_rows(figures, rows, videos)
        names = {name_of(task) for task in self.tasks.values()}
        named_rows = [row for row in rows if row.key in names]
        received = {
            *deliveries,
            *(Delivery(str(row.key), row.task_id) for row in named_rows if row.task_id),
            *(Delivery.of(str(row.key), row.video["url"]) for row in named_rows if row.video and row.video.get("url")),
        }
        self._judge_deliveries(figures, received)
        if budget is not None:
            spent = sum((row.spent_usd for row in rows), Decimal(0))
            over = max(self.usd - budget, spent - budget, Decimal(0))
            figures.over_budget_usd, figures.budget_usd = over.quantize(Decimal("0.0001")), budget
        return figures

    def _judge_names(self, figures: Figures) -> None:
        by_name: dict[str, list[str]] = {}
        for task in self.billed:
            by_name.setdefault(name_of(task), []).append(task.id)
        for name, ids in by_name.items():
            if len(ids) > 1:
                figures.keys_billed_twice += 1
                figures.found(f"{name} was billed {len(ids)} times: {', '.join(ids)}")

    def _judge_rows(self, figures: Figures, rows: Collection[Entry], videos: Path | None) -> None:
        owned = {row.task_id for row in rows}
        in_doubt = {row.key for row in rows if row.state is EntryState.UNCONFIRMED}
        for task in self.billed:
            if task.id not in owned and name_of(task) not in in_doubt:
                figures.billed_without_a_row += 1
                figures.found(f"task {task.id} of {name_of(task)} was billed and has no row")
        for row in rows:
            if videos is not None and row.state in _SPENT_STATES and not _is_saved(videos / f"{row.task_id}.mp4"):
                figures.paid_and_not_saved += 1
                figures.found(f"task {row.task_id} of {row.key} was paid for and is not saved")

    def _judge_deliveries(self, figures: Figures, received: Collection[Delivery]) -> None:
        figures.deliveries += len(received)
        for delivery in received:
            task = self.tasks.get(delivery.task_id)
            owner = None if task is None else name_of(task)
            if owner != delivery.name:
                figures.given_to_the_wrong_caller += 1
                figures.found(f"{delivery.name} was given task {delivery.task_id}, which is of {owner}")


def named(image: str, name: str) -> str:
    """Return the picture's address with a name in it, by which the ledger knows whose the request was."""
    return f"{image}?key={name}"


def name_of(task: TaskRecord) -> str:
    """Return the name in the address of a task's picture."""
    found = _NAME.search(json.dumps(dict(task.request)))
    assert found is not None
    return found.group(1)


def read_deliveries(path: Path) -> list[Delivery]:
    """Return what processes wrote with `Delivery.line`. A line that a full disk has cut off is left out."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return [Delivery(*found) for found in re.findall(r"^GOT ([\w.-]+) ([\w-]{36})$", text, re.MULTILINE)]


def ready_line(pid: int) -> str:
    """Return the line that says that a process has opened its journal."""
    return f"READY {pid}\n"


def read_ready(path: Path) -> set[int]:
    """Return the processes that wrote `ready_line`."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return {int(pid) for pid in re.findall(r"^READY (\d+)$", text, re.MULTILINE)}


def _is_saved(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 10_000 and path.read_bytes()[4:8] == b"ftyp"
