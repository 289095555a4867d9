"""The price of a paid command, shown and accepted before anything is sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from langchain_nebula_video.cli.output import format_cost
from langchain_nebula_video.errors import BudgetExceededError, InvalidRequestError, printable
from langchain_nebula_video.media.urls import is_loopback
from langchain_nebula_video.schema import dollars

if TYPE_CHECKING:
    from langchain_nebula_video.catalog.gateways import Gateway
    from langchain_nebula_video.cli import options as opt
    from langchain_nebula_video.cli.output import Output
    from langchain_nebula_video.lifecycle.orders import Order

__all__ = ["ask", "ask_for_word", "confirm_price", "describe_place"]


def confirm_price(output: Output, order: Order, payment: opt.PaymentOptions, host: str) -> bool:
    """Show the price, ask for consent, and return whether it was given.

    Args:
        output: Where to ask.
        order: What would be paid for.
        payment: The most that it may cost, and whether consent was given already.
        host: Where the request would go.

    Raises:
        BudgetExceededError: the price is above `--max-cost`.
        InvalidRequestError: there is a `--max-cost` and the price is unknown, or there is no terminal to ask on.
    """
    request, cost, budget = order.request, order.cost, payment.max_cost
    known = cost.usd is not None
    price = f"about {format_cost(cost)}" if known else "a price that is not known here"
    has_sound = request.generate_audio or request.audio_url or "generate_audio" in order.offer.always_on
    sound = ", with sound" if has_sound else ""
    output.print_message(f"{request.model}: {request.duration} s at {request.resolution}{sound}, for {price}.")
    if budget is not None and cost.usd is None:
        raise InvalidRequestError(
            f"There is a --max-cost, and no price of {request.model} is known at {order.offer.gateway.name}.",
            hint=f"Say with --price what a second of video costs you, in {order.offer.gateway.currency}, "
            "or leave --max-cost out.",
        )
    if budget is not None and cost.usd is not None and cost.usd > budget.usd:
        raise BudgetExceededError(
            f"This video would cost {dollars(cost.usd)}, and --max-cost is {dollars(budget.usd)}.",
            hint="Raise --max-cost, or ask for a shorter or smaller video.",
        )
    if payment.yes:
        return True
    place = describe_place(order.offer.gateway, host)
    question = f"Pay {price} to {place}?" if known else f"Pay whatever it costs to {place}?"
    return ask(output, question, "this costs money", "to pay")


def describe_place(gateway: Gateway, host: str) -> str:
    """Return where money goes: the gateway and its host. On this machine it is an emulator or one's own."""
    return f"{gateway.title} ({printable(host)}{', this machine' if is_loopback(host) else ''})"


def ask(output: Output, question: str, why: str, purpose: str) -> bool:
    """Ask a question that is answered by yes or no.

    Args:
        output: Where to ask.
        question: The question.
        why: Why it is asked, for the error if nobody can be asked.
        purpose: What `--yes` is for, for the same error.

    Raises:
        InvalidRequestError: there is no terminal to ask on.
    """
    if output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        where = "With --json nobody is asked" if output.as_json else "There is no terminal to ask on"
        raise InvalidRequestError(f"{where}, and {why}.", hint=f"Add --yes {purpose} without being asked.")
    return _answer(output, f"{question} [y/N] ").lower() in {"y", "yes"}


def ask_for_word(output: Output, word: str, option: str) -> bool:
    """Ask a question that nobody answers in passing: the word has to be typed.

    Args:
        output: Where to ask.
        word: The word.
        option: The option that takes it, for the error if nobody can be asked.

    Raises:
        InvalidRequestError: there is no terminal to ask on.
    """
    if output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidRequestError("Nobody can be asked here.", hint=f"Add {option} {word} if that is meant.")
    return _answer(output, f"Type {word} to let go of it: ").removeprefix("$") == word


def _answer(output: Output, question: str) -> str:
    # Not input(): its prompt may go to stdout, which holds the result alone.
    output.console.print(question, end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        output.print_message()
    return answer.strip()
