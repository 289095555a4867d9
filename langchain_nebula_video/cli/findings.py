"""What a check of a set-up has seen, and what to do about it. Pure: no I/O, no clock."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.errors import (
    AuthenticationError,
    InvalidRequestError,
    NebulaVideoError,
    NotSentError,
    QuotaError,
    RefusedError,
    RequestError,
    printable,
)
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.protocols import Charge, KeyFacts, is_page_error
from langchain_nebula_video.schema import dollars
from langchain_nebula_video.transport.certificates import certificate_hint
from langchain_nebula_video.transport.guard import MADE_UP, is_made_up
from langchain_nebula_video.transport.probe import Certificate

__all__ = [
    "Finding",
    "Level",
    "judge_addresses",
    "judge_certificate",
    "judge_certificate_error",
    "judge_clock",
    "judge_connection_error",
    "judge_group_ratio",
    "judge_key_end",
    "judge_key_form",
    "judge_key_quota",
    "judge_key_refusal",
    "judge_model_list",
    "judge_models",
    "judge_tasks",
]

_SHORTEST_KEY = 10
_PLACEHOLDERS = ("...", "…", "your", "xxx", "<", "changeme", "example")
_SOON = timedelta(days=7)
_MAX_NAMES = 5
"""How many names one line lists."""
_SLOW_CLOCK, _WRONG_CLOCK = timedelta(seconds=60), timedelta(minutes=10)
"""From the second on, a lost submit is not looked for: no moment of the gateway's means anything here."""


class Level(StrEnum):
    """How a check has ended."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"
    """It could not be looked at, or the gateway does not tell."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has seen. Its texts have no key and no signature."""

    check: str
    level: Level
    seen: str
    todo: str = ""
    error: NebulaVideoError | None = field(default=None, compare=False)
    """For a fault: the error that it would be, or was. It decides the exit code."""


def judge_key_form(key: str, variable: str) -> Finding:
    """Judge a key by its look; `variable` is where it stands."""
    seen = f"{variable}, {len(key)} characters"
    if key.lower().startswith("bearer ") or key[:1] in {'"', "'"}:
        todo = f"Set {variable} to the key alone, without quotes and without the word Bearer."
        return Finding("key", Level.FAULT, f"{seen}, and more than a key", todo, InvalidRequestError("no key"))
    if len(key) < _SHORTEST_KEY or any(word in key.lower() for word in _PLACEHOLDERS):
        return Finding("key", Level.WARNING, f"{seen}: it may be an example", f"Set {variable} to your own key.")
    return Finding("key", Level.OK, seen)


def judge_addresses(host: str, addresses: Sequence[str]) -> Finding:
    """Judge the addresses that the name server gives."""
    seen = f"{host} is at {', '.join(addresses[:3])}"
    if not any(map(is_made_up, addresses)):
        return Finding("name", Level.OK, seen)
    todo = f"Downloads from other hosts than the vendor's own storage need --download-host {MADE_UP}."
    return Finding("name", Level.OK, f"{seen}: an address that a proxy program makes up", todo)


def judge_certificate(found: Certificate, now: datetime) -> Finding:
    """Judge a server's certificate that this machine trusts."""
    end = found.expires_at
    until = "" if end is None else f", valid until {end:%Y-%m-%d}"
    seen = f"trusted; from {printable(found.issuer)}{until}"
    if end is not None and end - now < _SOON:
        return Finding("certificate", Level.WARNING, seen, "It ends soon: the gateway has to renew it.")
    return Finding("certificate", Level.OK, seen)


def judge_certificate_error(error: ssl.SSLCertVerificationError) -> Finding:
    """Judge a certificate that this machine does not trust."""
    todo = certificate_hint(error)
    seen = f"not trusted: {printable(error.verify_message)}"
    return Finding("certificate", Level.FAULT, seen, todo, RequestError(seen))


def judge_connection_error(error: RequestError, host: str) -> Finding:
    """Judge why no answer came."""
    unknown = error.hint == NotSentError.default_hint
    todo = f"Check the network and base_url; a firewall may block {host}." if unknown else error.hint
    return Finding("connection", Level.FAULT, error.what, todo, error)


