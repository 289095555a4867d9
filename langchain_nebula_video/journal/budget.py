"""The budget: a ceiling on what the tasks of a journal may cost together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from langchain_nebula_video.errors import BudgetExceededError, InvalidRequestError
from langchain_nebula_video.schema import dollars

__all__ = [
    "Budget",
    "Ceiling",
    "check_budget",
    "check_ceilings",
    "from_trillionths",
    "round_up",
    "to_trillionths",
]

_TRILLIONTH = Decimal("1e-12")
_MAX_TRILLIONTHS = 2**63 - 1
_WINDOW_HINT = "Raise the budget, wait until its window has moved on, or ask for a cheaper video."


@dataclass(frozen=True, slots=True)
class Budget:
    """A ceiling on what a journal's tasks may cost together.

    Args:
        usd: The ceiling in US dollars: a string, an int, a `Decimal`, or a float, whose printed digits count.
        per: A sliding window of time; `None`: the budget never refills.
    """

    usd: Decimal
    per: timedelta | None = None

    def __init__(self, usd: Decimal | str | float, per: timedelta | None = None) -> None:
        try:
            amount = Decimal(str(usd))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise InvalidRequestError(f"A budget is an amount of dollars, not {usd!r}.", hint='Give one like "5.00".')
        window: Any = per
        if window is not None and (not isinstance(window, timedelta) or window <= timedelta(0)):
            raise InvalidRequestError(
                "A budget's window must be longer than nothing.", hint="Give a timedelta, or None."
            )
        object.__setattr__(self, "usd", amount)
        object.__setattr__(self, "per", per)

    def as_dict(self) -> dict[str, Any]:
        """Return the budget as plain data, which the option `budget` accepts."""
        return {"usd": str(self.usd), "per": self.per.total_seconds() if self.per else None}

    def __str__(self) -> str:
        return dollars(self.usd) + (f" per {_window(self.per)}" if self.per else " in all")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A limit that a journal decides as it writes an entry, besides the client's own budget."""

    usd: Decimal
    scope: str | None
    """It is for the entries of this scope; `None`: for all."""
    since: datetime | None
    """It is for the entries made after this moment; `None`: for all."""
    refusal: Callable[[Decimal, Decimal], BudgetExceededError]
    """Returns the error for a price and for what is left."""


def check_ceilings(
    ceilings: Iterable[Ceiling], spent: Callable[[datetime | None, str | None], Decimal], wanted: Decimal
) -> None:
    """Check that a new cost fits under each ceiling.

    Args:
        ceilings: The ceilings.
        spent: Returns what the entries since a moment, with a scope, have spent and reserved.
        wanted: The new cost.

    Raises:
        BudgetExceededError: it does not fit.
    """
    for ceiling in ceilings:
        left = ceiling.usd - spent(ceiling.since, ceiling.scope)
        if wanted > left:
            raise ceiling.refusal(wanted, left)


def check_budget(budget: Budget, spent: Decimal, wanted: Decimal) -> None:
    """Check that a new cost fits into the budget, next to what is spent and reserved.

    Raises:
        BudgetExceededError: it does not fit.
    """
    if spent + wanted > budget.usd:
        left = max(budget.usd - spent, Decimal(0))
        raise BudgetExceededError(
            f"This video would cost {dollars(wanted)}, and {dollars(left)} is left of the budget of {budget}.",
            hint=_WINDOW_HINT if budget.per else None,
        )


def round_up(usd: Decimal) -> Decimal:
    """Round an amount up to whole trillionths of a dollar, which SQL adds up exactly. Budgets count in these."""
    exponent = usd.as_tuple().exponent
    return usd.quantize(_TRILLIONTH, ROUND_CEILING) if isinstance(exponent, int) and exponent < -12 else usd


def to_trillionths(usd: Decimal) -> int:
    """Return an amount as whole trillionths of a dollar, rounded up; nine million dollars are the most."""
    return min(int(round_up(usd).scaleb(12)), _MAX_TRILLIONTHS)


def from_trillionths(trillionths: int) -> Decimal:
    """Return a sum as US dollars, without trailing zeros."""
    amount = Decimal(trillionths).scaleb(-12).normalize()
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount


def _window(span: timedelta) -> str:
    if span % timedelta(days=1):
        return str(span)
    return "day" if span.days == 1 else f"{span.days} days"
