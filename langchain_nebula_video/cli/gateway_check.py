"""Checks of the way to a gateway, and of the key there: names, proxies, certificates, and the gateway's free calls."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.cli import findings
from langchain_nebula_video.cli.findings import Finding, Level
from langchain_nebula_video.errors import InvalidRequestError, NotSentError, RequestError, printable
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.key_log import KeyLog
from langchain_nebula_video.protocols import AccountCalls, Reply, WireRequest, is_unknown_task
from langchain_nebula_video.transport import run_sync
from langchain_nebula_video.transport.probe import bounded, peek_certificate, resolve_name
from langchain_nebula_video.transport.proxies import check_usable, find_gateway_proxy

__all__ = ["check_account", "check_way"]

_REQUEST_SECONDS = 15.0
_NAME_SECONDS = 5.0
_CERTIFICATE_SECONDS = 10.0
_NO_TASK = "00000000-0000-0000-0000-000000000000"
"""A task that no gateway has."""
_READ_LOG = "The key's log tells: add --key-log. It sends the key in an address, which servers on the way may log."


def check_way(url: str, now: datetime) -> Iterator[Finding]:
    """Look at proxy, name and certificate, without the key."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme.lower() == "https"
    proxy = find_gateway_proxy(url)
    if proxy is not None:
        try:
            check_usable(proxy)
        except NotSentError as error:
            yield Finding("proxy", Level.FAULT, error.what, error.hint, error)
            return
        yield Finding("proxy", Level.OK, f"{printable(proxy.host)}, by {proxy.variable}; it resolves {host}")
        return
    yield Finding("proxy", Level.OK, "none")
    port = parts.port or (443 if secure else 80)
    try:
        addresses = resolve_name(host, port, _NAME_SECONDS)
    except OSError as error:
        why = "no name server answered" if isinstance(error, TimeoutError) else error.strerror or str(error)
        failure = NotSentError(f"{host} has no address here: {why}.")
        yield Finding("name", Level.FAULT, failure.what, "Check base_url, and this machine's name server.", failure)
        return
    yield findings.judge_addresses(host, addresses)
    if secure:
        yield _check_certificate(host, port, now)


def _check_certificate(host: str, port: int, now: datetime) -> Finding:
    def peek() -> Finding:
        return findings.judge_certificate(peek_certificate(host, port, _CERTIFICATE_SECONDS), now)

    try:
        return bounded(peek, 2 * _CERTIFICATE_SECONDS, name="certificate")
    except ssl.SSLCertVerificationError as error:
        return findings.judge_certificate_error(error)
    except NotSentError as error:
        return Finding("certificate", Level.FAULT, error.what, error.hint, error)
    except OSError as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
        return Finding("certificate", Level.UNKNOWN, f"not seen: {printable(why)}")


def check_account(
    context: Context, offer: Offer, *, group_ratio: Decimal | None, key_in_address: bool
) -> Iterator[Finding]:
    """Ask the gateway what it tells about the key for free.

    Args:
        context: What requests need.
        offer: The model that will be asked for.
        group_ratio: The ratio that the caller passed.
        key_in_address: Whether the key's log may be asked for with the key in the address.
    """
    calls = context.protocol.account_calls
    if calls is None:
        yield Finding("connection", Level.UNKNOWN, "not tried: this gateway documents no free call")
        return
    yield from _Account(context, offer, calls, group_ratio, key_in_address).check()


@dataclass(frozen=True, slots=True)
class _Account:
    context: Context
    offer: Offer
    calls: AccountCalls
    group_ratio: Decimal | None
    key_in_address: bool

    def check(self) -> Iterator[Finding]:
        runtime, base_url = self.context.runtime, self.context.options.resolve_base_url()
        began = runtime.now()
        try:
            reply = self._send(self.calls.build_key_check(runtime.utcnow()))
        except RequestError as error:
            yield findings.judge_connection_error(error, urlsplit(base_url).hostname or "")
            return
        yield Finding("connection", Level.OK, f"answers in {runtime.now() - began:.2f} s")
        yield findings.judge_clock(_clock_offset(reply))
        try:
            self.context.raise_for_refusal(reply, paid=False)
        except RequestError as error:
            refused = findings.judge_key_refusal(error, self.offer.gateway)
            yield refused
            if refused.level is Level.FAULT:
                return
        else:
            yield Finding("key accepted", Level.OK, "yes")
            yield findings.judge_models(self.calls.parse_models(reply), self.offer)
        yield from self._check_key_facts()
        yield self._check_group_ratio()

    def _check_key_facts(self) -> Iterator[Finding]:
        """Look at the key's own limits, and whether it can read tasks."""
        wire = self.calls.build_key_facts()
        if wire is None:
            yield Finding("key's limits", Level.UNKNOWN, "not told by this gateway")
            return
        facts = None
        try:
            facts = self.calls.parse_key_facts(self._ask(wire), self._units())
        except RequestError as error:
            yield Finding("key's limits", Level.UNKNOWN, f"not told: {error.what}", "Try again in 20 minutes.")
        look: RequestError | None = None
        try:
            self._ask(self.context.protocol.build_fetch(_NO_TASK)[0])
        except RequestError as error:
            look = error
        reads = look is not None and is_unknown_task(look)
        yield findings.judge_model_list(facts, look, reads=reads)
        if facts is not None:
            yield findings.judge_key_end(facts, self.context.runtime.utcnow())
            yield findings.judge_key_quota(facts)

    def _check_group_ratio(self) -> Finding:
        wire = self.calls.build_group_ratios()
        if wire is None:
            return Finding("group ratio", Level.UNKNOWN, "not told by this gateway")
        charges = ratios = None
        with suppress(RequestError, InvalidRequestError):
            charges, _ = run_sync(self._log().read(key_in_address=self.key_in_address))
        with suppress(RequestError):
            ratios = self.calls.parse_group_ratios(self._ask(wire))
        log = "" if self.key_in_address else _READ_LOG
        return findings.judge_group_ratio(charges, ratios, self.group_ratio, log=log)

    def _units(self) -> Decimal:
        """Return how many of the gateway's units a dollar has."""
        return run_sync(self._log().units_per_usd())

    def _log(self) -> KeyLog:
        return KeyLog(self.context, seconds=_REQUEST_SECONDS)

    def _ask(self, wire: WireRequest) -> Reply:
        """Return an answer that is no refusal."""
        return self.context.raise_for_refusal(self._send(wire), paid=False)

    def _send(self, wire: WireRequest) -> Reply:
        return run_sync(self.context.runtime.send(wire, timeout=_REQUEST_SECONDS))


def _clock_offset(reply: Reply) -> timedelta | None:
    """Return how far the gateway's clock is ahead; `None`: it does not tell."""
    try:
        told: datetime = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)) - reply.received_at