def judge_clock(offset: timedelta | None) -> Finding:
    """Judge this machine's clock; `offset` is how far the gateway's is ahead, if it tells."""
    if offset is None:
        return Finding("clock", Level.UNKNOWN, "not told: the answer has no Date")
    apart = abs(offset).total_seconds()
    way = "behind" if offset > timedelta(0) else "ahead of"
    if abs(offset) < _SLOW_CLOCK:
        return Finding("clock", Level.OK, f"{apart:.0f} s apart from the gateway's")
    seen = f"{_span(abs(offset))} {way} the gateway's"
    todo = "Set this machine's clock: leases, signed addresses and the search for lost submits depend on it."
    if abs(offset) < _WRONG_CLOCK:
        return Finding("clock", Level.WARNING, seen, todo)
    return Finding("clock", Level.FAULT, seen, todo, RequestError(seen))


def _span(time: timedelta) -> str:
    seconds = time.total_seconds()
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def judge_key_refusal(error: RequestError, gateway: Gateway) -> Finding:
    """Judge the answer to the check of the key, if it is an error."""
    if is_page_error(error) and error.status_code != 404 and (error.status_code or 0) < 500:
        return Finding("key accepted", Level.FAULT, error.what, error.hint, error)
    if error.status_code in {404, 405}:
        return Finding("key accepted", Level.UNKNOWN, f"not told by this gateway (HTTP {error.status_code})")
    if isinstance(error, AuthenticationError):
        todo = error.hint or f"Check {gateway.key_variable}."
        return Finding("key accepted", Level.FAULT, error.what, todo, error)
    if isinstance(error, RefusedError) and error.status_code != 429:
        level = Level.FAULT if isinstance(error, QuotaError) or error.status_code in {400, 403} else Level.WARNING
        return Finding("key accepted", level, error.what, error.hint, error)
    return Finding("key accepted", Level.UNKNOWN, error.what, error.hint or "Try again later.")


def judge_models(models: Collection[str] | None, offer: Offer) -> Finding:
    """Judge whether the key's list of models has the one that is asked for."""
    name = offer.wire_name
    if models is None:
        return Finding("model served", Level.UNKNOWN, "not told by this gateway")
    if name in models:
        return Finding("model served", Level.OK, f"{name} is one of this key's models ({len(models)})")
    others = _name_some([each for each in sorted(models) if "i2v" in each or "video" in each] or sorted(models))
    seen = f"{name} is none of this key's models ({len(models)}){': ' if others else ''}{others}"
    todo = "Ask the gateway for it, or take another key or --model."
    return Finding("model served", Level.WARNING, seen, todo)


def judge_model_list(facts: KeyFacts | None, look: RequestError | None, *, reads: bool) -> Finding:
    """Judge the trap of a key that has a list of allowed models.

    Some versions of the gateway check the list at each look too, where no model is named, and refuse the look.

    Args:
        facts: What the gateway says of the key.
        look: The answer to a look at a task that does not exist, if it is an error.
        reads: Whether that answer shows that the key can look at tasks.
    """
    limited = facts.has_model_list if facts else None
    listed = _name_some(sorted(facts.model_list or ())) if facts else ""
    if reads:
        also = "" if not limited else f"; it has a list of models ({listed})"
        return Finding("key reads tasks", Level.OK, f"a look at a task is answered{also}")
    if limited:
        refused = f" A look was refused: {look.what}" if look is not None else ""
        return Finding(
            "key reads tasks",
            Level.FAULT,
            f"The key has a list of allowed models ({listed}). A submit works and is billed, and every look is "
            f"refused: the video cannot be read with this key.{refused}",
            "Use another key of the same account, without such a list. It reads this key's tasks too.",
            look if look is not None else RefusedError("the key has a list of allowed models"),
        )
    if look is not None and isinstance(look, RefusedError) and look.status_code in {401, 403}:
        return Finding("key reads tasks", Level.FAULT, f"A look was refused: {look.what}", look.hint, look)
    if limited is False:
        return Finding("key reads tasks", Level.OK, "the key has no list of allowed models")
    return Finding("key reads tasks", Level.UNKNOWN, "not told" if look is None else f"not told: {look.what}")


def judge_key_end(facts: KeyFacts, now: datetime) -> Finding:
    """Judge when the key ends."""
    end = facts.expires_at
    if facts.expires is False:
        return Finding("key ends", Level.OK, "never")
    if end is None:
        return Finding("key ends", Level.UNKNOWN, "not told")
    seen = f"{end:%Y-%m-%d %H:%M} UTC"
    if end <= now:
        todo = "Make a new key. It reads the tasks of this one, if it is of the same account."
        return Finding("key ends", Level.FAULT, f"it ended at {seen}", todo, AuthenticationError("the key has ended"))
    if end - now < _SOON:
        return Finding("key ends", Level.WARNING, seen, "A new key of the same account reads this one's tasks.")
    return Finding("key ends", Level.OK, seen)


