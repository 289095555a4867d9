"""What the checks of `doctor` say about what they have seen."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import find_offer
from langchain_nebula_video.cli import findings
from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.cli.findings import Finding, Level
from langchain_nebula_video.errors import (
    AuthenticationError,
    NotSentError,
    QuotaError,
    RateLimitError,
    RefusedError,
    RequestError,
)
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.protocols import Charge, KeyFacts
from langchain_nebula_video.transport.probe import Certificate
from tests.tables import each_row

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
NEBULA = GATEWAYS["nebula"]
OFFER = find_offer("wan2.5-i2v-preview", NEBULA)
LOG = "read the log"


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def exit_of(finding: Finding) -> Exit:
    assert finding.error is not None
    return exit_for(finding.error)


@each_row(
    ("key", "level"),
    [
        ("sk-0123456789abcdef0123456789", Level.OK),
        ("sk-short", Level.WARNING),
        ("sk-your-api-key-goes-here", Level.WARNING),
        ("sk-...0123456789abcdef", Level.WARNING),
        ("Bearer sk-0123456789abcdef0123456789", Level.FAULT),
        ('"sk-0123456789abcdef0123456789"', Level.FAULT),
    ],
)
def test_a_key_is_judged_by_its_form_and_never_shown(key: str, level: Level) -> None:
    found = findings.judge_key_form(key, "NEBULA_API_KEY")
    assert found.level is level
    assert key.strip('"').rpartition(" ")[2] not in found.seen + found.todo
    assert f"{len(key)} characters" in found.seen


@each_row(
    ("offset", "level", "seen"),
    [
        (None, Level.UNKNOWN, "no Date"),
        (seconds(0.4), Level.OK, "0 s apart"),
        (seconds(-59), Level.OK, "59 s apart"),
        (seconds(90), Level.WARNING, "90 s behind the gateway's"),
        (seconds(-90), Level.WARNING, "90 s ahead of the gateway's"),
        (seconds(700), Level.FAULT, "12 min behind"),
        (seconds(-8 * 3600), Level.FAULT, "8 h ahead of"),
        (seconds(3 * 86400), Level.FAULT, "3 days behind"),
    ],
)
def test_a_clock_is_judged_by_the_gateways(offset: timedelta | None, level: Level, seen: str) -> None:
    found = findings.judge_clock(offset)
    assert found.level is level
    assert seen in found.seen
    assert bool(found.todo) is (level in {Level.WARNING, Level.FAULT})


def test_a_trusted_certificate_names_its_issuer_and_warns_before_its_end() -> None:
    found = findings.judge_certificate(Certificate("Example Trust", NOW + timedelta(days=60)), NOW)
    assert (found.level, found.seen) == (Level.OK, "trusted; from Example Trust, valid until 2027-01-26")
    assert findings.judge_certificate(Certificate("Example Trust", NOW + timedelta(days=2)), NOW).level is Level.WARNING


@each_row(
    ("code", "todo"),
    [
        (20, "SSL_CERT_FILE"),  # unable to get local issuer certificate
        (18, "SSL_CERT_FILE"),  # self-signed certificate
        (10, "has expired"),
        (62, "another host's"),
    ],
)
def test_what_to_do_about_a_certificate_depends_on_what_is_wrong_with_it(code: int, todo: str) -> None:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    found = findings.judge_certificate_error(error)
    assert found.level is Level.FAULT
    assert todo in found.todo
    assert "what OpenSSL says" in found.seen


def test_a_made_up_address_is_no_fault_and_is_told() -> None:
    assert findings.judge_addresses("gw.test", ["93.184.215.14", "::1"]).todo == ""
    found = findings.judge_addresses("gw.test", ["198.19.0.7"])
    assert found.level is Level.OK
    assert found.seen == "gw.test is at 198.19.0.7: an address that a proxy program makes up"
    assert "--download-host 198.18.0.0/15" in found.todo


def test_a_failed_connection_says_what_to_check() -> None:
    assert "a firewall may block" in findings.judge_connection_error(NotSentError("no"), "llm.ai-nebula.com").todo
    known = NotSentError("no", hint="Check the proxy.")
    assert findings.judge_connection_error(known, "llm.ai-nebula.com").todo == "Check the proxy."


@each_row(
    ("error", "level", "code"),
    [
        (AuthenticationError("no such key", status_code=401), Level.FAULT, Exit.REFUSED),
        (QuotaError("your IP is not in the list", status_code=403), Level.FAULT, Exit.REFUSED),
        (RefusedError("No connected db.", status_code=400), Level.FAULT, Exit.REFUSED),
        (RefusedError("no such path", status_code=404), Level.UNKNOWN, None),
        (RateLimitError("too often", status_code=429), Level.UNKNOWN, None),
        (RequestError("a fault", status_code=502), Level.UNKNOWN, None),
    ],
)
def test_a_refused_key_is_a_fault_and_a_missing_route_is_not(
    error: RequestError, level: Level, code: Exit | None
) -> None:
    found = findings.judge_key_refusal(error, NEBULA)
    assert found.level is level
    if code is not None:
        assert exit_of(found) is code


@each_row(
    ("models", "level", "seen"),
    [
        (None, Level.UNKNOWN, "not told by this gateway"),
        ({"wan2.5-i2v-preview", "gpt"}, Level.OK, "one of this key's models (2)"),
        ({"gpt", "wan2.6-i2v"}, Level.WARNING, "none of this key's models (2): wan2.6-i2v"),
        (set(), Level.WARNING, "none of this key's models (0)"),
    ],
)
def test_the_model_is_looked_for_in_the_keys_list(models: set[str] | None, level: Level, seen: str) -> None:
    found = findings.judge_models(models, OFFER)
    assert found.level is level
    assert seen in found.seen


LISTED = KeyFacts(has_model_list=True, model_list=frozenset({"wan2.5-i2v-preview"}))
FREE = KeyFacts(has_model_list=False)
NO_TASK = RefusedError("task_not_exist", status_code=400, code="task_not_exist")
TRAP = QuotaError("该令牌无权访问模型", status_code=403)


@each_row(
    ("facts", "look", "reads", "level"),
    [
        (LISTED, TRAP, False, Level.FAULT),
        (LISTED, None, False, Level.FAULT),
        (None, TRAP, False, Level.FAULT),
        (LISTED, NO_TASK, True, Level.OK),  # a gateway in which the fault is mended
        (FREE, NO_TASK, True, Level.OK),
        (FREE, RequestError("a fault", status_code=502), False, Level.OK),
        (None, RequestError("a fault", status_code=502), False, Level.UNKNOWN),
    ],
)
def test_a_key_that_pays_and_cannot_read_is_found_before_anything_is_paid(
    facts: KeyFacts | None, look: RequestError | None, reads: bool, level: Level
) -> None:
    assert findings.judge_model_list(facts, look, reads=reads).level is level


def test_the_trap_says_what_it_costs_and_which_key_to_take() -> None:
    found = findings.judge_model_list(LISTED, TRAP, reads=False)
    assert "A submit works and is billed, and every look is refused" in found.seen
    assert found.todo == "Use another key of the same account, without such a list. It reads this key's tasks too."
    assert exit_of(found) is Exit.REFUSED


@each_row(
    ("facts", "level"),
    [
        (KeyFacts(expires=False), Level.OK),
        (KeyFacts(expires=True, expires_at=NOW + timedelta(days=60)), Level.OK),
        (KeyFacts(expires=True, expires_at=NOW + timedelta(days=3)), Level.WARNING),
        (KeyFacts(expires=True, expires_at=NOW - timedelta(days=3)), Level.FAULT),
        (KeyFacts(), Level.UNKNOWN),
    ],
)
def test_a_keys_end_is_told_in_time(facts: KeyFacts, level: Level) -> None:
    assert findings.judge_key_end(facts, NOW).level is level


@each_row(
    ("facts", "level", "seen"),
    [
        (KeyFacts(unlimited=True, left_usd=Decimal(0)), Level.OK, "unlimited"),
        (KeyFacts(unlimited=False, left_usd=Decimal("1.50")), Level.OK, "$1.50 left"),
        (KeyFacts(unlimited=False, left_usd=Decimal(0)), Level.FAULT, "$0.00 left"),
        (KeyFacts(), Level.UNKNOWN, "not told"),
    ],
)
def test_a_keys_own_quota_is_not_the_accounts_balance(facts: KeyFacts, level: Level, seen: str) -> None:
    found = findings.judge_key_quota(facts)
    assert found.level is level
    assert seen in found.seen


def charge(ratio: str | None, day: int = 1) -> Charge:
    return Charge(
        task_id=f"task-{day}",
        charged_at=NOW + timedelta(days=day),
        amount_usd=Decimal("0.1845"),
        group_ratio=None if ratio is None else Decimal(ratio),
    )


@each_row(
    ("charges", "ratios", "own", "level", "seen"),
    [
        ([charge("1", 1), charge("0.8", 2)], {"default": "1"}, "1", Level.WARNING, "0.8, by the bill of 2026-11-29"),
        ([charge("0.8")], {}, "0.80", Level.OK, "0.8, by the bill"),
        ([charge("0.8", 1), charge(None, 2)], {}, "0.8", Level.OK, "0.8, by the bill of 2026-11-28"),
        ([], {"default": "1", "vip": "0.8"}, "1", Level.UNKNOWN, "default 1, vip 0.8"),
        (None, {"default": "1", "vip": "0.8"}, "1", Level.UNKNOWN, "not told which is yours"),
        ([charge("1")], {}, None, Level.OK, "1, by the bill"),
        ([charge("0.8")], {}, None, Level.WARNING, "estimates count with 1"),
        (None, {"default": "1"}, None, Level.OK, "default 1; there is no other group"),
        (None, {"default": "2"}, "1", Level.WARNING, "default 2; there is no other group"),
        (None, None, "1", Level.UNKNOWN, "not told"),
    ],
)
def test_the_group_ratio_is_that_of_the_last_bill(
    charges: list[Charge] | None, ratios: dict[str, str] | None, own: str | None, level: Level, seen: str
) -> None:
    by_group = None if ratios is None else {name: Decimal(ratio) for name, ratio in ratios.items()}
    found = findings.judge_group_ratio(charges, by_group, None if own is None else Decimal(own), log=LOG)
    assert found.level is level
    assert seen in found.seen
    if level is Level.WARNING and charges:
        assert found.todo == "Pass --group-ratio 0.8, in Python group_ratio=0.8."
    if level is Level.UNKNOWN:
        assert found.todo == LOG


def entry(state: EntryState, number: int, **more: Any) -> Entry:
    made = NOW + timedelta(minutes=number)
    fields = {"gateway": "nebula", "model": OFFER.model.name, "request": {}, "created_at": made, **more}
    return Entry(id=f"entry-{number}", state=state, **fields)


def test_open_tasks_and_lost_submits_are_named_with_what_to_do() -> None:
    lost = entry(EntryState.UNCONFIRMED, 2, reserved_usd=Decimal("0.369"))
    running, elsewhere = entry(EntryState.RUNNING, 1), entry(EntryState.UNCONFIRMED, 3, gateway="uniall")
    (quiet,) = findings.judge_tasks([], NEBULA, searchable="search")
    assert (quiet.level, quiet.seen) == (Level.OK, "none")
    tasks, submits = findings.judge_tasks([running, lost], NEBULA, searchable="search")
    assert (tasks.seen, tasks.level) == (
        "1 not known to be finished, the oldest of 2026-11-27 12:01 UTC",
        Level.WARNING,
    )
    assert submits.seen == "1, of 2026-11-27 12:02 UTC; $0.369 may have been spent"
    assert submits.todo == "search"
    _, other = findings.judge_tasks([elsewhere], NEBULA, searchable="search")
    assert other.todo == "Look at the console of uniall."
