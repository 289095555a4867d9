"""What a gateway says, a file's name or an argument cannot steer a terminal or forge a line, wherever it is shown."""

from __future__ import annotations

import ast
import copy
import json
import logging
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

import langchain_nebula_video
from langchain_nebula_video import NebulaVideoClient, errors
from langchain_nebula_video.cli.app import app
from langchain_nebula_video.errors import NebulaVideoError, RefusedError, printable
from tests.conftest import KEY, MOCKED, FakeClock, Gateway, failed, running, submitted, succeeded
from tests.tables import each_row

ESCAPE, RED, BELL, BIDI = "\x1b[2J", "\x9b31m", "\x07", "\u202e"
TASK = f"task{ESCAPE}{RED}{BELL}{BIDI}\nSaved  forged.mp4"
"""An id that clears the screen, colours, rings, turns the line around, and begins a line of its own."""
MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
URL = "https://example.com/cat.jpg"
SOURCE = Path(langchain_nebula_video.__file__).parent


class Terminal:
    """Runs commands on a gateway whose task has that id."""

    def __init__(self, gateway: Gateway, clock: FakeClock) -> None:
        gateway.submits = [submitted(TASK)]
        self.gateway = gateway
        self._settings = {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "http_client": httpx.Client(transport=httpx.MockTransport(gateway)),
        }

    def __call__(self, *arguments: str, **environment: str) -> Result:
        runner = CliRunner(env={"COLUMNS": "80", **environment})
        return runner.invoke(app, arguments, obj=self._settings, catch_exceptions=False)


@pytest.fixture
def terminal(gateway: Gateway, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.chdir(tmp_path)
    return Terminal(gateway, clock)


def named(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"task_id": TASK}


def is_safe(text: str) -> bool:
    """Whether nothing in it steers a terminal, and no line was forged."""
    return all(line.isprintable() for line in text.split("\n")) and "\nSaved  forged" not in text


def test_no_command_prints_a_control_character_of_a_task(terminal: Terminal, gateway: Gateway) -> None:
    shown = [terminal("submit", URL, "x", "--yes")]
    shown += [terminal("tasks"), terminal("tasks", COLUMNS="200")]
    gateway.fetches = [named(running())]
    shown += [terminal("status", TASK), terminal("wait", TASK, "--timeout", "1")]
    gateway.fetches = [named(failed(f"Bad{ESCAPE}", f"no{RED}\nSaved  forged.mp4"))]
    shown += [terminal("status", TASK), terminal("resume"), terminal("tasks")]
    for result in shown:
        assert is_safe(result.output), repr(result.output)
        assert is_safe(result.stderr), repr(result.stderr)
    assert r"task\x1b[2J\x9b31m\x07\u202e\nSaved  forged.mp4" in shown[1].stdout.replace("│", "")


def test_a_generated_and_a_resumed_video_are_shown_without_control_characters(
    terminal: Terminal, gateway: Gateway
) -> None:
    terminal("submit", URL, "x", "--yes")
    gateway.fetches = [named(succeeded()), httpx.Response(200, content=MP4)]
    for result in (terminal("wait", TASK), terminal("resume"), terminal("tasks", COLUMNS="200")):
        assert is_safe(result.output), repr(result.output)


def test_json_gives_a_script_the_exact_id(terminal: Terminal) -> None:
    result = terminal("submit", URL, "x", "--yes", "--json")
    assert json.loads(result.stdout)["task_id"] == TASK
    assert is_safe(result.output)


@each_row(
    "arguments",
    [
        ("status",),
        (f"no{ESCAPE}-command",),
        ("tasks", f"--{ESCAPE}"),
        ("tasks", "--state", f"{RED}\nSaved  forged.mp4"),
    ],
)
def test_a_usage_error_repeats_no_control_character(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    result = terminal(*arguments)
    assert result.exit_code == 2
    assert is_safe(result.stderr), repr(result.stderr)


def test_log_lines_have_no_control_character(
    gateway: Gateway, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.submits = [submitted(TASK)]
    odd = named(running())
    odd["status"] = f"odd{ESCAPE}\nSaved  forged"
    gateway.fetches = [odd, named(running()), named(succeeded())]
    with caplog.at_level(logging.DEBUG, logger="langchain_nebula_video"):
        http = httpx.Client(transport=httpx.MockTransport(gateway))
        NebulaVideoClient(api_key=KEY, clock=clock, http_client=http).generate(image=URL, prompt="x")
    lines = [record.getMessage() for record in caplog.records if record.name == "langchain_nebula_video"]
    assert len(lines) >= 3
    assert all(map(str.isprintable, lines)), lines


def test_every_log_call_escapes_what_a_gateway_names() -> None:
    """By its source: an id, a reason or a message is logged with %r, or through `printable`."""
    outside = {"task_id", "reason", "message", "code"}
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and re.match(
                r"logger\.(?!isEnabledFor|setLevel|addHandler|removeHandler)", ast.unparse(call.func)
            ):
                words, *values = call.args[1:] if ast.unparse(call.func) == "logger.log" else call.args
                kinds = re.findall(r"%[\d.]*([a-z])", ast.literal_eval(words))
                for kind, value in zip(kinds, values, strict=True):
                    assert kind == "r" or ast.unparse(value).split(".")[-1] not in outside, ast.unparse(call)


def test_an_error_and_its_traceback_have_no_control_character(gateway: Gateway, clock: FakeClock) -> None:
    http = httpx.Client(transport=httpx.MockTransport(gateway))
    client = NebulaVideoClient(api_key=KEY, clock=clock, http_client=http)
    gateway.submits = [httpx.Response(400, json={"code": "Bad", "message": f"no{ESCAPE}\nSaved  forged.mp4{BIDI}"})]
    with pytest.raises(RefusedError) as refused:
        client.generate(image=URL, prompt="x")
    gateway.submits, gateway.fetches = [submitted(TASK)], [KeyboardInterrupt()]
    with pytest.raises(BaseException) as interrupted:  # noqa: PT011 the notes are looked at
        client.generate(image=URL, prompt="y")
    for error in (refused.value, interrupted.value):
        lines = "".join(traceback.format_exception_only(error)).splitlines()
        assert lines
        assert all(map(str.isprintable, lines)), lines
        assert not any(line.startswith("Saved") for line in lines)


@each_row("name", sorted(set(errors.__all__) - {"Money"}))
def test_every_error_escapes_what_it_is_made_of(name: str) -> None:
    error: NebulaVideoError = getattr(errors, name)(f"x{ESCAPE}", hint=f"y{RED}", task_id=TASK)
    for each in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(each).isprintable()
        assert (each.what, each.hint, each.task_id) == (r"x\x1b[2J", r"y\x9b31m", TASK)


@each_row(
    ("text", "shown"),
    [
        ("plain, with é, 猫 and 👩\u200d💻", "plain, with é, 猫 and 👩\u200d💻"),
        (r"C:\new", r"C:\new"),
        ("\t\r\n\0\x7f\x85", r"\t\r\n\x00\x7f\x85"),
        ("\u2028\u2029\u202a\u2066\ufeff\ud800", r"\u2028\u2029\u202a\u2066\ufeff\ud800"),
    ],
)
def test_printable_escapes_what_steers_and_leaves_the_rest(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
