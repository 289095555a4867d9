"""Checks of a set-up with free calls: options, key, network, journal, stores. Nothing is submitted.

Each check has a limit of time, and a fault in one does not stop the others.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.cli import findings
from langchain_nebula_video.cli.findings import Finding, Level
from langchain_nebula_video.cli.gateway_check import check_account, check_way
from langchain_nebula_video.cli.options import STORE_VARIABLE
from langchain_nebula_video.cli.reconcile import find_lost_hint
from langchain_nebula_video.cli.sample_image import make_sample_image
from langchain_nebula_video.errors import InvalidRequestError, NebulaVideoError, printable
from langchain_nebula_video.journal import EntryState, SqlJournal
from langchain_nebula_video.lifecycle.account import environment_key, parse_key, resolve_base_url
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.publishing import ImagePublisher
from langchain_nebula_video.saving.secrets import redact
from langchain_nebula_video.saving.targets import absolute_name, check_target
from langchain_nebula_video.saving.trial import expected_size, try_target
from langchain_nebula_video.transport import SystemClock, run_sync
from langchain_nebula_video.transport.probe import bounded

__all__ = ["Checkup"]

_DISTRIBUTION = "langchain-nebula-video"
_LIBRARIES = ("httpx", "pydantic", "langchain-core")
_ALL = "all"
"""The extra that holds all others."""
_JOURNAL_SECONDS = 20.0
_STORE_SECONDS = 45.0
_STORE_HINT = "Give the image's public https address, or --image-store to lend it one."
_OPEN = (EntryState.SUBMITTED, EntryState.RUNNING, EntryState.UNCONFIRMED)
_HOLDER = "nebula-video doctor"


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """Checks one set-up."""

    offer: Offer
    base_url: str | None
    """What the command line says; `None`: it says nothing."""
    allow_http: bool
    settings: Mapping[str, Any]
    """More keyword arguments for the client."""
    open_journal: Callable[[], SqlJournal]
    group_ratio: Decimal | None
    save_to: str
    key_in_address: bool
    """Whether the key's log may be asked for with the key in the address."""

    def run(self) -> Iterator[Finding]:
        """Yield what each check has seen, in some seconds, or in about two minutes if nothing answers."""
        checks = {
            "versions": self._check_versions,
            "model": self._check_model,
            "address": self._check_address,
            "key": self._check_key,
            "network": self._check_network,
            "account": self._check_account,
            "journal": self._check_journal,
            "saving": self._check_saving,
            "image store": self._check_image_store,
        }
        for name, check in checks.items():
            try:
                yield from check()
            except NebulaVideoError as error:
                yield Finding(name, Level.FAULT, error.what, error.hint, error)
            except TimeoutError:
                yield Finding(name, Level.UNKNOWN, "not seen: it took too long", "Try again later.")
            except Exception as error:  # noqa: BLE001 a fault in one check must not stop the others
                yield Finding(name, Level.UNKNOWN, f"not seen: {type(error).__name__}")

    # --- this machine ---

    def _check_versions(self) -> Iterator[Finding]:
        found = [f"{name} {importlib.metadata.version(name)}" for name in (_DISTRIBUTION, *_LIBRARIES)]
        yield Finding("versions", Level.OK, ", ".join([*found, f"Python {platform.python_version()}"]))
        extras = _find_extras()
        missing = ", ".join(name for name, whole in extras.items() if not whole)
        names = ", ".join(name for name, whole in extras.items() if whole) or "none"
        yield Finding("extras", Level.OK, names + (f"; not installed: {missing}" if missing else ""))

    def _check_model(self) -> Iterator[Finding]:
        seen = f"{self.offer.model.name} at {self.offer.gateway.name}"
        if self.offer.prices:
            yield Finding("model", Level.OK, f"{seen}; its prices are known")
        else:
            yield Finding("model", Level.WARNING, f"{seen}; no price is known", "A budget needs one: --price.")

    def _check_address(self) -> Iterator[Finding]:
        variable = self.offer.gateway.url_variable
        source = "--base-url" if self.base_url else variable if os.environ.get(variable) else "the default"
        yield Finding("address", Level.OK, f"{printable(self._url())} ({source})")

    def _url(self) -> str:
        return resolve_base_url(self.offer.gateway, self.base_url, allow_http=self.allow_http)

    def _check_key(self) -> Iterator[Finding]:
        variable = self.offer.gateway.key_variable
        key = self._key()
        if key is None:
            others = sorted(row.key_variable for row in GATEWAYS.values() if os.environ.get(row.key_variable))
            also = f" There is {', '.join(others)}." if others else ""
            raise InvalidRequestError(f"{variable} is not set.{also}", hint=f"Set it: export {variable}=…")
        yield findings.judge_key_form(key.get_secret_value(), variable)

    def _key(self) -> SecretStr | None:
        given = self.settings.get("api_key")
        return environment_key(self.offer.gateway) if given is None else parse_key(str(given), "api_key")

    # --- the gateway ---

    def _check_network(self) -> Iterator[Finding]:
        if self.settings.get("http_client") is not None:
            yield Finding("network", Level.UNKNOWN, "not looked at: the HTTP client is your own")
            return
        yield from check_way(self._url(), self._now())

    def _now(self) -> datetime:
        now: datetime = (self.settings.get("clock") or SystemClock()).utcnow()
        return now

    def _check_account(self) -> Iterator[Finding]:
        context = self._context()
        if context is None:
            yield Finding("connection", Level.UNKNOWN, "not tried: it needs an address and a key")
            return
        yield from check_account(context, self.offer, group_ratio=self.group_ratio, key_in_address=self.key_in_address)

    def _context(self) -> Context | None:
        """Return what requests need; `None`: there is no usable key or no address, which is a finding already."""
        try:
            usable = self._key() is not None and bool(self._url())
        except InvalidRequestError:
            return None
        if not usable:
            return None
        address = {"base_url": self.base_url, "allow_http": self.allow_http}
        given = {**address, "group_ratio": self.group_ratio, **self.settings, "image_store": self._image_store()}
        options = LifecycleOptions(gateway=self.offer.gateway.name, **given)
        return Context(options, options.blocking_lifecycle().runtime)

    def _image_store(self) -> Any:
        return self.settings.get("image_store") or os.environ.get(STORE_VARIABLE) or None

    # --- what is kept ---

    def _check_journal(self) -> Iterator[Finding]:
        yield from bounded(lambda: list(self._look_at_journal()), _JOURNAL_SECONDS, name="journal")

    def _look_at_journal(self) -> Iterator[Finding]:
        journal = self.open_journal()
        version = journal.schema_version()
        journal.release("no such entry", _HOLDER)  # a change of nothing needs the right to write
        seen = f"{printable(journal.printable_url)} opens and can be written, schema {version}"
        yield Finding("journal", Level.OK, seen)
        entries = journal.entries(states=_OPEN)
        yield from findings.judge_tasks(entries, self.offer.gateway, searchable=find_lost_hint(self.offer.gateway))

    def _check_saving(self) -> Iterator[Finding]:
        model = self.offer.model
        size = expected_size(model.default_resolution, model.default_duration, model.fps)
        check_target(self.save_to)
        bounded(lambda: try_target(self.save_to, size), _STORE_SECONDS, name="saving")
        place = redact(absolute_name(self.save_to), self.save_to)
        yield Finding("saving", Level.OK, f"{printable(place)} takes a file")

    def _check_image_store(self) -> Iterator[Finding]:
        store, context = self._image_store(), self._context()
        if store is None:
            hint = self.offer.gateway.bytes_hint
            seen = "none: local images go inside the request" + (", and may be refused" if hint else "")
            yield Finding("image store", Level.UNKNOWN if hint else Level.OK, seen, _STORE_HINT if hint else "")
            return
        if context is None or not isinstance(store, str):
            why = "it is a function of your own" if context is not None else "it needs an address and a key"
            yield Finding("image store", Level.UNKNOWN, f"not tried: {why}")
            return
        deadline = context.runtime.now() + _STORE_SECONDS
        publisher = ImagePublisher(context)
        works = bounded(
            lambda: run_sync(publisher.try_out(make_sample_image(), "image/png", deadline)),
            _STORE_SECONDS,
            name="image store",
        )
        place = printable(redact(store, store))
        if works:
            yield Finding("image store", Level.OK, f"{place} takes an image and signs an address that works")
        else:
            todo = "If the gateway can reach the store, it is fine. Otherwise name a public one."
            yield Finding("image store", Level.WARNING, f"{place}: its address gave no image from here", todo)


def _find_extras() -> dict[str, bool]:
    """Return the extras of this package, and whether all packages of each are installed."""
    found: dict[str, bool] = {}
    for requirement in importlib.metadata.requires(_DISTRIBUTION) or ():
        match = re.fullmatch(r"([\w.-]+)[^;]*;\s*extra\s*==\s*['\"](\w+)['\"]", requirement)
        if match and match[2] != _ALL:
            found[match[2]] = found.get(match[2], True) and _is_installed(match[1])
    return dict(sorted(found.items()))


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