def judge_key_quota(facts: KeyFacts) -> Finding:
    """Judge the key's own quota, which is not the account's balance."""
    if facts.unlimited:
        return Finding("key's quota", Level.OK, "unlimited; what the account holds is not told to a key")
    if facts.left_usd is None:
        return Finding("key's quota", Level.UNKNOWN, "not told")
    seen = f"{dollars(facts.left_usd)} left; what the account holds is not told to a key"
    if facts.left_usd <= 0:
        todo = "Raise the key's quota in the console, or take another key."
        return Finding("key's quota", Level.FAULT, seen, todo, QuotaError("the key's quota is used up"))
    return Finding("key's quota", Level.OK, seen)


def judge_group_ratio(
    charges: Sequence[Charge] | None, ratios: Mapping[str, Decimal] | None, own: Decimal | None, *, log: str
) -> Finding:
    """Judge what the account's prices are multiplied by.

    Args:
        charges: The key's log, oldest first; `None`: it was not read.
        ratios: The ratio of each group of the gateway.
        own: The ratio that the caller passed; `None`: none, so 1 is assumed.
        log: What to do to read the log.
    """
    told = next((charge for charge in reversed(charges or ()) if charge.group_ratio is not None), None)
    if told is not None and told.group_ratio is not None:
        counted = Decimal(1) if own is None else own
        seen = f"{_plain(told.group_ratio)}, by the bill of {told.charged_at:%Y-%m-%d}"
        todo = f"Pass --group-ratio {_plain(told.group_ratio)}, in Python group_ratio={_plain(told.group_ratio)}."
        if told.group_ratio == counted:
            return Finding("group ratio", Level.OK, seen, "" if own is not None else f"{todo} Then costs are exact.")
        return Finding("group ratio", Level.WARNING, f"{seen}; estimates count with {_plain(counted)}", todo)
    empty = "" if charges is None else "; the key's log has no video yet"
    if not ratios:
        return Finding("group ratio", Level.UNKNOWN, f"not told{empty}", log)
    listed = ", ".join(f"{printable(name)} {_plain(ratio)}" for name, ratio in sorted(ratios.items())[:_MAX_NAMES])
    if len(set(ratios.values())) == 1:
        seen = f"{listed}; there is no other group"
        return Finding("group ratio", Level.OK if next(iter(ratios.values())) == (own or 1) else Level.WARNING, seen)
    return Finding("group ratio", Level.UNKNOWN, f"by group: {listed}; not told which is yours{empty}", log)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


_UNFINISHED = (EntryState.SUBMITTED, EntryState.RUNNING)


def judge_tasks(entries: Sequence[Entry], gateway: Gateway, *, searchable: str) -> list[Finding]:
    """Judge what the journal holds that is not finished.

    Args:
        entries: Its open entries.
        gateway: The gateway that is looked at.
        searchable: What to do about an unconfirmed submit of this gateway.
    """
    running = [entry for entry in entries if entry.state in _UNFINISHED]
    lost = [entry for entry in entries if entry.state is EntryState.UNCONFIRMED]
    found = [Finding("open tasks", Level.OK, "none")]
    if running:
        seen = f"{len(running)} not known to be finished, the oldest of {running[0].created_at:%Y-%m-%d %H:%M} UTC"
        found = [Finding("open tasks", Level.WARNING, seen, "nebula-video resume finishes and saves them.")]
    if lost:
        stake = sum((entry.reserved_usd for entry in lost), Decimal(0))
        own = [entry for entry in lost if entry.gateway == gateway.name]
        seen = f"{len(lost)}, of {_name_some([f'{entry.created_at:%Y-%m-%d %H:%M} UTC' for entry in lost])}"
        seen += f"; {dollars(stake)} may have been spent" if stake else ""
        todo = searchable if own else f"Look at the console of {_name_some(sorted({e.gateway for e in lost}))}."
        found.append(Finding("lost submits", Level.WARNING, seen, todo))
    return found


def _name_some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    shown = ", ".join(printable(name) for name in names[:_MAX_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
