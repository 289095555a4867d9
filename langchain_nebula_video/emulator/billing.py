"""When a task may be accepted, what it costs, and when it is charged."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from .refusals import Reason, Refusal
from .table import RowStatus

if TYPE_CHECKING:
    from .accounts import Account
    from .models import Model
    from .table import Table
    from .tasks import Task, TaskSpec

QUOTA_PER_USD = 500_000
"""Nebula counts money in whole units of quota (common/constants.go, 2025-08)."""


class Billing:
    """As the pages have it. The balance must cover the task, and success is charged at once."""

    def check_before(self, account: Account, model: Model) -> None:
        """Check the balance before the vendor is asked.

        Raises:
            Refusal: The balance is too low.
        """

    def check(self, account: Account, task: Task) -> None:
        """Check that a task may be accepted. Nothing is reserved.

        Raises:
            Refusal: The balance is too low.
        """
        # Nebula's page: the balance is checked on submission and nothing is reserved. Several accepted
        # tasks can therefore cost more together than the balance.
        currency = task.spec.model.currency
        if not account.can_afford(task.cost, currency):
            left, needed = f"{account.balance} {account.currency}", f"{task.cost} {currency}"
            raise Refusal(Reason.QUOTA, f"Insufficient balance: {left} left, {needed} needed")

    def cost(self, account: Account, spec: TaskSpec) -> Decimal:
        """Return what a task costs if it succeeds, in its model's currency."""
        return spec.price * spec.seconds * account.group_ratio

    def due_at(self, task: Task) -> float:
        """Return when a task that succeeds is charged, as things stand."""
        return task.finished_at

    def charges(self, task: Task, now: float) -> bool | None:
        """Return whether a task that is due is charged; None if it is not known yet."""
        return task.finished_at <= now


class LoopBilling(Billing):
    """As Nebula's code does (relay/relay_task.go and controller/task_video.go, 2025-12).

    The check asks for one price, whatever was asked. The charge is made at the loop's visit that sees success,
    from the vendor's figures, and the balance may go below zero.
    """

    # Every request is taken to have four seconds at 720p.
    _CHECKED_RESOLUTION, _CHECKED_SECONDS = "720p", 4

    def __init__(self, table: Table, discount: Decimal) -> None:
        """Charge for the rows of `table`; `discount` is the site's factor."""
        self._table = table
        self._discount = discount

    def check_before(self, account: Account, model: Model) -> None:
        """Check the balance against the flat price.

        Raises:
            Refusal: The balance is too low.
        """
        if account.balance < self._flat_price(account, model):
            raise Refusal(Reason.QUOTA, "user quota is not enough")

    def check(self, account: Account, task: Task) -> None:
        """Check nothing more: the vendor has the task."""

    def cost(self, account: Account, spec: TaskSpec) -> Decimal:
        """Return the cost, cut to whole units of quota."""
        return _whole_quota(super().cost(account, spec) * self._discount)

    def due_at(self, task: Task) -> float:
        """Return the moment of the visit that sees the end."""
        return self._table.visit_of_end(task)

    def charges(self, task: Task, now: float) -> bool | None:
        """Return whether the row says success."""
        row = self._table.row_at(task, now)
        if row is None or row.status is RowStatus.FAILURE:
            return False
        return True if row.status is RowStatus.SUCCESS else None

    def _flat_price(self, account: Account, model: Model) -> Decimal:
        price = model.prices[self._CHECKED_RESOLUTION] * self._CHECKED_SECONDS
        return _whole_quota(price * account.group_ratio * self._discount)


class LookBilling(LoopBilling):
    """As Nebula's code did in 2025-11 (relay/relay_task.go): the first look that sees success is charged.

    It knows no resolution and no length, so it charges for what the check asks for.
    """

    def cost(self, account: Account, spec: TaskSpec) -> Decimal:
        """Return the flat price."""
        return self._flat_price(account, spec.model)

    def due_at(self, task: Task) -> float:  # noqa: ARG002 - no task has one
        """Return no moment: without a look nothing is charged."""
        return math.inf


def to_quota(usd: Decimal) -> int:
    """Return an amount in whole units of quota, cut off."""
    return int(usd * QUOTA_PER_USD)


def _whole_quota(usd: Decimal) -> Decimal:
    return (usd * QUOTA_PER_USD).to_integral_value(ROUND_DOWN) / QUOTA_PER_USD
