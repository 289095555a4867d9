"""What a task costs: an estimate, until the bill is known. Pure: no I/O, no clock.

| a figure                                           | counts                                                       |
|----------------------------------------------------|--------------------------------------------------------------|
| the whole amount, as the bill's                    | always: it is the bill                                       |
| our price x reported seconds x a known ratio, of a | as the bill                                                  |
| succeeded task, where bills are made like that     |                                                              |
| a price, a ratio or an amount before the bill      | if it raises the estimate, to less than a hundred times it   |
| our price x seconds x ratio                        | as the estimate                                              |

A ratio is known if the caller passed it and no answer contradicts it. A gateway may hide the account's ratio and a
site's discount, so a ratio that nobody passed is a guess, and its product an estimate.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from pydantic import ValidationError

from langchain_nebula_video.catalog.offers import compute_cost
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.protocols import TaskSnapshot
from langchain_nebula_video.schema import Cost, Task, TaskStatus

__all__ = ["Pricing"]

logger = logging.getLogger("langchain_nebula_video")

_ABSURD = 100
_TOLD_RESOLUTION = "720p"
"""What an answer's `model_price` stands for, whatever was made: the published code of the Nebula gateway writes the
base price there, 2025-12 (relay/relay_task.go)."""
_TRILLIONTH = Decimal("1e-12")
_CLOSE = Decimal("0.000002")
"""One unit of new-api's quota in dollars: amounts closer than this are the same."""


