"""The options of a batch: those of a client that hold for each of its videos, and can be stored."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

from pydantic import SecretStr

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.account import account_id
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.saving.names import target_text
from langchain_nebula_video.saving.targets import absolute_name
from langchain_nebula_video.schema import RequestFields

__all__ = [
    "BY_PATH",
    "BatchClientOptions",
    "account_mark",
    "check_whole",
    "check_worker_options",
    "parse_budget",
    "parse_moment",
    "parse_name",
    "parse_options",
]


class BatchClientOptions(TypedDict, total=False):
    """The client's keyword options that a batch takes; `Options` documents each. The others belong to a worker."""

    api_key: str | SecretStr | None
    gateway: str
    allow_http: bool
    base_url: str | None
    model: str | None
    prices: Mapping[str, Any] | None
    poll_interval: float | None
    timeout: float | None
    refusal_timeout: float | None
    save_to: str | Path | None
    image_folder: str | Path | None
    fit: bool
    image_store: str | None
    download_hosts: Sequence[str]
    group_ratio: Decimal | int | str | None
    sole_account: bool
    repeat_window: float | timedelta | None
    http2: bool


_OPTIONS = frozenset(get_type_hints(BatchClientOptions))
_OF_THE_WORKER = frozenset(get_type_hints(ClientOptions)) - _OPTIONS - {"budget"}
BY_PATH = "by_path"
"""Stands in a batch's settings if keys are made of the paths of local images. It is no option of a client. The same
list would have other keys with their content, and be paid once more: the batch refuses that."""
_MOST = 2**31 - 1
_YEARS = (1970, 9000)
_LONGEST_NAME = 500
"""Characters of a batch's name: PostgreSQL's indexes take 2,700 bytes."""
_OF_THE_BATCH = frozenset({"api_key", "gateway", "base_url", "allow_http", "model", "journal"})
"""What a worker must not have another way: the account, the video, and the record of what is paid."""
_NOT_STORED = {"api_key", "gateway", "allow_http", "base_url", "image_folder", "budget"}
"""The account stands in a table of its own, and a folder of images is read now."""


def parse_options(
    options: Mapping[str, Any], others: Collection[str], defaults: Mapping[str, Any] | None = None
) -> tuple[LifecycleOptions, dict[str, Any]]:
    """Check the options of a batch; return them, and those that are stored as plain data.

    Args:
        options: By name.
        others: What the caller takes besides, for suggestions.
        defaults: Fields of a request that hold where a row does not set them.

    Raises:
        InvalidRequestError: one is unknown, belongs elsewhere, or is not valid.
    """
    _check_defaults(defaults or {})
    for name in sorted(options.keys() - _OPTIONS):
        if name in _OF_THE_WORKER:
            raise InvalidRequestError(f"{name} is no option of a batch.", hint="Give it to the workers.")
        if name in get_type_hints(RequestFields):
            raise InvalidRequestError(
                f"{name} is a field of a request, and no option.",
                hint=f'Give it to all rows: defaults={{"{name}": …}}.',
            )
        suggestion = did_you_mean(name, [*_OPTIONS, *others]).strip()
        raise InvalidRequestError(f"{name} is no option of a batch.", hint=suggestion or "See BatchClientOptions.")
    if callable(options.get("image_store")):
        raise InvalidRequestError(
            "A function cannot be stored as the batch's image_store.",
            hint='Give it to the workers: FleetWorker(url, options={"image_store": …}).',
        )
    given: dict[str, Any] = dict(options)
    if given.get("save_to"):  # a worker has another working directory than this program
        given["save_to"] = absolute_name(target_text(given["save_to"]))
    client = LifecycleOptions(**given)
    settings = client.model_dump(mode="json", exclude_unset=True, exclude=_NOT_STORED)
    settings["model"] = client.offer(None).model.name  # a worker of another version may have another default
    return client, settings


def check_worker_options(options: Collection[str]) -> None:
    """Check the names of a worker's own options.

    Raises:
        InvalidRequestError: one is unknown, or says which video is made and who pays: that stands in the batch.
    """
    for name in options:
        if name in _OF_THE_BATCH:
            raise InvalidRequestError(f"{name} is no option of a worker.", hint="It stands in the batch.")
        if name not in get_type_hints(ClientOptions):
            suggestion = did_you_mean(name, [*get_type_hints(ClientOptions)]).strip()
            raise InvalidRequestError(f"{name} is no option of a client.", hint=suggestion)


def account_mark(gateway: str, base_url: str, api_key: SecretStr) -> str:
    """Return the mark of an account, which reveals neither key nor address.

    Two gateways may have one address and one key, such as `newapi` and `newapi-videos`. They speak differently, so each
    is an account of its own.
    """
    identity = f"{gateway}\n{account_id(base_url, api_key)}"
    return hashlib.blake2b(identity.encode(), digest_size=8, person=b"nebula-fleet").hexdigest()


def _check_defaults(defaults: Mapping[str, Any]) -> None:
    """Refuse a default that is no field of a request: every row would be broken by it."""
    fields = get_type_hints(RequestFields)
    for name in sorted(defaults.keys() - fields.keys()):
        raise InvalidRequestError(
            f"defaults has {name}, which is no field of a request.{did_you_mean(name, fields)}",
            hint="Options of the batch are keywords of their own.",
        )


def parse_name(batch: object) -> str:
    """Return a batch's name.

    Raises:
        InvalidRequestError: it is none.
    """
    if not isinstance(batch, str) or not batch.strip() or not batch.isprintable() or len(batch) > _LONGEST_NAME:
        raise InvalidRequestError(
            f"{batch!r:.80} is no name of a batch.",
            hint=f"Give a text in one line of at most {_LONGEST_NAME} characters, such as batch='cats'.",
        )
    return batch


def parse_budget(usd: Decimal | float | str | None) -> Decimal | None:
    """Return a budget in US dollars; `None`: there is none.

    Raises:
        InvalidRequestError: it is no amount.
    """
    try:
        amount = None if usd is None else Decimal(str(usd))
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount is not None and not (amount.is_finite() and amount >= 0):
        raise InvalidRequestError(f"The budget is {usd!r:.80}.", hint='Give US dollars, such as "5.00".')
    return amount


def check_whole(value: object, name: str, least: int = -_MOST) -> None:
    """Check a whole number that PostgreSQL is to keep.

    Raises:
        InvalidRequestError: it is none, or out of its range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
        raise InvalidRequestError(f"{name} is {value!r:.80}.", hint=f"Give a whole number from {least} to {_MOST}.")


def parse_moment(moment: datetime | None, name: str) -> datetime | None:
    """Return a moment.

    Raises:
        InvalidRequestError: it has no time zone, so that each machine would take it for another one.
    """
    if moment is not None and moment.tzinfo is None:
        raise InvalidRequestError(f"{name} has no time zone.", hint="Give datetime(…, tzinfo=UTC).")
    if moment is not None and not _YEARS[0] <= moment.year <= _YEARS[1]:  # in another time zone there may be no such
        raise InvalidRequestError(f"{name} is in the year {moment.year}.", hint="Give a moment of this time.")
    return moment
