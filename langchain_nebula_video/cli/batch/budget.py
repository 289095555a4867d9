"""The budget of one batch: a spend limit on what its run reserves in the journal."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from decimal import Decimal

from langchain_nebula_video.cli.batch.plan import Plan
from langchain_nebula_video.errors import BudgetExceededError
from langchain_nebula_video.journal import Budget
from langchain_nebula_video.journal.limits import SpendLimit, apply_limit
from langchain_nebula_video.schema import dollars

__all__ = ["budget_limit", "fitting"]


def budget_limit(budget: Budget, spent: Decimal) -> AbstractContextManager[None]:
    """Limit what the body pays to what the budget has left.

    Args:
        budget: For all rows of the batch together.
        spent: What its rows have cost in earlier runs.
    """
    scope = f"batch-{uuid.uuid4().hex}"

    def refusal(wanted: Decimal, left: Decimal) -> BudgetExceededError:
        return BudgetExceededError(
            f"This video would cost {dollars(wanted)}, and {dollars(max(left, Decimal(0)))} is left of --budget "
            f"{dollars(budget.usd)}.",
            hint="Run the same command with a higher --budget.",
        )

    left = max(budget.usd - spent, Decimal(0))
    return apply_limit(SpendLimit(usd=left, scopes=(scope,), scope=scope, refusal=refusal))


def fitting(plan: Plan, budget: Budget, spent: Decimal) -> int:
    """Return how many of the new rows fit into the budget, in their order."""
    left, count = budget.usd - spent, 0
    for cost in plan.new_costs:
        if cost.usd is not None and cost.usd <= left:
            left -= cost.usd
            count += 1
    return count
