"""The question before a fleet pays."""

from __future__ import annotations

from decimal import Decimal

from langchain_nebula_video.cli.confirmation import ask
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.fleet.words import amount, count_all

__all__ = ["ask_to_pay", "describe_price"]


def describe_price(usd: Decimal, unpriced: int = 0) -> str:
    """Return an estimate in words. What has no known price is told apart."""
    if unpriced:
        return (
            f"about {amount(usd)}, and {unpriced:,} whose price is not known here" if usd else "a price not known here"
        )
    return f"about {amount(usd)}" if usd else "a price not known here"


def ask_to_pay(
    output: Output,
    count: int,
    usd: Decimal,
    unpriced: int = 0,
    *,
    left: Decimal | None = None,
    place: str | None = None,
) -> bool:
    """Ask whether so many videos are to be paid for.

    Args:
        output: Where to ask.
        count: How many videos.
        usd: Their estimate, in US dollars.
        unpriced: How many of them have no known price.
        left: What the budget has left: what does not fit is not begun.
        place: Where it is paid.

    Raises:
        InvalidRequestError: there is no terminal to ask on.
    """
    price = describe_price(usd, unpriced) if left is None or usd <= left else f"at most {amount(left)}"
    costs = f"{count_all(count, 'video')}{f' at {place}' if place else ''}"
    return ask(output, f"Pay {price} for {costs}?", f"this costs money: {price} for {costs}", "to pay")
