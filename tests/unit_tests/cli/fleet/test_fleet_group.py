"""The commands of a fleet, as far as they go without a database."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.fleet.consent import describe_price
from langchain_nebula_video.cli.fleet.feed import Feed
from langchain_nebula_video.cli.fleet.watch import sparkline
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.rows import BrokenRow
from tests.conftest import KEY, png
from tests.tables import each_row

COMMANDS = ["account", "cancel", "enqueue", "forget", "init", "pause", "resume", "retry", "status", "worker"]
GROUP: Any = typer.main.get_command(app).commands["fleet"]  # type: ignore[attr-defined]
NEED_A_DATABASE = [
    ["init"],
    ["enqueue", "cat.png", "--batch", "cats"],
    ["worker"],
    ["status"],
    ["pause", "cats"],
    ["resume", "cats"],
    ["cancel", "cats"],
    ["retry", "cats"],
    ["account", "3f2a", "--cap", "5"],
    ["forget", "cats"],
]


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEBULA_JOURNAL", raising=False)
    monkeypatch.setenv("NEBULA_API_KEY", KEY)
    Path("cat.png").write_bytes(png(400, 400))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["fleet", *arguments], catch_exceptions=False)


def said(result: Result) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


# --- help ---


def test_the_commands_are_these_and_no_others() -> None:
    assert sorted(GROUP.commands) == COMMANDS


@each_row("command", COMMANDS)
def test_every_command_and_each_of_its_options_has_help(command: str) -> None:
    found = GROUP.commands[command]
    assert found.help
    assert [option.name for option in found.params if not option.help] == []
    assert run(command, "--help").exit_code == 0


@each_row("command", COMMANDS)
def test_the_list_of_commands_says_what_the_help_of_each_says_first(command: str) -> None:
    shown = " ".join(run("--help").stdout.replace("│", " ").split())
    first = GROUP.commands[command].help.split("\n\n")[0]
    assert " ".join([command, *first.split()]) in shown


@each_row(
    ("arguments", "meant"),
    [
        (["stauts"], "'status'"),
        (["status", "--wach"], "--watch"),
        (["worker", "--concurency", "5"], "--concurrency"),
        (["enqueue", "cats", "--btach", "x"], "--batch"),
    ],
)
def test_a_wrong_command_or_option_is_told_the_nearest_right_one(arguments: list[str], meant: str) -> None:
    result = run(*arguments)
    assert result.exit_code == Exit.INVALID
    assert f"Did you mean {meant}?" in said(result)


def test_the_list_of_a_groups_commands_imports_none_of_them() -> None:
    """Typer itself brings pydantic along, for the values of options."""
    program = (
        "import sys; from langchain_nebula_video.cli.app import app; app(['fleet', '--help'], standalone_mode=False);"
        "print({'httpx', 'asyncio', 'psycopg', 'langchain_core'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


# --- the database ---


@each_row("arguments", NEED_A_DATABASE)
def test_without_a_database_the_variable_to_set_is_named(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == Exit.INVALID
    assert "There is no database: NEBULA_JOURNAL is not set." in said(result)
    assert "export NEBULA_JOURNAL=postgresql://" in said(result)


@each_row("arguments", NEED_A_DATABASE)
def test_a_file_of_sqlite_is_no_database_of_a_fleet(arguments: list[str]) -> None:
    result = run(*arguments, "--database", "journal.db")
    assert result.exit_code == Exit.INVALID
    assert "A fleet needs PostgreSQL" in said(result)
    assert not Path("journal.db").exists()


@each_row(
    ("url", "warned"),
    [
        ("sqlite://nebula:secret@host/x", True),
        ("sqlite://nebula@host/x", False),
        ("sqlite:///x.db", False),
    ],
)
def test_a_password_on_the_command_line_is_warned_of_and_not_repeated(url: str, warned: bool) -> None:
    result = run("status", "--database", url)
    assert ("Other users of this machine can read the password" in said(result)) is warned
    assert "secret" not in said(result)


@each_row("arguments", NEED_A_DATABASE)
def test_without_the_extra_the_command_that_installs_it_is_named(arguments: list[str]) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = sys.modules['procrastinate'] = None;"
        "from langchain_nebula_video.cli.app import app;"
        f"app(['fleet', *{arguments!r}, '--database', 'postgresql://nebula@host/videos'])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == Exit.INVALID, done.stderr
    assert 'pip install "langchain-nebula-video[fleet]"' in done.stderr


# --- options ---


@each_row(
    ("arguments", "why"),
    [
        (["enqueue", "cat.png", "--batch", "x", "--not-before", "tomorrow"], "'tomorrow' is no moment like"),
        (["enqueue", "cat.png", "--batch", "x", "--budget", "much"], "Invalid value for '--budget'"),
        (["enqueue", "cat.png"], "Missing option '--batch'"),
        (["worker", "--concurrency", "0"], "Invalid value for '--concurrency'"),
        (["account", "3f2a", "--cap", "-1"], "Invalid value for '--cap'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_is_looked_at(arguments: list[str], why: str) -> None:
    result = run(*arguments)
    assert result.exit_code == Exit.INVALID
    assert why in said(result)


def test_with_json_a_wrong_usage_is_json_too() -> None:
    result = run("enqueue", "cat.png", "--json")
    assert result.exit_code == Exit.INVALID
    assert json.loads(result.stdout)["error"] == "UsageError"


# --- rows ---


def test_rows_have_their_tag_and_place_and_what_cannot_be_read_stays_broken() -> None:
    Path("shots.csv").write_text("image,prompt,tag,key\ncat.png,It blinks,shot 7,\ncat.png,It naps,,k2\n", "utf-8")
    Path("more.jsonl").write_text('{"image": "cat.png", "prompt": "x", "tag": {"id": 1}}\nnonsense\n', "utf-8")
    feed = Feed(["shots.csv", "more.jsonl"], None)
    first, second, third, broken = feed
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert isinstance(third, dict)
    assert (first["tag"], first["place"], "key" in first) == ("shot 7", "shots.csv, line 2", False)
    assert (second["key"], "tag" in second) == ("k2", False)
    assert third["tag"] == {"id": 1}
    assert isinstance(broken, BrokenRow)
    assert broken.place == "more.jsonl, line 2"
    assert feed.read == 4


def test_a_first_source_that_is_not_there_is_told_before_a_batch_is_made() -> None:
    with pytest.raises(InvalidRequestError, match="There is no nowhere"):
        Feed(["nowhere"], None)


def test_a_stream_that_is_stopped_ends_at_the_next_row() -> None:
    Path("shots.csv").write_text("image,prompt\n" + "cat.png,x\n" * 50, "utf-8")
    feed, seen = Feed(["shots.csv"], None), 0
    for _ in feed:
        seen += 1
        if seen == 3:
            feed.stop()
    assert seen == feed.read == 3


# --- numbers ---


@each_row(
    ("usd", "unpriced", "told"),
    [
        ("36.9", 0, "about $36.90"),
        ("1234567.891", 0, "about $1,234,567.89"),
        ("0.1845", 0, "about $0.1845"),
        ("0", 5, "a price not known here"),
        ("36.9", 5, "about $36.90, and 5 whose price is not known here"),
    ],
)
def test_prices_are_told_in_words(usd: str, unpriced: int, told: str) -> None:
    assert describe_price(Decimal(usd), unpriced) == told


@each_row(
    ("rates", "picture"),
    [([], ""), ([0, 0], "▁▁"), ([0, 35, 70], "▁▅█"), ([5], "█")],
)
def test_the_throughput_is_a_picture_whose_highest_block_is_the_greatest(rates: list[float], picture: str) -> None:
    assert sparkline(rates) == picture
