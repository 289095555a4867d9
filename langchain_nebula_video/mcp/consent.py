"""A person's consent with the price, before anything is paid."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from langchain_nebula_video.errors import InvalidRequestError, Money, NebulaVideoError, printable
from langchain_nebula_video.lifecycle.orders import Order
from langchain_nebula_video.schema import Cost

__all__ = ["CONSENT_SCHEMA", "Ask", "ConsentRefusedError", "Tickets", "check_answer", "must_ask", "question"]

Ask = Callable[[Order], Awaitable[None]]
"""Asks a person about an order. It returns if they agree, and raises if they do not."""

CONSENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"pay": {"type": "boolean", "title": "Pay for this video"}},
    "required": ["pay"],
}
"""What the client's form asks for. Some clients cannot show an empty form."""

_MAX_PROMPT = 200
_MAX_OPEN = 1000


class ConsentRefusedError(NebulaVideoError):
    """The person who was asked did not agree to pay."""

    default_money = Money.NOT_SENT
    default_hint = "Ask for this video again only if the user says so."


def must_ask(confirm: Literal["auto", "always", "never"], *, can_ask: bool, has_budget: bool) -> bool:
    """Return whether a person is to be asked before this server pays.

    | `confirm` | the client can ask | it cannot                                  |
    |-----------|--------------------|--------------------------------------------|
    | `auto`    | asked              | paid within the budget; refused without one |
    | `always`  | asked              | refused                                    |
    | `never`   | paid               | paid                                       |

    Raises:
        InvalidRequestError: somebody must be asked, and this client cannot ask.
    """
    if confirm == "never":
        return False
    if can_ask:
        return True
    if confirm == "auto" and has_budget:
        return False
    ways = "--confirm never" if confirm == "always" else "--budget USD or with --confirm never"
    raise InvalidRequestError(
        "This server asks a person before it pays, and this client cannot ask (it has no MCP elicitation).",
        hint=f"Whoever runs the server can start it with {ways}.",
    )


def question(order: Order) -> str:
    """Return what the person reads."""
    request = order.request
    sound = request.generate_audio or request.audio_url or "generate_audio" in order.offer.always_on
    what = (
        f"{request.duration} s at {request.resolution}{', with sound' if sound else ''}, by {order.offer.model.title}"
    )
    prompt = printable(request.prompt)
    shown = prompt if len(prompt) <= _MAX_PROMPT else f"{prompt[:_MAX_PROMPT]}…"
    return f"Pay {_price(order.cost)} for a video? {what}. Prompt: {shown}"


def _price(cost: Cost) -> str:
    if cost.usd is None:
        return "a price that is not known here"
    return f"about {cost.model_copy(update={'basis': 'billed'})}"  # `about` says that it is an estimate


def check_answer(action: str, content: Mapping[str, Any] | None, order: Order) -> None:
    """Check a person's answer.

    Raises:
        ConsentRefusedError: it is not a clear yes.
    """
    if action == "accept" and (content or {}).get("pay") is True:
        return
    said = "dismissed the question" if action == "cancel" else "declined"
    raise ConsentRefusedError(f"The user was asked to pay {_price(order.cost)}, and {said}.")


class Tickets:
    """Questions that are open: each answer counts once, and for the very order that was asked about.

    In the protocol of 2026-07-28 a client answers by repeating its call, with the answer and the state that it was
    given. The state is sealed by the server, but a client may send it twice.
    """

    def __init__(self) -> None:
        self._open: dict[str, str] = {}

    def issue(self, order: Order) -> str:
        """Return the state to ask with."""
        ticket = secrets.token_urlsafe(16)
        while len(self._open) >= _MAX_OPEN:  # the oldest: nobody has answered
            del self._open[next(iter(self._open))]
        self._open[ticket] = order.digest
        return ticket

    def redeem(self, ticket: str | None, order: Order) -> bool:
        """Return whether this is an open question about this very order. It is closed then."""
        return ticket is not None and self._open.get(ticket) == order.digest and self._open.pop(ticket) is not None
