"""The plan of a batch: each row checked, its key, its price, and what the journal knows of it. Nothing is sent."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.offers import build_request, find_offer, parse_prices
from langchain_nebula_video.cli.client import price_table
from langchain_nebula_video.cli.sources.rows import BrokenRow, Row
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.arguments import check_key
from langchain_nebula_video.lifecycle.orders import Order, content_key, content_text, differing_fields, make_order
from langchain_nebula_video.media.urls import is_local_name, is_loopback
from langchain_nebula_video.saving.targets import exists
from langchain_nebula_video.schema import Cost, VideoRequest

if TYPE_CHECKING:
    from langchain_nebula_video.cli.client import ClientFactory

__all__ = ["Item", "Plan", "Planner", "Standing"]

_OWN_KEY = "Give each video a key of its own."
_UNBILLED = frozenset({EntryState.FAILED, EntryState.CANCELED})


class Standing(StrEnum):
    """What a row still needs."""

    NEW = "new"
    """It is paid for if it is run."""
    PAID = "paid"
    """Its task is in the journal and is gone on with. Nothing is paid."""
    MADE = "made"
    """Its video is saved. Nothing is left to do."""
    FAILED = "failed"
    """An earlier run's task failed. It was not billed."""
    SAME = "same"
    """An earlier row of this batch asks for the very same video."""


@dataclass(slots=True)
class Item:
    """A row that can become a video."""

    row: Row
    request: VideoRequest
    key: str
    cost: Cost
    standing: Standing
    entry: Entry | None = None
    """The journal's entry of the key, if there is one."""
    files: Mapping[Path, str] = field(default_factory=dict)
    """The files of its images, with the SHA-256 of what was in them."""

    def check_files(self) -> None:
        """Check that its images are those of which the key was made and the price was asked.

        Otherwise a video of the new image would be paid for under the key of the old one, and again in the next run.

        Raises:
            InvalidRequestError: they are not.
        """
        for path, digest in self.files.items():
            try:
                same = hashlib.sha256(path.read_bytes()).hexdigest() == digest
            except OSError:
                same = False
            if not same:
                raise InvalidRequestError(
                    f"{printable(path)} has changed since the batch began.",
                    hint="Run the same command again: the next run takes it as it is then.",
                )

    @property
    def label(self) -> str:
        """What a person recognizes the row by: the image's name, else the prompt."""
        image = self.request.image or next(iter(self.request.reference_images), None)
        if isinstance(image, Path):
            return image.name
        if isinstance(image, str) and image[:5].lower() != "data:":
            return urlsplit(image).path.rpartition("/")[2] or image
        return self.request.prompt or self.row.where


@dataclass(slots=True)
class Plan:
    """What a batch will do."""

    items: list[Item] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Standing]:
        """How many rows there are of each standing."""
        return Counter(item.standing for item in self.items)

    @property
    def to_run(self) -> list[Item]:
        """The rows that are left to do."""
        return [item for item in self.items if item.standing in {Standing.NEW, Standing.PAID}]

    @property
    def new_costs(self) -> list[Cost]:
        """The estimates of what will be paid for."""
        return [item.cost for item in self.items if item.standing is Standing.NEW]


