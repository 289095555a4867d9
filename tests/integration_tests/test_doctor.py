"""The command `doctor` over loopback: the emulator, and networks that are broken in one way each."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner, Result

from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.transport import SystemClock
from tests.conftest import KEY
from tests.gateways import BEIJING, INTERVAL, SPEED, all_gateways, reached
from tests.storage import Storage, serving

Run = Callable[..., Result]


class LateClock(SystemClock):
    """A machine's clock that is hours behind."""

    def utcnow(self) -> Any:
        return super().utcnow() - timedelta(hours=8)


@pytest.fixture
def run(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command at the emulator, or where it says itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEBULA_BASE_URL", emulator.url)
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)

    def run(*args: str, **settings: Any) -> Result:
        return CliRunner().invoke(app, ["doctor", "--json", *args], obj=settings, catch_exceptions=False)

    return run


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in json.loads(result.stdout)["checks"]}


def levels(result: Result, level: str) -> list[str]:
    return [name for name, each in checks(result).items() if each["level"] == level]


def test_a_sound_set_up_costs_nothing_to_look_at(run: Run, emulator: Emulator) -> None:
    result = run()
    assert result.exit_code == Exit.OK
    assert levels(result, "fault") == levels(result, "warning") == []
    assert (len(emulator.tasks), emulator.bill.usd) == (0, Decimal(0))


def test_a_wrong_key_is_refused_and_the_way_there_is_fine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", KEY)
    result = run()
    assert result.exit_code == Exit.REFUSED
    assert levels(result, "fault") == ["key accepted"]
    assert checks(result)["connection"]["level"] == "ok"


def test_a_clock_that_is_hours_behind_is_a_fault(run: Run) -> None:
    result = run(clock=LateClock())
    assert levels(result, "fault") == ["clock"]
    assert checks(result)["clock"]["seen"] == "8 h behind the gateway's"


def test_a_keys_own_quota_is_shown_and_a_used_up_one_is_a_fault(
    run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_key("sk-small-0123456789abcdef", quota=2)
    emulator.add_key("sk-spent-0123456789abcdef", quota=0)
    monkeypatch.setenv("NEBULA_API_KEY", "sk-small-0123456789abcdef")
    assert checks(run())["key's quota"]["seen"].startswith("$2.00 left")
    monkeypatch.setenv("NEBULA_API_KEY", "sk-spent-0123456789abcdef")
    result = run()
    assert (result.exit_code, levels(result, "fault")) == (Exit.REFUSED, ["key accepted"])


@pytest.mark.parametrize("behaviour", ["page", "source"])
def test_a_key_with_a_list_of_models_reads_its_videos_on_one_gateway_and_not_on_the_other(
    behaviour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    key = "sk-listed-0123456789abcdef"
    with Emulator(speed=SPEED, behaviour=behaviour) as emulator:
        emulator.add_key(key, models=["wan2.5-i2v-preview"])
        args = ["doctor", "--json", "--base-url", emulator.url]
        trapped = CliRunner().invoke(app, args, obj={"api_key": key}, catch_exceptions=False)
        free = CliRunner().invoke(app, args, obj={"api_key": emulator.api_key}, catch_exceptions=False)
    assert checks(free)["key reads tasks"]["level"] == "ok"
    assert checks(trapped)["model served"]["level"] == "ok"
    assert levels(trapped, "fault") == (["key reads tasks"] if behaviour == "source" else [])
    assert trapped.exit_code == (Exit.REFUSED if behaviour == "source" else Exit.OK)


def test_the_live_video_is_paid_once_and_its_bill_tells_the_group_ratio(
    run: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_account("sk-vip-0123456789abcdef", group_ratio="0.8")
    monkeypatch.setenv("NEBULA_API_KEY", "sk-vip-0123456789abcdef")
    result = run("--live", "--yes", "--out", "trial.mp4", poll_interval=INTERVAL)
    assert result.exit_code == Exit.OK, result.stderr
    assert json.loads(result.stdout)["video"]["path"] == "trial.mp4"
    assert Path("trial.mp4").stat().st_size > 1000
    assert (len(emulator.tasks), emulator.bill.usd) == (1, Decimal("0.1476"))
    assert checks(run())["group ratio"]["level"] == "unknown"
    assert checks(run("--key-log"))["group ratio"]["todo"].startswith("Pass --group-ratio 0.8")
    assert checks(run("--key-log", "--group-ratio", "0.8"))["group ratio"]["level"] == "ok"


def test_a_live_video_needs_consent_and_keeps_to_the_most_that_it_may_cost(run: Run, emulator: Emulator) -> None:
    assert run("--live").exit_code == Exit.INVALID
    assert run("--live", "--yes", "--max-cost", "0.10").exit_code == Exit.BUDGET
    assert len(emulator.tasks) == 0


def test_every_gateway_is_looked_at_by_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with all_gateways() as emulator:
        for gateway, told in {"dashscope": True, "uniall": True, "dashscope-passthrough": False}.items():
            there = reached(emulator, gateway)
            args = ["doctor", "--json", "--gateway", gateway, "--base-url", there["base_url"]]
            result = CliRunner().invoke(app, args, obj={"api_key": there["api_key"]}, catch_exceptions=False)
            assert result.exit_code == Exit.OK, result.stdout
            assert ("key accepted" in levels(result, "ok")) is told, gateway
        wrong = ["doctor", "--json", "--gateway", "dashscope", "--base-url", emulator.dashscope_url("singapore")]
        result = CliRunner().invoke(app, wrong, obj={"api_key": BEIJING}, catch_exceptions=False)
        assert levels(result, "fault") == ["key accepted"]
        assert "A key works in one region only" in checks(result)["key accepted"]["todo"]


# --- networks ---


def test_a_dead_proxy_is_named_without_its_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:geheim@127.0.0.1:9")
    result = run("--base-url", "https://gateway.example.com")
    assert result.exit_code == Exit.FAILURE
    assert levels(result, "fault") == ["connection"]
    found = checks(result)
    assert found["proxy"]["seen"] == "127.0.0.1:9, by HTTPS_PROXY; it resolves gateway.example.com"
    assert "set NO_PROXY=gateway.example.com" in found["connection"]["todo"]
    assert "geheim" not in result.stdout + result.stderr


@pytest.fixture
def secured(tmp_path: Path) -> Any:
    """A server with TLS, and the file that makes its certificate trusted."""
    authority = trustme.CA(organization_name="Example Trust")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with serving(Storage(), tls=tls) as running:
        yield running.url, bundle


def test_an_untrusted_certificate_says_what_to_set(
    run: Run, secured: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bundle = secured
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    result = run("--base-url", url)
    assert levels(result, "fault") == ["certificate", "connection"]
    assert all("SSL_CERT_FILE" in checks(result)[name]["todo"] for name in ("certificate", "connection"))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    found = checks(run("--base-url", url))
    assert found["certificate"]["seen"].startswith("trusted; from Example Trust, valid until ")
    assert found["connection"]["level"] == "ok"
