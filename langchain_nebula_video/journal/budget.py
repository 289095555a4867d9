"""A ceiling on what the tasks of a journal may cost together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.schema import dollars

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A ceiling on what a journal's tasks may cost together.

    Args:
        usd: The ceiling in US dollars; a string, an int or a `Decimal` (a float is read by its digits).
        per: The window that slides along with time, or `None`: for good.
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
        """The budget as plain data; options take it back."""
        return {"usd": str(self.usd), "per": self.per.total_seconds() if self.per else None}

    def __str__(self) -> str:
        return dollars(self.usd) + (f" per {_window(self.per)}" if self.per else " in all")


def _window(span: timedelta) -> str:
    if span % timedelta(days=1):
        return str(span)
    return "day" if span.days == 1 else f"{span.days} days"