class Pricing:
    """The prices of one client.

    Args:
        options: What the caller set.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._gateway = options.gateway_row

    def find_price(self, model: str, resolution: str | None, sound: bool) -> Decimal | None:
        """Return a model's price per second at a resolution, with or without sound; `None`: unknown."""
        try:
            return self._options.offer(model).price_per_second(resolution, sound=sound) if model else None
        except InvalidRequestError:  # the model has no row
            return None

    def cost_of_entry(self, model: str, entry: Entry | None) -> Cost:
        """Return what the journal knows of a task's cost: the bill, else the reservation or an estimate.

        Args:
            model: The model; `""`: unknown.
            entry: The task's entry; `None`: the journal has none.
        """
        request: Mapping[str, Any] = entry.request if entry else {}
        duration = request.get("duration")
        estimate = compute_cost(
            self.find_price(model, request.get("resolution"), self._asks_sound(request)),
            duration if isinstance(duration, int | float) else None,
            self._gateway,
            group_ratio=self._options.current_group_ratio(),
        )
        if entry is None:
            return estimate
        # The gateway may have told the amount when it took the task, and never tells it again.
        return _journaled_bill(entry) or self._raise_to(estimate, entry.reserved_usd)

    def cost_of_submit(self, estimate: Cost, told_usd: Decimal | None) -> Cost:
        """Return the cost of a task that was just accepted: the estimate, or the amount of the answer if it is more."""
        if _is_absurd(told_usd, estimate):
            logger.warning(
                "%s says that the video costs %s dollars, which is not believed: the estimate is %s.",
                self._gateway.name,
                told_usd,
                estimate,
            )
            return estimate
        return self._raise_to(estimate, told_usd)

    def cost_of_answer(self, task: Task, snapshot: TaskSnapshot) -> Cost:
        """Return what a task costs according to an answer about it. A failed task costs nothing."""
        if snapshot.status in {TaskStatus.FAILED, TaskStatus.CANCELED}:
            return compute_cost(Decimal(0), 0, self._gateway, billed=True)
        known = task.cost if task.cost.basis == "billed" and task.cost.usd else None
        if known is not None and not snapshot.billed:  # the key's log may have told it, which knows more
            return known
        bill = self._bill(task, snapshot) if snapshot.status is TaskStatus.SUCCEEDED else None
        if bill is not None and bill.usd:  # nothing is what a gateway says before it has counted
            return bill
        return known or self._estimate(task, snapshot)

    def _bill(self, task: Task, snapshot: TaskSnapshot) -> Cost | None:
        """Return the bill of a succeeded task; `None`: the answer does not tell it."""
        price, certain = self._price(task, snapshot)
        seconds = snapshot.billed_seconds or snapshot.seconds
        known_ratio = self._options.known_group_ratio()
        if snapshot.billed and snapshot.amount_usd is not None:
            ratio = snapshot.group_ratio or known_ratio or task.cost.group_ratio
            return self._whole(snapshot.amount_usd, compute_cost(price, seconds, self._gateway, group_ratio=ratio))
        ratio_of_bill = known_ratio if snapshot.group_ratio is None else snapshot.group_ratio
        if snapshot.billed and certain and seconds and ratio_of_bill is not None:
            return compute_cost(price, seconds, self._gateway, group_ratio=ratio_of_bill, billed=True)
        # Figures that an answer marks as no bill contradict the rule, so it is not applied to them.
        silent = snapshot.price_per_second is None and snapshot.group_ratio is None
        if not (self._gateway.charges_list_price and silent and known_ratio is not None):
            return None
        product = compute_cost(price, seconds, self._gateway, group_ratio=known_ratio)
        if product.usd is None or snapshot.resolution is None:
            return None
        unit = self._gateway.bill_unit
        usd = product.usd if unit is None else (product.usd / unit).to_integral_value(ROUND_FLOOR) * unit
        return self._whole(usd, product)

    def _estimate(self, task: Task, snapshot: TaskSnapshot) -> Cost:
        own, _ = self._price(task, replace(snapshot, price_per_second=None))
        price, _ = self._price(task, snapshot)
        seconds = snapshot.billed_seconds or snapshot.seconds
        asked = None if task.duration is None else Decimal(str(task.duration))
        if seconds is None or (asked and seconds >= _ABSURD * asked):
            seconds = asked
        ratio = task.cost.group_ratio
        expected = compute_cost(own, seconds, self._gateway, group_ratio=ratio)
        if snapshot.group_ratio is not None:
            ratio = max(ratio, self._options.believed_group_ratio(snapshot.group_ratio))
        estimate = compute_cost(price, seconds, self._gateway, group_ratio=ratio)
        told = task.cost.usd if task.cost.price_per_second is None else None
        raised = self._raise_to(estimate, told)
        return raised if _is_absurd(snapshot.amount_usd, expected) else self._raise_to(raised, snapshot.amount_usd)

    def _price(self, task: Task, snapshot: TaskSnapshot) -> tuple[Decimal | None, bool]:
        """Return the price per second of what was made, and whether the answer agrees with it.

        Our own table has a price for each resolution. The answer has one price, and not always that of the resolution.
        """
        resolution = snapshot.resolution or task.resolution
        sound = self._has_sound(task, snapshot)
        own, told = self.find_price(task.model, resolution, sound), snapshot.price_per_second
        if own is None or told is None or told == own:
            return (told if own is None else own), True
        if resolution == _TOLD_RESOLUTION:
            believed = snapshot.billed or own < told < _ABSURD * own
            return (told if believed else own), True
        if told == self.find_price(task.model, _TOLD_RESOLUTION, sound):
            return own, True
        return (told if own < told < _ABSURD * own else own), False

    def _has_sound(self, task: Task, snapshot: TaskSnapshot) -> bool:
        """Whether a video has sound. If nobody says so, the price of the task tells what was asked for."""
        if snapshot.sound is not None:
            return snapshot.sound
        silent = self.find_price(task.model, task.resolution, False)
        return silent is None or task.cost.price_per_second != silent

    def _asks_sound(self, request: Mapping[str, Any]) -> bool:
        """Whether a request is for a video with sound. Without a request it is: that is the higher price."""
        asks = request.get("generate_audio") or request.get("audio_url")
        return not request or bool(asks) or "generate_audio" in self._gateway.always_on

    def _raise_to(self, cost: Cost, usd: Decimal | None) -> Cost:
        """Return the cost, or an estimate of this amount if that is more."""
        if not usd or (cost.usd is not None and usd <= cost.usd):
            return cost
        return self._of_amount(usd, cost)

    def _whole(self, usd: Decimal, product: Cost) -> Cost:
        """Return the bill of an amount, with the factors of a product if they are its own."""
        bill = self._of_amount(usd, product).model_copy(update={"basis": "billed"})
        if product.usd is None or abs(product.usd - usd) >= _CLOSE:
            return bill
        return bill.model_copy(update={"price_per_second": product.price_per_second})

    def _of_amount(self, usd: Decimal, cost: Cost) -> Cost:
        """Return an estimate of this amount, which is no product of a price. A float's tail of digits is rounded."""
        exponent = usd.as_tuple().exponent
        tidy = usd.quantize(_TRILLIONTH) if isinstance(exponent, int) and exponent < -12 else usd
        return cost.model_copy(
            update={
                "usd": tidy,
                "cny": tidy * self._gateway.cny_per_usd,
                "price_per_second": None,
                "basis": "estimated",
            }
        )


def _is_absurd(told_usd: Decimal | None, estimate: Cost) -> bool:
    return told_usd is not None and bool(estimate.usd) and told_usd >= _ABSURD * (estimate.usd or 0)


def _journaled_bill(entry: Entry) -> Cost | None:
    """Return the bill that an entry's video has; `None`: it has none, or only an estimate."""
    try:
        cost = Cost.model_validate((entry.video or {}).get("cost"))
    except ValidationError:  # there is none, or a newer version wrote it otherwise
        return None
    return cost if cost.basis == "billed" else None
