"""Numbers and money as a fleet tells them to people: one way for all of its output."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["amount", "count_all"]


def count_all(number: int, noun: str) -> str:
    """Return a number with its thousands apart, and its noun, in the plural if need be."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def amount(usd: Decimal) -> str:
    """Return dollars: in cents from one dollar on, because large sums are read here."""
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}"
