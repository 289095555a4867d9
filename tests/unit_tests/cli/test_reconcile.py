"""The command `reconcile`, on a gateway of functions: what it asks first, and what it leaves to a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from tests.conftest import KEY, MOCKED, FakeClock
from tests.key_logs import ASK, Account, Logged

PROGRAM = typer.main.get_command(app)
Run = Callable[..., Result]


@pytest.fixture
def account(clock: FakeClock) -> Account:
    return Account(clock)


@pytest.fixture
def run(account: Account, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda app: PROGRAM)  # built once, not at each call

    def run(*args: str) -> Result:
        settings: dict[str, Any] = {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "http_client": httpx.Client(transport=httpx.MockTransport(account)),
        }
        return CliRunner().invoke(app, args, obj=settings, catch_exceptions=False)

    return run


@pytest.fixture
def lost(run: Run, account: Account) -> None:
    """A submit whose answer was lost, and its task in the log."""
    result = run("submit", ASK["image"], ASK["prompt"], "--resolution", "480p", "--yes")
    assert result.exit_code == Exit.UNCONFIRMED
    account.tasks = {"mine": Logged()}
    account.requests.clear()


@pytest.mark.usefixtures("lost")
def test_the_key_goes_into_an_address_only_after_a_yes(run: Run, account: Account) -> None:
    result = run("reconcile")
    assert result.exit_code == Exit.INVALID
    assert "Servers on the way may log addresses." in result.stderr
    assert "Add --yes to send it without being asked." in result.stderr
    assert account.requests == []


@pytest.mark.usefixtures("lost")
def test_what_stays_open_is_listed_with_the_command_that_takes_it(run: Run) -> None:
    result = run("reconcile", "--yes")
    assert result.exit_code == Exit.UNCONFIRMED
    assert "$0.1845 may have been spent" in result.stderr
    assert "Look at it: nebula-video status mine" in result.stderr
    assert "If it is yours: nebula-video reconcile --take mine" in result.stderr
    assert result.stdout == ""
    taken = run("reconcile", "--yes", "--take", "mine")
    assert taken.exit_code == Exit.OK
    assert "found, billed" in taken.stdout
    assert "To save its video: nebula-video wait mine" in taken.stderr
    assert "Lost submits: 1 found, 0 open. Bills recorded: 1." in taken.stderr
    assert "nothing" not in run("reconcile", "--yes").stdout


@pytest.mark.usefixtures("lost")
def test_under_sole_account_the_lost_submit_is_found(run: Run, account: Account) -> None:
    account.tasks["mine"].ratio, account.tasks["mine"].quota = 0.8, 73_800
    result = run("reconcile", "--yes", "--sole-account", "--json")
    assert result.exit_code == Exit.OK
    settled = json.loads(result.stdout)
    assert [task["task_id"] for task in settled["found"]] == ["mine"]
    assert settled["billed"][0]["cost"]["usd"] == "0.1476"
    assert (settled["open"], settled["group_ratio"]) == ([], "0.8")
    assert "--group-ratio 0.8" in result.stderr
    assert KEY not in result.stdout + result.stderr


@pytest.mark.usefixtures("lost")
def test_what_stays_open_is_in_the_json_too(run: Run) -> None:
    (lost,) = json.loads(run("reconcile", "--yes", "--json").stdout)["open"]
    assert (lost["candidates"], lost["reserved_usd"], lost["model"]) == (["mine"], "0.1845", "wan2.5-i2v-preview")


def test_a_gateway_without_a_log_is_not_asked(run: Run, account: Account) -> None:
    result = run("reconcile", "--yes", "--gateway", "dashscope")
    assert result.exit_code == Exit.INVALID
    assert "documents no log of a key" in result.stderr
    assert account.requests == []
