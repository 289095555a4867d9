"""The command `doctor`, on a gateway of functions: what is asked, what is never shown, and how it ends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.sample_image import make_sample_image
from langchain_nebula_video.journal import SqlJournal
from langchain_nebula_video.media.inspection import inspect_image
from tests.conftest import KEY, MOCKED, FakeClock
from tests.tables import each_row

PROGRAM = typer.main.get_command(app)
Run = Callable[..., Result]


class Account:
    """Nebula's free routes, as functions."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.models = ["wan2.5-i2v-preview"]
        self.facts: dict[str, Any] = {"model_limits_enabled": False, "unlimited_quota": True, "expires_at": 0}
        self.answers: dict[str, httpx.Response | Exception] = {}
        """What a path answers instead."""
        self.log: list[dict[str, Any]] = []
        self.reads_header = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if path in self.answers:
            answer = self.answers[path]
            if isinstance(answer, Exception):
                raise answer
            return answer
        return httpx.Response(400 if "generations" in path else 200, json=self._body(request))

    def _body(self, request: httpx.Request) -> dict[str, Any]:
        path = request.url.path
        if path == "/v1/models":
            return {"success": True, "data": [{"id": name} for name in self.models]}
        if path == "/api/usage/token/":
            return {"code": True, "message": "ok", "data": self.facts}
        if path == "/api/log/token":
            knows = self.reads_header or request.url.params.get("key") == KEY
            return {"success": True, "data": self.log if knows else []}
        if path == "/api/pricing":
            return {"success": True, "group_ratio": {"default": 1, "vip": 0.8}}
        if path == "/api/status":
            return {"success": True, "data": {"quota_per_unit": 500_000}}
        return {"code": "task_not_exist", "message": "task_not_exist", "data": None}


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def run(account: Account, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda app: PROGRAM)  # built once, not at each call

    def run(*args: str, key: str | None = KEY) -> Result:
        settings = {
            "clock": clock,
            "download_hosts": MOCKED,
            "http_client": httpx.Client(transport=httpx.MockTransport(account)),
            **({} if key is None else {"api_key": key}),
        }
        return CliRunner().invoke(app, ["doctor", *args], obj=settings, catch_exceptions=False)

    return run


def checks(result: Result) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in json.loads(result.stdout)["checks"]}


def test_a_sound_set_up_has_no_fault_and_nothing_is_posted(run: Run, account: Account) -> None:
    result = run("--json")
    assert result.exit_code == Exit.OK
    report = json.loads(result.stdout)
    assert (report["faults"], report["warnings"], report["video"]) == (0, 0, None)
    assert report["live_cost"]["usd"] == "0.1845"
    assert {request.method for request in account.requests} == {"GET"}
    assert {each["check"] for each in report["checks"] if each["level"] != "ok"} == {
        *("network", "clock", "group ratio", "image store")
    }


def test_the_key_is_in_no_output_and_in_no_address_unless_asked_for(run: Run, account: Account) -> None:
    for args in ([], ["--json"], ["--key-log"]):
        account.requests.clear()
        result = run(*args)
        assert KEY not in result.stdout + result.stderr
        in_address = [request for request in account.requests if KEY in str(request.url)]
        assert len(in_address) == ("--key-log" in args)
        for request in account.requests:
            assert ("authorization" in request.headers) is (request not in in_address)


def test_a_log_that_reads_the_header_needs_no_key_in_the_address(run: Run, account: Account) -> None:
    account.reads_header = True
    other = {"task_id": "task-1", "group_ratio": 0.8}
    account.log = [{"type": 2, "created_at": 1_770_000_000, "quota": 1, "other": json.dumps(other)}]
    assert checks(run("--json"))["group ratio"]["todo"] == "Pass --group-ratio 0.8, in Python group_ratio=0.8."
    assert not any("key" in request.url.params for request in account.requests)


def test_without_a_key_everything_else_is_looked_at(run: Run, account: Account) -> None:
    result = run("--json", key=None)
    assert result.exit_code == Exit.INVALID
    found = checks(result)
    assert found["key"]["seen"] == "NEBULA_API_KEY is not set."
    assert found["connection"]["level"] == "unknown"
    assert (found["journal"]["level"], found["saving"]["level"]) == ("ok", "ok")
    assert account.requests == []