class Planner:
    """Checks rows against the model, the gateway and the journal.

    Args:
        factory: The command's gateway, model, prices and journal.
        defaults: Fields of a request that hold where a row does not set them.
        fit: Whether images are made to fit.
        retry_failed: Whether a row whose task has failed gets a new one.
    """

    def __init__(
        self, factory: ClientFactory, defaults: Mapping[str, Any], *, fit: bool = False, retry_failed: bool = False
    ) -> None:
        self._factory = factory
        self._defaults = defaults
        self._fit = fit
        self._retry_failed = retry_failed
        target = factory.target
        self._gateway = find_gateway(target.gateway)
        self._prices = parse_prices(price_table(target, factory.payment.price))
        self._ratio = Decimal(1) if factory.payment.group_ratio is None else factory.payment.group_ratio
        self.host = factory.host()
        self._first: dict[str, Mapping[str, Any]] = {}

    def plan(self, rows: Sequence[Row], broken: Sequence[BrokenRow]) -> Plan:
        """Return the plan of these rows; what cannot become a video is added to the broken ones."""
        plan = Plan(broken=list(broken))
        for row in rows:
            try:
                plan.items.append(self._item(row))
            except InvalidRequestError as error:
                plan.broken.append(BrokenRow(row.where, " ".join(part for part in (error.what, error.hint) if part)))
        return plan

    def _item(self, row: Row) -> Item:
        check_key(row.key)
        given = {**self._defaults, **row.fields}
        # The library takes these pairs too, with a Python warning.
        if given.get("template"):
            given["prompt"] = ""
        if given.get("audio_url"):
            given["generate_audio"] = False
        request = build_request(given, {})
        offer = find_offer(
            request.model or self._factory.target.model or self._gateway.default_model, self._gateway, self._prices
        )
        order = make_order(request, offer, self._ratio, None, local_names=is_local_name(self.host), fit=self._fit)
        if row.key is None:
            key, entry = self._newest_attempt(self._key(order))
        else:
            key, entry = row.key, self._factory.journal.find(key=row.key)
        standing = _standing(entry, self._factory.out)
        if row.key is not None:
            self._check_own_key(key, order, None if standing is Standing.NEW else entry)
        # The order holds the images' bytes; of two hundred rows they would fill the memory.
        item = Item(row, order.request, key, order.cost, standing, entry, _files(order))
        if key in self._first:
            item.standing = Standing.SAME
        self._first.setdefault(key, order.summary)
        return item

    def _check_own_key(self, key: str, order: Order, entry: Entry | None) -> None:
        """Check that a key of one's own stands for this video, as the client does before it pays.

        Raises:
            InvalidRequestError: it stands for another one.
        """
        others = [self._first[key]] if key in self._first else []
        others += [] if entry is None else [entry.request]
        differing = sorted({name for other in others for name in differing_fields(other, order.summary)})
        if differing:
            raise InvalidRequestError(
                f"The key {key!r} belongs to another request: it differs in {', '.join(differing)}.",
                hint=_OWN_KEY,
            )
        if entry is not None and entry.gateway != self._gateway.name:
            raise InvalidRequestError(f"The key {key!r} belongs to a video of {entry.gateway}.", hint=_OWN_KEY)
        if entry is not None and entry.play_money and not is_loopback(self.host):
            raise InvalidRequestError(f"The key {key!r} belongs to a video of an emulator.", hint=_OWN_KEY)

    def _key(self, order: Order) -> str:
        """Return the key of an order: the content of its images, its other fields, and the gateway.

        An address stands for its image, whatever its signature is. The emulator on this machine has keys of its own, so
        that a rehearsal stands for no real video.
        """
        digests = {name: [image.digest for image in found] for name, found in order.images.items()}
        return content_key(content_text(self._gateway.name, order.request, digests, play=is_loopback(self.host)))

    def _newest_attempt(self, key: str) -> tuple[str, Entry | None]:
        """Return the key and the entry of the newest attempt, or of the one that follows a failed one."""
        entry: Entry | None = None
        for attempt in _attempts(key):
            found = self._factory.journal.find(key=attempt)
            if found is None:
                again = self._retry_failed and entry is not None and entry.state in _UNBILLED
                return (attempt, None) if entry is None or again else (key, entry)
            key, entry = attempt, found
        raise AssertionError("attempts do not end")


def _attempts(key: str) -> Iterator[str]:
    yield key
    yield from (f"{key}-{number}" for number in itertools.count(2))


def _standing(entry: Entry | None, out: str | None) -> Standing:
    if entry is None or (entry.state is EntryState.SUBMITTING and entry.sent_at is None):
        return Standing.NEW
    if entry.state in _UNBILLED:
        return Standing.FAILED
    path = (entry.video or {}).get("path")
    saved = entry.state is EntryState.SUCCEEDED and path is not None and exists(path, out)
    return Standing.MADE if saved else Standing.PAID


def _files(order: Order) -> dict[Path, str]:
    request = order.request
    given = {
        "image": (request.image,),
        "last_image": (request.last_image,),
        "reference_images": request.reference_images,
    }
    return {
        path: image.digest.removeprefix("sha256:")
        for name, images in order.images.items()
        for path, image in zip(given[name], images, strict=True)
        if isinstance(path, Path)
    }
