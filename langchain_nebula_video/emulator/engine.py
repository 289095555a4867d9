"""The engine: tasks, time and money, shared by every dialect.

Nothing runs in the background. The engine computes a task's whole schedule when it accepts the task.
Every access first settles the tasks that have ended since, in the order of their ends, and charges
for those that succeeded when their dialect's `Billing` says so.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from .bill import Bill, BillLine
from .billing import Billing
from .enums import Dialect, Status
from .loop import BEAT
from .records import TaskRecord
from .refusals import Reason, Refusal
from .tasks import Task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .accounts import Account, Key
    from .clock import SupportsNow
    from .loop import Loop
    from .models import Model
    from .records import Problem
    from .tasks import TaskSpec

# The share of a task's total time that it spends in the queue: minimum and maximum.
QUEUE_SHARE = (0.05, 0.25)
_BY_THE_PAGE = Billing()


class Engine:
    """The state machine of one emulator. Every method is thread-safe."""

    def __init__(
        self,
        *,
        clock: SupportsNow,
        speed: float,
        max_concurrent_tasks: int | None,
        documented_limits: bool = False,
    ) -> None:
        """Start without tasks. Every dialect bills as its page says."""
        self.clock = clock
        self.documented_limits = documented_limits
        self._speed = checked_speed(speed)
        self._max_concurrent_tasks = max_concurrent_tasks
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        # (end, tie-breaker, task): a heap, with the next task to end in front.
        self._unfinished: list[tuple[float, int, Task]] = []
        self._unfinished_counts: dict[str, int] = {}
        # (due, tie-breaker, task): the same of tasks that have succeeded and are not charged yet.
        self._uncharged: list[tuple[float, int, Task]] = []
        self._lines: list[BillLine] = []
        self._loop: Loop | None = None
        self._billings: Mapping[Dialect, Billing] = {}

    @property
    def speed(self) -> float:
        """How many times faster than the real service tasks run."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._lock:
            now = self._settle()
            stretch = self._speed / checked_speed(speed)
            for _, _, task in self._unfinished:
                task.started_at = min(task.started_at, now) + max(task.started_at - now, 0.0) * stretch
                task.finished_at = now + (task.finished_at - now) * stretch
            self._unfinished = [(task.finished_at, number, task) for _, number, task in self._unfinished]
            heapq.heapify(self._unfinished)
            self._speed = speed
            if self._loop is not None:
                self._loop.change_beat(now, BEAT / speed)
            self._schedule_charges()

    def bill_by(self, loop: Loop | None, billings: Mapping[Dialect, Billing]) -> None:
        """Charge by other rules from now on.

        Args:
            loop: The gateway's loop, which is as fast as the tasks; None if it has none.
            billings: The rules of each dialect. One that is not named has its page's.
        """
        with self._lock:
            self._settle()
            self._loop, self._billings = loop, billings
            self._schedule_charges()

    def submit(self, account: Account, spec: TaskSpec, key: Key | None = None) -> Task:
        """Accept a task; `key` is the one that submitted it.

        Raises:
            Refusal: The balance does not cover the cost, or the account has too many unfinished tasks.
        """
        with self._lock:
            now = self._settle()
            task = self._plan(account, spec, now)
            task.key = key
            self._billing(spec).check(account, task)
            unfinished = self._unfinished_counts.get(account.name, 0)
            if self._max_concurrent_tasks is not None and unfinished >= self._max_concurrent_tasks:
                message = f"Requests rate limit exceeded: {unfinished} tasks under way, please try again later"
                raise Refusal(Reason.RATE, message)
            self._tasks[task.id] = task
            self._unfinished_counts[account.name] = unfinished + 1
            heapq.heappush(self._unfinished, (task.finished_at, len(self._tasks), task))
            return task

    def check_balance(self, account: Account, dialect: Dialect, model: Model) -> None:
        """Check an account's balance before a vendor is asked.

        Raises:
            Refusal: The balance is too low.
        """
        with self._lock:
            self._settle()
            self._billings.get(dialect, _BY_THE_PAGE).check_before(account, model)

    def charge(self, task: Task) -> None:
        """Charge now for a task that has succeeded, unless it was."""
        with self._lock:
            now = self._settle()
            if any(each is task for *_, each in self._uncharged):
                self._uncharged = [entry for entry in self._uncharged if entry[2] is not task]
                heapq.heapify(self._uncharged)
                self._charge(task, now)

    def fail(self, task: Task, problem: Problem) -> None:
        """Let a task fail at its end."""
        with self._lock:
            self._settle()
            task.spec = replace(task.spec, problem=problem)

    def find(
        self, task_id: str, account: Account | None = None, dialects: Collection[Dialect] = tuple(Dialect)
    ) -> tuple[Task, TaskRecord]:
        """Return a task and its record. With `account`, only that account's tasks are visible.

        Raises:
            Refusal: The task does not exist, or belongs to another account or dialect.
        """
        with self._lock:
            now = self._settle()
            task = self._tasks.get(task_id)
            hidden = task is None or (account is not None and task.account is not account)
            if task is None or hidden or task.spec.dialect not in dialects:
                raise Refusal(Reason.UNKNOWN_TASK, "task_not_exist")
            return task, task.record(now)

    def cancel(self, task: Task) -> None:
        """Cancel a task that is still queued. Tasks behind it do not move up.

        Raises:
            Refusal: The task is no longer queued.
        """
        with self._lock:
            now = self._settle()
            if task.status(now) is not Status.PENDING:
                message = "Failed to cancel the task, please confirm if the task is in PENDING status."
                raise Refusal(Reason.NOT_PENDING, message)
            task.canceled, task.finished_at = True, now
            self._unfinished = [each for each in self._unfinished if each[2] is not task]
            heapq.heapify(self._unfinished)
            self._unfinished_counts[task.account.name] -= 1

    def tasks_of(self, account: Account, dialect: Dialect) -> tuple[Task, ...]:
        """Return an account's tasks of one dialect, in order."""
        with self._lock:
            self._settle()
            return tuple(
                task for task in self._tasks.values() if task.account is account and task.spec.dialect is dialect
            )

    def records(self) -> tuple[TaskRecord, ...]:
        """Return every task ever accepted, in order."""
        with self._lock:
            now = self._settle()
            return tuple(task.record(now) for task in self._tasks.values())

    def bill(self) -> Bill:
        """Return everything charged so far."""
        with self._lock:
            self._settle()
            return Bill(tuple(self._lines))

    def settle(self) -> None:
        """Bill every task that has ended by now."""
        with self._lock:
            self._settle()

    def _plan(self, account: Account, spec: TaskSpec, now: float) -> Task:
        seed = random.SystemRandom().randrange(2**31) if spec.seed is None else spec.seed
        # The hash makes the times depend on seed and prompt alone, in every process.
        digest = hashlib.sha256(f"{seed}\n{spec.prompt}".encode()).digest()
        rng = random.Random(digest)  # noqa: S311 - a schedule, not a secret
        total = rng.uniform(*spec.model.processing_time[spec.seconds]) / self._speed
        begin = self._earliest_start(account, spec.model, now)
        return Task(
            id=spec.new_id(),
            spec=spec,
            account=account,
            seed=seed,
            price=spec.price,
            group_ratio=account.group_ratio,
            cost=self._billing(spec).cost(account, spec),
            accepted_at=now,
            started_at=begin + total * rng.uniform(*QUEUE_SHARE),
            finished_at=begin + total,
        )

    def _earliest_start(self, account: Account, model: Model, now: float) -> float:
        """Return when a new task of this account and model can start."""
        if model.max_parallel_tasks is None or not self.documented_limits:
            return now
        ends = sorted(
            task.finished_at for _, _, task in self._unfinished if task.account is account and task.spec.model is model
        )
        return now if len(ends) < model.max_parallel_tasks else ends[-model.max_parallel_tasks]

    def _settle(self) -> float:
        now = self.clock.now()
        while self._unfinished and self._unfinished[0][0] <= now:
            _, number, task = heapq.heappop(self._unfinished)
            self._unfinished_counts[task.account.name] -= 1
            if task.spec.problem is None:
                heapq.heappush(self._uncharged, (self._billing(task.spec).due_at(task), number, task))
        while self._uncharged and self._uncharged[0][0] <= now:
            due, number, task = heapq.heappop(self._uncharged)
            charges = self._billing(task.spec).charges(task, now)
            if charges is None:  # ask again when time has passed
                heapq.heappush(self._uncharged, (math.nextafter(now, math.inf), number, task))
            elif charges:
                self._charge(task, due)
        return now

    def _charge(self, task: Task, at: float) -> None:
        task.account.charge(task.cost, task.spec.model.currency)
        task.charged = True
        self._lines.append(
            BillLine(
                task_id=task.id,
                dialect=task.spec.dialect,
                account=task.account.name,
                model=task.spec.model.name,
                resolution=task.spec.resolution,
                seconds=task.spec.seconds,
                price=task.price,
                group_ratio=task.group_ratio,
                amount=task.cost,
                currency=task.spec.model.currency,
                at=at,
            )
        )

    def _schedule_charges(self) -> None:
        """Find anew when each task that is not charged yet is due."""
        self._uncharged = [(self._billing(task.spec).due_at(task), number, task) for _, number, task in self._uncharged]
        heapq.heapify(self._uncharged)

    def _billing(self, spec: TaskSpec) -> Billing:
        return self._billings.get(spec.dialect, _BY_THE_PAGE)


_SLOWEST, _FASTEST = 1e-6, 1e6
"""Beyond these a task would take centuries, or a beat of the gateway would be too short for a clock."""


def checked_speed(speed: float) -> float:
    """Return a speed.

    Raises:
        ValueError: It is not greater than 0, or it is too slow or too fast to be played.
    """
    if not _SLOWEST <= speed <= _FASTEST:  # nor is it NaN
        message = f"speed must be greater than 0, from {_SLOWEST:g} to {_FASTEST:g}, not {speed}"
        raise ValueError(message)
    return speed
