"""What a paid command does before it pays: read, check, price, ask. And what Ctrl-C means afterwards."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.offers import Offer, build_request, find_offer, parse_prices
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.journal import Book
from langchain_nebula_video.cli.output import priced
from langchain_nebula_video.client import NebulaVideoClient
from langchain_nebula_video.errors import (
    BudgetExceededError,
    DownloadError,
    InvalidRequestError,
    Money,
    NebulaVideoError,
    SubmissionUnconfirmedError,
    TaskError,
)
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.lifecycle.orders import Order, make_order
from langchain_nebula_video.schema import dollars

if TYPE_CHECKING:
    from langchain_nebula_video.cli.output import Voice

__all__ = ["Access", "agree", "image_of", "interrupted", "ordered", "picture", "price_table"]

_SCHEME = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://", re.IGNORECASE)


def price_table(place: opt.Place, price: Decimal | None) -> dict[str, Decimal] | None:
    """`--price` as the library takes it: for the model that is meant.

    Raises:
        InvalidRequestError: there is no such gateway.
    """
    return None if price is None else {place.model or find_gateway(place.gateway).default_model: price}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a command goes and how, from its options."""

    place: opt.Place
    terms: opt.Terms = field(default_factory=opt.Terms)
    out: str | None = None
    """Where videos are saved; `None`: they are not."""
    download_hosts: Sequence[str] | None = None
    """Whence they may be fetched though it is not public."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further keywords for the client."""
    journal: Book = field(default_factory=Book)

    def offer(self) -> Offer:
        """The model as the gateway serves it.

        Raises:
            InvalidRequestError: it does not.
        """
        row = find_gateway(self.place.gateway)
        return find_offer(
            self.place.model or row.default_model, row, parse_prices(price_table(self.place, self.terms.price))
        )

    def client(self) -> NebulaVideoClient:
        """The client. Its key comes from the environment alone: a command line is seen by others.

        Raises:
            InvalidRequestError: there is no key, or an option cannot work.
        """
        place, row = self.place, find_gateway(self.place.gateway)
        if "api_key" not in self.settings and not os.environ.get(row.key_variable):
            raise InvalidRequestError(
                f"There is no key: {row.key_variable} is not set.",
                hint=f"Set it with export {row.key_variable}=…; without a key there is: nebula-video demo",
            )
        if not (place.base_url or row.base_url or os.environ.get(row.url_variable)):
            raise InvalidRequestError(
                f"The gateway {row.name} has no address of its own: every deployment has another.",
                hint=f"Set it with export {row.url_variable}=…, or with --base-url.",
            )
        return NebulaVideoClient(
            gateway=place.gateway,
            model=place.model,
            base_url=place.base_url,
            prices=price_table(place, self.terms.price),
            group_ratio=self.terms.group_ratio,
            save_to=self.out,
            journal=self.journal,
            **{"download_hosts": self.download_hosts or (), **self.settings},
        )

    def resume(self, task_id: str) -> str:
        """The command that goes on with a task."""
        words = ["nebula-video", "wait", task_id]
        for each in fields(self.place):
            value = getattr(self.place, each.name)
            if value != each.default:
                words += [opt.name_of(each), value]
        if self.out not in {None, opt.HERE}:
            words += ["--out", str(self.out)]
        for host in self.download_hosts or ():
            words += ["--download-host", host]
        return shlex.join(words)


def picture(argument: str) -> str | Path:
    """The image that a person means: here, unlike in the library, a string without a scheme is a file's name."""
    return argument if _SCHEME.match(argument) else Path(argument).expanduser()


def image_of(argument: str, max_bytes: int) -> str | bytes | Path | None:
    """The first frame that a person means, `none` or what is piped in among them.

    Raises:
        InvalidRequestError: stdin is meant and nothing is piped into it.
    """
    if argument == opt.NO_IMAGE:
        return None
    if argument != "-":
        return picture(argument)
    if sys.stdin.isatty():
        raise InvalidRequestError("The image is - and nothing is piped in.", hint="Pipe an image in, or name a file.")
    return sys.stdin.buffer.read(max_bytes + 1)


def ordered(voice: Voice, wish: opt.Wish, access: Access) -> Order:
    """The order of a wish, all of it checked, its images too.

    Raises:
        InvalidRequestError: it cannot work.
    """
    offer = access.offer()
    asked = {each.name: getattr(wish, each.name) for each in fields(wish)}
    # The library would take both too, and warn in Python's way.
    if wish.audio_url is not None and wish.generate_audio:
        voice.say("--audio-url wins over --audio.")
        asked["generate_audio"] = False
    if wish.template is not None and wish.prompt:
        voice.say("--template wins over the prompt.")
        asked["prompt"] = ""
    asked["image"] = image_of(wish.image, offer.gateway.images.max_bytes)
    asked["last_image"] = None if wish.last_image is None else picture(wish.last_image)
    asked["reference_images"] = tuple(map(picture, wish.reference_images or ()))
    return make_order(build_request(None, asked), offer, access.terms.group_ratio, None)


def agree(voice: Voice, order: Order, terms: opt.Terms) -> bool:
    """Show the price and have it accepted; whether it was.

    Raises:
        BudgetExceededError: it is above `--max-cost`.
        InvalidRequestError: it is not known and there is a `--max-cost`, or nobody is there to be asked.
    """
    request, cost, budget = order.request, order.cost, terms.max_cost
    known = cost.usd is not None
    price = f"about {priced(cost)}" if known else "a price that is not known here"
    sound = ", with sound" if request.generate_audio or request.audio_url else ""
    voice.say(f"{request.model}: {request.duration} s at {request.resolution}{sound}, for {price}.")
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
    if terms.yes:
        return True
    if voice.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        why = "With --json nobody is asked" if voice.as_json else "There is no terminal to ask on"
        raise InvalidRequestError(f"{why}, and this costs money.", hint="Add --yes to pay without being asked.")
    # Not input(): its prompt may go to stdout, which is the answer's.
    voice.people.print(f"Pay for it{'' if known else ', whatever it costs'}? [y/N] ", end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        voice.say()
    return answer.strip().lower() in {"y", "yes"}


def interrupted(journal: Book) -> NebulaVideoError:
    """What Ctrl-C means now: the journal knows how far the submit got."""
    entry = journal.own()
    if entry is None:
        return NebulaVideoError("Interrupted before anything was sent.")
    if entry.task_id is None:
        return SubmissionUnconfirmedError(
            "Interrupted while the submit was under way.",
            hint="Look at the gateway's console for a task of this moment; if there is none, repeat the command.",
        )
    if entry.state is EntryState.SUCCEEDED:
        return DownloadError("Interrupted while the video was being saved.", task_id=entry.task_id)
    return TaskError(
        f"Interrupted. Task {entry.task_id} goes on at {entry.gateway}.",
        task_id=entry.task_id,
        money=Money.RUNNING,
        hint="Do not submit it again.",
    )