def test_a_key_with_a_list_of_models_is_a_fault_before_anything_is_paid(run: Run, account: Account) -> None:
    account.facts |= {"model_limits_enabled": True, "model_limits": {"wan2.5-i2v-preview": True}}
    refused = {"error": {"message": "该令牌无权访问模型 ", "type": "nebula_api_error", "code": ""}}
    look = "/v1/video/generations/00000000-0000-0000-0000-000000000000"
    account.answers[look] = httpx.Response(403, json=refused)
    result = run("--json", "--live", "--yes")
    assert result.exit_code == Exit.REFUSED
    assert checks(result)["key reads tasks"]["level"] == "fault"
    assert "No video was made: there are faults." in result.stderr
    assert {request.method for request in account.requests} == {"GET"}


@each_row(
    ("path", "answer", "check", "level"),
    [
        ("/v1/models", httpx.Response(401, json={"error": {"message": "无效的令牌"}}), "key accepted", "fault"),
        ("/v1/models", httpx.Response(404), "key accepted", "unknown"),
        ("/v1/models", httpx.Response(502, text="<html>"), "key accepted", "unknown"),
        ("/v1/models", httpx.ConnectError("refused"), "connection", "fault"),
        ("/v1/models", httpx.Response(200, text="<html>"), "key accepted", "fault"),
        ("/v1/models", httpx.Response(200, text="[]"), "model served", "unknown"),
        ("/api/usage/token/", httpx.Response(429), "key's limits", "unknown"),
        ("/api/usage/token/", httpx.Response(200, json={"data": "?"}), "key reads tasks", "ok"),
        ("/api/log/token", httpx.Response(500), "group ratio", "unknown"),
        ("/api/pricing", httpx.Response(200, json=[]), "group ratio", "unknown"),
    ],
)
def test_an_odd_answer_ends_one_check_and_not_the_others(
    run: Run, account: Account, path: str, answer: Any, check: str, level: str
) -> None:
    account.answers = {path: answer}
    found = checks(run("--json"))
    assert found[check]["level"] == level
    assert (found["journal"]["level"], found["saving"]["level"]) == ("ok", "ok")


@each_row(
    ("options", "check", "level"),
    [
        (["--base-url", "http://gateway.example.com"], "address", "fault"),
        (["--journal", "mysql://nowhere/x"], "journal", "fault"),
        (["--journal", "sqlite:////proc/no/journal.db"], "journal", "fault"),
        (["--out", "/proc/videos"], "saving", "fault"),
        (["--gateway", "uniall", "--base-url", "https://uniall.example.com"], "model", "warning"),
        (["--gateway", "dashscope-eu"], "address", "fault"),
        (["--gateway", "dashscope-passthrough", "--base-url", "https://r.example.com"], "connection", "unknown"),
    ],
)
def test_each_option_has_its_check(run: Run, options: list[str], check: str, level: str) -> None:
    assert checks(run("--json", *options))[check]["level"] == level


def test_a_journal_of_a_newer_version_is_a_fault(run: Run, tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path / 'new.db'}"
    SqlJournal(where).entries()
    with sqlite3.connect(tmp_path / "new.db") as database:
        database.execute("UPDATE nebula_schema SET version = 99, oldest = 99")
    database.close()
    result = run("--json", "--journal", where)
    assert result.exit_code == Exit.FAILURE
    assert "newer langchain-nebula-video" in checks(result)["journal"]["seen"]


@each_row("width", [80, 150])
def test_the_table_fits_the_terminal(run: Run, account: Account, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    account.models = []
    result = run()
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert ("What to do" in result.stdout) is (width == 150)
    assert "Ask the gateway for it, or take another key or --model." in " ".join(result.stdout.split())
    assert "0 faults, 1 warning. Nothing was submitted and nothing was spent." in result.stderr


def test_the_test_image_is_one_that_every_gateway_takes() -> None:
    image = make_sample_image()
    info = inspect_image(image)
    assert (info.format, info.width, info.height, info.alpha) == ("PNG", 640, 480, False)
    assert len(image) < 20_000
