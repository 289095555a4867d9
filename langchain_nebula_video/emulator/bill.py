"""Money: the bill, and the exchange rate between its two currencies."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from .enums import Currency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .enums import Dialect

# The rate on Nebula's page. It applies only where a gateway's dollars pay a price in yuan.
CNY_PER_USD = Decimal("7.2")
_RATES: Mapping[tuple[Currency, Currency], Decimal] = {
    (Currency.CNY, Currency.USD): 1 / CNY_PER_USD,
    (Currency.USD, Currency.CNY): CNY_PER_USD,
}


def convert(amount: Decimal, currency: Currency, to: Currency) -> Decimal:
    """Convert an amount from `currency` to `to`."""
    return amount if currency is to else amount * _RATES[currency, to]


@dataclass(frozen=True, slots=True)
class BillLine:
    """One charge: a task that succeeded."""

    task_id: str
    dialect: Dialect
    account: str
    model: str
    resolution: str
    seconds: int
    price: Decimal
    """Per second of video, in `currency`."""
    group_ratio: Decimal
    amount: Decimal
    """In `currency`."""
    currency: Currency
    at: float
    """When the task succeeded, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything that has been charged."""

    lines: tuple[BillLine, ...] = ()

    @property
    def usd(self) -> Decimal:
        """The exact sum of all charges in US dollars."""
        return self.total(Currency.USD)

    @property
    def cny(self) -> Decimal:
        """The exact sum of all charges in yuan."""
        return self.total(Currency.CNY)

    def total(self, currency: Currency) -> Decimal:
        """Return the sum of the lines in one currency. Nothing is converted."""
        return sum((line.amount for line in self.lines if line.currency is currency), Decimal(0))
