"""The client of a command, built from its options."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlsplit

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.offers import Offer, find_offer, parse_prices
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.client import AsyncNebulaVideoClient, NebulaVideoClient
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.account import resolve_base_url
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.saving.secrets import redact

__all__ = ["ClientFactory", "price_table"]


def price_table(target: opt.GatewayOptions, price: Decimal | None) -> dict[str, Decimal] | None:
    """Return `--price` as the library's `prices`, for the model that the options name.

    Raises:
        InvalidRequestError: there is no such gateway.
    """
    return None if price is None else {target.model or find_gateway(target.gateway).default_model: price}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFactory:
    """Builds the client from a command's options."""

    target: opt.GatewayOptions
    payment: opt.PaymentOptions = field(default_factory=opt.PaymentOptions)
    out: str | None = None
    """Where videos are saved; `None`: they are not saved."""
    download_hosts: Sequence[str] | None = None
    """Hosts outside the public internet that videos may be fetched from."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """More keyword arguments for the client."""
    journal: CommandJournal = field(default_factory=CommandJournal)

    def offer(self) -> Offer:
        """Return the model as the gateway serves it.

        Raises:
            InvalidRequestError: the gateway does not serve it.
        """
        row = find_gateway(self.target.gateway)
        prices = parse_prices(price_table(self.target, self.payment.price))
        return find_offer(self.target.model or row.default_model, row, prices)

    def host(self) -> str:
        """Return the host that requests go to.

        Raises:
            InvalidRequestError: the gateway has no address.
        """
        target = self.target
        url = resolve_base_url(find_gateway(target.gateway), target.base_url, allow_http=target.allow_http)
        return urlsplit(url).hostname or ""

    def client(self) -> NebulaVideoClient:
        """Return the client. Its key comes from the environment alone: other users can see a command line.

        Raises:
            InvalidRequestError: there is no key or no address, or an option is not valid.
        """
        return NebulaVideoClient(**self.client_options())

    def async_client(self) -> AsyncNebulaVideoClient:
        """Return the async client; see `client`."""
        return AsyncNebulaVideoClient(**self.client_options())

    def client_options(self) -> ClientOptions:
        """Return the keyword arguments of the client.

        Raises:
            InvalidRequestError: there is no key or no address.
        """
        target, row = self.target, find_gateway(self.target.gateway)
        if "api_key" not in self.settings and not os.environ.get(row.key_variable):
            raise InvalidRequestError(
                f"There is no key: {row.key_variable} is not set.",
                hint=f"Set it with export {row.key_variable}=…; without a key there is: nebula-video demo",
            )
        if not (target.base_url or row.base_url or os.environ.get(row.url_variable)):
            raise InvalidRequestError(
                f"The gateway {row.name} has no address of its own: every deployment has another.",
                hint=f"Set it with export {row.url_variable}=…, or with --base-url.",
            )
        options: dict[str, Any] = {
            "gateway": target.gateway,
            "model": target.model,
            "base_url": target.base_url,
            "allow_http": target.allow_http,
            "prices": price_table(target, self.payment.price),
            "group_ratio": self.payment.group_ratio,
            "save_to": self.out,
            "journal": self.journal,
            "download_hosts": self.download_hosts or (),
            **self.settings,
            "image_store": self.settings.get("image_store") or os.environ.get(opt.STORE_VARIABLE) or None,
        }
        return cast("ClientOptions", options)

    def target_words(self) -> list[str]:
        """Return the options of the command line that name the gateway and the model."""
        words = []
        for each in fields(self.target):
            value = getattr(self.target, each.name)
            if value != each.default:
                words += [opt.option_name(each), *([] if value is True else [value])]
        return words

    def resume_command(self, task_id: str) -> str:
        """Return the command line that waits for a task with these options."""
        words = ["nebula-video", "wait", task_id, *self.target_words()]
        if self.out not in {None, opt.DEFAULT_OUT}:
            words += ["--out", redact(self.out, self.out)]
        for host in self.download_hosts or ():
            words += ["--download-host", host]
        return shlex.join(words)
